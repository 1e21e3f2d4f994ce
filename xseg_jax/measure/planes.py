"""Quantities of a volume from single slices of it: stereology, for isotropic structures.

Each is the expectation over random slices of an isotropic structure. Of a structure with a
direction, slices of one orientation tell something else than the volume: do not mix these numbers
with those that are measured in three dimensions.
"""

from dataclasses import dataclass

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.measure.edges import UNITS, edge_sums, triples
from xseg_jax.measure.lattice import (
    DIRECTIONS_D2,
    UNLABELLED,
    checked_spacing,
    coded,
    pair_counts,
    plane_direction_weights,
)


@dataclass(frozen=True)
class PlaneSums:
    """What quantities from slices are made of; sums of slices add.

    Attributes:
      pixels_K: int64 (K,) pixels of each phase.
      unlabelled: pixels of none.
      pairs_DKK: int64 (4, K, K) pairs of labelled neighbours along each of `DIRECTIONS_D2`, by
        class of the first and of the second.
      points_T: int64 (T,) points where each triple of `edges.triples` meets, in 1/`UNITS`.
      places: points between four labelled pixels.
      spacing: (y, x) edge lengths of a pixel.
    """

    pixels_K: np.ndarray
    unlabelled: int
    pairs_DKK: np.ndarray
    points_T: np.ndarray
    places: int
    spacing: tuple[float, float]

    def __add__(self, other: "PlaneSums") -> "PlaneSums":
        if self.spacing != other.spacing:
            raise ValueError(f"slices have spacings {self.spacing} and {other.spacing}")
        return PlaneSums(
            self.pixels_K + other.pixels_K,
            self.unlabelled + other.unlabelled,
            self.pairs_DKK + other.pairs_DKK,
            self.points_T + other.points_T,
            self.places + other.places,
            self.spacing,
        )


def plane_sums(class_HW: np.ndarray, classes: int, spacing: tuple[float, float]) -> PlaneSums:
    """Counts pixels, pairs of neighbours and points where three phases meet in a slice.

    Args:
      class_HW: uint8, 0 to K-1, or 255 where unlabelled.
      classes: K, at most 62.
      spacing: (y, x) edge lengths of a pixel.

    Raises:
      InputError: the slice is of another type, a value is no class, or a length not positive.
    """
    y, x = checked_spacing(spacing, 2)
    code_HW = coded(class_HW, classes, 2)
    pixels_N = np.bincount(code_HW.ravel(), minlength=UNLABELLED + 1)
    pairs = [pair_counts(code_HW, step, classes, len(code_HW)) for step in DIRECTIONS_D2]
    points_T, places = np.zeros(0, np.int64), 0
    if len(triples(classes)):
        # Of a volume of one plane, the edges across it: their directions are up or down.
        meetings = edge_sums(class_HW[None], classes, (1.0, y, x))
        points_T, places = meetings.steps_AT[0], int(meetings.edges_A[0])
    return PlaneSums(
        pixels_N[:classes], int(pixels_N[classes]), np.stack(pairs), points_T, places, (y, x)
    )


def area_fractions(sums: PlaneSums) -> np.ndarray:
    """Share of each phase in the labelled area, which estimates its volume fraction: V_V = A_A.

    Delesse (1847); Baddeley and Jensen (2005), Stereology for Statisticians. It holds
    for any structure if slices lie at random.

    Returns:
      float64 (K,), without unit; NaN where nothing is labelled.

      >>> class_HW = np.array([[0, 0, 1, 255]], np.uint8)
      >>> area_fractions(plane_sums(class_HW, 2, (1.0, 1.0))).round(3).tolist()
      [0.667, 0.333]
    """
    labelled = sums.pixels_K.sum()
    return sums.pixels_K / labelled if labelled else np.full(len(sums.pixels_K), np.nan)


def boundary_densities(sums: PlaneSums) -> np.ndarray:
    """Length between each two phases per labelled area, by Crofton's formula with 4 directions.

    L_A = pi / 2 sum_d w_d P_L(d), P_L(d) the crossings per length along d: pairs of neighbours of
    the two phases / (all labelled pairs x their distance), and w_d the share of the directions of
    the plane that are nearest to d, for the edges that pixels have. Legland, Kiêu and Devaux
    (2007), Image Anal. Stereol. 26:83, doi:10.5566/ias.v26.p83-92.

    Returns:
      float64 (K, K), symmetric, zeros on the diagonal, in 1 / unit of spacing. A straight line
      across a square, one in 19, is estimated 5% too low, the largest error of a line:

      >>> class_HW = np.zeros((20, 20), np.uint8)
      >>> class_HW[10:] = 1
      >>> round(float(boundary_densities(plane_sums(class_HW, 2, (1, 1)))[0, 1]) * 19, 3)
      0.948

    Raises:
      InputError: no pair of neighbours is labelled along one of the directions.
    """
    length_D, share_D = plane_direction_weights(sums.spacing)
    labelled_D = sums.pairs_DKK.sum(axis=(1, 2))
    if not labelled_D.all():
        raise InputError(
            "boundaries in a slice need labelled neighbours along y, x and both diagonals"
        )
    weight_D = np.pi / 2 * share_D / (labelled_D * length_D)
    line_KK = np.einsum("d,dab->ab", weight_D, sums.pairs_DKK)
    line_KK += line_KK.T.copy()
    np.fill_diagonal(line_KK, 0.0)
    return line_KK


def interface_densities(sums: PlaneSums) -> np.ndarray:
    """Area between each two phases per volume, S_V = 4 / pi L_A; see `boundary_densities`.

    For isotropic structures, or slices of random orientation: Underwood (1970), Quantitative
    Stereology; Baddeley and Jensen (2005).

    Returns:
      float64 (K, K), symmetric, zeros on the diagonal, in 1 / unit of spacing.

    Raises:
      InputError: as `boundary_densities`.
    """
    return 4 / np.pi * boundary_densities(sums)


def surface_densities(sums: PlaneSums) -> np.ndarray:
    """Area of each phase against all others per volume: `interface_densities` summed, (K,)."""
    return interface_densities(sums).sum(axis=1)


def triple_densities(sums: PlaneSums) -> np.ndarray:
    """Length of the line where three phases meet per volume, from points in slices: L_V = 2 P_A.

    P_A is the number of points where the three phases meet per labelled area. Points are counted
    with the sense in which the phases follow each other, against that of the smoothed phases
    (`edges.triple_densities`), so that crumbs of a thin phase do not count double. For isotropic
    structures: Saltykov (1958); Underwood (1970), Quantitative Stereology. Lines of one
    direction are crossed once for each unit of area across them, not half as often.

    Returns:
      float64 (T,) for the triples of `edges.triples`, in 1 / unit of spacing squared.

      >>> class_HW = np.zeros((10, 10), np.uint8)
      >>> class_HW[5:, :5], class_HW[5:, 5:] = 1, 2
      >>> round(float(triple_densities(plane_sums(class_HW, 3, (1.0, 1.0)))[0]) * 81, 6)
      2.0

    Raises:
      InputError: there are less than three phases, or no four labelled pixels at one point.
    """
    if len(sums.pixels_K) < 3:
        raise InputError(f"{len(sums.pixels_K)} phases; points where three meet need 3 or more")
    if not sums.places:
        raise InputError("points where three phases meet need four labelled pixels around them")
    y, x = sums.spacing
    # Senses that cancel may leave a rest on either side of 0.
    return np.maximum(2 * sums.points_T / UNITS / (sums.places * y * x), 0.0)
