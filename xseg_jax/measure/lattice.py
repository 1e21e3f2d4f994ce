"""What the additive quantities share: directions of the voxel grid, pairs of neighbours, slabs."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import SphericalVoronoi

from xseg_jax.errors import InputError

UNLABELLED = 255
"""Value of a voxel that belongs to no phase and counts in no denominator."""
DIRECTIONS_D3 = np.array(
    [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, -1), (0, 1, 1), (1, 0, -1), (1, 0, 1), (1, -1, 0),
     (1, 1, 0), (1, -1, -1), (1, -1, 1), (1, 1, -1), (1, 1, 1)]
)  # fmt: skip
"""Steps (z, y, x) to half of the 26 neighbours of a voxel; none leads to a lower z."""
DIRECTIONS_D2 = np.array([(0, 1), (1, 0), (1, -1), (1, 1)])
"""Steps (y, x) to half of the 8 neighbours of a pixel."""
AT_ONCE = 1 << 20
"""Pairs that are counted at once, so that what it takes stays small beside a slab."""


@dataclass(frozen=True)
class Slab:
    """Planes of a volume that are measured at once.

    Attributes:
      start, stop: the slab's own planes.
      before, after: planes of its neighbours that are read beside them.
    """

    start: int
    stop: int
    before: int
    after: int

    @property
    def read(self) -> slice:
        """Planes to read: `class_ZYX[slab.read]`."""
        return slice(self.start - self.before, self.stop + self.after)


def slabs(planes: int, thickness: int, *, before: int = 0, after: int = 0) -> Iterator[Slab]:
    """Cuts a volume into slabs with what a quantity needs to see beyond them.

    Args:
      planes: of the volume.
      thickness: planes of each slab; the last has what is left.
      before, after: planes that the quantity needs on either side; fewer at the volume's ends.

    Yields:
      Slabs in order of z. For example, 5 planes by 2 with one plane after:

      >>> [(slab.read, slab.after) for slab in slabs(5, 2, after=1)]
      [(slice(0, 3, None), 1), (slice(2, 5, None), 1), (slice(4, 5, None), 0)]
    """
    for start in range(0, planes, thickness):
        stop = min(start + thickness, planes)
        yield Slab(start, stop, min(before, start), min(after, planes - stop))


def coded(classes_of: np.ndarray, classes: int, dimension: int = 3) -> np.ndarray:
    """Checks a segmented volume and gives unlabelled voxels the class after the last.

    Args:
      classes_of: uint8 of so many dimensions, 0 to K-1, or 255 where unlabelled.
      classes: K, at most 254.
      dimension: 3 for a volume, 2 for an image.

    Returns:
      uint8 of the same shape, K where unlabelled.

    Raises:
      InputError: another type or number of dimensions, or a value that is no class.
    """
    if classes_of.dtype != np.uint8 or classes_of.ndim != dimension:
        raise InputError(
            f"a segmentation is uint8 with {dimension} dimensions here; this one is "
            f"{classes_of.dtype} with {classes_of.ndim}"
        )
    if not 1 <= classes < UNLABELLED:
        raise InputError(f"{classes} classes; 1 to {UNLABELLED - 1} can be measured")
    table = np.full(256, UNLABELLED, np.uint8)
    table[:classes] = np.arange(classes)
    table[UNLABELLED] = classes
    code_of = table[classes_of]
    if code_of.size and code_of.max() > classes:
        value = classes_of[code_of == UNLABELLED].flat[0]
        raise InputError(
            f"value {value} is in no class; classes are 0 to {classes - 1}, and {UNLABELLED} "
            "where unlabelled"
        )
    return code_of


def checked_spacing(spacing: tuple[float, ...], dimension: int = 3) -> tuple[float, ...]:
    """Edge lengths of a voxel as floats.

    Raises:
      InputError: not as many as dimensions, or one that is not a positive number.
    """
    edges = tuple(float(edge) for edge in spacing)
    if len(edges) != dimension or not all(np.isfinite(edge) and edge > 0 for edge in edges):
        raise InputError(
            f"spacing {spacing}: {dimension} positive edge lengths of a voxel are needed"
        )
    return edges


def pair_counts(code_of: np.ndarray, step: np.ndarray, classes: int, planes: int) -> np.ndarray:
    """Counts pairs of neighbours by their classes.

    Args:
      code_of: uint8 of any dimension, K where unlabelled, as `coded` gives it.
      step: int (dimensions,) from a voxel to its neighbour; the first number is not negative.
      classes: K.
      planes: pairs are counted whose first voxel is in so many first planes.

    Returns:
      int64 (K, K): pairs with the first voxel of one class and the second of another.
    """
    extents = [slice(max(0, -d), n - max(0, d)) for d, n in zip(step, code_of.shape, strict=True)]
    extents[0] = slice(0, max(0, min(planes, code_of.shape[0] - step[0])))
    first = code_of[tuple(extents)]
    shifted = [slice(s.start + d, s.stop + d) for s, d in zip(extents, step, strict=True)]
    second = code_of[tuple(shifted)]
    width = classes + 1
    dtype = np.uint8 if width * width <= 256 else np.uint16
    counts = np.zeros(width * width, np.int64)
    if first.size:
        thick = max(1, AT_ONCE // (first.size // len(first)))
        for start in range(0, len(first), thick):
            pair = first[start : start + thick].astype(dtype)
            pair *= dtype(width)
            pair += second[start : start + thick]
            counts += np.bincount(pair.ravel(), minlength=len(counts))
    return counts.reshape(width, width)[:classes, :classes]


@functools.lru_cache(maxsize=16)
def direction_weights(spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the 13 steps, and the share of all directions that each stands for.

    The share is that of the sphere's surface that is nearest to the step or its opposite: the
    Voronoi cells of Ohser and Mücklich (2000), Statistical Analysis of Microstructures in
    Materials Science, for the actual edge lengths.

    Args:
      spacing: (z, y, x) edge lengths of a voxel.

    Returns:
      float64 (13,) lengths in the unit of spacing, and float64 (13,) shares that sum to 1. With
      equal edges they are twice the known 0.04578, 0.03698 and 0.03520:

      >>> _, share_D = direction_weights((1.0, 1.0, 1.0))
      >>> [round(float(share_D[place]), 5) for place in (0, 3, 12)]
      [0.09156, 0.07396, 0.07039]
    """
    step_D3 = DIRECTIONS_D3 * np.array(spacing)
    length_D = np.linalg.norm(step_D3, axis=1)
    unit_D3 = step_D3 / length_D[:, None]
    # Cells of a step and of its opposite are each other's mirror image.
    areas_P = SphericalVoronoi(np.concatenate([unit_D3, -unit_D3])).calculate_areas()
    return length_D, areas_P[: len(unit_D3)] / areas_P[: len(unit_D3)].sum()


@functools.lru_cache(maxsize=16)
def plane_direction_weights(spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the 4 steps in a plane, and the share of all its directions of each.

    Args:
      spacing: (y, x) edge lengths of a pixel.

    Returns:
      float64 (4,) lengths in the unit of spacing, and float64 (4,) shares that sum to 1.

      >>> plane_direction_weights((1.0, 1.0))[1].tolist()
      [0.25, 0.25, 0.25, 0.25]
    """
    step_D2 = DIRECTIONS_D2 * np.array(spacing)
    angle_D = np.arctan2(step_D2[:, 0], step_D2[:, 1]) % np.pi
    order = np.argsort(angle_D)
    gap_D = np.diff(angle_D[order], append=angle_D[order[0]] + np.pi)
    share_D = np.empty(len(angle_D))
    share_D[order] = (gap_D + np.roll(gap_D, 1)) / (2 * np.pi)
    return np.linalg.norm(step_D2, axis=1), share_D
