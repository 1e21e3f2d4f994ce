"""Temperatures and calibration errors of probabilities whose truth is known."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from planes import plane
from scipy.special import log_softmax, softmax

from xseg_jax.evaluation import calibration
from xseg_jax.evaluation.calibration import (
    Fit,
    Reliability,
    at_boundary,
    calibrate,
    fit_temperature,
)

pytestmark = pytest.mark.rounding


def drawn(shape, classes, seed=0, spread=2.0):
    """Logits, and labels of which each class has the chance that they say."""
    rng = np.random.default_rng(seed)
    logits_HWK = spread * rng.standard_normal((*shape, classes))
    gumbel_HWK = rng.gumbel(size=logits_HWK.shape)
    return logits_HWK, (logits_HWK + gumbel_HWK).argmax(axis=-1).astype(np.uint8)


def said(logits_HWK, times=1.0):
    return softmax(times * logits_HWK, axis=-1).astype(np.float32)


def planes_of(labels):
    return [plane(str(n), np.zeros(one.shape, np.uint8), one, n) for n, one in enumerate(labels)]


def fitted(probabilities, labels):
    return fit_temperature(lambda planes: (probabilities[int(p.name)] for p in planes),
                           planes_of(labels))  # fmt: skip


def measured(probabilities, labels, temperature=None):
    classes = probabilities[0].shape[-1]
    tally = Reliability(classes, temperature)
    for probability_HWK, label_HW in zip(probabilities, labels, strict=True):
        tally(probability_HWK, label_HW)
    return tally.results(Fit(temperature, "a test"), [f"class {k}" for k in range(classes)])


@pytest.mark.parametrize(
    ("classes", "true", "spread"), [(2, 2.0, 2.0), (3, 0.6, 2.0), (4, 1.31, 2.0), (5, 4.0, 1.0)]
)
def test_the_temperature_of_simulated_logits_is_found(classes, true, spread):
    planes = [drawn((400, 500), classes, seed, spread) for seed in range(3)]
    # A network that multiplies its logits is mended by as high a temperature.
    found = fitted([said(z, true) for z, _ in planes], [label for _, label in planes])
    assert found.temperature == pytest.approx(true, rel=0.01)
    assert (found.slices, found.labelled, found.pixels, found.reason) == (3, 600_000, 600_000, None)
    logs_HWK = log_softmax(true * np.stack([z for z, _ in planes]), axis=-1)
    labels_HW1 = np.stack([label for _, label in planes])[..., None]
    before = -np.take_along_axis(logs_HWK, labels_HW1, axis=-1).mean()
    assert found.nll_before == pytest.approx(before, rel=1e-5)
    assert found.nll < found.nll_before


def test_no_other_temperature_makes_the_labels_more_likely():
    logits_HWK, label_HW = drawn((60, 70), 3)
    label_HW[:9] = 255
    found = fitted([said(logits_HWK, 1.7)], [label_HW])

    def nll(temperature):
        scaled_HWK = calibrate(said(logits_HWK, 1.7), temperature).astype(np.float64)
        true_HW = np.take_along_axis(scaled_HWK, np.where(label_HW < 3, label_HW, 0)[..., None], -1)
        return -np.log(true_HW[..., 0][label_HW != 255]).mean()

    assert found.labelled == found.pixels == 51 * 70
    assert nll(found.temperature) == pytest.approx(found.nll, rel=1e-5)
    for other in (0.98, 1.02):
        assert nll(other * found.temperature) > found.nll


def test_a_sample_stands_for_all_labelled_pixels(monkeypatch):
    """One plane is labelled in few pixels, and another network would be right there."""
    planes = [drawn((500, 400), 3, seed) for seed in range(2)]
    probabilities = [said(planes[0][0], 3.0), said(planes[1][0], 0.5)]
    labels = [label for _, label in planes]
    labels[1][50:] = 255
    all_of_them = fitted(probabilities, labels)
    assert (all_of_them.labelled, all_of_them.pixels) == (220_000, 220_000)
    # Fewer of the one plane, which do not count for less.
    monkeypatch.setattr(calibration, "MOST_PIXELS", 100_000)
    found = fitted(probabilities, labels)
    assert (found.labelled, found.pixels) == (220_000, 70_000)
    assert found.temperature == pytest.approx(all_of_them.temperature, rel=0.015)
    monkeypatch.setattr(calibration, "MOST_PIXELS", 2**20)
    labels[0].flat[50_000:] = 255
    assert fitted(probabilities, labels).temperature < 0.95 * all_of_them.temperature
    monkeypatch.setattr(calibration, "MOST_PIXELS", 20_000)
    assert fitted(probabilities, labels) == fitted(probabilities, labels)


def test_where_there_is_nothing_to_fit_the_reason_is_said():
    logits_HWK, label_HW = drawn((20, 20), 3)
    assert fitted([], []) == Fit(reason="the run has no validation slices")
    found = fitted([said(logits_HWK)], [np.full_like(label_HW, 255)])
    assert found == Fit(reason="no pixel of the validation slices is labelled", slices=1)
    for right in (logits_HWK.argmax(-1), logits_HWK.argmin(-1)):  # None, and all are wrong.
        found = fitted([said(logits_HWK)], [right.astype(np.uint8)])
        assert found.temperature is None
        assert found.reason == "the validation slices fix none between 0.05 and 20"
        assert found.nll is None
        assert found.nll_before > 0


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_probabilities_that_are_true_have_no_error(classes):
    logits_HWK, label_HW = drawn((1000, 1000), classes)
    found = measured([said(logits_HWK)], [label_HW])
    assert found["pixels"] == 1_000_000
    assert found["ece_before"] < 0.005
    assert found["ece"] is found["bins"]["after"] is None
    assert len(found["classes"]) == classes
    assert all(one["before"] < 0.005 and one["after"] is None for one in found["classes"].values())
    # Of a network that is too sure, the temperature leaves as little.
    found = measured([said(logits_HWK, 3.0)], [label_HW], 3.0)
    assert found["ece"] < 0.005 < 0.05 < found["ece_before"]
    assert all(one["after"] < 0.005 < one["before"] for one in found["classes"].values())
    assert found["boundary"]["ece"] < 0.01


def test_a_known_miscalibration_has_its_error():
    """Three groups of pixels, each with one confidence: errors can be counted by hand."""
    groups = [((0.9, 0.06, 0.04), 600, 420), ((0.5, 0.3, 0.2), 300, 180), ((0.4, 0.3, 0.3), 100, 0)]
    probability_PK = np.concatenate([np.tile(p, (n, 1)) for p, n, _ in groups]).astype(np.float32)
    # Right where the label is 0; the others are of class 1.
    label_P = np.concatenate([np.arange(n) >= right for _, n, right in groups]).astype(np.uint8)
    found = measured([probability_PK.reshape(100, 10, 3)], [label_P.reshape(100, 10)])
    expected = (abs(0.9 * 600 - 420) + abs(0.5 * 300 - 180) + abs(0.4 * 100 - 0)) / 1000
    assert found["ece_before"] == pytest.approx(expected, abs=1e-7)
    wrong = {
        "class 0": expected,
        # In the same bin of class 1 are the pixels of two groups.
        "class 1": (abs(0.06 * 600 - 180) + abs(0.3 * 400 - 220)) / 1000,
        "class 2": (0.04 * 600 + 0.2 * 300 + 0.3 * 100) / 1000,
    }
    assert {name: one["before"] for name, one in found["classes"].items()} == {
        name: pytest.approx(value, abs=1e-7) for name, value in wrong.items()
    }
    bins = found["bins"]
    np.testing.assert_allclose(bins["edges"], np.linspace(0, 1, 16))
    curve = bins["before"]
    filled = {n: count for n, count in enumerate(curve["pixels"]) if count}
    assert filled == {13: 600, 7: 300, 6: 100}
    assert [curve["accuracy"][n] for n in (13, 7, 6)] == [0.7, 0.6, 0.0]
    means = [curve["confidence"][n] for n in (13, 7, 6)]
    np.testing.assert_allclose(means, [0.9, 0.5, 0.4], rtol=1e-6)
    assert curve["accuracy"][0] is curve["confidence"][0] is None


def test_probabilities_of_0_and_1_are_in_the_outer_bins():
    probability_HWK = np.array([[[1, 0], [1, 0], [0, 1], [0.5, 0.5]]], np.float32)
    label_HW = np.array([[0, 1, 1, 1]], np.uint8)
    found = measured([probability_HWK], [label_HW])
    curve = found["bins"]["before"]
    assert (curve["pixels"][14], curve["accuracy"][14], curve["confidence"][14]) == (3, 2 / 3, 1)
    assert found["ece_before"] == pytest.approx((1 + 0.5) / 4)  # 3 said and 2 right; 0.5 and 0.
    assert found["classes"]["class 1"]["before"] == pytest.approx((1 + 0.5) / 4)


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(2, 5),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 12)),
    seed=st.integers(0, 99),
    at_once=st.integers(1, 500),
    data=st.data(),
)
def test_sums_do_not_depend_on_how_planes_are_split(classes, shape, seed, at_once, data):
    logits_HWK, label_HW = drawn(shape, classes, seed)
    label_HW[np.random.default_rng(seed).random(shape) < 0.3] = 255
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, shape[0] - 1)), max_size=4)))
    # Rows are far apart where no boundary is to be cut through.
    logits_HWK, label_HW = logits_HWK.repeat(5, axis=0), label_HW.repeat(5, axis=0)
    label_HW[np.arange(len(label_HW)) % 5 != 2] = 255
    rows = [5 * cut for cut in cuts]
    probability_HWK = said(logits_HWK, 2.0)
    whole = measured([probability_HWK], [label_HW], 2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "PIXELS_AT_ONCE", at_once)
        parts = np.split(probability_HWK, rows)[::-1], np.split(label_HW, rows)[::-1]
        assert measured(*parts, 2.0) == whole
    assert whole["pixels"] == np.count_nonzero(label_HW != 255)


def test_ignored_pixels_count_nowhere():
    logits_HWK, label_HW = drawn((40, 30), 3)
    probability_HWK = said(logits_HWK, 2.0)
    label_HW[10:] = 255
    changed_HWK = probability_HWK.copy()
    changed_HWK[10:] = (0, 1, 0)
    found = measured([probability_HWK], [label_HW], 2.0)
    assert found == measured([changed_HWK], [label_HW], 2.0)
    assert found == measured([probability_HWK[:10]], [label_HW[:10]], 2.0)
    assert fitted([changed_HWK], [label_HW]) == fitted([probability_HWK[:10]], [label_HW[:10]])
    nothing = measured([probability_HWK], [np.full_like(label_HW, 255)], 2.0)
    assert nothing["pixels"] == nothing["boundary"]["pixels"] == 0
    assert nothing["ece"] is nothing["ece_before"] is nothing["classes"]["class 0"]["after"] is None


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(
        np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0, 1, 2, 255]),
    )
)  # fmt: skip
def test_boundaries_are_where_another_class_is_near(label_HW):
    expected_HW = np.zeros(label_HW.shape, bool)
    for (y, x), label in np.ndenumerate(label_HW):
        near = label_HW[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        expected_HW[y, x] = label != 255 and bool(((near != label) & (near != 255)).any())
    np.testing.assert_array_equal(at_boundary(label_HW), expected_HW)


def test_errors_at_boundaries_are_those_of_their_pixels_alone():
    logits_HWK, _ = drawn((30, 40), 2)
    label_HW = np.zeros((30, 40), np.uint8)
    label_HW[:, 20:] = 1
    probability_HWK = said(logits_HWK)
    found = measured([probability_HWK], [label_HW], 1.5)["boundary"]
    only_HW = np.where(at_boundary(label_HW), label_HW, 255)
    assert found["pixels"] == 30 * 4
    assert found["reach"] == 2
    expected = measured([probability_HWK], [only_HW.astype(np.uint8)], 1.5)
    for key in ("ece", "ece_before", "classes", "bins"):
        assert found[key] == expected[key]


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(2, 5)),
        elements=st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0, 1e-45, 1e-38])),
    ),
    st.floats(0.05, 20),
)  # fmt: skip
def test_a_temperature_changes_no_argmax_and_gives_probabilities(given_HWK, temperature):
    np.testing.assert_array_equal(calibrate(given_HWK, 1.0), given_HWK)
    found_HWK = calibrate(given_HWK, temperature)
    assert found_HWK.dtype == np.float32
    assert found_HWK.shape == given_HWK.shape
    np.testing.assert_allclose(found_HWK.sum(axis=-1), 1, rtol=1e-5)
    assert found_HWK.min() >= 0
    np.testing.assert_array_equal(found_HWK.argmax(axis=-1), given_HWK.argmax(axis=-1))


def test_scaled_probabilities_are_those_of_scaled_logits():
    logits_HWK = 9 * np.random.default_rng(0).standard_normal((50, 60, 4)).astype(np.float32)
    found_HWK = calibrate(np.asarray(jax.nn.softmax(logits_HWK)), 2.5)
    np.testing.assert_allclose(found_HWK, said(logits_HWK, 1 / 2.5), rtol=2e-5)


def test_certainty_is_as_large_as_float32_can_tell():
    """0 is taken for the smallest normal number, 2 to the power of -126."""
    probability_HWK = np.array([[[1, 0], [0, 1]]], np.float32)
    found_HWK = calibrate(probability_HWK, 21.0)
    assert found_HWK[0, 0, 1] == pytest.approx(1 / (1 + 2**6), rel=1e-5)
    np.testing.assert_array_equal(found_HWK[0, 0], found_HWK[0, 1, ::-1])
    np.testing.assert_array_equal(calibrate(probability_HWK, 0.05), probability_HWK)
