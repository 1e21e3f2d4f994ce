"""Solids of known fractions, areas and edges, as segmented volumes."""

import numpy as np
from scipy.ndimage import gaussian_filter


def coordinates(shape, spacing=(1.0, 1.0, 1.0), offset=(0.0, 0.0, 0.0)):
    """Places of voxel centres (z, y, x) from the volume's middle, as arrays that broadcast."""
    return np.ix_(
        *(
            (np.arange(n) - (n - 1) / 2 + shift) * edge
            for n, edge, shift in zip(shape, spacing, offset, strict=True)
        )
    )


def ball(radius, spacing=(1.0, 1.0, 1.0), offset=(0.0, 0.0, 0.0)):
    """A ball of class 1 in a box of class 0 that it does not touch."""
    shape = [int(2 * radius / edge) + 6 for edge in spacing]
    z, y, x = coordinates(shape, spacing, offset)
    return (z**2 + y**2 + x**2 < radius**2).astype(np.uint8)


def overlapping_balls(shape, radius, number_density, seed):
    """The Boolean model: balls (class 1) around the points of a Poisson process."""
    rng = np.random.default_rng(seed)
    grown = np.array(shape) + 2 * radius  # Balls whose centre is outside reach in.
    centres_N3 = rng.random((rng.poisson(number_density * grown.prod()), 3)) * grown - radius - 0.5
    class_ZYX = np.zeros(shape, np.uint8)
    for centre_3 in centres_N3:
        low_3 = np.maximum(np.ceil(centre_3 - radius), 0).astype(int)
        high_3 = np.minimum(centre_3 + radius + 1, shape).astype(int)
        if (low_3 < high_3).all():
            z, y, x = np.ix_(
                *(np.arange(a, b) - c for a, b, c in zip(low_3, high_3, centre_3, strict=True))
            )
            box = tuple(slice(a, b) for a, b in zip(low_3, high_3, strict=True))
            class_ZYX[box] |= z**2 + y**2 + x**2 < radius**2
    return class_ZYX


def laminate(shape, period, axis):
    """Layers of classes 0 and 1, each half a period thick."""
    layer_N = (np.arange(shape[axis]) // (period // 2) % 2).astype(np.uint8)
    return np.broadcast_to(np.expand_dims(layer_N, [a for a in range(3) if a != axis]), shape)


def wedges(shape, direction, angles, seed, spacing=(1.0, 1.0, 1.0)):
    """Three wedges (degrees) around a line through the middle: the volume, and what lies along it.

    The second array has the place along the line of voxel centres in the unit of spacing.
    """
    rng = np.random.default_rng([seed, 1])  # Not the numbers that a direction was drawn with.
    along_3 = np.array(direction) / np.linalg.norm(direction)
    first_3 = np.cross(along_3, rng.normal(size=3))
    first_3 /= np.linalg.norm(first_3)
    second_3 = np.cross(along_3, first_3)
    place = coordinates(shape, spacing, rng.random(3) - 0.5)
    along, first, second = (
        sum(one * part for one, part in zip(place, unit_3, strict=True))
        for unit_3 in (along_3, first_3, second_3)
    )
    angle_ZYX = np.degrees(np.arctan2(second, first)) % 360
    return np.digitize(angle_ZYX, np.cumsum(angles)[:2]).astype(np.uint8), along


def random_field(shape, width, seed):
    """A Gaussian random field: noise smoothed over so many voxels, as if the volume repeated."""
    noise_ZYX = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return gaussian_filter(noise_ZYX, width, mode="wrap")


def random_classes(seed, shape, classes, unlabelled=0.1):
    """Voxels of random classes, some unlabelled."""
    rng = np.random.default_rng(seed)
    class_ZYX = rng.integers(0, classes, shape, dtype=np.uint8)
    class_ZYX[rng.random(shape) < unlabelled] = 255
    return class_ZYX
