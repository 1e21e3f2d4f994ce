"""A volume cut into blocks that are segmented one by one, each of whole chunks of the output."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SLAB_PLANES = 16
"""Planes of a block where each is segmented by itself; also the depth of a chunk."""
MOST = (SLAB_PLANES, 256, 256)
"""Planes, rows and columns of a chunk."""
SUMS_BYTES = 2**29
"""Most memory for running sums of probabilities, of a block that is seen along several axes."""
ALL_AXES = (1, 2, 0)
"""Across z last: then a plane is done when its last probabilities come."""


@dataclass(frozen=True)
class Block:
    """A part of a volume.

    Attributes:
      start: first voxel (z, y, x).
      stop: behind the last voxel.
    """

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def region(self) -> tuple[slice, slice, slice]:
        """To index the volume with."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    def cut(self, shape: Sequence[int]) -> "Block":
        """What of it lies in a volume."""
        z, y, x = (max(0, a) for a in self.start)
        ends = (min(b, n) for b, n in zip(self.stop, shape, strict=True))
        return Block((z, y, x), tuple(ends))  # pyright: ignore[reportArgumentType]

    def widened(self, margins: Sequence[int], shape: Sequence[int]) -> "Block":
        """With so many voxels more on each side of each axis, where the volume has them."""
        z, y, x = (a - m for a, m in zip(self.start, margins, strict=True))
        ends = (b + m for b, m in zip(self.stop, margins, strict=True))
        return Block((z, y, x), tuple(ends)).cut(shape)  # pyright: ignore[reportArgumentType]

    def within(self, outer: "Block") -> tuple[slice, slice, slice]:
        """To index an array that holds `outer` with."""
        z, y, x = (
            slice(a - first, b - first)
            for a, b, first in zip(self.start, self.stop, outer.start, strict=True)
        )
        return z, y, x


def chunks_of(shape: Sequence[int]) -> tuple[int, int, int]:
    """Shape of the chunks that a volume of labels is kept in."""
    z, y, x = (min(n, most) for n, most in zip(shape, MOST, strict=True))
    return z, y, x


def blocks_of(shape: Sequence[int], axes: Sequence[int], classes: int) -> list[Block]:
    """Blocks of whole chunks that cover a volume once, the same on every machine.

    A block of which planes across z alone are segmented is a slab, one chunk deep. One that is seen
    along other axes too costs margins, and should be as large as memory allows: it is halved, along
    its longest side, until the sums of its probabilities fit in `SUMS_BYTES`.
    """
    chunks = chunks_of(shape)
    if tuple(axes) == (0,):
        sides = [chunks[0], *shape[1:]]
    else:
        sides = list(shape)
        while 4 * classes * np.prod(sides, dtype=float) > SUMS_BYTES:
            can = [axis for axis in range(3) if sides[axis] > chunks[axis]]
            if not can:
                break
            longest = max(can, key=lambda axis: sides[axis])
            count = -(-sides[longest] // chunks[longest])  # Whole chunks.
            sides[longest] = -(-count // 2) * chunks[longest]
    starts = (range(0, n, side) for n, side in zip(shape, sides, strict=True))
    return [
        Block((z, y, x), (z + sides[0], y + sides[1], x + sides[2])).cut(shape)
        for z, y, x in itertools.product(*starts)
    ]
