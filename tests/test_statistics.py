"""Intervals hold the truth as often as they say, and nothing is found where nothing is."""

import numpy as np
import pytest
from scipy import stats

from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.statistics import Difference, difference, holm

TRUTH = 0.02
PIXELS = 1e6


@pytest.fixture(autouse=True)
def fewer_replicates(monkeypatch):
    monkeypatch.setattr(statistics, "REPLICATES", 400)


def accuracy(confusion_XKK):
    return np.trace(confusion_XKK, axis1=-2, axis2=-1) / confusion_XKK.sum(axis=(-2, -1))


def confusions(accuracy_SB):
    """Matrices of two classes with these accuracies, to within a pixel."""
    right_SB = PIXELS * accuracy_SB
    return np.stack([right_SB, PIXELS - right_SB, 0 * right_SB, 0 * right_SB], axis=-1).reshape(
        *accuracy_SB.shape, 2, 2
    )


def simulated(rng, seeds, blocks, sizes, truth=TRUTH):
    """Base and variant whose difference has chances of seed, of block, and of each pair."""
    of_seed, of_block, of_pair = sizes
    base_SB = 0.8 + 0.02 * rng.normal(size=(seeds, 1)) + 0.03 * rng.normal(size=(1, blocks))
    gain_SB = (
        truth
        + of_seed * rng.normal(size=(seeds, 1))
        + of_block * rng.normal(size=(1, blocks))
        + of_pair * rng.normal(size=(seeds, blocks))
    )
    return confusions(base_SB), confusions(base_SB + gain_SB)


def lowest_of(successes, trials):
    """The rate that these successes are still likely to come from."""
    return stats.binomtest(successes, trials).proportion_ci(0.99).high


@pytest.mark.parametrize(("seeds", "blocks"), [(2, 4), (3, 4), (3, 8), (5, 6)])
@pytest.mark.parametrize(
    "sizes", [(0.01, 0.01, 0.01), (0.02, 0, 0.002), (0, 0.02, 0.002), (0, 0, 0.01)]
)
def test_intervals_hold_a_known_difference_as_often_as_they_say(seeds, blocks, sizes):
    rng = np.random.default_rng([seeds, blocks, int(1e4 * sizes[0]), int(1e4 * sizes[1])])
    trials, held = 200, 0
    for _ in range(trials):
        found = difference(*simulated(rng, seeds, blocks, sizes), accuracy, paired=True)
        held += found.low <= TRUTH <= found.high
    assert lowest_of(held, trials) >= 0.95


def test_intervals_of_unpaired_runs_hold_a_known_difference_too():
    rng = np.random.default_rng(0)
    trials, held = 200, 0
    for _ in range(trials):
        base, _ = simulated(rng, 3, 4, (0, 0, 0))
        _, variant = simulated(rng, 3, 6, (0, 0, 0))
        found = difference(base, variant, accuracy, paired=False)
        held += found.low <= TRUTH <= found.high
    assert lowest_of(held, trials) >= 0.95


def test_corrected_intervals_seldom_find_a_difference_where_there_is_none():
    rng = np.random.default_rng(1)
    trials, alarms = 200, 0
    for _ in range(trials):
        # Five variants, all compared to one base.
        found = [
            difference(*simulated(rng, 3, 4, (0.01, 0.01, 0.005), truth=0), accuracy, paired=True)
            for _ in range(5)
        ]
        alarms += any(one.shown for one in holm(found))
    assert 1 - lowest_of(trials - alarms, trials) <= 0.05
    assert alarms <= 0.08 * trials


def test_a_clear_difference_is_shown_with_its_sign():
    rng = np.random.default_rng(2)
    base, better = simulated(rng, 3, 6, (0.001, 0.001, 0.001), truth=0.05)
    for found, sign in (
        (difference(base, better, accuracy, paired=True), 1),
        (difference(better, base, accuracy, paired=True), -1),
    ):
        assert found.shown
        assert found.estimate == pytest.approx(0.05 * sign, abs=0.005)
        assert found.p < 0.01


def test_the_estimate_is_that_of_summed_pixels_not_of_mean_blocks():
    base_SBKK = np.array([[[[90, 10], [0, 0]], [[0, 1000], [0, 0]]]], float)
    variant_SBKK = np.array([[[[100, 0], [0, 0]], [[500, 500], [0, 0]]]], float)
    found = difference(base_SBKK, variant_SBKK, accuracy, paired=True)
    assert found.estimate == pytest.approx((600 - 90) / 1100)


def test_pairing_takes_away_what_both_share():
    base, variant = simulated(np.random.default_rng(3), 4, 6, (0.001, 0.001, 0.001))
    paired = difference(base, variant, accuracy, paired=True)
    apart = difference(base, variant, accuracy, paired=False)
    assert paired.estimate == pytest.approx(apart.estimate)
    assert paired.error < 0.3 * apart.error


def test_one_seed_and_one_block_tell_nothing():
    base, variant = simulated(np.random.default_rng(4), 1, 1, (0, 0, 0))
    found = difference(base, variant, accuracy, paired=True)
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1.0)
    assert not holm([found])[0].shown


def test_equal_runs_do_not_differ():
    base, _ = simulated(np.random.default_rng(5), 3, 4, (0, 0, 0))
    found = difference(base, base, accuracy, paired=True)
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.shown


def of(estimate, error=1.0):
    t = abs(estimate) / error
    return Difference(
        estimate, error, 1e6, estimate - 1.96 * error, estimate + 1.96 * error,
        float(2 * stats.norm.sf(t)),
    )  # fmt: skip


def test_holm_by_hand():
    # p: 0.0001, 0.011, 0.04, 0.3. Times 4, 3, 2, 1: 0.0004, 0.033, 0.08, 0.3.
    p = [0.04, 0.0001, 0.3, 0.011]
    found = holm([of(float(stats.norm.isf(one / 2))) for one in p])
    np.testing.assert_allclose([one.p for one in found], [0.08, 0.0004, 0.3, 0.033], rtol=1e-3)
    assert [one.shown for one in found] == [False, True, False, True]
    halves = [(one.high - one.low) / 2 for one in found]
    levels = [0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3]
    np.testing.assert_allclose(halves, stats.norm.isf(np.array(levels) / 2), rtol=1e-3)


def test_what_a_corrected_interval_shows_is_what_its_p_says():
    rng = np.random.default_rng(6)
    for _ in range(100):
        for one in holm([of(value) for value in 3 * rng.normal(size=6)]):
            assert one.shown == (one.p < 0.05)


def test_blocks_are_stretches_of_slices_that_lose_none():
    confusion_NKK = np.arange(7)[:, None, None] * np.ones((1, 2, 2), int)
    # Of seven slices: 0 and 1, 2 and 3, 4 and 5, 6.
    assert statistics.blocks_of(confusion_NKK, 4)[:, 0, 0].tolist() == [1, 5, 9, 6]
    assert statistics.blocks_of(confusion_NKK, 9)[:, 0, 0].tolist() == list(range(7))
