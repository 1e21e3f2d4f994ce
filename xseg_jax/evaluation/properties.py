"""Quantities of a segmented volume with intervals, alone or beside those of the true one.

Sums over slabs are resampled by blocks of z, as scores are (`evaluation.statistics`). What has to
see a whole volume is measured on subvolumes too, and its interval comes from their spread: the
error of a mean over n parts is their standard deviation / sqrt(n) (Kanit et al. 2003,
doi:10.1016/S0020-7683(03)00143-4). Intervals are Student's, with one degree of freedom less than
parts. They say how far another place of the same material may differ, and not what the segmentation
does: that is what the error against a labelled volume is for.
"""

import dataclasses
import functools
import itertools
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import stats

from xseg_jax.evaluation.statistics import LEVEL
from xseg_jax.measure.lattice import slabs
from xseg_jax.measure.planes import plane_sums
from xseg_jax.measure.quantities import (
    MEANINGS,
    Additive,
    Found,
    Key,
    Spacing,
    Whole,
    plane_values,
    unit_of,
)  # fmt: skip

REPLICATES = 400
BLOCKS = 8
SLAB_VOXELS = 1 << 25
"""Voxels that additive quantities are measured on at once."""
AT_ONCE = 1 << 26
"""Voxels that a whole volume may have; of a larger one subvolumes of an eighth are measured."""
LEAST_SIDE = 32
"""Voxels: a side that is shorter than two of these is not halved into subvolumes."""

Region = tuple[slice, slice, slice]


class ClassVolume(Protocol):
    """A segmented volume that is read where it is asked for: classes (Z, Y, X) uint8."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Z, Y, X."""
        ...

    def __getitem__(self, region: Region, /) -> np.ndarray: ...


class Interval(NamedTuple):
    """A number, and where it may be; NaN where that is not known."""

    value: float
    low: float = math.nan
    high: float = math.nan


class Property(NamedTuple):
    """A quantity of a volume, and of the volumes beside it.

    Attributes:
      key: which it is.
      of: of each volume, by its name.
      error: relative error of each but the true one, value / true - 1; empty without a true one.
      parts: what the intervals are over, as "8 blocks of z".
      seconds: that its family took.
    """

    key: Key
    of: dict[str, Interval]
    error: dict[str, Interval]
    parts: str
    seconds: float


TRUTH = "truth"
"""The name of the true volume among those that are measured."""


def measure_additive(
    family: Additive,
    volumes: Mapping[str, ClassVolume],
    names: Sequence[str],
    spacing: Spacing,
    *,
    blocks: int = BLOCKS,
    advance: Callable[[], None] = lambda: None,
) -> list[Property]:
    """Quantities that are sums over slabs, with intervals over blocks of z.

    Args:
      family: of `FAMILIES`.
      volumes: of one shape, by name; `TRUTH` is the one that errors are against.
      names: of the phases.
      spacing: (z, y, x) edge lengths of a voxel.
      blocks: stretches of z, at most.
      advance: is called after each block of each volume.
    """
    began = time.monotonic()
    depth = next(iter(volumes.values())).shape[0]
    sums: dict[str, list[Any]] = {name: [] for name in volumes}
    for name, volume in volumes.items():
        for start, stop in stretches(depth, blocks):
            sums[name].append(_block_sums(family, volume, len(names), spacing, start, stop))
            advance()
    return _of_sums(family.values, sums, names, "blocks of z", began)


def measure_planes(
    slices: Mapping[str, Sequence[np.ndarray]],
    names: Sequence[str],
    spacing: tuple[float, float],
    *,
    blocks: int = BLOCKS,
) -> list[Property]:
    """Quantities of a volume that single slices let estimate, with intervals over their groups.

    Args:
      slices: classes (H, W) uint8 of the same places by name, in order; `TRUTH` as for volumes.
      names: of the phases.
      spacing: (y, x) edge lengths of a pixel.
      blocks: groups of neighbours, at most.
    """
    began = time.monotonic()
    count = len(next(iter(slices.values())))
    sums = {
        name: [
            functools.reduce(
                operator.add, (plane_sums(one_HW, len(names), spacing) for one_HW in some[a:b])
            )
            for a, b in stretches(count, blocks)
        ]
        for name, some in slices.items()
    }
    return _of_sums(plane_values, sums, names, "groups of slices", began)


def stretches(count: int, blocks: int) -> list[tuple[int, int]]:
    """Starts and stops of so many stretches, or of as many as there are planes."""
    edges = np.linspace(0, count, min(blocks, count) + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))


