"""How much of a test label a copy of the nearest training label would get right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.transform import resize

from xseg_jax.data.folder import Slice
from xseg_jax.data.labels import IGNORED

THUMBNAIL = (32, 32)


def measure_leak(
    test: Sequence[Slice],
    train: Sequence[Slice],
    test_z: Sequence[int | None],
    train_z: Sequence[int | None],
) -> dict[str, Any]:
    """Mean label agreement of each test slice with its nearest training slice, beside chance.

    Chance is the agreement of two labels with the same class fractions and nothing else in
    common. An agreement well above it means that the test can be passed by memory.

    Args:
      test: scored slices.
      train: slices trained on.
      test_z: number of each test slice, or None.
      train_z: number of each training slice, or None.

    Returns:
      agreement, chance, and nearest: "z" where all slices have distinct numbers, with the
      smallest distance; otherwise "image", the training image whose thumbnail correlates most.
    """
    numbers = [*test_z, *train_z]
    by_z = None not in numbers and len(set(numbers)) == len(numbers)
    if by_z:
        distance_MN = np.abs(np.array(test_z)[:, None] - np.array(train_z)).astype(float)
    else:
        thumbnails_M, thumbnails_N = _thumbnails(test), _thumbnails(train)
        distance_MN = 1 - thumbnails_M @ thumbnails_N.T
    agreements, chances = [], []
    for item, nearest in zip(test, distance_MN.argmin(axis=1), strict=True):
        label_HW, other_HW = item.label_HW, train[nearest].label_HW
        if label_HW.shape != other_HW.shape:
            other_HW = np.asarray(
                resize(other_HW, label_HW.shape, order=0, preserve_range=True, anti_aliasing=False),
                np.uint8,
            )
        valid_HW = (label_HW != IGNORED) & (other_HW != IGNORED)
        if valid_HW.any():
            one, other = label_HW[valid_HW], other_HW[valid_HW]
            share = [np.bincount(values, minlength=256) / values.size for values in (one, other)]
            agreements.append(float((one == other).mean()))
            chances.append(float(share[0] @ share[1]))
    leak: dict[str, Any] = {
        "agreement": float(np.mean(agreements)) if agreements else None,
        "chance": float(np.mean(chances)) if chances else None,
        "nearest": "z" if by_z else "image",
    }
    return leak | ({"smallest_distance": int(distance_MN.min())} if by_z else {})


def _thumbnails(slices: Sequence[Slice]) -> np.ndarray:
    """Standardised small images, one a row; their products are correlations."""
    rows = []
    for item in slices:
        image_HW = item.image_HW.astype(np.float32)
        row = np.asarray(resize(image_HW, THUMBNAIL, anti_aliasing=True)).ravel()
        rows.append((row - row.mean()) / max(float(row.std() * np.sqrt(row.size)), 1e-12))
    return np.stack(rows)
