"""Scans and fingerprints without files."""

import numpy as np

from xseg_jax.data.faults import Suspicion
from xseg_jax.data.fingerprint import Fingerprint, Look
from xseg_jax.data.sources import Source
from xseg_jax.errors import InputError

EMPTY = np.zeros((64, 64))


def seen(numbers, decay, *, name="scan", suspect=(), looked=None):
    """A scan with planes of these numbers that correlate by `decay`, distance to number."""
    looks = tuple(
        Look(f"{name}_z{z:02d}", place, z, 0, 1, 2, 1, 1, ((0, 0), (2, 0)), (0, 0), 0, 4096, EMPTY,
             EMPTY.astype(bool))
        for place, z in enumerate(numbers)
    )  # fmt: skip
    doubts = tuple(Suspicion("broken", looks[place].name, 0.1, "broken") for place in suspect)
    return Fingerprint(
        name, (len(numbers), 64, 64), 1, "uint16", None, None, looks, 1, 1, None, None, (0, 0), 0,
        decay, doubts,
    )  # fmt: skip


def exponential(numbers, length):
    """Correlation by distance that falls by e in a length."""
    distances = sorted({b - a for a in numbers for b in numbers if b > a})
    return {distance: float(np.exp(-distance / length)) for distance in distances}


class Arrays(Source):
    """Planes in memory; one that is None cannot be read."""

    def __init__(self, planes, numbers=None):
        self.name, self.planes, self.read = "scan", planes, []
        self.numbers = range(len(planes)) if numbers is None else numbers

    def image(self, index, axis=0):
        self.read.append(index)
        if self.planes[index] is None:
            raise InputError(f"z{index}: is damaged; copy it again")
        return self.planes[index]

    def neighbour(self, index, distance, axis=0):
        return min(max(index + distance, 0), len(self) - 1)

    def where(self, index, axis=0):
        return f"z{index}"

    plane_name = where