def _of_sums(
    values_of: Callable[[Any, Sequence[str]], dict[Key, float]],
    sums: Mapping[str, Sequence[Any]],
    names: Sequence[str],
    parts: str,
    began: float,
) -> list[Property]:
    """Quantities of the sums of blocks, which are resampled together."""
    blocks = len(next(iter(sums.values())))
    replicate_RB = _replicates(blocks)
    found = {
        name: [values_of(_weighted(sums_B, one_B), names) for one_B in replicate_RB]
        for name, sums_B in sums.items()
    }
    seconds = time.monotonic() - began
    return [
        _property(
            key, {name: np.array([one[key] for one in rows]) for name, rows in found.items()},
            _spread_of_replicates, blocks - 1, f"{blocks} {parts}", seconds,
        )
        for key in next(iter(found.values()))[0]
    ]  # fmt: skip


def measure_whole(
    family: Whole,
    volumes: Mapping[str, ClassVolume],
    names: Sequence[str],
    spacing: Spacing,
    *,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Property], dict[str, Found]]:
    """Quantities that see a whole volume, with intervals from its subvolumes.

    Args:
      family: of `FAMILIES`.
      volumes: as `measure_additive`.
      names: of the phases.
      spacing: (z, y, x) edge lengths of a voxel.
      advance: is called after each subvolume of each volume.

    Returns:
      The quantities; and what was found in each volume, in all of it or in its first subvolume.
    """
    began = time.monotonic()
    shape = next(iter(volumes.values())).shape
    whole, regions = subvolumes(shape)
    measured = [tuple(slice(0, n) for n in shape), *regions] if whole else regions
    rows: dict[str, list[dict[Key, float]]] = {name: [] for name in volumes}
    first: dict[str, Found] = {}
    for name, volume in volumes.items():
        for region in measured:
            found = family.found(np.ascontiguousarray(volume[region]), names, spacing)
            rows[name].append(found.values)
            first.setdefault(name, found)
            advance()
    sides = " x ".join(str(part.stop - part.start) for part in regions[0]) if regions else ""
    parts = f"{len(regions)} subvolumes of {sides}" if regions else ""
    seconds = time.monotonic() - began
    keys = list(next(iter(rows.values()))[0])

    def of_key(key: Key) -> dict[str, np.ndarray]:
        values = {name: np.array([one[key] for one in rows[name]]) for name in volumes}
        if whole:
            return values
        # Of what is too large for one piece the value is the mean of the pieces.
        return {name: np.array([one_S.mean(), *one_S]) for name, one_S in values.items()}

    found = [
        _property(key, of_key(key), _spread_of_mean, len(regions) - 1, parts, seconds)
        for key in keys
    ]
    return found, first


