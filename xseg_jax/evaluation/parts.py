"""The parts of a volume that tell how far places of one material differ."""

import itertools
import math
from collections.abc import Sequence

AT_ONCE = 1 << 26
"""Voxels that a whole volume may have; of a larger one subvolumes of an eighth are measured."""
LEAST_SIDE = 16
"""Voxels: a side that is shorter than two of these is not halved."""

Region = tuple[slice, slice, slice]


def halves_of(shape: Sequence[int]) -> list[Region]:
    """The parts of a volume: halves along each axis of at least twice `LEAST_SIDE` voxels.

    An odd plane in the middle belongs to none. There are none where no axis is long enough.
    """
    ends = [[(0, n // 2), (n - n // 2, n)] if n >= 2 * LEAST_SIDE else [(0, n)] for n in shape]
    parts = list(itertools.product(*([slice(*one) for one in axis] for axis in ends)))
    return [(z, y, x) for z, y, x in parts] if len(parts) > 1 else []


def subvolumes(shape: Sequence[int]) -> tuple[bool, list[Region]]:
    """Whether a volume is measured in one piece, and its parts.

    Of a volume of more than `AT_ONCE` voxels they are the middles of its halves, as large as can be
    measured: an eighth of that.
    """
    parts = halves_of(shape)
    if math.prod(shape) <= AT_ONCE:
        return True, parts
    parts = parts or [all_of(shape)]
    sides = [part.stop - part.start for part in parts[0]]
    while math.prod(sides) > AT_ONCE // 8:  # From the longest sides first.
        sides[sides.index(max(sides))] -= 1
    return False, [
        (_middle(z, sides[0]), _middle(y, sides[1]), _middle(x, sides[2])) for z, y, x in parts
    ]


def _middle(part: slice, side: int) -> slice:
    start = (part.start + part.stop - side) // 2
    return slice(start, start + side)


def all_of(shape: Sequence[int]) -> Region:
    """A volume as one part."""
    z, y, x = (slice(0, n) for n in shape)
    return z, y, x


def sides_of(region: Region) -> tuple[int, int, int]:
    """Z, y, x of a part in voxels."""
    z, y, x = (side.stop - side.start for side in region)
    return z, y, x


def said_of(parts: Sequence[Region]) -> str:
    """Parts in words; "" where there are none."""
    if not parts:
        return ""
    sides = " x ".join(map(str, sides_of(parts[0])))
    return f"{len(parts)} parts of {sides}"
