"""How much of a test label a copy of the nearest training label would get right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.transform import resize

from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place, Plane
from xseg_jax.data.slabs import Slabs, side_of

THUMBNAIL = (32, 32)


def measure_leak(test: Sequence[Plane], train: Sequence[Plane]) -> dict[str, Any]:
    """Mean label agreement of each test plane with its nearest training plane, beside chance.

    Chance is the agreement of two labels with the same class fractions and nothing else in
    common. An agreement well above it means that the test can be passed by memory.

    Args:
      test: scored planes.
      train: planes trained on.

    Returns:
      agreement, chance, and nearest: "z" where each test plane has training planes of its scan and
      axis at other places, with the smallest distance; otherwise "image", the training image whose
      thumbnail correlates most. Agreement and chance are None where there is nothing to compare.
    """
    if not len(test):
        return {"agreement": None, "chance": None, "nearest": "none"}
    distance_MN = _distances(test, train)
    by_z = distance_MN is not None
    if distance_MN is None:
        thumbnails_M, thumbnails_N = _thumbnails(test), _thumbnails(train)
        distance_MN = 1 - thumbnails_M @ thumbnails_N.T
    agreements, chances = [], []
    for item, nearest in zip(test, distance_MN.argmin(axis=1), strict=True):
        _compare(item.label_HW, train[nearest].label_HW, agreements, chances)
    leak = _means(agreements, chances) | {"nearest": "z" if by_z else "image"}
    return leak | ({"smallest_distance": int(distance_MN.min())} if by_z else {})


def measure_leak_within(planes: Sequence[Plane], slabs: Slabs) -> dict[str, Any]:
    """As `measure_leak`, where parts share planes: labels as far apart as parts are at least.

    Along the axis of the slabs a plane is compared with itself, moved by the gap; one that is
    across this axis, with the next such plane of its scan that is a gap away or more.

    Returns:
      agreement, chance, nearest "within", and the distance of the parts in voxels.
    """
    agreements, chances, gap = [], [], slabs.gap
    places = [item.place for item in planes]
    for item in planes:
        axis = slabs.axis[item.place.scan]
        if axis == item.place.axis:
            following = _following(item.place, places, gap)
            if following is not None:
                _compare(item.label_HW, planes[following].label_HW, agreements, chances)
            continue
        label_HW = np.moveaxis(item.label_HW, side_of(item.place.axis, axis), 0)
        _compare(label_HW[:-gap], label_HW[gap:], agreements, chances)
    return _means(agreements, chances) | {"nearest": "within", "smallest_distance": slabs.gap}


def _following(place: Place, places: Sequence[Place], gap: int) -> int | None:
    """Index of the first place behind another, of its scan and axis, that is a gap away or more."""
    if place.number is None:
        return None
    distances = {
        index: other.number - place.number
        for index, other in enumerate(places)
        if (other.scan, other.axis) == (place.scan, place.axis) and other.number is not None
    }
    far = [index for index, distance in distances.items() if distance >= gap]
    return min(far, key=distances.__getitem__, default=None)


def _distances(test: Sequence[Plane], train: Sequence[Plane]) -> np.ndarray | None:
    """Distance of each test plane from each training plane of its scan; None where not all have."""
    places_M, places_N = ([item.place for item in planes] for planes in (test, train))
    distance_MN = np.full((len(places_M), len(places_N)), np.inf)
    for m, one in enumerate(places_M):
        for n, other in enumerate(places_N):
            same = (one.scan, one.axis) == (other.scan, other.axis)
            if same and one.number is not None and other.number is not None:
                distance_MN[m, n] = abs(one.number - other.number)
    nearest_M = distance_MN.min(axis=1)
    return distance_MN if (np.isfinite(nearest_M) & (nearest_M > 0)).all() else None


def _compare(
    one_HW: np.ndarray, other_HW: np.ndarray, agreements: list[float], chances: list[float]
) -> None:
    """Adds the agreement of two labels, where both are labelled, and that of chance."""
    if one_HW.shape != other_HW.shape:
        other_HW = np.asarray(
            resize(other_HW, one_HW.shape, order=0, preserve_range=True, anti_aliasing=False),
            np.uint8,
        )
    valid_HW = (one_HW != IGNORED) & (other_HW != IGNORED)
    if valid_HW.any():
        one, other = one_HW[valid_HW], other_HW[valid_HW]
        share = [np.bincount(values, minlength=256) / values.size for values in (one, other)]
        agreements.append(float((one == other).mean()))
        chances.append(float(share[0] @ share[1]))


def _means(agreements: list[float], chances: list[float]) -> dict[str, Any]:
    return {
        "agreement": float(np.mean(agreements)) if agreements else None,
        "chance": float(np.mean(chances)) if chances else None,
    }


def _thumbnails(planes: Sequence[Plane]) -> np.ndarray:
    """Standardised small images, one a row; their products are correlations."""
    rows = []
    for item in planes:
        # Grey values far from the others would be all that a correlation sees.
        scale = Normalizer.fit([item.image_HW])
        image_HW = np.where(scale.far(item.image_HW), np.float32(0), scale(item.image_HW))
        row = np.asarray(resize(image_HW, THUMBNAIL, anti_aliasing=True)).ravel()
        rows.append((row - row.mean()) / max(float(row.std() * np.sqrt(row.size)), 1e-12))
    return np.stack(rows)
