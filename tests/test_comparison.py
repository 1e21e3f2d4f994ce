"""Methods beside each other: numbers of pairs, and the table and figure of them."""

import csv
import io

import numpy as np
import pytest

from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.comparison import compare, compared
from xseg_jax.evaluation.intervals import PIXELS, WITHIN
from xseg_jax.report import comparison as report

NAMES = ("pore", "metal")


def side(wrong, seeds=1, blocks=4, seed=0):
    """Sums of seeds and blocks, of which about so much is wrong."""
    rng = np.random.default_rng(seed)
    wrong_SB = wrong + rng.integers(0, 9, (seeds, blocks))
    pixels = np.stack([500 - wrong_SB, wrong_SB, wrong_SB, 500 - wrong_SB], axis=-1)
    within = np.stack([300.0 - wrong_SB, 300.0 + 0 * wrong_SB], axis=-1)
    return {
        PIXELS: pixels.reshape(seeds, blocks, 2, 2),
        WITHIN: np.repeat(within[:, :, None], 2, axis=2),
    }


def test_every_two_sides_have_a_row_a_score():
    found = compare({"a": side(20), "b": side(60), "c": side(21, seed=1)}, NAMES)
    assert [(row["base"], row["variant"]) for row in found["pairs"][:3]] == [
        ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip
    said = [(row["score"], row["class"]) for row in found["pairs"][::3]]
    assert said == [
        ("miou", None), ("accuracy", None), ("surface_dice", None), ("iou", "pore"),
        ("iou", "metal"),
    ]  # fmt: skip
    assert len(found["scores"]) == 3 * 5
    verdicts = {(row["base"], row["variant"], row["score"]): row for row in found["pairs"]}
    assert verdicts["a", "b", "accuracy"]["verdict"] == "worse"
    assert verdicts["b", "c", "accuracy"]["verdict"] == "better"
    assert verdicts["a", "c", "accuracy"]["verdict"] == "no difference shown"
    value = {row["side"]: row["value"] for row in found["scores"] if row["score"] == "accuracy"}
    for (base, variant, score), row in verdicts.items():
        if score == "accuracy":
            assert row["difference"] == pytest.approx(value[variant] - value[base])


def test_pairs_are_corrected_score_by_score():
    sides = {"a": side(20), "b": side(24, seed=1), "c": side(28, seed=2)}
    of = next(row for row in compared(NAMES, sides["a"]) if row.score == "accuracy")
    plain = [
        statistics.difference(sides[x][PIXELS], sides[y][PIXELS], of.value, paired=True)
        for x, y in ("ab", "ac", "bc")
    ]
    found = [row for row in compare(sides, NAMES)["pairs"] if row["score"] == "accuracy"]
    for row, one in zip(found, statistics.holm(plain), strict=True):
        assert (row["p"], row["low"], row["high"]) == (one.p, one.low, one.high)


def test_one_block_and_one_seed_tell_nothing():
    found = compare({"a": side(20, blocks=1), "b": side(60, blocks=1)}, NAMES)
    for row in found["pairs"]:
        assert (row["low"], row["high"], row["p"]) == (None, None, None)
        assert row["verdict"] == "no interval known"
        assert row["difference"] < 0


def test_without_boundaries_there_is_no_surface_dice():
    sums = {PIXELS: side(20)[PIXELS]}
    assert "surface_dice" not in {row.score for row in compared(NAMES, sums)}


FACTS = {
    "of": {"first": ["/first"], "the_second": ["/second"]}, "slices": 18, "pixels": 1179648,
    "units": 4, "unit": "blocks of z", "seeds": 1, "tolerance": 2.0, "notes": ["mind this"],
}  # fmt: skip


@pytest.fixture
def found():
    return compare({"first": side(20), "the_second": side(60)}, NAMES)


def test_the_table_is_aligned_and_fits_a_terminal(found):
    lines = report.table(FACTS, found["pairs"]).split("\n")
    assert lines[0] == "18 slices, 1,179,648 pixels, scored by all"
    assert lines[2] == "the_second minus first"
    assert len({line.rindex("  ") for line in lines[3:9]}) == 1
    assert "<0.001" in lines[4]
    assert max(map(len, lines)) <= 120
    row = found["pairs"][0]
    assert lines[4].split()[:5] == [
        "mean", "IoU", f"{row['base_value']:.4f}", f"{row['value']:.4f}",
        f"{row['difference']:+.4f}",
    ]  # fmt: skip
    assert lines[4].endswith("  worse")
    assert lines[-1] == "mind this"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {},
            "intervals: 95% over 4 blocks of z, corrected for the number of pairs (Holm)\n"
            "one run of each: another seed may differ by more\n"
            "surface Dice: boundaries within 2 pixels",
        ),
        (
            {"seeds": 3, "tolerance": None},
            "intervals: 95% over 3 seeds and 4 blocks of z, corrected for the number of pairs "
            "(Holm)",
        ),
        (
            {"seeds": 4, "units": 1, "unit": "slices", "tolerance": None},
            "intervals: 95% over 4 seeds and one slice, corrected for the number of pairs (Holm)",
        ),
        (
            {"units": 1, "unit": "images", "planes": "image"},
            "one image and one run of each: no interval is known without 4 parts, or 3 runs",
        ),
        (
            {"seeds": 2, "units": 3, "unit": "slices"},
            "3 slices and 2 runs of each: no interval is known without 4 parts, or 3 runs",
        ),
    ],
)
def test_the_footnote_says_what_intervals_are_over(change, said):
    assert report.footnote(FACTS | change) == said


def test_the_file_of_values_has_the_rows_of_pairs(found):
    rows = list(csv.DictReader(io.StringIO(report.comma_separated(found["pairs"]))))
    assert [row["score"] for row in rows] == [row["score"] for row in found["pairs"]]
    assert float(rows[0]["low"]) == found["pairs"][0]["low"]


def test_the_figure_shows_scores_and_differences(found, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(report, "save_figure", lambda figure, path, formats: drawn.append(figure))
    report.draw(tmp_path, FACTS, found)
    left, right = drawn[0].axes
    names = [tick.get_text() for tick in left.get_yticklabels()]
    assert names == ["IoU of metal", "IoU of pore", "surface Dice", "pixel accuracy", "mean IoU"]
    differences = [row["difference"] for row in found["pairs"]]
    np.testing.assert_allclose(np.asarray(right.get_lines()[0].get_xdata(), float), differences)
    of_first = [row["value"] for row in found["scores"] if row["side"] == "first"]
    np.testing.assert_allclose(np.asarray(left.get_lines()[0].get_xdata(), float), of_first)


def test_long_names_keep_their_end():
    assert report.brief("runs/a_very_long_name/seed_0", 11) == "…ame/seed_0"
    assert report.brief("short", 11) == "short"
