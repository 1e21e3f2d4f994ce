"""Quantities of a segmented volume with intervals, alone or beside those of the true one.

A number is that of the whole volume. Its interval comes from parts, halves along each axis: sums of
parts are resampled, as scores are (`evaluation.statistics`); of what is no ratio of sums the error
is the standard deviation over n parts / sqrt(n) (Kanit et al. 2003,
doi:10.1016/S0020-7683(03)00143-4). Parts of a cube touch less than its slabs do, and are less
alike. Intervals are Student's, with one degree of freedom less than parts; fewer parts than
`FEWEST` have none. They say how far another place of the same material may differ, and not what the
segmentation does: that is what the error against a labelled volume is for.
"""

import dataclasses
import functools
import itertools
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import stats

from xseg_jax.errors import InputError
from xseg_jax.evaluation.parts import Region, all_of, halves_of, said_of, sides_of, subvolumes
from xseg_jax.evaluation.statistics import FEWEST, LEVEL
from xseg_jax.files import counted
from xseg_jax.measure.fractions import fraction_sums
from xseg_jax.measure.lattice import slabs
from xseg_jax.measure.planes import plane_sums
from xseg_jax.measure.quantities import (
    MEANINGS,
    Additive,
    Found,
    Key,
    Spacing,
    Whole,
    image_values,
    plane_values,
)

