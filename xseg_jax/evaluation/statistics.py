"""Whether two ways of training differ by more than seeds and places would make them differ.

A score has two sources of chance: the seed of the run, and the place in the sample that is
tested. Neighbouring slices are near-copies, so a place is a block of z, not a slice or a pixel.
Both are resampled together (the pigeonhole bootstrap of Owen 2007, doi:10.1214/07-AOAS122), one
unit fewer than there are, so that few units do not look too certain (Rao and Wu 1988,
doi:10.1080/01621459.1988.10478591). The interval is Student's, with the degrees of freedom of
Satterthwaite (1946, doi:10.2307/3002019); several comparisons are corrected as by Holm (1979).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

REPLICATES = 2000
LEVEL = 0.95

Score = Callable[[np.ndarray], np.ndarray]
"""Scores (...,) of confusion matrices (..., K, K)."""


@dataclass(frozen=True)
class Difference:
    """A difference of scores, variant minus base.

    Attributes:
      estimate: of the scores of all blocks, averaged over seeds.
      error: its standard error.
      freedom: degrees of freedom that the error is known with.
      low: lower end of the interval.
      high: upper end.
      p: chance of a difference as large where there is none; corrected if the interval is.
    """

    estimate: float
    error: float
    freedom: float
    low: float
    high: float
    p: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def difference(
    base_SBKK: np.ndarray, variant_SBKK: np.ndarray, score: Score, *, paired: bool
) -> Difference:
    """Difference of two scores, with an interval over seeds and blocks.

    Args:
      base_SBKK: confusion matrices of each seed and block of the test slices.
      variant_SBKK: the same of the other way of training.
      score: of confusion matrices that are summed over blocks, then divided.
      paired: whether seeds and blocks are the same in both, in the same order.

    Returns:
      The difference, not corrected for other comparisons. With one seed and one block its error
      is unknown, and the interval is infinite.
    """
    if paired:
        both = [base_SBKK, variant_SBKK]
        parts = [_Resampling(lambda sums: score(sums[1]) - score(sums[0]), both)]
    else:
        parts = [
            _Resampling(lambda sums: score(sums[0]), [one]) for one in (variant_SBKK, base_SBKK)
        ]
    estimate = parts[0].estimate - sum(part.estimate for part in parts[1:])
    variance = sum(part.variance for part in parts)
    components = [component for part in parts for component in part.components if component[1]]
    scale = sum(share**2 / freedom for share, freedom in components)
    if not components:
        return Difference(estimate, np.inf, 0.0, -np.inf, np.inf, 1.0)
    freedom = sum(share for share, _ in components) ** 2 / scale if scale > 0 else 1.0
    return _with_interval(float(estimate), float(np.sqrt(variance)), float(freedom), 1 - LEVEL)


class _Resampling:
    """A statistic of seeds and blocks: its value, variance, and what each source adds to it."""

    def __init__(
        self, statistic: Callable[[list[np.ndarray]], np.ndarray], arrays_SBKK: list[np.ndarray]
    ) -> None:
        seeds, blocks = arrays_SBKK[0].shape[:2]
        rng = np.random.default_rng(0)

        def draw(units: int) -> np.ndarray:
            if units == 1:
                return np.ones((REPLICATES, 1))
            counts = rng.multinomial(units - 1, np.full(units, 1 / units), REPLICATES)
            return counts * (units / (units - 1))

        def values(weight_RS: np.ndarray, weight_RB: np.ndarray) -> np.ndarray:
            sums = [np.einsum("rb,sbkl->rskl", weight_RB, array) for array in arrays_SBKK]
            return (weight_RS * statistic(sums)).mean(axis=1)

        one_S, one_B = np.ones((1, seeds)), np.ones((1, blocks))
        weight_RS, weight_RB = draw(seeds), draw(blocks)
        self.estimate = values(one_S, one_B)[0]
        self.variance = values(weight_RS, weight_RB).var()
        self.components = [
            (values(weight_RS, one_B).var(), seeds - 1),
            (values(one_S, weight_RB).var(), blocks - 1),
        ]


def blocks_of(confusion_NKK: np.ndarray, blocks: int) -> np.ndarray:
    """Confusion matrices (B, K, K) of so many stretches of slices in order, or of each slice."""
    parts = np.array_split(confusion_NKK, min(blocks, len(confusion_NKK)))
    return np.stack([part.sum(axis=0) for part in parts])


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The differences with p-values and intervals corrected for their number.

    A hypothesis is rejected where its corrected p is below 0.05, which is where its interval
    leaves zero out.
    """
    order = np.argsort([one.p for one in differences], kind="stable")
    corrected: dict[int, Difference] = {}
    p, level = 0.0, 0.0
    for rank, place in enumerate(order):
        one, left = differences[place], len(differences) - rank
        p = min(1.0, max(p, left * one.p))
        # Once one is not rejected the later ones are held to its level.
        level = (1 - LEVEL) / left if not rank or corrected[order[rank - 1]].shown else level
        found = _with_interval(one.estimate, one.error, one.freedom, level)
        corrected[place] = Difference(
            one.estimate, one.error, one.freedom, found.low, found.high, p
        )
    return [corrected[place] for place in range(len(differences))]


def _with_interval(estimate: float, error: float, freedom: float, alpha: float) -> Difference:
    if not np.isfinite(error):
        return Difference(estimate, error, freedom, -np.inf, np.inf, 1.0)
    half = float(stats.t.ppf(1 - alpha / 2, freedom)) * error
    p = 2 * stats.t.sf(abs(estimate) / error, freedom) if error > 0 else float(estimate == 0)
    return Difference(estimate, error, freedom, estimate - half, estimate + half, float(p))
