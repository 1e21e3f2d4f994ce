"""The fingerprint of a scan: what its planes say before anybody has trained on it. NumPy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from xseg_jax.data import faults
from xseg_jax.data.faults import Step, Suspicion
from xseg_jax.data.intensity import Normalizer, sample_of
from xseg_jax.data.resemblance import (
    air_around,
    beside_air,
    correlation_by_distance,
    thumbnail,
)
from xseg_jax.data.sources import Source
from xseg_jax.errors import InputError
from xseg_jax.progress import Progress

LOOKED_VOXELS = 1 << 28
"""All planes of a scan of up to so many voxels are looked at; of a larger one as many as hold
these, three neighbours at a time, evenly spread."""
LEAST_RUNS = 8
"""Groups of three neighbours that are looked at in any scan."""
RING_PLANES, LEAST_FOR_RINGS = 8, 64
"""Planes that rings are looked for in, and the pixels that the shorter side must have."""
PERCENTILES = (1, 50, 99)


@dataclass(frozen=True)
class Look:
    """One plane of a scan.

    Attributes:
      name: of the plane.
      index: of the plane.
      number: its z.
      low, middle, high: percentiles 1, 50 and 99 of its grey values.
      mean, std: of grey values that are not far outside.
      ends: its least and its greatest grey value, and how many pixels have each.
      near: pixels within a hundredth of the range of either end, without those at it.
      dark: pixels at the least grey value that lie in the air, or at the outline of the sample.
      pixels: how many there are.
      thumbnail: (64, 64) float32.
      air_hw: where air is around the sample, (64, 64) bool.
    """

    name: str
    index: int
    number: int | None
    low: float
    middle: float
    high: float
    mean: float
    std: float
    ends: tuple[tuple[float, int], tuple[float, int]]
    near: tuple[int, int]
    dark: int
    pixels: int
    thumbnail: np.ndarray
    air_hw: np.ndarray

    @property
    def air(self) -> float:
        """Share of pixels around the sample."""
        return float(self.air_hw.mean())

    @classmethod
    def at(cls, image_HW: np.ndarray, name: str, index: int, number: int | None) -> "Look":
        """Measures one plane."""
        low, middle, high = np.percentile(sample_of(image_HW), PERCENTILES).tolist()
        scale = Normalizer.fit([image_HW])
        least, most = float(image_HW.min()), float(image_HW.max())
        margin = (high - low) / 100
        at_ends = (int((image_HW == least).sum()), int((image_HW == most).sum()))
        near = (
            int((image_HW <= least + margin).sum()) - at_ends[0],
            int((image_HW >= most - margin).sum()) - at_ends[1],
        )
        small_hw = thumbnail(image_HW)
        air_hw = air_around(small_hw)
        # Of a pixel of the plane, the pixel of the thumbnail that it lies in.
        rows, columns = (
            np.arange(large) * small // large
            for large, small in zip(image_HW.shape, air_hw.shape, strict=True)
        )
        outside_HW = beside_air(air_hw)[np.ix_(rows, columns)]
        dark = int(((image_HW == least) & outside_HW).sum())
        return cls(
            name, index, number, low, middle, high, scale.mean, scale.std,
            ((least, at_ends[0]), (most, at_ends[1])), near, dark, image_HW.size, small_hw, air_hw,
        )  # fmt: skip


@dataclass(frozen=True)
class Fingerprint:
    """What was measured of a scan.

    Attributes:
      name: of the scan.
      shape: planes, rows, columns; of the largest plane where sizes differ.
      sizes: how many sizes its planes have.
      dtype: of the grey values as they are read.
      voxel_size, unit: as the file says them, or None.
      looks: of the planes that were looked at.
      mean, std: of the grey values of these planes.
      drift: change of the mean over the whole height in deviations, with its 95% interval; None
        where planes have no order.
      rings: as `find_rings`; None where it was not measured.
      saturated: share of pixels at the least and at the greatest grey value.
      air: share of pixels around the sample.
      decay: distance in z to the correlation, within the sample, of planes that far apart.
      suspicions: what may be wrong.
    """

    name: str
    shape: tuple[int, int, int]
    sizes: int
    dtype: str
    voxel_size: tuple[float, float, float] | None
    unit: str | None
    looks: tuple[Look, ...]
    mean: float
    std: float
    drift: tuple[float, float, float] | None
    rings: tuple[float, float] | None
    saturated: tuple[float, float]
    air: float
    decay: dict[int, float]
    suspicions: tuple[Suspicion, ...]

    @property
    def drifts(self) -> bool:
        """Whether the mean changes at all: its interval is on one side of 0."""
        return self.drift is not None and bool(self.drift[1] * self.drift[2] > 0)

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        # What a file does not say of an axis is NaN, which JSON has not.
        voxels = self.voxel_size and [None if np.isnan(one) else one for one in self.voxel_size]
        return {
            "name": self.name,
            "shape": self.shape,
            "sizes": self.sizes,
            "type": self.dtype,
            "voxel_size": voxels,
            "unit": self.unit,
            "planes_looked_at": len(self.looks),
            "percentiles": [
                {"plane": one.name, "z": one.number, "p1": one.low, "p50": one.middle,
                 "p99": one.high}
                for one in self.looks
            ],
            "mean": self.mean,
            "std": self.std,
            "drift_in_std": self.drift,
            "drifts": self.drifts,
            "rings": self.rings and {"correlation": self.rings[0], "amplitude": self.rings[1]},
            "saturated": {"low": self.saturated[0], "high": self.saturated[1]},
            "air_fraction": self.air,
            "correlation_by_distance": self.decay,
            "suspicions": [one.to_json() for one in self.suspicions],
        }  # fmt: skip


def planes_to_look_at(planes: int, pixels: int) -> list[int]:
    """Indices of all planes, or of evenly spread groups of three neighbours of a large scan."""
    runs = max(LEAST_RUNS, LOOKED_VOXELS // (3 * pixels))
    if planes <= 3 * runs:
        return list(range(planes))
    starts = np.rint(np.linspace(0, planes - 3, runs)).astype(int)
    return sorted({int(start) + k for start in starts for k in range(3)})


def fingerprint(source: Source, *, ordered: bool = True) -> Fingerprint:
    """Measures a scan on all of its planes, or on some tens of a large one, one after another.

    Args:
      source: the scan.
      ordered: whether neighbours in it are neighbours in space; independent images are not.

    Raises:
      InputError: no plane can be read.
    """
    first = _first(source)
    indices = planes_to_look_at(len(source), first.size)
    looks: list[Look] = []
    found: list[Suspicion] = []
    steps: dict[int, Step] = {}
    skips: dict[int, float] = {}
    names: dict[int, str] = {}
    before: dict[int, np.ndarray] = {}
    shapes: set[tuple[int, ...]] = set()
    block = 1
    with Progress(f"Looking at {source.name}", len(indices), "image") as progress:
        for index in indices:
            name = names[index] = source.plane_name(index)
            progress.advance()
            try:
                image_HW = source.image(index)
            except InputError as error:
                found.append(Suspicion("unreadable", name, 1.0, f"{name}: cannot be read: {error}"))
                continue
            shapes.add(image_HW.shape)
            if image_HW.min() == image_HW.max():
                value = float(image_HW.flat[0])
                text = f"{name}: every pixel is {value:g}"
                found.append(Suspicion("constant", name, value, text))
                continue
            looks.append(Look.at(image_HW, name, index, source.numbers[index]))
            if not ordered:
                continue
            here, block = faults.compared(image_HW)
            for distance, known in ((1, steps), (2, skips)):
                other = before.get(index - distance)
                if other is not None and other.shape == here.shape:
                    if known is steps:
                        steps[index - 1] = faults.step_between(other, here)
                    else:
                        skips[index - 2] = faults.correlation(other, here)
            before = {index - 1: before[index - 1]} if index - 1 in before else {}
            before[index] = here
    if not looks:
        raise InputError(f"{source.where(0)}: no plane can be used: {found[0].text}")
    found += faults.odd_planes(steps, skips, names, block)
    std = float(np.sqrt(np.mean([one.std**2 for one in looks]))) or 1.0
    drift, rings = (_drift(looks, std), _rings(source, looks)) if ordered else (None, None)
    if drift and abs(drift[0]) > faults.DRIFT and drift[1] * drift[2] > 0:
        found.append(Suspicion(
            "drift", "", drift[0],
            f"the mean grey value may drift: by {drift[0]:+.2f} deviations over the whole height "
            f"(95% interval {drift[1]:+.2f} to {drift[2]:+.2f})",
        ))  # fmt: skip
    if rings and rings[0] > faults.RING_CORRELATION:
        found.append(Suspicion(
            "rings", "", rings[0],
            f"there may be rings around the middle: both halves of the circle correlate by "
            f"{rings[0]:.2f}, with an amplitude of {rings[1]:.3f} deviations",
        ))  # fmt: skip
    saturated, said = _saturated(looks, first.dtype)
    height, width = max(shapes, key=lambda shape: shape[0] * shape[1])
    return Fingerprint(
        name=source.name,
        shape=(len(source), height, width),
        sizes=len(shapes),
        dtype=str(first.dtype),
        voxel_size=source.geometry.voxel_size,
        unit=source.geometry.unit,
        looks=tuple(looks),
        mean=float(np.mean([one.mean for one in looks])),
        std=std,
        drift=drift,
        rings=rings,
        saturated=saturated,
        air=float(np.mean([one.air for one in looks])),
        decay=_decay(looks) if ordered else {},
        suspicions=(*found, *said),
    )


def _first(source: Source) -> np.ndarray:
    """The first plane that can be read, for size and type."""
    refusal: InputError | None = None
    for index in range(len(source)):
        try:
            return source.image(index)
        except InputError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _drift(looks: Sequence[Look], std: float) -> tuple[float, float, float] | None:
    """Change of the mean over the whole height, in deviations, and its 95% interval.

    The slope is that of Theil (1950) and Sen (1968), which some odd planes do not change.
    """
    z_N = np.array([one.number for one in looks if one.number is not None], float)
    if len(z_N) < 5 or len(z_N) < len(looks):
        return None
    found: Any = theilslopes([one.mean for one in looks], z_N)
    height = float(np.ptp(z_N)) / std
    return found.slope * height, found.low_slope * height, found.high_slope * height


def _rings(source: Source, looks: Sequence[Look]) -> tuple[float, float] | None:
    places = np.linspace(0, len(looks) - 1, min(RING_PLANES, len(looks))).round().astype(int)
    images = []
    with Progress("Looking for rings", len(places), "image") as progress:
        for place in places.tolist():
            image_HW = source.image(looks[place].index)
            images += [image_HW] if min(image_HW.shape) >= LEAST_FOR_RINGS else []
            progress.advance()
    return faults.find_rings(images) if images else None


def _saturated(
    looks: Sequence[Look], dtype: np.dtype
) -> tuple[tuple[float, float], list[Suspicion]]:
    """Shares of pixels at the ends of the grey values; said where they pile up in the sample."""
    pixels = sum(one.pixels for one in looks)
    most = faults.SATURATED_8_BIT if dtype.itemsize == 1 else faults.SATURATED
    shares, found = [], []
    for end, pick, what in ((0, min, "least"), (1, max, "greatest")):
        value = pick(one.ends[end][0] for one in looks)
        mine = [one for one in looks if one.ends[end][0] == value]
        count = sum(one.ends[end][1] for one in mine)
        shares.append(count / pixels)
        if end == 0:  # Air that is cut off tells nothing that is missed.
            count -= sum(one.dark for one in mine)
        if count / pixels > most and count > sum(one.near[end] for one in mine):
            where = " and lie within the sample" if count / pixels < shares[-1] else ""
            found.append(Suspicion(
                "saturated", "", count / pixels,
                f"{count / pixels:.2%} of the pixels have the {what} grey value, {value:g}{where}: "
                "they may be saturated, or no data",
            ))  # fmt: skip
    return (shares[0], shares[1]), found


def _decay(looks: Sequence[Look]) -> dict[int, float]:
    return correlation_by_distance(
        [one.number for one in looks],
        [one.thumbnail for one in looks],
        [one.air_hw for one in looks],
    )
