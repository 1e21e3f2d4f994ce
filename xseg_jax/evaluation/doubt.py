"""What a network's doubt leaves open of a quantity: it is measured on masks that are drawn."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xseg_jax.evaluation.parts import Region, all_of, subvolumes
from xseg_jax.evaluation.properties import ClassVolume, Interval, possible, sums_of
from xseg_jax.evaluation.statistics import LEVEL
from xseg_jax.measure.quantities import Additive, Key, Spacing, Whole

DRAWS, WHOLE_DRAWS = 8, 4
"""Masks; the second of what has to see a whole volume, which takes long."""
LEAST = 0.25 / 255
"""Probability of what is written as 0 of 255."""


@dataclass(frozen=True)
class Drawn:
    """A mask that is drawn from class probabilities, read where it is asked for.

    A voxel is of class k where log p_k + g_k is largest. With g_k of a Gumbel distribution that is
    so with probability p_k (Gumbel 1954; Maddison, Tarlow and Minka 2014, arXiv:1411.0030). Here
    g_k is one number for the whole volume: wherever the network doubts it errs to the same side, as
    levels of a probability do that are cut higher or lower (Krygier et al. 2021,
    doi:10.1038/s41467-021-25493-8). Errors that were drawn voxel by voxel would be noise, and
    surfaces would be those of noise.

    Attributes:
      probabilities: gives (K, Z, Y, X) uint8 of a region, 255 for 1.
      shape: Z, Y, X.
      gumbel_K: float32, drawn.
    """

    probabilities: Callable[[Region], np.ndarray]
    shape: tuple[int, int, int]
    gumbel_K: np.ndarray

    def __getitem__(self, region: Region) -> np.ndarray:
        z, y, x = region
        planes = [
            self._classes((slice(n, n + 1), y, x)) for n in range(z.start, z.stop)
        ]  # One at a time: logarithms take many bytes.
        return np.concatenate(planes)

    def _classes(self, region: Region) -> np.ndarray:
        share_KZYX = self.probabilities(region).astype(np.float32) / 255
        score_KZYX = np.log(np.maximum(share_KZYX, np.float32(LEAST)))
        score_KZYX += self.gumbel_K[:, None, None, None]
        return score_KZYX.argmax(axis=0).astype(np.uint8)


def masks(
    probabilities: Callable[[Region], np.ndarray],
    shape: tuple[int, int, int],
    classes: int,
    draws: int = DRAWS,
) -> list[Drawn]:
    """So many masks, the same each time."""
    rng = np.random.default_rng(0)
    gumbel_DK = rng.gumbel(size=(draws, classes)).astype(np.float32)
    return [Drawn(probabilities, shape, gumbel_K) for gumbel_K in gumbel_DK]


def intervals_of_doubt(
    family: Additive | Whole,
    drawn: Sequence[ClassVolume],
    names: Sequence[str],
    spacing: Spacing,
    advance: Callable[[], None] = lambda: None,
) -> dict[Key, Interval]:
    """Where quantities may be, as far as the network knows: the mean over masks, and the interval
    that holds one more mask with a probability of 95%.

    Args:
      family: that is measured of each mask.
      drawn: two masks or more, as `masks` gives them.
      names: of the phases.
      spacing: (z, y, x) edge lengths of a voxel.
      advance: is called after each mask.
    """
    rows = []
    for one in masks_for(family, drawn):
        rows.append(_values(family, one, names, spacing))
        advance()
    count = len(rows)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * math.sqrt(1 + 1 / count)
    found = {}
    for key in rows[0]:
        value_D = np.array([row[key] for row in rows])
        if not np.isfinite(value_D).all():  # Not defined where a phase is torn, or is not there.
            found[key] = Interval(math.nan)
            continue
        mean, half = float(value_D.mean()), quantile * float(value_D.std(ddof=1))
        found[key] = possible(Interval(mean, mean - half, mean + half), key.quantity)
    return found


def masks_for(family: Additive | Whole, drawn: Sequence[ClassVolume]) -> Sequence[ClassVolume]:
    """The masks that a family is measured of."""
    return drawn if isinstance(family, Additive) else drawn[:WHOLE_DRAWS]


def _values(
    family: Additive | Whole, volume: ClassVolume, names: Sequence[str], spacing: Spacing
) -> dict[Key, float]:
    """Quantities of a mask, as those of a volume are taken: what is too large is a mean."""
    if isinstance(family, Additive):
        sums = sums_of(family, volume, len(names), spacing, all_of(volume.shape))
        return family.values(sums, names)
    whole, parts = subvolumes(volume.shape)
    each = [
        family.found(np.ascontiguousarray(volume[region]), names, spacing).values
        for region in ([all_of(volume.shape)] if whole else parts)
    ]
    return {key: float(np.mean([one[key] for one in each])) for key in each[0]}