def subvolumes(shape: Sequence[int]) -> tuple[bool, list[Region]]:
    """Whether a volume is measured in one piece, and its subvolumes.

    A side of at least twice `LEAST_SIDE` voxels is halved; of a volume of more than `AT_ONCE`
    voxels the middles of these parts are taken, as large as can be measured.
    """
    whole = math.prod(shape) <= AT_ONCE
    halves = [
        [(0, n // 2), (n // 2, n // 2 * 2)] if n >= 2 * LEAST_SIDE else [(0, n)] for n in shape
    ]
    sides = [ends[0][1] - ends[0][0] for ends in halves]
    # Equal shares of what is too much, from the longest sides first.
    while math.prod(sides) > AT_ONCE // 8:
        longest = max(range(3), key=lambda axis: sides[axis])
        sides[longest] -= 1 if sides[longest] < 64 else sides[longest] // 32
    regions: list[Region] = []
    for z, y, x in itertools.product(*halves):
        middle = [
            slice((a + b - side) // 2, (a + b - side) // 2 + side)
            for (a, b), side in zip((z, y, x), sides, strict=True)
        ]
        regions.append((middle[0], middle[1], middle[2]))
    return whole, [] if whole and len(regions) == 1 else regions


def _block_sums(
    family: Additive, volume: ClassVolume, classes: int, spacing: Spacing, start: int, stop: int
) -> Any:
    """Sums of the planes from start to stop, some at a time."""
    depth, height, width = volume.shape
    thickness = max(1, SLAB_VOXELS // (height * width))
    before, after = family.overlap
    total = None
    for slab in slabs(stop - start, thickness):
        low = max(0, start + slab.start - before)
        high = min(depth, start + slab.stop + after)
        class_ZYX = np.ascontiguousarray(volume[low:high, 0:height, 0:width])
        sums = family.sums(
            class_ZYX, classes, spacing, start + slab.start - low, high - start - slab.stop
        )
        total = sums if total is None else total + sums
    return total


def _replicates(blocks: int) -> np.ndarray:
    """How often each block is taken, (1 + replicates, blocks): once each, and then drawn anew."""
    once_1B = np.ones((1, blocks), np.int64)
    if blocks < 2:
        return once_1B
    # One fewer than there are, so that few blocks do not look too certain (Rao and Wu 1988).
    drawn_RB = np.random.default_rng(0).multinomial(
        blocks - 1, np.full(blocks, 1 / blocks), REPLICATES
    )
    return np.concatenate([once_1B, drawn_RB])


def _weighted(sums_B: Sequence[Any], weight_B: np.ndarray) -> Any:
    """The sum of sums, each taken so many times."""
    changed = {}
    for field in dataclasses.fields(sums_B[0]):
        values = [getattr(sums, field.name) for sums in sums_B]
        if isinstance(values[0], np.ndarray | int):
            changed[field.name] = sum(int(w) * v for w, v in zip(weight_B, values, strict=True))
    return dataclasses.replace(sums_B[0], **changed)


Spread = Callable[[np.ndarray], float]


def _spread_of_replicates(value_N: np.ndarray) -> float:
    """Standard error of the first value, of replicates behind it."""
    return float(value_N[1:].std()) if len(value_N) > 1 else math.nan


def _spread_of_mean(value_N: np.ndarray) -> float:
    """Standard error of the first value, which is of the whole, of its parts behind it."""
    parts = len(value_N) - 1
    return float(value_N[1:].std(ddof=1)) / math.sqrt(parts) if parts > 1 else math.nan


def _property(
    key: Key,
    values: dict[str, np.ndarray],
    spread: Spread,
    freedom: int,
    parts: str,
    seconds: float,
) -> Property:
    largest = MEANINGS[key.quantity].largest
    of = {
        name: _within(_interval(value_N, spread, freedom), largest)
        for name, value_N in values.items()
    }
    error: dict[str, Interval] = {}
    if TRUTH in values:
        true_N = values[TRUTH]
        for name, value_N in values.items():
            if name != TRUTH:
                with np.errstate(divide="ignore", invalid="ignore"):
                    error[name] = _interval(value_N / true_N - 1, spread, freedom)
    return Property(key, of, error, parts, seconds)


def _interval(value_N: np.ndarray, spread: Spread, freedom: int) -> Interval:
    value = float(value_N[0])
    if freedom < 1 or not np.isfinite(value_N).all():
        return Interval(value)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * spread(value_N)
    return Interval(value, value - half, value + half)


def _within(found: Interval, largest: float) -> Interval:
    """An interval that holds no number that cannot be."""
    return Interval(found.value, max(found.low, 0.0), min(found.high, largest))


def to_json(one: Property, name: str, length: str) -> dict[str, Any]:
    """A row of `measured.json`.

    Args:
      one: a quantity.
      name: of the volume that the row is about; the others stand in "against".
      length: unit of length.
    """
    against: dict[str, Any] | None = None
    if TRUTH in one.of:
        against = {"truth": _finite(one.of[TRUTH].value)} | _ends("truth", one.of[TRUTH])
        against |= {"error": _finite(one.error[name].value)} | _ends("error", one.error[name])
        against["baselines"] = {
            other: {"value": _finite(one.of[other].value), "error": _finite(one.error[other].value)}
            | _ends("error", one.error[other])
            for other in one.of
            if other not in (name, TRUTH)
        }
    found = one.of[name]
    return {
        "quantity": one.key.quantity,
        "label": MEANINGS[one.key.quantity].label,
        "phase": one.key.phase,
        "with": one.key.other,
        "axis": one.key.axis,
        "unit": unit_of(one.key.quantity, length),
        "value": _finite(found.value),
        "low": _finite(found.low),
        "high": _finite(found.high),
        "interval": f"{LEVEL:.0%}, {one.parts}" if one.parts else None,
        "seconds": round(one.seconds, 2),
        "against": against,
    }


def _ends(name: str, found: Interval) -> dict[str, float | None]:
    return {f"{name}_low": _finite(found.low), f"{name}_high": _finite(found.high)}


def _finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def parts_of(family: Additive | Whole, shape: Sequence[int], blocks: int = BLOCKS) -> int:
    """How often `advance` is called for each volume."""
    if isinstance(family, Additive):
        return min(blocks, shape[0])
    whole, regions = subvolumes(shape)
    return whole + len(regions)
