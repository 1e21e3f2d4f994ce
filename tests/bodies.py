"""Bodies whose size is known, as voxels whose centres lie inside."""

import numpy as np


def ball(size, centre, radius, spacing=(1, 1, 1)):
    """Bool (Z, Y, X); lengths in the unit of the spacing, from the first voxel's centre."""
    grid = np.ogrid[tuple(map(slice, size))]
    offsets = [g * s - c for g, s, c in zip(grid, spacing, centre, strict=True)]
    return sum(offset**2 for offset in offsets) < radius**2
