import numpy as np
import pytest

from xseg_jax.model.metrics import scores
from xseg_jax.report.table import results_table

NAMES = ("pore", "ceramic oxide", "metal")
UNET_KK = np.array([[900, 100, 0], [0, 2000, 0], [0, 0, 0]])
FOREST_KK = np.array([[800, 200, 0], [0, 2000, 0], [0, 0, 0]])
OTSU_KK = np.array([[500, 500, 0], [1000, 0, 1000], [0, 0, 0]])
BOTH = {"forest": FOREST_KK, "thresholding": OTSU_KK}
VERDICT = {
    "against": "forest", "score": "miou", "difference": 0.0123, "low": 0.0081, "high": 0.0165,
    "units": 4, "unit": "blocks of z",
}  # fmt: skip


def results(baselines=BOTH, verdict=None, **change):
    table = {"split": "test", "slices": 4, "leak": None} | scores(UNET_KK, NAMES)
    table["baselines"] = {
        name: None if one_KK is None else scores(one_KK, NAMES)
        for name, one_KK in baselines.items()
    }
    return table | {"verdict": verdict} | change


def test_methods_stand_beside_each_other_by_class():
    lines = results_table(results()).split("\n")
    assert lines[0] == "test: 4 slices, 3,000 pixels"
    assert lines[2].split() == ["U-Net", "forest", "thresholding"]
    assert lines[3].split() == ["precision", "recall", "f1", "iou"] + ["f1", "iou"] * 2
    rows = {line[:13].strip(): line[13:].split() for line in lines[4:8]}
    assert rows == {
        # Precision 900 / 900, recall 900 / 1000, F1 1800 / 1900, IoU 900 / 1000; and so on.
        "pore": ["1.0000", "0.9000", "0.9474", "0.9000", "0.8889", "0.8000", "0.4000", "0.2500"],
        "ceramic oxide": [
            "0.9524", "1.0000", "0.9756", "0.9524", "0.9524", "0.9091", "0.0000", "0.0000",
        ],
        "metal": ["-"] * 6 + ["0.0000"] * 2,
        "macro mean": [
            "0.9762", "0.9500", "0.9615", "0.9262", "0.9206", "0.8545", "0.1333", "0.0833",
        ],
    }  # fmt: skip
    assert "pixel accuracy: U-Net 0.9667, forest 0.9333, thresholding 0.1667" in lines


def test_columns_are_aligned_and_fit_a_terminal():
    lines = results_table(results()).split("\n")
    assert {len(line) for line in lines[2:8]} == {13 + 8 * 11}
    iou = [n + 3 for n in range(len(lines[3])) if lines[3].startswith("iou", n)]
    ends = [lines[2].index(name) + len(name) for name in ("U-Net", "forest", "thresholding")]
    assert ends == iou
    long = results_table(results(verdict=VERDICT)).split("\n")
    assert max(map(len, long)) <= 120


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {},
            "U-Net is better than the forest by 0.0123 of mean IoU (95% interval 0.0081 to 0.0165 "
            "over 4 blocks of z)",
        ),
        (
            {"difference": -0.0123, "low": -0.0165, "high": -0.0081, "against": "thresholding"},
            "U-Net is worse than thresholding by 0.0123 of mean IoU (95% interval 0.0081 to 0.0165 "
            "over 4 blocks of z)",
        ),
        (
            {"low": -0.001, "high": 0.0256},
            "no difference between U-Net and the forest is shown: +0.0123 of mean IoU (95% "
            "interval -0.0010 to +0.0256 over 4 blocks of z)",
        ),
        (
            {"low": None, "high": None, "units": 2, "unit": "images", "parts": [0.002, -0.0174]},
            "the mean IoU of U-Net minus that of the forest is +0.0123 (+0.0020, -0.0174 in each "
            "image); no interval is known: 2 images, and 4 are the fewest",
        ),
        (
            {
                "difference": -0.4,
                "low": None,
                "high": None,
                "units": 2,
                "unit": "slices",
                "parts": [-0.3, -0.5],
            },
            "the mean IoU of U-Net minus that of the forest is -0.4000 (-0.3000, -0.5000 in each "
            "slice), worse in each; no interval is known: 2 slices, and 4 are the fewest",
        ),
        (  # Of an earlier version.
            {"low": 0.001, "high": 0.0256, "units": 3, "unit": "slices"},
            "the mean IoU of U-Net minus that of the forest is +0.0123; no interval is known: 3 "
            "slices, and 4 are the fewest",
        ),
        (
            {"difference": 0.0, "low": 0.0, "high": 0.0},
            "no difference between U-Net and the forest is shown: +0.0000 of mean IoU (95% "
            "interval +0.0000 to +0.0000 over 4 blocks of z)",
        ),
        (
            {"low": None, "high": None, "units": 1, "unit": "slices"},
            "the mean IoU of U-Net minus that of the forest is +0.0123; one slice alone was "
            "tested, so that no interval is known",
        ),
    ],
)
def test_the_verdict_is_one_line_in_words(change, line):
    lines = results_table(results(verdict=VERDICT | change)).split("\n")
    assert [one for one in lines if one.startswith("verdict")] == [f"verdict: {line}"]


def test_without_a_verdict_there_is_no_line_of_it():
    assert "verdict" not in results_table(results(baselines={}))


INTERVALS = {
    "level": 0.95, "units": 4, "unit": "blocks of z",
    "accuracy": {"low": 0.95123, "high": 0.9789}, "surface_dice": {"low": 0.9, "high": 1.0},
}  # fmt: skip


