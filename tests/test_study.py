"""The table of a study, and its files."""

import numpy as np
import pandas as pd
import pytest

from xseg_jax.report import study


@pytest.fixture
def drawn(monkeypatch):
    """What figures would be drawn of: path, question, scores, runs, axis, formats."""
    kept = []
    monkeypatch.setattr(study, "draw", lambda *arguments: kept.append(arguments))
    return kept


BASELINES = ["forest", "thresholding"]


def runs_over(values, field="data.train_slices"):
    rng = np.random.default_rng(0)
    return pd.DataFrame([
        {"variant": f"n={value}", "seed": seed, field: value, "miou": 0.8 + 0.1 * rng.random(),
         "thresholding_miou": 0.7, "forest_miou": 0.75}
        for value in values for seed in range(3)
    ])  # fmt: skip


def summary_of(runs):
    rows = []
    for name, group in runs.groupby("variant", sort=False):
        base = not rows
        rows.append({
            "variant": name, "runs": len(group), "mean": group["miou"].mean(),
            "std": group["miou"].std(), "thresholding": 0.7, "forest": 0.75,
            "difference": np.nan if base else 0.0123, "low": np.nan if base else -0.01,
            "high": np.nan if base else 0.03, "p": np.nan if base else 0.2,
            "parameters": 482483, "seconds": 90.0,
            "verdict": "base" if base else "no difference shown",
        })  # fmt: skip
    return pd.DataFrame(rows)


def compared(summary, baselines=BASELINES, **changed):
    told = {
        "score": "miou",
        "label": "mean IoU",
        "lower_is_better": False,
        "units": "4 blocks of z",
    }
    return study.Compared(**told | changed, baselines=baselines, summary=summary)


def test_the_table_has_a_row_a_variant_and_one_a_baseline():
    runs = runs_over([1, 3])
    lines = study.markdown(compared(summary_of(runs))).splitlines()
    mean, std = runs["miou"][3:].mean(), runs["miou"][3:].std()
    assert lines[3] == (
        f"| n=3 | 3 | {mean:.4f} ± {std:.4f} | +0.0123 [-0.0100, +0.0300] | 0.200 | 482,483 "
        "| 1.5 | no difference shown |"
    )
    assert lines[4] == "| forest |  | 0.7500 |  |  |  |  |  |"
    assert lines[5] == "| thresholding |  | 0.7000 |  |  |  |  |  |"
    assert len(lines) == 6
    assert len({line.count("|") for line in lines}) == 1


def test_a_difference_of_few_has_no_interval_and_no_p():
    summary = summary_of(runs_over([1, 3]))
    summary.loc[1, ["low", "high", "p"]] = [-np.inf, np.inf, np.nan]
    assert "| +0.0123 |  | 482,483 |" in study.markdown(compared(summary)).splitlines()[3]


def test_a_variant_without_a_finished_run_has_an_empty_row():
    summary = summary_of(runs_over([1, 3]))
    summary.loc[1, ["runs", "mean", "std", "difference", "parameters", "seconds"]] = [0] + [
        np.nan
    ] * 5
    summary.loc[1, "verdict"] = "failed"
    assert (
        study.markdown(compared(summary)).splitlines()[3] == "| n=3 | 0 |  |  |  |  |  | failed |"
    )


def test_what_is_written_is_whole(drawn, tmp_path, capsys):
    runs = runs_over([1, 3])
    study.write(tmp_path, "How many?", [compared(summary_of(runs))], runs, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.csv", "study.md"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "study.csv"), runs)
    text = (tmp_path / "study.md").read_text()
    assert text.startswith("# How many?\n\n| variant |")
    assert "3 seeds. Differences: 95% interval over seeds and 4 blocks of z" in text
    assert "Thresholding is multi-Otsu" in text
    assert "The forest is a random forest" in text
    assert "| thresholding |  | 0.7000 |" in capsys.readouterr().out


def test_what_a_study_must_not_be_taken_for_stands_in_table_and_figure(drawn, tmp_path, capsys):
    runs, note = runs_over([1, 3]), "These scores mean nothing."
    study.write(tmp_path, "Does it?", [compared(summary_of(runs), [])], runs, "", note)
    text = (tmp_path / "study.md").read_text()
    assert text.startswith(f"# Does it?\n\n**{note}**\n\n| variant |")
    assert drawn[0][1] == f"Does it?\n{note}"
    assert note in capsys.readouterr().out


def test_minutes_say_what_they_count():
    runs = runs_over([1, 3])
    assert "Minutes: mean time of a run" in study.footnote(compared(summary_of(runs)), runs)


def test_a_study_without_baselines_has_none_in_its_table_and_figure(drawn, tmp_path):
    runs = runs_over([1, 3])
    study.write(tmp_path, "How many?", [compared(summary_of(runs), [])], runs, "")
    text = (tmp_path / "study.md").read_text()
    assert "forest" not in text
    assert "hresholding" not in text


@pytest.mark.parametrize(
    ("formats", "shown"),
    [
        (("png",), "![](study.png)"),
        (("pdf", "svg"), "![](study.svg)"),
        (("pdf",), "[study.pdf](study.pdf)"),
    ],
)
def test_the_text_shows_the_figure_that_there_is(drawn, tmp_path, formats, shown):
    runs = runs_over([1, 3])
    study.write(tmp_path, "How?", [compared(summary_of(runs), [])], runs, "", formats=formats)
    assert (tmp_path / "study.md").read_text().endswith(f"\n{shown}\n")
    ((path, *_, written),) = drawn
    assert (path, written) == (tmp_path / "study.png", formats)
    assert {f"study.{form}" for form in formats} < set(study.POSSIBLE)


def test_each_further_score_has_a_figure_of_its_own(drawn, tmp_path):
    runs = runs_over([1, 3])
    study.write(tmp_path, "How?", [compared(summary_of(runs), [])] * 3, runs, "")
    names = [path.name for path, *_ in drawn]
    assert names == ["study.png", "study_2.png", "study_3.png"]
    text = (tmp_path / "study.md").read_text()
    assert [text.count(f"![]({name})") for name in names] == [1, 1, 1]


def test_without_an_interval_the_note_says_what_it_needs():
    runs = runs_over([1, 3])
    assert "95% interval over seeds and 4 blocks of z" in study.footnote(
        compared(summary_of(runs)), runs
    )
    few = summary_of(runs).assign(low=np.nan, high=np.nan)
    said = study.footnote(compared(few, units="3 blocks of z"), runs[runs["seed"] < 2])
    assert "no interval, which needs 3 seeds or 4 blocks, and here are 2 seeds and 3 blocks" in said
