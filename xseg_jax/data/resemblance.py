"""How much planes of a scan have in common by their distance, and whether images are slices."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_dilation, binary_opening, binary_propagation
from skimage.filters import threshold_otsu
from skimage.morphology import disk
from skimage.transform import resize

from xseg_jax.data import faults
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.sources import Slices
from xseg_jax.progress import Progress

THUMBNAIL = (64, 64)
NEAR_NUMBERS = 10
"""Slices whose numbers are further apart need not resemble each other, in a scan either."""
UNLIKE = 0.05
"""Correlation with the next image above that with any other, below which images are no slices."""
FORGOTTEN = 0.1
"""Share of the agreement above chance that is left where two planes count as independent."""
RIM = 2
"""Pixels of a thumbnail beside the air that hold the outline of the sample."""
LEAST_SHARED = 0.05
"""Share of a thumbnail that two samples must have in common for a comparison."""
PAIRS, DISTANCES = 16, 40


def thumbnail(image_HW: np.ndarray) -> np.ndarray:
    """A plane in deviations from its mean, (64, 64) float32, without grey values far outside."""
    scale = Normalizer.fit([image_HW])
    return np.asarray(resize(scale(image_HW), THUMBNAIL, anti_aliasing=True), np.float32)


def air_around(small_hw: np.ndarray) -> np.ndarray:
    """Where air is around the sample: dark, in pieces thicker than pores, and at the border.

    The threshold is Otsu's (1979); dark pieces thinner than an eighth of the plane are pores.

    Args:
      small_hw: a thumbnail of a plane, (64, 64), without grey values far from the others.

    Returns:
      A mask (64, 64) bool.
    """
    dark_hw = small_hw <= threshold_otsu(small_hw)
    # Beyond the border there is air, too; what is thick there touches it.
    wide_hw = np.pad(dark_hw, 8, mode="edge")
    thick_hw = binary_opening(wide_hw, disk(4))[8:-8, 8:-8] & dark_hw
    return touching_border(thick_hw)


def touching_border(mask_hw: np.ndarray) -> np.ndarray:
    """The pieces of a mask that reach the border of the plane."""
    border_hw = np.ones_like(mask_hw)
    border_hw[1:-1, 1:-1] = False
    return binary_propagation(mask_hw & border_hw, mask=mask_hw)


def beside_air(air_hw: np.ndarray) -> np.ndarray:
    """The air and the outline of the sample, (64, 64) bool: what all planes of a scan share."""
    return binary_dilation(air_hw, disk(RIM))


def correlation_by_distance(
    numbers: Sequence[int | None],
    thumbnails: Sequence[np.ndarray],
    air: Sequence[np.ndarray],
) -> dict[int, float]:
    """Correlation of planes by their distance in z, of at most 16 pairs each.

    Planes are compared inside the sample alone: its outline, which is the same in all of them,
    would make them resemble each other at any distance.

    Args:
      numbers: z of each plane; None has no place.
      thumbnails: of the planes, (64, 64).
      air: where air is around the sample in each, (64, 64) bool.
    """
    by_distance: dict[int, list[tuple[int, int]]] = {}
    for a, first in enumerate(numbers):
        for b in range(a + 1, len(numbers)):
            second = numbers[b]
            if first is not None and second is not None and second > first:
                by_distance.setdefault(second - first, []).append((a, b))
    distances = sorted(by_distance)
    outside = [beside_air(air_hw) for air_hw in air]
    steps = np.unique(np.geomspace(1, max(len(distances), 1), DISTANCES).round().astype(int)) - 1
    decay = {}
    for distance in (distances[step] for step in steps if step < len(distances)):
        pairs = by_distance[distance]
        found = []
        for a, b in pairs[:: -(-len(pairs) // PAIRS)]:
            inside_hw = ~(outside[a] | outside[b])
            if inside_hw.mean() >= LEAST_SHARED:
                one, other = (thumbnails[place][inside_hw] for place in (a, b))
                found.append(faults.correlation(one, other))
        if found:
            decay[distance] = float(np.mean(found))
    return decay


def forgotten_after(agreement: dict[int, float], chance: float) -> int | None:
    """The distance from which on planes have no more in common than any two; None if none is.

    What they have in common at any distance, as the outline of a sample, is the mean over the
    farther half of the distances, where that is level; else it is chance.
    """
    distances = sorted(agreement)
    if len(distances) < 4:
        return None
    values = np.array([agreement[distance] for distance in distances])
    far = values[len(values) // 2 :]
    floor = max(chance, float(far.mean())) if np.ptp(far) < 0.05 else chance
    limit = floor + FORGOTTEN * (1 - floor)
    # The first, for what is far apart may be alike again: both sides of an outline.
    below = np.flatnonzero(values <= limit)
    return distances[int(below[0])] if len(below) else None


def resemblance(source: Slices) -> tuple[float, float] | None:
    """Mean correlation of images with the next one, and with others; None where it says nothing.

    Images of one size whose numbers are near each other are slices of a scan where neighbours
    resemble each other more than others do. Of at most 24 pairs.
    """
    numbers = [number for number in source.numbers if number is not None]
    near = [
        index
        for index in range(len(numbers) - 1)
        if 0 < numbers[index + 1] - numbers[index] <= NEAR_NUMBERS
    ]
    if len(numbers) < len(source) or len(near) < 4:
        return None
    chosen = near[:: -(-len(near) // 24)]
    pairs = []
    with Progress(f"Comparing pairs of {source.name}", len(chosen), "pair") as progress:
        for index in chosen:
            pair = [thumbnail(source.image(one)) for one in (index, index + 1)]
            pairs.append(pair)
            progress.advance()
    beside = [faults.correlation(one, other) for one, other in pairs]
    half = len(pairs) // 2
    apart = [
        faults.correlation(pairs[place][0], pairs[(place + half) % len(pairs)][1])
        for place in range(len(pairs))
    ]
    return float(np.mean(beside)), float(np.mean(apart))
