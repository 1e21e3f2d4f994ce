"""Areas of surfaces and interfaces per volume, from pairs of neighbours in 13 directions."""

from dataclasses import dataclass

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.measure.lattice import (
    DIRECTIONS_D3,
    checked_spacing,
    coded,
    direction_weights,
    pair_counts,
)

OVERLAP = 1
"""Planes of the next slab that a slab has to see."""


@dataclass(frozen=True)
class SurfaceSums:
    """What areas are made of; sums of slabs that overlap by one plane add to that of the whole.

    Attributes:
      pairs_DKK: int64 (13, K, K) pairs of labelled neighbours along each of `DIRECTIONS_D3`, by
        class of the first and of the second.
      spacing: (z, y, x) edge lengths of a voxel.
    """

    pairs_DKK: np.ndarray
    spacing: tuple[float, float, float]

    def __add__(self, other: "SurfaceSums") -> "SurfaceSums":
        if self.spacing != other.spacing:
            raise ValueError(f"slabs have spacings {self.spacing} and {other.spacing}")
        return SurfaceSums(self.pairs_DKK + other.pairs_DKK, self.spacing)


def surface_sums(
    class_ZYX: np.ndarray, classes: int, spacing: tuple[float, float, float], *, after: int = 0
) -> SurfaceSums:
    """Counts pairs of neighbours in a slab.

    Args:
      class_ZYX: uint8, 0 to K-1, or 255 where unlabelled.
      classes: K.
      spacing: (z, y, x) edge lengths of a voxel.
      after: planes at the end of the array that belong to the next slab: one, and none in the
        last slab.

    Raises:
      InputError: the volume is of another type, a value is no class, or a length not positive.
    """
    z, y, x = checked_spacing(spacing)
    code_ZYX = coded(class_ZYX, classes)
    planes = len(code_ZYX) - after
    pairs = [pair_counts(code_ZYX, step, classes, planes) for step in DIRECTIONS_D3]
    return SurfaceSums(np.stack(pairs), (z, y, x))


def interface_densities(sums: SurfaceSums) -> np.ndarray:
    """Area between each two phases per labelled volume, by the formula of Cauchy and Crofton.

    S_V = 2 sum_d w_d P_L(d). P_L(d) is the number of crossings per length of lines along a
    direction d: pairs of neighbours of the two phases / (all labelled pairs x their distance).
    w_d is the share of directions that d stands for. Ohser and Mücklich (2000), Statistical
    Analysis of Microstructures in Materials Science; Legland, Kiêu and Devaux (2007), Image Anal.
    Stereol. 26:83, doi:10.5566/ias.v26.p83-92. Each direction is divided by its own pairs, so
    that faces of the volume and of unlabelled voxels count neither as surface nor in a volume.

    A crossing and one back within a step are not seen: what is as thin as a voxel comes out too
    small. Overlapping balls of 4, 8, 16 voxels radius lose 7%, 3%, 2%, single ones of 5 voxels 1%.

    Returns:
      float64 (K, K), symmetric, zeros on the diagonal, in 1 / unit of spacing. A plane across
      a cube, one in 39, is estimated 7% too low, the largest error of a plane of any orientation:

      >>> class_ZYX = np.zeros((40, 40, 40), np.uint8)
      >>> class_ZYX[20:] = 1
      >>> sums = surface_sums(class_ZYX, 2, (1.0, 1.0, 1.0))
      >>> round(float(interface_densities(sums)[0, 1]) * 39, 3)
      0.927

    Raises:
      InputError: no pair of neighbours is labelled along one of the directions.
    """
    length_D, share_D = direction_weights(sums.spacing)
    labelled_D = sums.pairs_DKK.sum(axis=(1, 2))
    if not labelled_D.all():
        raise InputError(
            "areas in a volume need labelled neighbours along z, y, x and all diagonals; measure "
            "single slices as planes"
        )
    return _symmetric(2 * share_D / (labelled_D * length_D), sums.pairs_DKK)


def surface_densities(sums: SurfaceSums) -> np.ndarray:
    """Area of each phase against all others per labelled volume: S_V, `interface_densities` summed.

    Returns:
      float64 (K,) in 1 / unit of spacing.

    Raises:
      InputError: as `interface_densities`.
    """
    return interface_densities(sums).sum(axis=1)


def interface_areas(sums: SurfaceSums) -> np.ndarray:
    """Area between each two phases, without what faces cut off: for objects inside of a volume.

    S = 2 sum_d w_d N(d) v / |d| with N(d) pairs of the two phases and v the volume of a voxel.

    Returns:
      float64 (K, K), symmetric, zeros on the diagonal, in the square of the unit of spacing.
    """
    length_D, share_D = direction_weights(sums.spacing)
    return _symmetric(2 * share_D * np.prod(sums.spacing) / length_D, sums.pairs_DKK)


def _symmetric(weight_D: np.ndarray, pairs_DKK: np.ndarray) -> np.ndarray:
    area_KK = np.einsum("d,dab->ab", weight_D, pairs_DKK)
    area_KK += area_KK.T.copy()
    np.fill_diagonal(area_KK, 0.0)
    return area_KK
