"""Volume fractions of phases."""

from dataclasses import dataclass

import numpy as np

from xseg_jax.measure.lattice import UNLABELLED, coded


@dataclass(frozen=True)
class FractionSums:
    """What volume fractions are made of; sums of slabs without overlap add to that of the whole.

    Attributes:
      voxels_K: int64 (K,) voxels of each phase.
      unlabelled: voxels of none.
    """

    voxels_K: np.ndarray
    unlabelled: int

    def __add__(self, other: "FractionSums") -> "FractionSums":
        return FractionSums(self.voxels_K + other.voxels_K, self.unlabelled + other.unlabelled)


def fraction_sums(class_ZYX: np.ndarray, classes: int) -> FractionSums:
    """Counts the voxels of each phase in a slab; slabs need no overlap.

    Args:
      class_ZYX: uint8, 0 to K-1, or 255 where unlabelled.
      classes: K.

    Raises:
      InputError: the volume is of another type, or a value is no class.
    """
    voxels_N = np.zeros(256, np.int64)
    for plane_YX in coded(class_ZYX, classes):  # bincount makes 8 bytes of each.
        voxels_N += np.bincount(plane_YX.ravel(), minlength=UNLABELLED + 1)
    return FractionSums(voxels_N[:classes], int(voxels_N[classes]))


def volume_fractions(sums: FractionSums) -> np.ndarray:
    """Share of each phase in the labelled volume: V_V = voxels of the phase / labelled voxels.

    The count of points of a grid in a phase is an unbiased estimate of its volume (Baddeley and
    Jensen 2005, Stereology for Statisticians).

    Returns:
      float64 (K,), without unit; NaN where nothing is labelled.

      >>> class_ZYX = np.array([[[0, 0, 1, 255]]], np.uint8)
      >>> volume_fractions(fraction_sums(class_ZYX, 2)).round(3).tolist()
      [0.667, 0.333]
    """
    labelled = sums.voxels_K.sum()
    return sums.voxels_K / labelled if labelled else np.full(len(sums.voxels_K), np.nan)
