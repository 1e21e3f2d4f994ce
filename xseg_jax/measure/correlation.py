"""Two-point correlation: how likely both ends of a segment lie in the same phase."""

from typing import cast

import numpy as np
from scipy.fft import next_fast_len

from xseg_jax.errors import InputError
from xseg_jax.measure.lattice import AT_ONCE, checked_spacing, coded


def axis_correlation(
    class_ZYX: np.ndarray,
    classes: int,
    spacing: tuple[float, float, float],
    axis: int,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Probability that both ends of a segment along an axis lie in a phase.

    S_2(r) = pairs of voxels at distance r that are both of the phase / pairs that are both
    labelled. So faces of the volume and what is not labelled count nowhere, and nothing is taken
    to repeat. All distances at once by the theorem of Wiener and Khinchin, on lines with as many
    zeros behind them as the longest distance. Torquato (2002), Random Heterogeneous Materials.
    At r = 0 it is the volume fraction; its slope there, averaged over directions, is -S_V / 4
    (Debye, Anderson and Brumberger 1957, J. Appl. Phys. 28:679, doi:10.1063/1.1722830).

    Args:
      class_ZYX: uint8, 0 to K-1, or 255 where unlabelled.
      classes: K.
      spacing: (z, y, x) edge lengths of a voxel.
      axis: 0, 1, 2 for z, y, x.
      reach: longest distance, in the unit of spacing; longer than the volume is cut to it.

    Returns:
      float64 (R,) distances in the unit of spacing, from 0 by the edge of a voxel, and
      float64 (K, R) probabilities; NaN where no pair is labelled.

      >>> class_ZYX = np.array([[[0, 0, 1, 1, 0, 0, 1, 1]]], np.uint8)
      >>> r_R, s_KR = axis_correlation(class_ZYX, 2, (1, 1, 1), 2, reach=2)
      >>> r_R.tolist(), s_KR[0].round(3).tolist()
      ([0.0, 1.0, 2.0], [0.5, 0.286, 0.0])

    Raises:
      InputError: the volume is of another type, a value is no class, or a length not positive.
    """
    edge = checked_spacing(spacing)[axis]
    lags = _lags(reach, edge, class_ZYX.shape[axis])
    code_NL = np.moveaxis(coded(class_ZYX, classes), axis, -1).reshape(-1, class_ZYX.shape[axis])
    padded = _padded(code_NL.shape[1] + lags)
    thick = max(1, AT_ONCE // padded)
    both_CR = np.zeros((classes + 1, lags + 1))
    for start in range(0, len(code_NL), thick):
        some_NL = code_NL[start : start + thick]
        for row, mask_NL in enumerate(_masks(some_NL, classes)):
            wave_NF = np.fft.rfft(mask_NL.astype(np.float64), padded)
            power_F = (np.abs(wave_NF) ** 2).sum(axis=0)
            both_CR[row] += np.fft.irfft(power_F, padded)[: lags + 1]
    return np.arange(lags + 1) * edge, _shares(np.rint(both_CR))


def radial_correlation(
    class_ZYX: np.ndarray,
    classes: int,
    spacing: tuple[float, float, float],
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Probability that both ends of a segment of any direction lie in a phase.

    As `axis_correlation`, of all pairs of voxels whose distance is within half a step of a
    multiple of the longest edge of a voxel; shorter ones are with the first. It takes 40 bytes for
    each voxel of the volume grown by reach along each axis: give it a part of a large volume.

    Args:
      class_ZYX: uint8, 0 to K-1, or 255 where unlabelled.
      classes: K.
      spacing: (z, y, x) edge lengths of a voxel.
      reach: longest distance, in the unit of spacing.

    Returns:
      float64 (R,) mean distances of the pairs in the unit of spacing, and float64 (K, R)
      probabilities; distances that no labelled pair has are left out.

      >>> class_ZYX = np.zeros((4, 4, 4), np.uint8)
      >>> class_ZYX[2:] = 1
      >>> r_R, s_KR = radial_correlation(class_ZYX, 2, (1, 1, 1), reach=1)
      >>> r_R.round(3).tolist(), s_KR[0].round(3).tolist()
      ([0.0, 1.249], [0.5, 0.411])

    Raises:
      InputError: as `axis_correlation`.
    """
    edges = checked_spacing(spacing)
    code_ZYX = coded(class_ZYX, classes)
    lags = [
        _lags(reach + max(edges) / 2, edge, count)
        for edge, count in zip(edges, code_ZYX.shape, strict=True)
    ]
    padded = [_padded(count + lag) for count, lag in zip(code_ZYX.shape, lags, strict=True)]
    # Half of all directions: the other half are the same pairs from their other end. In the plane
    # z = 0 both ends are there.
    lag_A = [np.r_[0 : lags[0] + 1], *(np.r_[-lag : lag + 1] for lag in lags[1:])]
    distance_ZYX = np.sqrt(
        sum((lag * edge) ** 2 for lag, edge in zip(np.ix_(*lag_A), edges, strict=True))
    )
    bin_ZYX = np.rint(distance_ZYX / max(edges)).astype(np.int64)
    bin_ZYX[(bin_ZYX == 0) & (distance_ZYX > 0)] = 1  # At no distance it is the volume fraction.
    bins = int(np.floor(reach / max(edges))) + 1
    chosen_ZYX = bin_ZYX < bins
    bin_N = bin_ZYX[chosen_ZYX]
    both_CR = np.zeros((classes + 1, bins))
    distance_R = np.zeros(bins)
    for row, mask_ZYX in enumerate(_masks(code_ZYX, classes)):
        wave_ZYF = np.fft.rfftn(mask_ZYX.astype(np.float64), padded, (0, 1, 2))
        pairs_ZYX = np.fft.irfftn(wave_ZYF.real**2 + wave_ZYF.imag**2, padded, (0, 1, 2))
        pairs_ZYX = np.rint(pairs_ZYX[np.ix_(*lag_A)])
        pairs_ZYX[0] /= 2
        pairs_N = pairs_ZYX[chosen_ZYX]
        both_CR[row] = np.bincount(bin_N, pairs_N, bins)
        if row == classes:
            distance_R = np.bincount(bin_N, pairs_N * distance_ZYX[chosen_ZYX], bins)
    seen_R = both_CR[classes] > 0
    both_CR = both_CR[:, seen_R]
    return distance_R[seen_R] / both_CR[classes], _shares(both_CR)


def _lags(reach: float, edge: float, count: int) -> int:
    if not reach >= 0:
        raise InputError(f"reach {reach}: the longest distance of two points is 0 or more")
    return int(min(reach / edge * (1 + 1e-12), count - 1))  # 0.3 / 0.1 is 2.9999999999999996.


def _padded(count: int) -> int:
    """A length from which a transform is quick."""
    return cast(int, next_fast_len(count, real=True))


def _masks(code: np.ndarray, classes: int) -> list[np.ndarray]:
    """Voxels of each phase, and at last all that are labelled."""
    return [*(code == phase for phase in range(classes)), code < classes]


def _shares(both_CR: np.ndarray) -> np.ndarray:
    """Pairs of each phase / pairs that are labelled."""
    with np.errstate(invalid="ignore"):
        return both_CR[:-1] / both_CR[-1]
