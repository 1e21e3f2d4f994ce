"""Intervals hold the truth as often as they say, and nothing is found where nothing is."""

import numpy as np
import pytest
from scipy import stats

from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.statistics import Difference, difference, holm, interval

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


@pytest.mark.parametrize(
    ("seeds", "blocks", "known"),
    [(1, 2, False), (1, 3, False), (2, 3, False), (1, 4, True), (2, 4, True), (3, 1, True)],
)
def test_fewer_than_four_blocks_and_three_seeds_have_no_interval(seeds, blocks, known):
    base, variant = simulated(np.random.default_rng(9), seeds, blocks, (0.01, 0.01, 0.01))
    for found in (
        interval(base, accuracy),
        difference(base, variant, accuracy, paired=True),
        difference(base, variant, accuracy, paired=False),
    ):
        assert found.known is known
        assert np.isfinite([found.low, found.high]).all() == known
        assert np.isfinite(found.estimate)


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


@pytest.mark.parametrize("blocks", [4, 8, 16])
def test_the_interval_of_a_score_holds_it_as_often_as_it_says(blocks):
    rng = np.random.default_rng([7, blocks])
    trials, held = 400, 0
    for _ in range(trials):
        found = interval(confusions(0.8 + 0.03 * rng.normal(size=(1, blocks))), accuracy)
        held += found.low <= 0.8 <= found.high
        assert found.freedom == pytest.approx(blocks - 1)
    assert lowest_of(held, trials) >= 0.95
    assert held / trials == pytest.approx(0.95, abs=0.03)


def test_the_interval_over_seeds_and_blocks_holds_the_score_too():
    rng = np.random.default_rng(8)
    trials, held = 300, 0
    for _ in range(trials):
        base, _ = simulated(rng, 3, 6, (0, 0, 0))
        found = interval(base, accuracy)
        held += found.low <= 0.8 <= found.high
    assert lowest_of(held, trials) >= 0.95


def test_the_interval_of_equal_blocks_is_students(monkeypatch):
    accuracy_B = np.array([0.7, 0.72, 0.69, 0.75])
    monkeypatch.setattr(statistics, "REPLICATES", 20000)
    found = interval(confusions(accuracy_B[None]), accuracy)
    half = stats.t.ppf(0.975, 3) * accuracy_B.std(ddof=1) / 2
    assert found.estimate == pytest.approx(accuracy_B.mean())
    assert [found.low, found.high] == pytest.approx(
        [found.estimate - half, found.estimate + half], abs=0.02 * half
    )


def test_an_interval_is_cut_where_the_score_ends():
    accuracy_SB = np.array([[1.0, 1.0, 0.99, 1.0]])
    found = interval(confusions(accuracy_SB), accuracy)
    assert found.estimate < found.high == 1.0
    wide = interval(confusions(accuracy_SB), accuracy, bounds=(-np.inf, np.inf))
    assert wide.high > 1.0
    assert wide.low == found.low


def test_sums_need_not_be_matrices():
    part_SB, whole_SB = np.array([[30.0, 50.0, 10.0]]), np.array([[100.0, 100.0, 50.0]])
    sums_SB2 = np.stack([part_SB, whole_SB], axis=-1)
    share = interval(sums_SB2, lambda sums_X2: sums_X2[..., 0] / sums_X2[..., 1])
    assert share.estimate == pytest.approx(90 / 250)
    square = np.zeros((1, 3, 2, 2))
    square[..., 0, 0], square[..., 0, 1] = part_SB, whole_SB - part_SB
    assert interval(square, accuracy) == share


def share_of(sums_X2):
    with np.errstate(invalid="ignore"):
        return sums_X2[..., 0] / sums_X2[..., 1]


def test_blocks_in_which_nothing_is_defined_are_no_units():
    said = [[3.0, 10.0], [5.0, 10.0], [4.0, 10.0], [6.0, 10.0]]
    some = np.array([[pair for one in said for pair in (one, [0.0, 0.0])]])
    found = interval(some, share_of)
    assert found == interval(some[:, ::2], share_of)
    assert found.freedom == pytest.approx(3)
    alone = interval(some[:, :2], share_of)
    assert (alone.estimate, alone.known, alone.low, alone.high) == (0.3, False, -np.inf, np.inf)
    nothing = interval(some[:, 1:2], share_of)
    assert np.isnan(nothing.estimate)
    assert not nothing.known


def test_a_block_that_one_of_two_has_a_score_in_stays():
    base = np.array([[[8.0, 10.0], [0.0, 0.0], [9.0, 10.0], [8.0, 10.0]]])
    variant = np.array([[[8.0, 10.0], [0.0, 5.0], [9.0, 10.0], [8.0, 10.0]]])
    found = difference(base, variant, share_of, paired=True)
    assert found.estimate == pytest.approx(25 / 35 - 25 / 30)
    assert found.error > 0


def test_what_is_defined_nowhere_does_not_differ():
    nothing = np.zeros((1, 3, 2))
    found = difference(nothing, nothing, share_of, paired=True)
    assert np.isnan(found.estimate)
    assert (found.verdict, found.p) == ("no interval known", 1.0)


@pytest.mark.parametrize(
    ("low", "high", "error", "words"),
    [
        (0.1, 0.3, 0.05, "better"),
        (-0.3, -0.1, 0.05, "worse"),
        (-0.1, 0.3, 0.1, "no difference shown"),
        (-np.inf, np.inf, np.inf, "no interval known"),
    ],
)
def test_an_interval_in_words(low, high, error, words):
    centre = 0.2 if np.isinf(low) else (low + high) / 2
    assert Difference(centre, error, 3, low, high, 0.1).verdict == words


def test_blocks_are_stretches_of_slices_that_lose_none():
    confusion_NKK = np.arange(7)[:, None, None] * np.ones((1, 2, 2), int)
    # Of seven slices: 0 and 1, 2 and 3, 4 and 5, 6.
    assert statistics.blocks_of(confusion_NKK, 4)[:, 0, 0].tolist() == [1, 5, 9, 6]
    assert statistics.blocks_of(confusion_NKK, 9)[:, 0, 0].tolist() == list(range(7))
