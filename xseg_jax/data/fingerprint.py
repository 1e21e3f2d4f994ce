"""The fingerprint of a scan: what its planes say before anybody has trained on it. NumPy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_opening, binary_propagation, label
from scipy.stats import theilslopes
from skimage.filters import threshold_otsu
from skimage.morphology import disk
from skimage.transform import resize

from xseg_jax.data import faults
from xseg_jax.data.faults import Step, Suspicion
from xseg_jax.data.intensity import Normalizer, sample_of
from xseg_jax.data.sources import Slices, Source
from xseg_jax.errors import InputError
from xseg_jax.progress import Progress

LOOKED_VOXELS = 1 << 28
"""All planes of a scan of up to so many voxels are looked at; of a larger one as many as hold
these, three neighbours at a time, evenly spread."""
LEAST_RUNS = 8
"""Groups of three neighbours that are looked at in any scan."""
RING_PLANES, LEAST_FOR_RINGS = 8, 64
"""Planes that rings are looked for in, and the pixels that the shorter side must have."""
THUMBNAIL = (64, 64)
PERCENTILES = (1, 50, 99)
NEAR_NUMBERS = 10
"""Slices whose numbers are further apart need not resemble each other, in a scan either."""
UNLIKE = 0.05
"""Correlation with the next image above that with any other, below which images are no slices."""
FORGOTTEN = 0.1
"""Share of the agreement above chance that is left where two planes count as independent."""


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
      air: share of pixels outside of the sample.
      pixels: how many there are.
      thumbnail: (64, 64) float32.
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
    air: float
    pixels: int
    thumbnail: np.ndarray

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
        small_hw = np.asarray(resize(scale(image_HW), THUMBNAIL, anti_aliasing=True), np.float32)
        return cls(
            name, index, number, low, middle, high, scale.mean, scale.std,
            ((least, at_ends[0]), (most, at_ends[1])), near, air_fraction(small_hw),
            image_HW.size, small_hw,
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
      decay: distance in z to the correlation of planes that far apart.
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
    with Progress(f"Looking at {source.name}", len(indices), "slice") as progress:
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
    saturated, said = _saturated(looks)
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


def air_fraction(small_hw: np.ndarray) -> float:
    """Share of pixels around the sample: dark, in pieces thicker than pores, and at the border.

    The threshold is Otsu's (1979); dark pieces thinner than an eighth of the plane are pores.

    Args:
      small_hw: a thumbnail of a plane, (64, 64), without grey values far from the others.
    """
    dark_hw = small_hw <= threshold_otsu(small_hw)
    # Beyond the border there is air, too; what is thick there touches it.
    wide_hw = np.pad(dark_hw, 8, mode="edge")
    thick_hw = binary_opening(wide_hw, disk(4))[8:-8, 8:-8] & dark_hw
    pieces_hw, _ = label(thick_hw)  # pyright: ignore[reportGeneralTypeIssues]
    edge = np.concatenate([pieces_hw[0], pieces_hw[-1], pieces_hw[:, 0], pieces_hw[:, -1]])
    outside = [piece for piece in np.unique(edge) if piece]
    air_hw = np.isin(pieces_hw, outside)
    return float(binary_propagation(air_hw, mask=dark_hw & thick_hw).mean())


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
    with Progress("Looking for rings", len(places), "slice") as progress:
        for place in places.tolist():
            image_HW = source.image(looks[place].index)
            images += [image_HW] if min(image_HW.shape) >= LEAST_FOR_RINGS else []
            progress.advance()
    return faults.find_rings(images) if images else None


def _saturated(looks: Sequence[Look]) -> tuple[tuple[float, float], list[Suspicion]]:
    """Shares of pixels at the ends of the grey values; said where they pile up there."""
    pixels = sum(one.pixels for one in looks)
    shares, found = [], []
    for end, pick, what in ((0, min, "least"), (1, max, "greatest")):
        value = pick(one.ends[end][0] for one in looks)
        mine = [one for one in looks if one.ends[end][0] == value]
        count = sum(one.ends[end][1] for one in mine)
        shares.append(count / pixels)
        if shares[-1] > faults.SATURATED and count > sum(one.near[end] for one in mine):
            found.append(Suspicion(
                "saturated", "", shares[-1],
                f"{shares[-1]:.2%} of the pixels have the {what} grey value, {value:g}: they may "
                "be saturated, or no data",
            ))  # fmt: skip
    return (shares[0], shares[1]), found


def _decay(looks: Sequence[Look]) -> dict[int, float]:
    """Correlation of planes by their distance in z, of at most 16 pairs each."""
    by_distance: dict[int, list[tuple[int, int]]] = {}
    for a, one in enumerate(looks):
        for b in range(a + 1, len(looks)):
            first, second = one.number, looks[b].number
            if first is not None and second is not None and second > first:
                by_distance.setdefault(second - first, []).append((a, b))
    distances = sorted(by_distance)
    steps = np.unique(np.geomspace(1, max(len(distances), 1), 40).round().astype(int)) - 1
    decay = {}
    for distance in (distances[step] for step in steps if step < len(distances)):
        pairs = by_distance[distance]
        chosen = pairs[:: -(-len(pairs) // 16)]
        decay[distance] = float(np.mean([
            faults.correlation(looks[a].thumbnail, looks[b].thumbnail) for a, b in chosen
        ]))  # fmt: skip
    return decay


def forgotten_after(agreement: dict[int, float], chance: float) -> int | None:
    """The distance from which on planes have no more in common than any two; None if none is.

    What they have in common at any distance, as the outline of a sample, is the mean over the
    farther half of the distances, where that is level; else it is chance.
    """
    distances = sorted(agreement)
    if len(distances) < 4:
        return None
    values = np.array([agreement[distance] for distance in distances])
    far = values[len(values) // 2 :]
    floor = max(chance, float(far.mean())) if np.ptp(far) < 0.05 else chance
    limit = floor + FORGOTTEN * (1 - floor)
    # The first, for what is far apart may be alike again: both sides of an outline.
    below = np.flatnonzero(values <= limit)
    return distances[int(below[0])] if len(below) else None


def resemblance(source: Slices) -> tuple[float, float] | None:
    """Mean correlation of images with the next one, and with others; None where it says nothing.

    Images of one size whose numbers are near each other are slices of a scan where neighbours
    resemble each other more than others do. Of at most 24 pairs.
    """
    numbers = [number for number in source.numbers if number is not None]
    near = [
        index
        for index in range(len(numbers) - 1)
        if 0 < numbers[index + 1] - numbers[index] <= NEAR_NUMBERS
    ]
    if len(numbers) < len(source) or len(near) < 4:
        return None
    chosen = near[:: -(-len(near) // 24)]
    pairs = []
    with Progress(f"Comparing images of {source.name}", len(chosen), "pair") as progress:
        for index in chosen:
            pair = [_thumbnail(source.image(one)) for one in (index, index + 1)]
            pairs.append(pair)
            progress.advance()
    beside = [faults.correlation(one, other) for one, other in pairs]
    half = len(pairs) // 2
    apart = [
        faults.correlation(pairs[place][0], pairs[(place + half) % len(pairs)][1])
        for place in range(len(pairs))
    ]
    return float(np.mean(beside)), float(np.mean(apart))


def _thumbnail(image_HW: np.ndarray) -> np.ndarray:
    scale = Normalizer.fit([image_HW])
    return np.asarray(resize(scale(image_HW), THUMBNAIL, anti_aliasing=True), np.float32)
