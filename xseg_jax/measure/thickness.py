"""Local thickness: how wide a phase is around each of its points.

The local thickness at a point is the diameter of the largest ball that lies in the phase and holds
the point (Hildebrand and Rüegsegger 1997, doi:10.1046/j.1365-2818.1997.1340694.x). Of a volume it
gives the distribution of diameters, weighted by volume, and its mean.

Balls stand at voxels' centres and reach to the nearest centre outside the phase, so that diameters
are wrong by parts of a voxel: sheets are 0.5 voxels too thick on the average (0 or 1 where they lie
along the grid), rods 0.15 too thin, balls 0.9 too thin, whatever their size. The phase continues
past the faces of the volume: the distance to a face does not count.
"""

from dataclasses import dataclass

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.measure.distance import covered, distance
from xseg_jax.measure.lattice import checked_spacing

RADII = 25
BINS = 32


@dataclass(frozen=True)
class Thickness:
    """Distribution of the local thickness of a phase, weighted by volume.

    Attributes:
      mean: diameter, in the unit of the spacing.
      deviation: the standard deviation of diameters.
      largest: diameter.
      bound: what the mean may be wrong by because not all radii were tried; the error is far less.
      edge_B: ends of the bins of diameters, one more than bins; from 0 to a bit above the largest.
      share_B: of the volume of the phase in each bin, summing to 1.
    """

    mean: float
    deviation: float
    largest: float
    bound: float
    edge_B: np.ndarray
    share_B: np.ndarray


def thickness(
    phase_ZYX: np.ndarray,
    spacing: tuple[float, float, float],
    *,
    labelled_ZYX: np.ndarray | None = None,
    radii: int = RADII,
    bins: int = BINS,
) -> Thickness:
    """The distribution of `local_thickness`, which see for arguments and errors.

    >>> sheet_ZYX = np.zeros((9, 20, 20), bool)
    >>> sheet_ZYX[2:6] = True
    >>> thickness(sheet_ZYX, (0.5, 1, 1)).mean
    2.0

    Args:
      phase_ZYX: bool.
      spacing: edge lengths of a voxel along z, y, x.
      labelled_ZYX: bool, False where it is not known what there is.
      radii: to try.
      bins: of the distribution, of equal width.

    Returns:
      The distribution; NaN, and shares of 0, where the phase has no voxel.

    Raises:
      InputError: as `local_thickness`.
    """
    map_ZYX, bound = local_thickness(phase_ZYX, spacing, labelled_ZYX=labelled_ZYX, radii=radii)
    value_N = map_ZYX[phase_ZYX].astype(float)
    if not value_N.size:
        nothing = np.nan
        edge_B, share_B = np.linspace(0, 1, bins + 1), np.zeros(bins)
        return Thickness(nothing, nothing, nothing, nothing, edge_B, share_B)
    edge_B = np.linspace(0, value_N.max() * (1 + 1 / (2 * bins)), bins + 1)
    count_B, _ = np.histogram(value_N, edge_B)
    return Thickness(
        mean=float(value_N.mean()),
        deviation=float(value_N.std()),
        largest=float(value_N.max()),
        bound=bound,
        edge_B=edge_B,
        share_B=count_B / value_N.size,
    )


def local_thickness(
    phase_ZYX: np.ndarray,
    spacing: tuple[float, float, float],
    *,
    labelled_ZYX: np.ndarray | None = None,
    radii: int = RADII,
) -> tuple[np.ndarray, float]:
    """The diameter of the largest ball in the phase that holds each voxel.

    All balls of at least a radius are drawn at once, by `covered`; one radius after another, each
    where most of the doubt about the mean lies. If there are no more radii in the volume than are
    tried, the result is exact for balls at voxels' centres; else a voxel has the middle of what its
    ball may be: with 25 radii, of smooth noise with pores of 10 voxels, the mean was 0.01% off and
    the standard deviation 0.1%. It takes 20 bytes a voxel.

    Args:
      phase_ZYX: bool, True in the phase.
      spacing: edge lengths of a voxel along z, y, x.
      labelled_ZYX: bool, False where it is not known what there is; None: all is. What is not
        labelled is no wall, as what lies past the faces.
      radii: that are tried, at most.

    Returns:
      thickness_ZYX, float32, in the unit of the spacing, 0 outside the phase; and the bound of what
      its mean may be wrong by because not all radii were tried.

    Raises:
      InputError: the phase fills all that is labelled, so that nothing ends it; or a spacing that
        cannot be.
    """
    z, y, x = checked_spacing(spacing)
    open_ZYX = phase_ZYX if labelled_ZYX is None else phase_ZYX | ~labelled_ZYX
    if phase_ZYX.any() and open_ZYX.all():
        raise InputError(
            "the phase fills the whole volume, so that its thickness has no end; leave it out"
        )
    radius_ZYX = distance(open_ZYX, (z, y, x))
    radius_ZYX[~phase_ZYX] = 0
    size_D = np.unique(radius_ZYX[phase_ZYX])
    rank_ZYX = np.zeros(phase_ZYX.shape, np.int32)
    tried = [0]  # Every voxel is in its own ball.
    count_D = np.bincount(rank_ZYX[phase_ZYX], minlength=len(size_D))
    place, above = len(size_D) - 1, len(size_D)
    while place > 0 and len(tried) <= radii:
        chosen_ZYX = radius_ZYX >= size_D[place]
        if above < len(size_D):  # The larger balls have been drawn.
            chosen_ZYX &= radius_ZYX < size_D[above]
        ball_ZYX = covered(np.where(chosen_ZYX, radius_ZYX, np.float32(0)), (z, y, x))
        np.maximum(rank_ZYX, place, out=rank_ZYX, where=ball_ZYX & phase_ZYX)
        tried = sorted([*tried, place])
        count_D = np.bincount(rank_ZYX[phase_ZYX], minlength=len(size_D))
        place, above = _most_doubtful(tried, size_D, count_D)
    # A voxel whose rank is `low` lies in no ball that is larger than `high`.
    low_T, high_T = np.array(tried), np.array([*tried[1:], len(size_D)]) - 1
    diameter_D = np.zeros(max(len(size_D), 1), np.float32)
    if not size_D.size:
        return diameter_D[rank_ZYX], np.nan
    diameter_D[low_T] = size_D[low_T] + size_D[high_T]
    bound = (count_D[low_T] * (size_D[high_T] - size_D[low_T])).sum() / count_D.sum()
    return np.where(phase_ZYX, diameter_D[rank_ZYX], np.float32(0)), float(bound)


def _most_doubtful(tried: list[int], size_D: np.ndarray, count_D: np.ndarray) -> tuple[int, int]:
    """The radius that halves the gap with the largest part in the bound, and the next one tried.

    The radius is 0 if there is no gap.
    """
    low_G, above_G = np.array(tried[:-1]), np.array(tried[1:])
    doubt_G = count_D[low_G] * (size_D[above_G - 1] - size_D[low_G])
    widest = int(doubt_G.argmax())
    if not doubt_G[widest]:
        return 0, 0
    low, above = int(low_G[widest]), int(above_G[widest])
    middle = (size_D[low] + size_D[above - 1]) / 2
    return max(low + 1, int(np.searchsorted(size_D[:above], middle))), above
