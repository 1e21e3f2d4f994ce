"""How large a volume has to be: how far a quantity differs between subvolumes, over their size.

Subvolumes are disjoint: the halves that intervals are over, and cubes whose edge is the shortest
side, a half, a third, a fourth of it and so on. The relative spread is their standard deviation
over their mean. Where it falls under `LEVEL`, a volume of that size gives the number within so much
from place to place, which is what is called a representative volume (Kanit et al. 2003,
doi:10.1016/S0020-7683(03)00143-4). A mean that moves with the size says that small volumes are
biased.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.evaluation.parts import AT_ONCE, LEAST_SIDE, Region, halves_of, sides_of
from xseg_jax.evaluation.properties import ClassVolume, Property, sums_of
from xseg_jax.evaluation.rows import of_key
from xseg_jax.measure.quantities import Additive, Key, Spacing

LEVEL = 0.05
SHARES = (1, 2, 3, 4, 6, 8, 12, 16)
"""Parts of the shortest side that are edges of cubes."""
FEWEST, MOST = 8, 64
"""Cubes of a size that are measured, drawn by chance where there are more."""


class Size(NamedTuple):
    """What was found in subvolumes of one size.

    Attributes:
      sides: z, y, x in voxels.
      number: of subvolumes in which it is defined.
      mean: over them.
      deviation: standard deviation over them.
    """

    sides: tuple[int, int, int]
    number: int
    mean: float
    deviation: float


def cubes_of(shape: Sequence[int], spacing: Spacing) -> list[list[Region]]:
    """Disjoint cubes of each size, the largest first; none of a size that fits once alone.

    Edges are of equal length as far as voxels allow it. Of many cubes `MOST` are drawn, once for
    all, and fewer where these are large.

    Args:
      shape: Z, Y, X.
      spacing: (z, y, x) edge lengths of a voxel.
    """
    shortest = min(n * h for n, h in zip(shape, spacing, strict=True))
    # Of halves it is known already.
    seen: set[tuple[int, ...]] = {sides_of(half) for half in halves_of(shape)}
    sizes = []
    for share in SHARES:
        sides = [
            min(n, int(shortest / share / h + 1e-9)) for n, h in zip(shape, spacing, strict=True)
        ]
        if min(sides) < LEAST_SIDE:
            break
        starts = [
            np.linspace(0, n - side, n // side).round().astype(int).tolist()
            for n, side in zip(shape, sides, strict=True)
        ]
        places = list(itertools.product(*starts))
        if tuple(sides) in seen or len(places) < 2:
            continue
        seen.add(tuple(sides))
        room = min(MOST, max(FEWEST, AT_ONCE // math.prod(sides)))
        if len(places) > room:
            drawn = np.random.default_rng(0).choice(len(places), room, replace=False)
            places = [places[n] for n in sorted(drawn.tolist())]
        sizes.append([
            (slice(z, z + sides[0]), slice(y, y + sides[1]), slice(x, x + sides[2]))
            for z, y, x in places
        ])  # fmt: skip
    return sizes


def over_sizes(
    family: Additive,
    volume: ClassVolume,
    names: Sequence[str],
    spacing: Spacing,
    *,
    advance: Callable[[], None] = lambda: None,
) -> dict[Key, list[Size]]:
    """A quantity in cubes of several sizes, the largest first.

    Args:
      family: of `FAMILIES`.
      volume: that is measured.
      names: of the phases.
      spacing: (z, y, x) edge lengths of a voxel.
      advance: is called after each cube.
    """
    found: dict[Key, list[Size]] = {}
    for cubes in cubes_of(volume.shape, spacing):
        rows: list[dict[Key, float]] = []
        for cube in cubes:
            sums = sums_of(family, volume, len(names), spacing, cube)
            try:
                rows.append(family.values(sums, names))
            except InputError:  # Too little of it is labelled.
                rows.append({})
            advance()
        for key in dict.fromkeys(key for row in rows for key in row):
            values = np.array([row.get(key, math.nan) for row in rows])
            found.setdefault(key, []).append(size_of(sides_of(cubes[0]), values))
    return found


def size_of(sides: tuple[int, int, int], value_N: np.ndarray) -> Size:
    """What values of subvolumes, NaN where not defined, say together."""
    value_N = value_N[np.isfinite(value_N)]
    if value_N.size < 2:
        return Size(sides, value_N.size, math.nan, math.nan)
    return Size(sides, value_N.size, float(value_N.mean()), float(value_N.std(ddof=1)))


def to_json(
    one: Property, name: str, cubes: Sequence[Size], spacing: Spacing, length: str
) -> dict[str, Any] | None:
    """How a quantity spreads over sizes, as `measured.json` holds it; None where nothing is known.

    Args:
      one: the quantity, with the values of its parts.
      name: of the volume.
      cubes: what was found in cubes.
      spacing: (z, y, x) edge lengths of a voxel.
      length: unit of length.
    """
    sizes = list(cubes)
    if len(one.sides) == 3:
        z, y, x = one.sides
        sizes.append(size_of((z, y, x), one.of_parts[name]))
    known = sorted(
        (size for size in sizes if size.number > 1 and size.mean), key=lambda s: math.prod(s.sides)
    )
    if not known:
        return None
    relative = [abs(size.deviation / size.mean) for size in known]
    edges = [edge_of(size.sides, spacing) for size in known]
    return of_key(one.key, length) | {
        "sides": [list(size.sides) for size in known],
        "edge": edges,
        "count": [size.number for size in known],
        "mean": [size.mean for size in known],
        "deviation": [size.deviation for size in known],
        "relative": relative,
        "enough": enough(edges, relative),
    }


def edge_of(sides: tuple[int, int, int], spacing: Spacing) -> float:
    """Edge of the cube of the same volume."""
    return float(np.cbrt(math.prod(n * h for n, h in zip(sides, spacing, strict=True))))


def enough(edges: Sequence[float], relative: Sequence[float]) -> float | None:
    """The smallest edge from which on the spread stays under `LEVEL`; None where it never does.

    >>> enough([16, 32, 64], [0.2, 0.04, 0.01])
    32
    """
    found = None
    for edge, spread in sorted(zip(edges, relative, strict=True), reverse=True):
        if spread >= LEVEL:
            break
        found = edge
    return found
