"""evaluation/quantity_score.py: errors of quantities that runs are compared by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.data.phantom import microstructure
from xseg_jax.errors import InputError
from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.properties import TRUTH, measure_additive
from xseg_jax.evaluation.quantity_score import QuantityScore, error_sums, mean_error
from xseg_jax.evaluation.rows import to_json
from xseg_jax.measure.keys import keys_of
from xseg_jax.measure.quantities import FAMILIES, MEANINGS

NAMES = ("pore", "YSZ", "nickel")
CUBE = (1.0, 1.0, 1.0)


def row(value, truth, parts=(), truth_parts=(), **key):
    told = {"quantity": "tortuosity", "phase": "pore", "with": None, "axis": "z"} | key
    against = {"truth": truth, "truth_parts": list(truth_parts), "baselines": {}}
    return told | {"value": value, "parts": list(parts), "against": against}


def score_of(rows, baseline=None):
    return float(mean_error(error_sums(rows, baseline).sum(axis=0)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("volume_fraction_error", 3),
        ("volume_fraction_error/YSZ", 1),
        ("interface_density_error/nickel", 2),
        ("interface_density_error/nickel/pore", 1),
        ("triple_line_density_error", 1),
        ("triple_line_density_error/pore/YSZ/nickel", 1),
        ("tortuosity_error", 9),
        ("tortuosity_error/z", 3),
        ("tortuosity_error/pore/z", 1),
    ],
)
def test_what_is_not_named_is_averaged_over(text, count):
    score = QuantityScore.parse(text)
    assert score.name == text
    score.check(NAMES)
    keys = [key for quantity in MEANINGS for key in keys_of(quantity, NAMES)]
    rows = [
        row(1 + 0.1 * n, 1.0, quantity=key.quantity, phase=key.phase, axis=key.axis)
        | {"with": key.other}
        for n, key in enumerate(keys)
    ]
    chosen = score.rows(rows)
    assert len(chosen) == count
    assert score_of(chosen) == pytest.approx(np.mean([one["value"] for one in chosen]) - 1)


def test_rows_of_a_measured_volume_have_scores():
    class_ZYX = microstructure(
        depth=32, size=40, fractions=(0.3, 0.4, 0.3), correlation_length=4.0, seed=1
    )
    wrong_ZYX = np.where(np.arange(40) % 10 == 0, 0, class_ZYX).astype(np.uint8)
    volumes = {"network": wrong_ZYX, "forest": class_ZYX, TRUTH: class_ZYX}
    rows = []
    for family in ("fractions", "surfaces"):
        found = measure_additive(FAMILIES[family], volumes, NAMES, CUBE)
        rows += [to_json(one, "network", "um") for one in found]
    for text in ("volume_fraction_error/pore", "surface_density_error/pore"):
        chosen = QuantityScore.parse(text).rows(rows)
        sums_PK2 = error_sums(chosen)
        assert sums_PK2.shape == (8, 1, 2)
        assert score_of(chosen) == pytest.approx(abs(chosen[0]["against"]["error"]))
        assert score_of(chosen) > 0.1
        assert score_of(chosen, "forest") == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tortuousity_error/pore/z", "did you mean tortuosity_error.*volume_fraction_error, surf"),
        ("tortuosity/pore/z", "there is no such error"),
    ],
)
def test_a_quantity_that_there_is_none_of_lists_those_that_there_are(text, message):
    with pytest.raises(InputError, match=message):
        QuantityScore.parse(text)


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("tortuosity_error/pores/z", NAMES,
         r"tortuosity_error/PHASE/AXIS among the phases pore, YSZ, nickel and z, y, x"),
        ("volume_fraction_error/pore/z", NAMES, r"volume_fraction_error/PHASE among the phases"),
        ("interface_density_error/pore/pore2", NAMES, r"_error/PHASE/PHASE among"),
        ("triple_line_density_error", NAMES[:2], "needs three phases, and there are pore, YSZ"),
    ],
)  # fmt: skip
def test_phases_and_axes_that_there_are_none_of(text, names, message):
    with pytest.raises(InputError, match=message):
        QuantityScore.parse(text).check(names)


def test_what_slices_tell_needs_no_volume():
    needing = {name for name in ("volume_fraction", "surface_density", "tortuosity", "mean_chord")
               if QuantityScore.parse(f"{name}_error").needs_volume}  # fmt: skip
    assert needing == {"tortuosity", "mean_chord"}


numbers = st.floats(0.1, 10)


@given(numbers, numbers, st.lists(st.tuples(numbers, numbers), max_size=8))
def test_the_headline_is_the_error_of_the_whole_whatever_the_parts_are(value, truth, parts):
    rows = [row(value, truth, [v for v, _ in parts], [t for _, t in parts])]
    sums_PK2 = error_sums(rows)
    assert len(sums_PK2) == max(1, len(parts))
    assert score_of(rows) == pytest.approx(abs(value / truth - 1), abs=1e-9)


def test_the_spread_is_that_of_the_parts():
    parts, truth = np.array([1.1, 1.3, 0.9, 1.2]), np.array([1.0, 1.1, 0.8, 1.05])
    sums_PK2 = error_sums([row(parts.mean() + 0.3, truth.mean(), parts, truth)])
    moved = sums_PK2[:, 0, 0] / truth - parts / truth  # The same for all.
    np.testing.assert_allclose(moved, moved[0])


def test_the_mean_is_over_what_has_a_truth():
    rows = [row(1.1, 1.0), row(None, None, axis="y"), row(0.5, 0.0, axis="x"), row(0.7, 1.0)]
    assert score_of(rows) == pytest.approx(0.2)
    assert np.isnan(score_of([row(None, None)]))
    assert np.isnan(score_of([]))


def test_a_phase_that_the_network_has_torn_has_no_error():
    torn = row(None, 2.0, [2.0, None], [2.0, 2.0])
    assert np.isnan(score_of([torn, row(1.1, 1.0, [1.0, 1.2], [1.0, 1.0])]))


def test_a_part_that_does_not_percolate_is_no_unit():
    rows = [row(2.2, 2.0, [2.2, None, 2.3, 2.1, 2.2, 2.1], [2.0, 2.0, None, 2.0, 2.0, 2.0])]
    sums_PK2 = error_sums(rows)
    np.testing.assert_array_equal(sums_PK2[1:3], 0)
    found = statistics.interval(sums_PK2[None], mean_error)
    assert found.estimate == pytest.approx(0.1)
    assert found.freedom == pytest.approx(3)


def test_baselines_have_scores_too():
    one = row(1.1, 1.0, [1.0, 1.2], [1.0, 1.0])
    one["against"]["baselines"]["forest"] = {"value": 1.5, "parts": [1.4, 1.6]}
    assert score_of([one], "forest") == pytest.approx(0.5)


SEEDS, PARTS, COUNT = 3, 8, 150


@pytest.mark.parametrize("means", [(0.1, 0.1), (0.1, 0.04), (0.0, 0.0), (0.02, 0.0)])
@pytest.mark.parametrize("spread", [(0.02, 0.0, 0.01), (0.005, 0.03, 0.01), (0.01, 0.02, 0.02)])
def test_intervals_hold_the_known_difference_of_absolute_errors(means, spread):
    """Simulated parts with chances of seed, of part (the same for both), and of each pair."""
    of_seed, of_part, of_pair = spread
    rng = np.random.default_rng(0)

    def errors(count):
        part_NP = rng.normal(0, of_part, (count, 1, 1, PARTS))
        seed_NMS = rng.normal(0, of_seed, (count, 2, SEEDS, 1))
        pair = rng.normal(0, of_pair, (count, 2, SEEDS, PARTS))
        return np.array(means)[:, None, None] + seed_NMS + part_NP + pair

    mean_NM = np.abs(errors(20_000).mean(axis=-1)).mean(axis=-1)
    known = float((mean_NM[:, 1] - mean_NM[:, 0]).mean())
    held = 0
    for one in errors(COUNT):
        truth_P = np.ones(PARTS)
        base, variant = (
            np.stack([
                error_sums([row(1 + e_P.mean(), 1.0, 1 + e_P, truth_P)]) for e_P in some_SP
            ])
            for some_SP in one
        )  # fmt: skip
        found = statistics.difference(base, variant, mean_error, paired=True)
        held += found.low <= known <= found.high
    assert held / COUNT >= 0.9