REPLICATES = 400
MOST_GROUPS = 64
"""Parts that images are divided into, which an interval is over."""
SLAB_VOXELS = 1 << 25
"""Voxels that additive quantities are measured on at once."""


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
      parts: what the intervals are over, as "8 parts of 32 x 32 x 32"; "" where they are too few.
      seconds: that its family took.
      of_parts: of each part (P,) of each volume, by its name; NaN where it is not defined.
      sides: z, y, x of parts of a volume, in voxels; empty of slices, and without parts.
    """

    key: Key
    of: dict[str, Interval]
    error: dict[str, Interval]
    parts: str
    seconds: float
    of_parts: Mapping[str, np.ndarray] = MappingProxyType({})
    sides: tuple[int, ...] = ()


TRUTH = "truth"
"""The name of the true volume among those that are measured."""


def measure_additive(
    family: Additive,
    volumes: Mapping[str, ClassVolume],
    names: Sequence[str],
    spacing: Spacing,
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Property]:
    """Quantities that are sums over slabs, with intervals over parts of the volume.

    Args:
      family: of `FAMILIES`.
      volumes: of one shape, by name; `TRUTH` is the one that errors are against.
      names: of the phases.
      spacing: (z, y, x) edge lengths of a voxel.
      advance: is called after each part of each volume, and after each volume.

    Raises:
      InputError: too little is labelled.
    """
    began = time.monotonic()
    shape = next(iter(volumes.values())).shape
    everything, *parts = [all_of(shape), *halves_of(shape)]
    sums: dict[str, list[Any]] = {name: [] for name in volumes}
    for name, volume in volumes.items():
        for region in (everything, *parts):
            sums[name].append(sums_of(family, volume, len(names), spacing, region))
            advance()
    found = _of_sums(family.values, sums, names, said_of(parts), began)
    return [one._replace(sides=sides_of(parts[0])) for one in found] if parts else found


def measure_planes(
    slices: Mapping[str, Sequence[np.ndarray]],
    names: Sequence[str],
    spacing: tuple[float, float],
) -> list[Property]:
    """Quantities of a volume that single slices let estimate, with intervals over parts of them.

    A part is a quarter of the slices in the first or the second half of them; fewer slices than
    `FEWEST` have no parts, for quarters of one place do not tell how others differ.

    Args:
      slices: classes (H, W) uint8 of the same places by name, in order; `TRUTH` as for volumes.
      names: of the phases.
      spacing: (y, x) edge lengths of a pixel.

    Raises:
      InputError: too little is labelled.
    """
    began = time.monotonic()
    first = next(iter(slices.values()))
    ends = [(0, len(first) // 2), (len(first) // 2, len(first))] if len(first) >= FEWEST else []

    def of_slices(some: Sequence[np.ndarray], quarter: tuple[int, int] | None) -> Any:
        chosen = [one if quarter is None else _quarter(one, quarter) for one in some]
        return functools.reduce(
            operator.add, (plane_sums(one_HW, len(names), spacing) for one_HW in chosen)
        )

    quarters = list(itertools.product((0, 1), (0, 1)))
    sums = {
        name: [
            of_slices(some, None),
            *(of_slices(some[a:b], quarter) for a, b in ends for quarter in quarters),
        ]
        for name, some in slices.items()
    }
    parts = len(ends) * len(quarters)
    said = f"{parts} parts, quarters of {counted(len(first), 'slice')}"
    return _of_sums(plane_values, sums, names, said, began)


def measure_images(
    images: Mapping[str, Sequence[np.ndarray]], names: Sequence[str]
) -> list[Property]:
    """Quantities of images that are no slices of one volume, with intervals over the images.

    Args:
      images: classes (H, W) uint8 of the same images by name, in order; `TRUTH` as for volumes.
      names: of the phases.
    """
    began = time.monotonic()
    count = len(next(iter(images.values())))
    groups = min(count, MOST_GROUPS)
    sums: dict[str, list[Any]] = {}
    for name, some in images.items():
        each = [fraction_sums(one_HW[None], len(names)) for one_HW in some]
        bounds = np.linspace(0, count, groups + 1).round().astype(int)
        parts = [
            functools.reduce(operator.add, each[a:b]) for a, b in itertools.pairwise(bounds)
        ]  # fmt: skip
        sums[name] = [functools.reduce(operator.add, parts), *parts]
    said = f"{count} images" if groups == count else f"{groups} groups of {count} images"
    return _of_sums(image_values, sums, names, said, began)


def _quarter(class_HW: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """One of the four quarters of a slice."""
    parts = [
        slice(half * (n // 2), n if half else n // 2)
        for half, n in zip(place, class_HW.shape, strict=True)
    ]
    return class_HW[parts[0], parts[1]]


def _of_sums(
    values_of: Callable[[Any, Sequence[str]], dict[Key, float]],
    sums: Mapping[str, Sequence[Any]],
    names: Sequence[str],
    said: str,
    began: float,
) -> list[Property]:
    """Quantities of the sums of a whole, and behind them of its parts, resampled together."""
    parts = len(next(iter(sums.values()))) - 1
    replicate_RP = _replicates(parts)

    def of_parts(sums_P: Sequence[Any], weight_P: np.ndarray, like: dict[Key, float]) -> Any:
        try:
            return values_of(_weighted(sums_P, weight_P), names)
        except InputError:  # Too little is labelled in these parts: there is no interval.
            return dict.fromkeys(like, math.nan)

    found, alone = {}, {}
    for name, (whole, *sums_P) in sums.items():
        value = values_of(whole, names)
        found[name] = [value, *(of_parts(sums_P, one_P, value) for one_P in replicate_RP)]
        alone[name] = [of_parts(sums_P, one_P, value) for one_P in np.eye(parts, dtype=int)]
    seconds = time.monotonic() - began

    def of_key(key: Key, rows: Mapping[str, list[dict[Key, float]]]) -> dict[str, np.ndarray]:
        return {name: np.array([one[key] for one in some]) for name, some in rows.items()}

    return [
        _property(
            key, of_key(key, found), of_key(key, alone), _spread_of_replicates, parts - 1, said,
            seconds,
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
    whole, parts = subvolumes(shape)
    rows: dict[str, list[dict[Key, float]]] = {name: [] for name in volumes}
    first: dict[str, Found] = {}
    for name, volume in volumes.items():
        for region in ([all_of(shape)] if whole else []) + parts:
            found = family.found(np.ascontiguousarray(volume[region]), names, spacing)
            rows[name].append(found.values)
            first.setdefault(name, found)
            advance()
    seconds = time.monotonic() - began

    def of_key(key: Key) -> dict[str, np.ndarray]:
        values = {name: np.array([one[key] for one in rows[name]]) for name in volumes}
        if whole:
            return values
        # Of what is too large for one piece the value is the mean of the pieces.
        return {name: np.array([one_P.mean(), *one_P]) for name, one_P in values.items()}

    found = [
        _property(
            key, values := of_key(key), {name: one[1:] for name, one in values.items()},
            _spread_of_mean, len(parts) - 1, said_of(parts), seconds,
        )._replace(sides=sides_of(parts[0]) if parts else ())
        for key in next(iter(rows.values()))[0]
    ]  # fmt: skip
    return found, first


def sums_of(
    family: Additive, volume: ClassVolume, classes: int, spacing: Spacing, region: Region
) -> Any:
    """Sums of a part of a volume, some planes at a time."""
    z, y, x = region
    thickness = max(1, SLAB_VOXELS // ((y.stop - y.start) * (x.stop - x.start)))
    before, after = family.overlap
    total = None
    for slab in slabs(z.stop - z.start, thickness, before=before, after=after):
        planes = slice(z.start + slab.read.start, z.start + slab.read.stop)
        class_ZYX = np.ascontiguousarray(volume[planes, y, x])
        sums = family.sums(class_ZYX, classes, spacing, slab.before, slab.after)
        total = sums if total is None else total + sums
    return total


def _replicates(parts: int) -> np.ndarray:
    """How often each part is taken, (replicates, parts)."""
    if parts < 2:
        return np.ones((0, parts), np.int64)
    # One fewer than there are, so that few parts do not look too certain (Rao and Wu 1988).
    return np.random.default_rng(0).multinomial(parts - 1, np.full(parts, 1 / parts), REPLICATES)


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
    of_parts: dict[str, np.ndarray],
    spread: Spread,
    freedom: int,
    parts: str,
    seconds: float,
) -> Property:
    meaning = MEANINGS[key.quantity]
    found = {name: _interval(value_N, spread, freedom) for name, value_N in values.items()}
    # Of what was found nowhere all parts agree, and know nothing of another place.
    nowhere = {name for name, value_N in values.items() if not value_N.any()}
    found |= {name: Interval(found[name].value) for name in nowhere}
    error: dict[str, Interval] = {}
    if TRUTH in values:
        true_N, true = values[TRUTH], found[TRUTH]
        least = -1.0 if meaning.least >= 0 else -math.inf
        for name, value_N in values.items():
            if name != TRUTH:
                with np.errstate(divide="ignore", invalid="ignore"):
                    one = _interval(value_N / true_N - 1, spread, freedom)
                # Of a ratio whose denominator may be 0 no interval has an end (Fieller 1954,
                # doi:10.1111/j.2517-6161.1954.tb00159.x).
                known = not true.low <= 0 <= true.high and name not in nowhere
                error[name] = _within(one, least, math.inf) if known else Interval(one.value)
    of = {name: possible(one, key.quantity) for name, one in found.items()}
    return Property(key, of, error, parts if freedom + 1 >= FEWEST else "", seconds, of_parts)


def _interval(value_N: np.ndarray, spread: Spread, freedom: int) -> Interval:
    value = float(value_N[0])
    if freedom + 1 < FEWEST or not np.isfinite(value_N).all():
        return Interval(value)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * spread(value_N)
    return Interval(value, value - half, value + half)


def possible(found: Interval, quantity: str) -> Interval:
    """An interval of a quantity without numbers that it cannot be, as shares above 1."""
    return _within(found, MEANINGS[quantity].least, MEANINGS[quantity].largest)


def _within(found: Interval, least: float, largest: float) -> Interval:
    """An interval that holds no number that cannot be."""
    return Interval(found.value, max(found.low, least), min(found.high, largest))


def parts_of(family: Additive | Whole, shape: Sequence[int]) -> int:
    """How often `advance` is called for each volume."""
    if isinstance(family, Additive):
        return 1 + len(halves_of(shape))
    whole, parts = subvolumes(shape)
    return whole + len(parts)