def with_boundaries(values=(0.96541, 0.91, None), intervals=INTERVALS):
    table = results(intervals=intervals)
    for scored, value in zip((table, *table["baselines"].values()), values, strict=True):
        scored["boundaries"] = {"tolerance": 2.0, "surface_dice": value}
    return results_table(table).split("\n")


def test_scores_stand_with_their_intervals():
    lines = with_boundaries()
    assert (
        "pixel accuracy: U-Net 0.9667 (95% interval 0.9512 to 0.9789 over 4 blocks of z), "
        "forest 0.9333, thresholding 0.1667"
    ) in lines
    assert (
        "boundaries within 2 pixels (surface Dice): U-Net 0.9654 (0.9000 to 1.0000), forest "
        "0.9100, thresholding -"
    ) in lines
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("ends", [None, {"low": 0.9, "high": 1.0}])
def test_without_an_interval_scores_stand_alone(ends):
    """Earlier versions gave intervals of two slices, too."""
    alone = INTERVALS | {"units": 2, "unit": "slices", "accuracy": ends, "surface_dice": ends}
    lines = with_boundaries(intervals=alone)
    assert (
        "pixel accuracy: U-Net 0.9667 (no interval: 2 slices, and 4 are the fewest), forest "
        "0.9333, thresholding 0.1667"
    ) in lines
    assert (
        "boundaries within 2 pixels (surface Dice): U-Net 0.9654, forest 0.9100, thresholding -"
    ) in lines
    assert "boundaries" not in results_table(results())


def test_absent_classes_are_named_with_their_method():
    text = results_table(results())
    note = "U-Net: absent in truth and prediction, not in the macro mean: metal"
    assert note in text
    assert "thresholding: absent" not in text
    assert "absent" not in results_table(results({}, **scores(OTSU_KK, NAMES)))


CALIBRATION = {
    "temperature": 1.3149, "reason": None, "fitted": {"slices": 12}, "ece_before": 0.01234,
    "ece": 0.004, "boundary": {"pixels": 70, "ece_before": 0.0801, "ece": 0.03},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {},
            "temperature 1.31 (fitted on 12 validation slices): expected error 0.0123, and 0.0040 "
            "with it; at boundaries 0.0801, and 0.0300 with it",
        ),
        (
            {"boundary": {"pixels": 70, "ece_before": 0.0691, "ece": 0.226}},
            "temperature 1.31 (fitted on 12 validation slices): expected error 0.0123, and 0.0040 "
            "with it; at boundaries 0.0691, and 0.2260 with it (worse)",
        ),
        (
            {"fitted": {"slices": 1}, "boundary": {"pixels": 0, "ece_before": None, "ece": None}},
            "temperature 1.31 (fitted on 1 validation slice): expected error 0.0123, and 0.0040 "
            "with it",
        ),
        (
            {
                "temperature": None, "reason": "the run has no validation slices", "ece": None,
                "boundary": {"pixels": 70, "ece_before": 0.0801, "ece": None},
            },
            "expected error 0.0123; at boundaries 0.0801; without a temperature: the run has no "
            "validation slices",
        ),
    ],
)  # fmt: skip
def test_calibration_is_one_line_in_words(change, line):
    lines = results_table(results(calibration=CALIBRATION | change)).split("\n")
    assert [one for one in lines if one.startswith("calib")] == [f"calibration: {line}"]


def test_results_of_an_earlier_version_have_no_line_of_calibration():
    assert "calibration" not in results_table(results())


def test_a_baseline_that_is_not_defined_says_why():
    text = results_table(results({"forest": FOREST_KK, "thresholding": None}))
    assert "thresholding: not defined for more than 8 classes" in text
    assert text.split("\n")[2].split() == ["U-Net", "forest"]
    assert "pixel accuracy: U-Net 0.9667, forest 0.9333\n" in text


def test_baselines_that_nobody_asked_for_are_not_missed():
    text = results_table(results({}))
    assert text.split("\n")[2].split() == ["U-Net"]
    assert "thresholding" not in text


def test_leak_is_told_where_it_was_measured():
    leak = {
        "agreement": 0.81234, "typical": 0.8, "leak": 0.01234, "worry_from": 0.0667, "chance": 0.5,
        "nearest": "image",
    }  # fmt: skip
    text = results_table(results(leak=leak, planes="image"))
    assert text.startswith("test: 4 images, 3,000 pixels\n")
    assert text.endswith(
        "\nleak: +0.012, no reason to worry below 0.067: labels agree with the training image that "
        "looks most alike by 0.812, with the ten next alike by 0.800"
    )
    assert "leak" not in results_table(results())
    assert "leak" not in results_table(results(leak={"agreement": None, "chance": None}))


def test_what_was_not_tested_says_so():
    table = results_table({"split": "none", "slices": 0})
    assert table.startswith("not tested: the network was trained on every label")


def test_a_test_within_slices_says_so_and_how_far_its_parts_are():
    leak = {
        "agreement": 0.8, "typical": 0.4, "leak": 0.4, "worry_from": 0.2, "chance": 0.4,
        "nearest": "within", "smallest_distance": 7,
    }  # fmt: skip
    said = results_table(results(split="test within the labelled slices", leak=leak))
    assert said.startswith("test within the labelled slices: 4 slices")
    assert "labels agree across the gap of 7 voxels by 0.800, across half of a slice" in said


def test_planes_between_those_of_training_have_a_line():
    between = {"slices": 37} | scores(UNET_KK, NAMES)
    said = results_table(results(between=between)).split("\n")
    assert (
        "between the training slices, on 37 others: pixel accuracy 0.9667, mean IoU 0.9262" in said
    )
