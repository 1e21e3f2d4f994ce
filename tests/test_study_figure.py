"""The figure of a study shows differences, under names that people use."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_study import BASELINES, compared, runs_over, summary_of

from xseg_jax.report import study_figure
from xseg_jax.report.paper import DOUBLE, SINGLE, line_of
from xseg_jax.report.study_figure import apart, field_name, people


@pytest.fixture
def draw(monkeypatch):
    """Draws, and gives the figure."""
    kept = []
    monkeypatch.setattr(study_figure, "save_figure", lambda figure, *rest: kept.append(figure))

    def draw(runs, axis="", baselines=BASELINES, question="Which?", summary=None, percent=False):
        summary = summary_of(runs) if summary is None else summary
        told = compared(summary, baselines, lower_is_better=percent)
        study_figure.draw(None, question, told, runs, axis)
        return kept[-1]

    return draw


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("train_slices=1", "1 labelled slice"),
        ("train_slices=10", "10 labelled slices"),
        ("train_slices=0", "all labelled slices"),
        ("photons=300.0", "300 photons"),
        ("schedule=cosine, learning_rate=0.001", "schedule cosine, learning rate 0.001"),
        ("features=(8, 16)", "features (8, 16)"),
        ("weighted_cross_entropy", "weighted cross entropy"),
        ("width x 2", "width x 2"),
        ("base", "base"),
    ],
)
def test_variants_are_called_as_people_call_them(variant, said):
    assert people(variant) == said


def test_fields_are_called_as_people_call_them():
    assert field_name("data.train_slices") == field_name("train_slices") == "labelled slices"
    assert field_name("optimizer.learning_rate") == "learning rate"


SPANS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.floats(0, 1), st.floats(0, 0.2)).map(lambda one: (one[0], one[0] + one[1])),
    min_size=1,
)


@given(SPANS)
def test_lines_that_overlap_share_axes_and_the_highest_come_first(spans):
    groups = apart(spans)
    assert sorted(name for group in groups for name in group) == sorted(spans)
    ends = [(min(spans[n][0] for n in g), max(spans[n][1] for n in g)) for g in groups]
    assert all(below[1] < above[0] for above, below in pairwise(ends))


def test_lines_far_from_each_other_have_axes_apart():
    near = {"U-Net": (0.918, 0.925), "forest": (0.93, 0.931), "thresholding": (0.742, 0.7421)}
    assert apart(near) == [["U-Net", "forest"], ["thresholding"]]


@pytest.mark.parametrize(
    ("values", "scale"), [([1, 3, 10, 30, 42], "log"), ([0.1, 0.2, 0.3], "linear")]
)
def test_a_numeric_field_is_drawn_as_curves_with_deviations(draw, values, scale):
    runs = runs_over(values)
    runs["miou"] = 0.92 + (runs["miou"] - 0.85) / 20
    runs["forest_miou"] = 0.701
    figure = draw(runs, "data.train_slices")
    assert figure.get_figwidth() == SINGLE
    upper, lower = figure.axes
    assert lower.get_xscale() == scale
    assert figure.get_supxlabel() == "labelled slices"
    assert figure.get_supylabel() == "mean IoU"
    groups = runs.groupby("data.train_slices")["miou"]
    (curve,) = upper.containers
    np.testing.assert_allclose(curve.lines[0].get_xydata().T, [groups.mean().index, groups.mean()])
    (bars,) = [np.array(line.get_segments()) for line in curve.lines[2]]
    np.testing.assert_allclose(np.diff(bars[:, :, 1], axis=1)[:, 0], 2 * groups.std())
    assert [one.get_label() for one in lower.containers] == ["thresholding", "forest"]
    # A step is as high in both, and no axis begins at nothing.
    heights = upper.get_subplotspec().get_gridspec().get_height_ratios()
    ranges = [np.diff(axes.get_ylim())[0] for axes in (upper, lower)]
    assert ranges[0] / ranges[1] == pytest.approx(heights[0] / heights[1])
    assert upper.get_ylim()[0] > 0.85
    (legend,) = [one for one in (upper.get_legend(),) if one]
    assert [text.get_text() for text in legend.get_texts()] == ["U-Net", *BASELINES]
    assert not figure.legends  # Inside.


@pytest.mark.parametrize("axis", ["", "seedless", "variant"])
def test_anything_else_is_drawn_as_dots_where_differences_are_seen(draw, axis):
    runs = runs_over([1, 3, 10]).replace({"variant": {"n=1": "train_slices=1"}})
    summary = summary_of(runs)
    figure = draw(runs, axis)
    assert figure.get_figwidth() == DOUBLE
    left, right = figure.axes
    low, high = left.get_xlim()
    ends = [*(summary["mean"] - summary["std"]), *(summary["mean"] + summary["std"])]
    assert low < min(ends)
    assert high > max(ends)
    assert high - low < 4 * (max(ends) - min(ends))
    assert low > 0.5
    said = [tick.get_text() for tick in left.get_yticklabels()]
    assert said == ["1 labelled slice", "n 3", "n 10", *BASELINES]
    means = left.containers[0]
    np.testing.assert_allclose(means.lines[0].get_xydata()[:, 0], summary["mean"])
    (bars,) = [np.array(line.get_segments()) for line in means.lines[2]]
    np.testing.assert_allclose(np.diff(bars[:, :, 0], axis=1)[:, 0], 2 * summary["std"])
    seeds = [line for line in left.get_lines() if line.get_marker() == "."]
    assert len(seeds) == 3
    np.testing.assert_allclose(seeds[0].get_ydata(), 4 - 0.27)  # Below the bar.
    (line,) = [one for one in right.get_lines() if one.get_marker() == "o"]
    # Beside their variants; the base has none.
    np.testing.assert_allclose(line.get_xydata(), [[0.0123, 3], [0.0123, 2]])


def test_a_baseline_far_off_is_told_and_does_not_squeeze_the_axis(draw):
    runs = runs_over([1, 3])
    runs["miou"] = 0.92 + (runs["miou"] - 0.85) / 20
    runs["forest_miou"], runs["thresholding_miou"] = runs["miou"].max(), 0.7
    left = draw(runs).axes[0]
    assert left.get_xlim()[0] > 0.9
    assert [text.get_text() for text in left.texts] == ["← 0.700"]
    (forest,) = [line for line in left.get_lines() if line.get_marker() == line_of("forest", 0)[2]]
    assert forest.get_xydata().tolist() == [[runs["miou"].max(), 1]]
    runs["thresholding_miou"] = 0.99
    assert [text.get_text() for text in draw(runs).axes[0].texts] == ["0.990 →"]


def test_a_variant_without_a_finished_run_has_an_empty_row(draw):
    runs = runs_over([1, 3])
    summary = summary_of(runs)
    summary.loc[1, ["mean", "std", "difference", "low", "high"]] = np.nan
    left, right = draw(runs[runs["variant"] == "n=1"], summary=summary).axes
    assert np.isfinite(left.get_xlim()).all()
    assert len(right.containers[0].lines[0].get_xdata()) == 0


def test_errors_are_read_as_percent(draw):
    runs = runs_over([1, 3, 10])
    runs["miou"] /= 10
    for axis in ("", "data.train_slices"):
        figure = draw(runs, axis, percent=True)
        figure.draw_without_rendering()
        ticks = figure.axes[0].xaxis if axis == "" else figure.axes[-1].yaxis
        assert all(text.get_text().endswith("%") for text in ticks.get_ticklabels())
    assert [text.get_text() for text in draw(runs, percent=True).axes[0].texts] == [
        "75% →", "70% →",
    ]  # fmt: skip


@pytest.mark.parametrize("axis", ["", "data.train_slices"])
def test_a_score_that_is_not_defined_leaves_an_empty_figure(draw, axis):
    runs = runs_over([1, 3, 10]).assign(miou=np.nan)
    summary = summary_of(runs).assign(difference=np.nan, low=np.nan, high=np.nan)
    figure = draw(runs, axis, [], summary=summary)
    assert [axes.get_xlim() for axes in figure.axes[:1]] == (
        [(-0.1728, 1.1728)] if not axis else []
    )
    assert [text.get_text() for text in figure.texts if "defined" in text.get_text()] == (
        ["mean IoU: not defined"] if axis else []
    )


def test_runs_without_the_score_are_left_out_of_the_mean(draw):
    runs = runs_over([1, 3, 10])
    runs.loc[0, "miou"] = np.nan
    (curve,) = draw(runs, "data.train_slices", []).axes[0].containers
    mean = runs.groupby("data.train_slices")["miou"].mean()
    np.testing.assert_allclose(curve.lines[0].get_xydata()[:, 1], mean)


def test_a_study_without_baselines_and_of_one_seed_each(draw):
    runs = pd.DataFrame(
        [{"variant": name, "seed": 0, "miou": miou} for name, miou in (("base", 0.9), ("a", 0.91))]
    )
    left, _ = draw(
        runs, baselines=[], summary=summary_of(runs.assign(forest_miou=0.0, thresholding_miou=0.0))
    ).axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["base", "a"]


def test_a_long_question_and_its_note_are_read_as_lines(draw):
    question = "Which of all of these is it that scores the best " * 4 + "?\nIt means nothing."
    lines = draw(runs_over([1, 3]), question=question).get_suptitle().splitlines()
    assert lines[-1] == "It means nothing."
    assert all(len(line) <= 116 for line in lines)
