"""How sure a score is, and whether two differ by more than seeds and places make them differ.

A score has two sources of chance: the seed of the run, and the place in the sample that is
tested. Neighbouring slices are near-copies, so a place is a block of z, not a slice or a pixel.
Both are resampled together (the pigeonhole bootstrap of Owen 2007, doi:10.1214/07-AOAS122), one
unit fewer than there are, so that few units do not look too certain (Rao and Wu 1988,
doi:10.1080/01621459.1988.10478591). The interval is Student's, with the degrees of freedom of
Satterthwaite (1946, doi:10.2307/3002019); several comparisons are corrected as by Holm (1979).
Fewer places than `FEWEST`, and fewer seeds than `FEWEST_SEEDS`, have no interval: two or three
places say hardly how far they differ, for they are near each other, and an interval of them looks
surer than it is. Seeds are drawn independently.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

REPLICATES = 2000
LEVEL = 0.95
FEWEST, FEWEST_SEEDS = 4, 3
"""Blocks, or seeds, that an interval needs."""

Score = Callable[[np.ndarray], np.ndarray]
"""Scores (...,) of sums with any trailing axes, as of confusion matrices (..., K, K); NaN where
there is nothing to divide by."""


@dataclass(frozen=True)
class Interval:
    """A score with its interval.

    Attributes:
      estimate: of the sums of all blocks, averaged over seeds.
      error: its standard error.
      freedom: degrees of freedom that the error is known with.
      low: lower end of the interval.
      high: upper end.
    """

    estimate: float
    error: float
    freedom: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there were units enough for an interval."""
        return bool(np.isfinite(self.error))


@dataclass(frozen=True)
class Difference(Interval):
    """A difference of scores, variant minus base, with its interval.

    Attributes:
      p: chance of a difference as large where there is none; corrected if the interval is.
    """

    p: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """What the interval says, in words."""
        if not self.known:
            return "no interval known"
        if not self.shown:
            return "no difference shown"
        return "better" if self.estimate > 0 else "worse"


def interval(
    sums_SBX: np.ndarray, score: Score, *, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """A score, with its 95% interval over seeds and blocks.

    Blocks in which the score is not defined, as that of a class that is not there, are left out:
    they add nothing to the sums.

    Args:
      sums_SBX: what adds up, of each seed and block (or group) of what is tested; one seed is one
        run, and then the interval is over blocks alone, with Student's t of B - 1.
      score: of sums over blocks.
      bounds: that the score has by its nature; the interval is cut there.

    Returns:
      The score; with fewer than `FEWEST_SEEDS` seeds and fewer than `FEWEST` blocks its error is
      unknown, and the interval is infinite. NaN, and no interval, where it is defined in no block.
    """
    found = _estimate([_Resampling(lambda sums: score(sums[0]), [sums_SBX], score)])
    if not found.known:
        return found
    low, high = np.clip([found.low, found.high], *bounds).tolist()
    return Interval(found.estimate, found.error, found.freedom, low, high)


def difference(
    base_SBX: np.ndarray, variant_SBX: np.ndarray, score: Score, *, paired: bool
) -> Difference:
    """Difference of two scores, with an interval over seeds and blocks.

    Args:
      base_SBX: what adds up, as confusion matrices, of each seed and block of the test slices.
      variant_SBX: the same of the other way of training.
      score: of what is summed over blocks, then divided.
      paired: whether seeds and blocks are the same in both, in the same order.

    Returns:
      The difference, not corrected for other comparisons. With fewer than `FEWEST_SEEDS` seeds and
      fewer than `FEWEST` blocks its error is unknown, and the interval is infinite.
    """
    if paired:
        both = [base_SBX, variant_SBX]
        parts = [_Resampling(lambda sums: score(sums[1]) - score(sums[0]), both, score)]
    else:
        parts = [
            _Resampling(lambda sums: score(sums[0]), [one], score)
            for one in (variant_SBX, base_SBX)
        ]
    return _estimate(parts)


def _estimate(parts: list["_Resampling"]) -> Difference:
    """The first part minus the others, each resampled by itself."""
    estimate = float(parts[0].estimate - sum(part.estimate for part in parts[1:]))
    variance = sum(part.variance for part in parts)
    components = [component for part in parts for component in part.components if component[1] > 0]
    scale = sum(share**2 / freedom for share, freedom in components)
    if not components or not np.isfinite(estimate) or not all(part.enough for part in parts):
        return Difference(estimate, np.inf, 0.0, -np.inf, np.inf, 1.0)
    freedom = sum(share for share, _ in components) ** 2 / scale if scale > 0 else 1.0
    return _with_interval(estimate, float(np.sqrt(variance)), float(freedom), 1 - LEVEL)


class _Resampling:
    """A statistic of seeds and blocks: its value, variance, and what each source adds to it."""

    def __init__(
        self,
        statistic: Callable[[list[np.ndarray]], np.ndarray],
        arrays_SBX: list[np.ndarray],
        score: Score,
    ) -> None:
        # A block in which nothing is defined, as of a class that is not there, is no unit.
        said_B = np.any([np.isfinite(score(array)).any(axis=0) for array in arrays_SBX], axis=0)
        arrays_SBX = [array[:, said_B] for array in arrays_SBX]
        seeds, blocks = arrays_SBX[0].shape[:2]
        self.enough = blocks >= FEWEST or seeds >= FEWEST_SEEDS
        if not blocks:
            self.estimate, self.variance, self.components = np.nan, np.nan, []
            return
        rng = np.random.default_rng(0)

        def draw(units: int) -> np.ndarray:
            if units == 1:
                return np.ones((REPLICATES, 1))
            counts = rng.multinomial(units - 1, np.full(units, 1 / units), REPLICATES)
            return counts * (units / (units - 1))

        def values(weight_RS: np.ndarray, weight_RB: np.ndarray) -> np.ndarray:
            sums = [np.einsum("rb,sb...->rs...", weight_RB, array) for array in arrays_SBX]
            return (weight_RS * statistic(sums)).mean(axis=1)

        one_S, one_B = np.ones((1, seeds)), np.ones((1, blocks))
        weight_RS, weight_RB = draw(seeds), draw(blocks)
        self.estimate = values(one_S, one_B)[0]
        # Now and then no block is drawn in which one of two scores is defined.
        self.variance = np.nanvar(values(weight_RS, weight_RB))
        self.components = [
            (np.nanvar(values(weight_RS, one_B)), seeds - 1),
            (np.nanvar(values(one_S, weight_RB)), blocks - 1),
        ]


def blocks_of(sums_NX: np.ndarray, blocks: int) -> np.ndarray:
    """Sums (B, ...) over so many stretches of slices in order, or of each slice."""
    parts = np.array_split(sums_NX, min(blocks, len(sums_NX)))
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
