"""Cutting an image of any size into overlapping tiles and blending what comes back."""

from collections.abc import Iterable

import numpy as np

SHAPE_MULTIPLE = 32
"""Heights and widths of tiles are multiples of this, so that few shapes compile."""


def tile_count(length: int, tile: int, overlap: int) -> int:
    """How many tiles cover an axis of `length` pixels and share at least `overlap` pixels."""
    return 1 if length <= tile else -(-(length - overlap) // (tile - overlap))


def tile_length(length: int, tile: int, overlap: int) -> int:
    """Size of as many tiles along an axis, no larger than they need to be."""
    count = tile_count(length, tile, overlap)
    enough = -(-(length + (count - 1) * overlap) // count)
    return -(-enough // SHAPE_MULTIPLE) * SHAPE_MULTIPLE


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of tiles that cover an axis evenly."""
    count = tile_count(length, tile, overlap)
    return [round(start) for start in np.linspace(0, max(0, length - tile), count).tolist()]


def cut(image_HWC: np.ndarray, tile: int, overlap: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Tiles of an image, none larger than `tile`, mirrored beyond its edge where it is smaller.

    Returns:
      The (y, x) corner of each tile, and the tiles (T, h, w, C).
    """
    sides = image_HWC.shape[:2]
    lengths = [tile_length(length, tile, overlap) for length in sides]
    padding = [(0, max(0, size - length)) for size, length in zip(lengths, sides, strict=True)]
    starts = [
        tile_starts(length, size, overlap) for size, length in zip(lengths, sides, strict=True)
    ]
    padded_HWC = np.pad(image_HWC, [*padding, (0, 0)], mode="symmetric")
    corners = [(y, x) for y in starts[0] for x in starts[1]]
    height, width = lengths
    return corners, np.stack([padded_HWC[y : y + height, x : x + width] for y, x in corners])


def blend(
    corners: list[tuple[int, int]], tiles_hwK: Iterable[np.ndarray], height: int, width: int
) -> np.ndarray:
    """Weighted mean of overlapping tiles as (height, width, K) float32.

    The weight falls linearly from a tile's centre to its edge, where the network sees least.
    """
    total_HWK: np.ndarray | None = None
    weight_HW1 = np.zeros((height, width, 1), np.float32)
    for (y, x), tile_hwK in zip(corners, tiles_hwK, strict=True):
        tile_hwK = tile_hwK[: height - y, : width - x]
        if len(corners) == 1:
            return tile_hwK
        if total_HWK is None:
            # A pixel may be in thousands of tiles, whose sum float32 would round at each.
            total_HWK = np.zeros((height, width, tile_hwK.shape[-1]), np.float64)
        weight_hw1 = np.outer(_ramp(tile_hwK.shape[0]), _ramp(tile_hwK.shape[1]))[..., None]
        window = np.s_[y : y + tile_hwK.shape[0], x : x + tile_hwK.shape[1]]
        total_HWK[window] += weight_hw1 * tile_hwK
        weight_HW1[window] += weight_hw1
    assert total_HWK is not None
    return (total_HWK / weight_HW1).astype(np.float32)


def _ramp(length: int) -> np.ndarray:
    """1, 2, 3, ..., 3, 2, 1."""
    index = np.arange(length)
    return np.minimum(index + 1, length - index).astype(np.float32)
