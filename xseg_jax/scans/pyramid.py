"""Smaller copies of a volume, each half as large as the one before: which, and of what values."""

import itertools
import math

import numpy as np

LONGEST = 256
"""Voxels: levels are added until no side is longer."""
Factors = tuple[int, int, int]


def factors_of_levels(
    shape: tuple[int, int, int], sizes: tuple[float, float, float], longest: int = LONGEST
) -> list[Factors]:
    """How many voxels z, y, x of the volume one voxel of each level covers; (1, 1, 1) comes first.

    From level to level those axes are halved whose voxels are at most sqrt(2) times as long as the
    shortest, so that voxels become as long as wide; an axis of one voxel is left.

    Args:
      shape: (Z, Y, X).
      sizes: of a voxel, in one unit.
      longest: side of the last level, at most.
    """
    factors = [(1, 1, 1)]
    while max(lengths := _divided(shape, factors[-1])) > longest:
        now = [size * factor for size, factor in zip(sizes, factors[-1], strict=True)]
        finest = min(size for size, length in zip(now, lengths, strict=True) if length > 1)
        halved = [
            factor * (2 if length > 1 and size <= math.sqrt(2) * finest else 1)
            for factor, size, length in zip(factors[-1], now, lengths, strict=True)
        ]
        factors.append((halved[0], halved[1], halved[2]))
    return factors


def shapes_of_levels(shape: tuple[int, int, int], factors: list[Factors]) -> list[Factors]:
    """(Z, Y, X) of each level; a voxel at the end may cover less than the others."""
    return [_divided(shape, factor) for factor in factors]


def _divided(shape: Factors, factor: Factors) -> Factors:
    z, y, x = (-(-length // by) for length, by in zip(shape, factor, strict=True))
    return z, y, x


def majority(block_ZYX: np.ndarray, step: Factors) -> np.ndarray:
    """Labels of a level from those of the level before: the most frequent of those it covers.

    Of two that are as frequent it is the smaller value.

    Args:
      block_ZYX: integers; a side may end within the last step.
      step: 1 or 2 along z, y, x.

    Returns:
      The same type, each side divided by its step and rounded up.
    """
    parts = _parts(block_ZYX, step)
    result_zyx = parts[0].copy()
    mixed_zyx = np.zeros(result_zyx.shape, bool)
    for part_zyx in parts[1:]:
        mixed_zyx |= part_zyx != result_zyx
    # Most of a volume lies within a class: votes are counted where there is something to decide.
    votes = [part_zyx[mixed_zyx] for part_zyx in parts]
    counts = [np.ones(votes[0].shape, np.uint8) for _ in votes]
    for i, j in itertools.combinations(range(len(votes)), 2):
        same = votes[i] == votes[j]
        counts[i] += same
        counts[j] += same
    best, most = votes[0], counts[0]
    for vote, count in zip(votes[1:], counts[1:], strict=True):
        better = (count > most) | ((count == most) & (vote < best))
        best, most = np.where(better, vote, best), np.where(better, count, most)
    result_zyx[mixed_zyx] = best
    return result_zyx


def mean(block_ZYX: np.ndarray, step: Factors) -> np.ndarray:
    """Measured values of a level from those of the level before: their mean.

    Args:
      block_ZYX: integers, whose mean is rounded (half up), or floats; a side may end within the
        last step.
      step: 1 or 2 along z, y, x.

    Returns:
      The same type, each side divided by its step and rounded up.
    """
    parts = _parts(block_ZYX, step)
    if block_ZYX.dtype.kind == "f":
        total = np.sum(parts, axis=0, dtype=np.promote_types(block_ZYX.dtype, np.float32))
        return (total / len(parts)).astype(block_ZYX.dtype)
    total = np.sum(parts, axis=0, dtype=np.int64)
    return ((total + len(parts) // 2) // len(parts)).astype(block_ZYX.dtype)


def _parts(block_ZYX: np.ndarray, step: Factors) -> list[np.ndarray]:
    """The voxels that become one, in as many arrays; what lies behind the end repeats the last.

    So a mean or a vote there is that of the voxels within: each counts twice.
    """
    ends = [(0, -length % by) for length, by in zip(block_ZYX.shape, step, strict=True)]
    if any(end for _, end in ends):
        block_ZYX = np.pad(block_ZYX, ends, mode="edge")
    firsts = itertools.product(*map(range, step))
    keys = [
        tuple(slice(f, None, by) for f, by in zip(first, step, strict=True)) for first in firsts
    ]
    return [np.ascontiguousarray(block_ZYX[key]) for key in keys]
