"""Which planes of a label volume are labelled, where most of it is not."""

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from xseg_jax.data.planes import AXES
from xseg_jax.errors import InputError
from xseg_jax.scans.scan import Scan

SLAB_VOXELS = 1 << 24
"""Label voxels in memory at once."""

MOSTLY_EMPTY = 0.5
"""Largest share of planes across an axis that are labelled, where labels are said to be planes
across it; more are a margin around the sample."""

CROSSED = 4.0
"""A plane is labelled itself, and not crossed by labelled planes alone, where it has so many times
the labelled voxels of the median plane across its axis."""

COVERED = 0.999
"""Share of the labelled voxels that the labelled planes found must hold."""


@dataclass(frozen=True)
class Planes:
    """Labelled planes of a label volume.

    Attributes:
      indices: of the planes across z, y and x.
      why: how they were found, for a person.
    """

    indices: tuple[tuple[int, ...], ...]
    why: str

    def __str__(self) -> str:
        parts = [
            f"{AXES[axis]} = {_ranges(indices)}"
            for axis, indices in enumerate(self.indices)
            if indices
        ]
        return "; ".join(parts)


def parse_planes(text: str, shape: tuple[int, ...]) -> Planes:
    """Planes that somebody names, as in "z=10,50; y=30" or "z=0-63".

    Raises:
      InputError: the text is none, or names a plane that is not there.
    """
    indices: list[list[int]] = [[], [], []]
    for part in filter(None, (part.strip() for part in text.split(";"))):
        found = re.fullmatch(r"([xyz])\s*=\s*([\d\s,-]+)", part)
        ranges = [re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", one) for one in
                  (found[2].split(",") if found else ())]  # fmt: skip
        if not found or None in ranges:
            raise InputError(
                f"config.data.labelled={text!r}: {part!r} must be an axis and numbers of planes, "
                "as in z=10,50; y=30 or z=0-63"
            )
        axis = AXES.index(found[1])
        for one in ranges:
            assert one is not None
            first, last = int(one[1]), int(one[2] or one[1])
            if last >= shape[axis] or first > last:
                raise InputError(
                    f"config.data.labelled={text!r}: the labels have planes {AXES[axis]} = 0 to "
                    f"{shape[axis] - 1}"
                )
            indices[axis].extend(range(first, last + 1))
    if not any(indices):
        raise InputError(f"config.data.labelled={text!r}: names no plane, as z=10,50 does")
    return Planes(tuple(tuple(sorted(set(one))) for one in indices), "as config.data.labelled says")


def find_planes(labels: Scan, ignored: Collection[int]) -> Planes:
    """The planes that somebody labelled in a volume of which the rest is one value.

    With ignored values, planes that have others are labelled. Without, the unlabelled value is the
    most frequent one: where planes across an axis hold it alone and others hold several, these are
    labelled. Labelled planes across several axes cross all planes; they stand out by the number of
    voxels that have another value. Where no plane stands out, every plane across z is labelled.

    Args:
      labels: label values (Z, Y, X), gone through once or twice, slab by slab.
      ignored: values that say that a voxel is not labelled.

    Raises:
      InputError: nothing is labelled.
    """
    unlabelled = set(ignored) or {_most_frequent(labels)}
    counts = _counts(labels, unlabelled)
    if not counts[0].any():
        raise InputError(
            f"{labels.source}: every voxel is {', '.join(map(str, sorted(unlabelled)))}, which is "
            "no label; label some planes"
        )
    shares = [np.count_nonzero(count) / len(count) for count in counts]
    axis = int(np.argmin(shares))
    if shares[axis] <= MOSTLY_EMPTY:
        return _across(axis, np.flatnonzero(counts[axis]), "the other planes hold one value")
    crossing = [
        np.flatnonzero(count > CROSSED * np.median(count))
        if len(count) > 2 else np.array([], int)
        for count in counts
    ]  # fmt: skip
    found = Planes(
        tuple(tuple(one.tolist()) for one in crossing), "they stand out by what is labelled in them"
    )
    if sum(len(one) > 0 for one in crossing) > 1 and _share(labels, unlabelled, found) > COVERED:
        return found
    why = "all are labelled" if shares[0] == 1 else "the other planes hold one value"
    return _across(0, np.flatnonzero(counts[0]), why)


def _across(axis: int, indices: np.ndarray, why: str) -> Planes:
    found: list[tuple[int, ...]] = [(), (), ()]
    found[axis] = tuple(indices.tolist())
    return Planes(tuple(found), why)


def _slabs(labels: Scan) -> list[tuple[int, int]]:
    depth = max(1, SLAB_VOXELS // (labels.shape[1] * labels.shape[2]))
    starts = range(0, labels.shape[0], depth)
    return [(start, min(start + depth, labels.shape[0])) for start in starts]


def _most_frequent(labels: Scan) -> int:
    total: dict[int, int] = {}
    for start, stop in _slabs(labels):
        values, counts = np.unique(labels.slab(start, stop), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            total[value] = total.get(value, 0) + count
    return max(total, key=lambda value: (total[value], -value))


def _counts(labels: Scan, unlabelled: Collection[int]) -> list[np.ndarray]:
    """Labelled voxels of each plane across z, y and x."""
    counts = [np.zeros(length, np.int64) for length in labels.shape]
    for start, stop in _slabs(labels):
        labelled = ~np.isin(labels.slab(start, stop), list(unlabelled))
        counts[0][start:stop] = labelled.sum(axis=(1, 2))
        counts[1] += labelled.sum(axis=(0, 2))
        counts[2] += labelled.sum(axis=(0, 1))
    return counts


def _share(labels: Scan, unlabelled: Collection[int], planes: Planes) -> float:
    """Share of the labelled voxels that lie in planes."""
    inside = total = 0
    for start, stop in _slabs(labels):
        labelled = ~np.isin(labels.slab(start, stop), list(unlabelled))
        total += int(labelled.sum())
        mine = np.zeros(labelled.shape, bool)
        mine[[z - start for z in planes.indices[0] if start <= z < stop]] = True
        mine[:, list(planes.indices[1])] = True
        mine[:, :, list(planes.indices[2])] = True
        inside += int((labelled & mine).sum())
    return inside / max(total, 1)


def _ranges(indices: tuple[int, ...]) -> str:
    """Numbers as "10, 50" or "0-63"."""
    parts, first = [], indices[0]
    for here, following in zip(indices, (*indices[1:], None), strict=True):
        if following != here + 1:
            parts.append(str(first) if first == here else f"{first}-{here}")
            first = following if following is not None else here
    most = 8
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more
