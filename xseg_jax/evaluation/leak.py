"""How much of a test label the nearest training label gets right that others do not.

Images of one kind share a frame: air around a core, a chest with two lungs. Labels of any two of
them agree far beyond chance, and no copy is needed for it. So agreement with the nearest training
plane is measured beside that with typical ones; what is between them is the leak.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.transform import resize

from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place, Plane
from xseg_jax.data.slabs import Slabs, side_of

THUMBNAIL = (32, 32)
FAR = 8
"""Training planes far away that a test plane is compared with, spread over the farther half."""
ALIKE = 10
"""Training images that look most alike, after the nearest, that a test image is compared with."""
WORRY = 0.4
"""Share of what typical training planes get wrong that the nearest one may get right.

Measured: 0.07 on slices of one core 150 apart; 0.04 to 0.3 on radiographs of different people,
where the most alike is chosen among many; 0.4, 0.65 and 0.8 on slices of a fine microstructure 20,
10 and 5 apart.
"""


def measure_leak(test: Sequence[Plane], train: Sequence[Plane]) -> dict[str, Any]:
    """Mean label agreement of each test plane with its nearest training plane, and typical ones.

    Where planes of one scan have numbers, the nearest is that of the smallest distance, and typical
    are planes of the farther half. Otherwise it is the image whose thumbnail correlates most, and
    typical is the median of the `ALIKE` next: chosen for likeness too, and no copies.

    Args:
      test: scored planes.
      train: planes trained on.

    Returns:
      agreement with the nearest; typical, the agreement with typical ones (None where there is one
      training plane alone); leak, their difference; worry_from, `WORRY` of what typical ones get
      wrong, above which a leak is one to worry about; chance, the agreement of two labels with the
      same class fractions and nothing else in common; nearest, "z" or "image"; with "z" the
      smallest distance in voxels. None where there is nothing to compare.
    """
    if not len(test):
        return _leak([], [], []) | {"nearest": "none"}
    distance_MN = _distances(test, train)
    by_z = distance_MN is not None
    if distance_MN is None:
        thumbnails_M, thumbnails_N = _thumbnails(test), _thumbnails(train)
        distance_MN = 1 - thumbnails_M @ thumbnails_N.T
    agreements, chances, typical = [], [], []
    for item, distance_N in zip(test, distance_MN, strict=True):
        order_N = distance_N.argsort(kind="stable")
        found = _both(item.label_HW, train[order_N[0]].label_HW)
        if found is None:
            continue
        agreements.append(_equal(*found))
        chances.append(_chance(*found))
        others = _far(distance_N, order_N) if by_z else order_N[1 : 1 + ALIKE]
        pairs = (_both(item.label_HW, train[n].label_HW) for n in others)
        if known := [_equal(*pair) for pair in pairs if pair]:
            typical.append(float(np.mean(known) if by_z else np.median(known)))
    leak = _leak(agreements, typical, chances) | {"nearest": "z" if by_z else "image"}
    return leak | ({"smallest_distance": int(distance_MN.min())} if by_z else {})


def measure_leak_within(planes: Sequence[Plane], slabs: Slabs) -> dict[str, Any]:
    """As `measure_leak`, where parts share planes: labels as far apart as parts are at least.

    Along the axis of the slabs a plane is compared with itself, moved by the gap; one that is
    across this axis, with the next such plane of its scan that is a gap away or more. Typical are
    labels half a plane, or half of the planes, apart.

    Returns:
      As `measure_leak`; nearest is "within", and the smallest distance that of the parts.
    """
    agreements, chances, typical, gap = [], [], [], slabs.gap
    places = [item.place for item in planes]
    for item in planes:
        axis = slabs.axis[item.place.scan]
        if axis == item.place.axis:
            far = _extent(item.place, places) // 2
            near, other = (_following(item.place, places, one) for one in (gap, far))
            found, beside = (
                None if index is None else _both(item.label_HW, planes[index].label_HW)
                for index in (near, other if far > gap else None)
            )
        else:
            label_HW = np.moveaxis(item.label_HW, side_of(item.place.axis, axis), 0)
            far = len(label_HW) // 2
            found, beside = (
                _both(label_HW[:-one], label_HW[one:]) if one else None
                for one in (gap, far if far > gap else 0)
            )
        if found:
            agreements.append(_equal(*found))
            chances.append(_chance(*found))
        if beside:
            typical.append(_equal(*beside))
    leak = _leak(agreements, typical, chances)
    return leak | {"nearest": "within", "smallest_distance": gap}


def _far(distance_N: np.ndarray, order_N: np.ndarray) -> np.ndarray:
    """Up to `FAR` training planes, spread over the farther half; none where that is the nearest."""
    known = order_N[np.isfinite(distance_N[order_N])]
    far = known[max(1, len(known) // 2) :]
    return far[np.linspace(0, len(far) - 1, min(FAR, len(far))).round().astype(int)]


def _extent(place: Place, places: Sequence[Place]) -> int:
    """How far the planes of its scan and axis reach, in voxels."""
    numbers = [
        other.number
        for other in places
        if (other.scan, other.axis) == (place.scan, place.axis) and other.number is not None
    ]
    return max(numbers, default=0) - min(numbers, default=0)


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


def _both(one_HW: np.ndarray, other_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels of two labels where both are labelled, at the size of the first; None if none is."""
    if one_HW.shape != other_HW.shape:
        other_HW = np.asarray(
            resize(other_HW, one_HW.shape, order=0, preserve_range=True, anti_aliasing=False),
            np.uint8,
        )
    valid_HW = (one_HW != IGNORED) & (other_HW != IGNORED)
    if valid_HW.all():
        return (one_HW, other_HW) if one_HW.size else None
    return (one_HW[valid_HW], other_HW[valid_HW]) if valid_HW.any() else None


def _equal(one: np.ndarray, other: np.ndarray) -> float:
    """Share of pixels where two labels are equal."""
    return np.count_nonzero(one == other) / one.size


def _chance(one: np.ndarray, other: np.ndarray) -> float:
    """Agreement of two labels that have nothing in common but the shares of their classes."""
    share = [np.bincount(values.ravel(), minlength=256) / values.size for values in (one, other)]
    return float(share[0] @ share[1])


def _leak(
    agreements: Sequence[float], typical: Sequence[float], chances: Sequence[float]
) -> dict[str, Any]:
    nearest, usual, chance = (
        float(np.mean(values)) if values else None for values in (agreements, typical, chances)
    )
    difference = None if nearest is None or usual is None else nearest - usual
    return {
        "agreement": nearest,
        "typical": usual,
        "leak": difference,
        "worry_from": None if usual is None else WORRY * (1 - usual),
        "chance": chance,
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
