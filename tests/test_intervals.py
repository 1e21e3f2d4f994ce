"""Which scores have intervals, and what these are made of."""

import numpy as np
import pytest

from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.boundaries import BoundaryTally, boundary_scores
from xseg_jax.evaluation.intervals import headlines, intervals, sums_of
from xseg_jax.model.metrics import confusion_matrix, scores

NAMES = ("pore", "metal", "resin")


def planes_of(seed, count=8, classes=2, wrong=0.05):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.repeat(rng.integers(0, classes, (count, 6, 6)), 8, 1), 8, 2)
    guesses = np.where(rng.random(labels.shape) < wrong, (labels + 1) % classes, labels)
    return labels.astype(np.uint8), guesses.astype(np.uint8)


def sums_from(labels, guesses, classes=3):
    tally = BoundaryTally(range(len(labels)), classes, 1.0)
    for pair in zip(labels, guesses, strict=True):
        tally(*pair)
    confusion_NKK = np.stack([
        np.asarray(confusion_matrix(*pair, classes)) for pair in zip(labels, guesses, strict=True)
    ])  # fmt: skip
    return confusion_NKK.astype(np.int64), tally.sums()


def test_every_headline_is_the_score_that_results_have():
    confusion_NKK, edges = sums_from(*planes_of(0))
    sums = sums_of(confusion_NKK, edges)
    scored = scores(confusion_NKK.sum(axis=0), NAMES)
    at_edges = boundary_scores(edges.total, NAMES)
    seen = set()
    for row in headlines(NAMES, sums):
        where = at_edges if row.score in ("surface_dice", "mean_distance") else scored
        where = where if row.name is None else where["per_class"][row.name]
        value = float(row.value(sums[row.made_of].sum(axis=0)))
        wanted = np.nan if where[row.score] is None else where[row.score]
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
        seen.add((row.name, row.score))
    assert {(None, "miou"), (None, "surface_dice"), ("metal", "iou")} <= seen
    assert ("pore", "mean_distance") in seen


def test_intervals_are_those_of_the_blocks():
    confusion_NKK, edges = sums_from(*planes_of(1))
    found = intervals(sums_of(confusion_NKK, edges), NAMES, 4)
    parts = statistics.blocks_of(confusion_NKK, 4)[None]

    def accuracy(sums):
        return np.trace(sums, axis1=-2, axis2=-1) / sums.sum(axis=(-2, -1))

    one = statistics.interval(parts, accuracy)
    assert found["accuracy"] == {"low": one.low, "high": one.high}
    dice = found["surface_dice"]
    assert dice["low"] < boundary_scores(edges.total, NAMES)["surface_dice"] < dice["high"]


@pytest.mark.parametrize("planes", [1, 3])
def test_a_class_in_fewer_than_four_blocks_has_no_interval(planes):
    labels, guesses = planes_of(2, count=4)
    labels[:planes, :8, :8] = guesses[:planes, :8, 1:9] = 2
    found = intervals(sums_of(*sums_from(labels, guesses)), NAMES, 4)["per_class"]
    assert found["resin"] == dict.fromkeys(found["pore"], None)
    assert all(found["pore"].values())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_planes_have_no_interval(count):
    found = intervals(sums_of(*sums_from(*planes_of(3, count=count))), NAMES, 4)
    assert found.pop("per_class")["pore"] == dict.fromkeys(
        ("precision", "recall", "f1", "iou", "surface_dice", "mean_distance"), None
    )
    assert set(found.values()) == {None}


def test_planes_without_a_labelled_pixel_are_no_block():
    labels, guesses = planes_of(4, count=5)
    labels[2] = 255
    confusion_NKK, edges = sums_from(labels, guesses)
    found = intervals(sums_of(confusion_NKK, edges), NAMES, 5)
    kept = [0, 1, 3, 4]
    without = intervals(sums_of(*sums_from(labels[kept], guesses[kept])), NAMES, 4)
    assert found["accuracy"] == pytest.approx(without["accuracy"])
    assert found["surface_dice"] == pytest.approx(without["surface_dice"])


def test_runs_of_earlier_versions_have_no_boundaries():
    confusion_NKK, _ = sums_from(*planes_of(5))
    found = intervals(sums_of(confusion_NKK, None), NAMES, 4)
    assert "surface_dice" not in found
    assert "accuracy" in found
