import json
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from xseg_jax.model.metrics import class_scores, confusion_matrix, most_wrong, scores

sk: Any = metrics  # Its annotations leave out values that its documentation allows.
NAMES = ("pore", "ceramic", "metal", "resin")
PIXELS = (8, 9)
matrix = jax.jit(confusion_matrix, static_argnums=2)


def labels(values):
    return arrays(np.uint8, PIXELS, elements=st.sampled_from(values))


@settings(max_examples=50, deadline=None)
@given(labels([0, 1, 2, 3, 255]), labels([0, 1, 2, 3]))
def test_confusion_equals_scikit_learn_without_ignored_pixels(label_HW, prediction_HW):
    valid_HW = label_HW != 255
    found_KK = matrix(label_HW, prediction_HW, 4)
    expected_KK = np.zeros((4, 4))
    if valid_HW.any():
        expected_KK = sk.confusion_matrix(
            label_HW[valid_HW], prediction_HW[valid_HW], labels=range(4)
        )
    np.testing.assert_array_equal(found_KK, expected_KK)
    assert found_KK.dtype == np.int32


def some_classes():
    """Labels and predictions that each hold some of the four classes."""
    subset = st.lists(st.integers(0, 3), min_size=1, unique=True)
    return st.tuples(subset, subset).flatmap(lambda s: st.tuples(labels(s[0]), labels(s[1])))


@settings(max_examples=50, deadline=None)
@given(some_classes())
def test_scores_equal_scikit_learn(pair):
    truth, prediction = (array.ravel() for array in pair)
    found = scores(np.asarray(matrix(truth, prediction, 4)), NAMES)
    assert found["pixels"] == truth.size
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(truth, prediction))

    # Without `labels`, scikit-learn averages over the classes in truth or prediction, as we do.
    columns = sk.precision_recall_fscore_support(truth, prediction, zero_division=0)
    iou = sk.jaccard_score(truth, prediction, average=None, zero_division=0)
    present = sorted({*truth.tolist(), *prediction.tolist()})
    assert found["absent_classes"] == [NAMES[k] for k in range(4) if k not in present]
    for place, k in enumerate(present):
        row = found["per_class"][NAMES[k]]
        for key, column in zip(("precision", "recall", "f1", "pixels"), columns, strict=True):
            assert row[key] == pytest.approx(column[place])
        assert row["iou"] == pytest.approx(iou[place])
    macro = sk.precision_recall_fscore_support(truth, prediction, average="macro", zero_division=0)[
        :3
    ]
    assert [found[key] for key in ("precision", "recall", "f1")] == pytest.approx(macro)
    assert found["miou"] == pytest.approx(iou.mean())


def test_a_class_in_neither_has_no_score_and_one_only_predicted_has_zero():
    # Row true, column predicted: class 2 is only predicted, class 3 is nowhere.
    confusion_KK = [[6, 0, 2, 0], [0, 8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    found = scores(np.array(confusion_KK), NAMES)
    zero = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "iou": 0.0, "pixels": 0}
    assert found["per_class"]["metal"] == zero
    assert found["per_class"]["resin"] == dict.fromkeys(zero, None) | {"pixels": 0}
    assert found["absent_classes"] == ["resin"]
    assert found["miou"] == pytest.approx((6 / 8 + 1 + 0) / 3)
    assert found["f1"] == pytest.approx((12 / 14 + 1 + 0) / 3)
    assert found["accuracy"] == pytest.approx(14 / 16)
    assert found["confusion"] == confusion_KK
    assert json.loads(json.dumps(found)) == found


def test_class_scores_of_many_are_those_of_each():
    one_KK = np.array([[6, 0, 2, 0], [0, 8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    many_XKK = np.stack([one_KK, one_KK.T, 0 * one_KK])
    found = class_scores(many_XKK)
    for place, confusion_KK in enumerate(many_XKK):
        for k, row in enumerate(scores(confusion_KK, NAMES)["per_class"].values()):
            for key, values_XK in found.items():
                wanted = np.nan if row[key] is None else row[key]
                np.testing.assert_equal(float(values_XK[place, k]), wanted)


def test_no_pixel_at_all_scores_zero_with_every_class_absent():
    found = scores(np.zeros((2, 2)), NAMES[:2])
    assert found["absent_classes"] == ["pore", "ceramic"]
    assert [found[key] for key in ("pixels", "accuracy", "f1", "miou")] == [0, 0, 0, 0]


def test_counts_beyond_32_bits_stay_exact():
    huge = 2**40
    found = scores(np.array([[huge, 1], [0, huge]]), NAMES[:2])
    assert found["pixels"] == 2 * huge + 1
    assert found["per_class"]["pore"]["pixels"] == huge + 1
    assert found["accuracy"] == pytest.approx(1 - 1 / (2 * huge), abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, (4, 4), elements=st.integers(0, 9)))
def test_the_most_wrong_class_is_one_that_is_there_with_the_lowest_iou(confusion_KK):
    iou = {k: scores(confusion_KK, NAMES)["per_class"][name]["iou"] for k, name in enumerate(NAMES)}
    there = {k: value for k, value in iou.items() if value is not None}
    if there:
        assert iou[most_wrong(confusion_KK)] == min(there.values())
    else:
        assert most_wrong(confusion_KK) == 0
