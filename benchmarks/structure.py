"""A volume of three phases from a seed, the same to the last voxel on every machine."""

import zlib

import numpy as np


def three_phases(
    shape: tuple[int, int, int], *, radii: tuple[int, int] = (6, 14), seed: int = 0
) -> np.ndarray:
    """Spheres of random phase that fall on each other until nothing is bare: "dead leaves".

    Every phase takes a third and is connected along every axis in all but small volumes. Arithmetic
    is that of integers, which no processor rounds (Matheron 1968; Bordenave et al. 2006, Adv. Appl.
    Probab. 38:31).

    Args:
      shape: voxels along z, y, x.
      radii: smallest and largest radius of a sphere, voxels.
      seed: of the random numbers.

    Returns:
      class_ZYX, uint8, 0 to 2.
    """
    rng = np.random.default_rng(seed)
    class_ZYX = np.zeros(shape, np.uint8)
    low, high = radii
    sphere = 4 * np.mean(np.arange(low, high + 1) ** 3.0)  # About 4/3 pi r^3.
    reach = np.array(shape) + 2 * high
    count = int(6 * np.prod(reach) / sphere)
    centre_N3 = rng.integers(0, reach, (count, 3)) - high
    radius_N = rng.integers(low, high + 1, count)
    phase_N = rng.integers(0, 3, count)
    for centre, radius, phase in zip(centre_N3, radius_N, phase_N, strict=True):
        first = np.maximum(centre - radius, 0)
        last = np.minimum(centre + radius + 1, shape)
        if (first >= last).any():
            continue
        z, y, x = ((np.arange(f, t) - c) ** 2 for f, t, c in zip(first, last, centre, strict=True))
        inside_ZYX = z[:, None, None] + y[:, None] + x <= radius**2
        part = tuple(slice(f, t) for f, t in zip(first, last, strict=True))
        class_ZYX[part][inside_ZYX] = phase
    return class_ZYX


def fingerprint(class_ZYX: np.ndarray) -> int:
    """CRC-32 of a volume: whether two machines mean the same one."""
    return zlib.crc32(np.ascontiguousarray(class_ZYX))
