import pytest
from result_folders import results, untested, with_intervals

from xseg_jax.evaluation.lengths import Pixel, with_lengths
from xseg_jax.report import scores
from xseg_jax.report.numbers import DASH, NONE
from xseg_jax.report.table import distance_line, results_table


def test_the_verdict_in_words_and_numbers():
    found = results()
    found["verdict"] |= {"difference": 0.02, "low": 0.01, "high": 0.03}
    said = scores.verdict(found)
    assert said["words"] == "The U-Net is better than the forest"
    assert said["detail"] == (
        "The difference in mean IoU is +0.0200 (95% interval +0.0100 to +0.0300, over 4 blocks of "
        "z)."
    )
    assert said["line"].startswith("U-Net is better than the forest by 0.0200 of mean IoU")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.01, 0.03, "No difference between the U-Net and the forest is shown"),
        (-0.03, -0.01, "The U-Net is worse than the forest"),
    ],
)
def test_a_verdict_that_is_no_victory(low, high, words):
    found = results()
    found["verdict"] |= {"difference": -0.02, "low": low, "high": high}
    assert scores.verdict(found)["words"] == words


@pytest.mark.parametrize(
    ("units", "low", "tested"),
    [(1, None, "1 slice"), (2, None, "2 slices"), (3, -0.03, "3 slices")],
)
def test_of_few_slices_the_verdict_has_no_interval(units, low, tested):
    found = with_intervals(results())
    few = {"units": units, "unit": "slices"}
    found["verdict"] |= few | {
        "difference": -0.02, "low": low, "high": low, "parts": [-0.01, -0.03, 0.5][:units],
    }  # fmt: skip
    for one in (found, found["baselines"]["forest"]):
        one["intervals"] |= few
    said = scores.verdict(found)
    miou, beside = (scores.score(one["miou"]) for one in (found, found["baselines"]["forest"]))
    each = "worse in each of" if units == 2 else "on"
    assert said["words"] == (
        f"The U-Net has a mean IoU of {miou}, the forest {beside}: {each} {tested}, too few for an "
        "interval"
    )
    assert said["detail"].startswith("The difference in mean IoU is \u22120.0200 (\u22120.0100")
    assert "interval" not in said["detail"]
    table = scores.score_table(found)
    assert table["no_intervals"].endswith("and 4 are the fewest")
    assert not table["has_intervals"]
    assert {dot["from"] for row in scores.score_dots(found)["rows"] for dot in row["marks"]} == {
        None
    }


def test_without_test_or_baseline_the_verdict_says_so():
    assert scores.verdict(untested())["words"].startswith("Not tested")
    alone = results() | {"verdict": None, "baselines": {}}
    assert f"mean IoU of {alone['miou']:.4f}; nothing" in scores.verdict(alone)["words"]


def test_the_table_has_each_class_and_marks_the_best():
    found = results()
    table = scores.score_table(found)
    assert [(group["name"], group["span"]) for group in table["groups"]] == [
        ("U-Net", 4), ("forest", 2),
    ]  # fmt: skip
    assert table["heads"] == ["precision", "recall", "F1", "IoU", "F1", "IoU"]
    assert table["firsts"] == [True, False, False, False, True, False]
    assert [row["name"] for row in table["rows"]] == ["pore", "ceramic", "metal", "mean of classes"]
    for row in table["rows"]:
        assert [cell["best"] for cell in row["cells"]] == [False, False, True, True, False, False]
    ious = [row["cells"][3]["text"] for row in table["rows"]]
    wanted = [found["per_class"][name]["iou"] for name in found["per_class"]] + [found["miou"]]
    assert ious == [f"{value:.4f}" for value in wanted]
    assert table["rows"][0]["pixels"] == 1000
    assert not table["has_intervals"]
    undefined, leak = table["notes"]
    assert undefined == "thresholding is not defined for these data."
    assert leak.startswith("Leak: -0.010, no reason to worry below 0.200: ")
    assert scores.score_table(untested()) is None


def test_dots_stand_for_every_class_and_method():
    chart = scores.score_dots(results())
    assert [row["name"] for row in chart["rows"]] == ["pore", "ceramic", "metal", "mean of classes"]
    assert all(len(row["marks"]) == 2 for row in chart["rows"])
    # The network is better everywhere here.
    assert all(net["x"] > forest["x"] for net, forest in (row["marks"] for row in chart["rows"]))


def test_absent_classes_and_slices_between_are_told():
    found = results() | {"absent_classes": ["metal"]}
    found["between"] = {"slices": 2, "accuracy": 0.9, "miou": 0.8}
    notes = scores.score_table(found)["notes"]
    assert notes[0] == "U-Net: absent in truth and prediction, and not in the mean: metal."
    assert notes[-2].endswith("on 2 others: pixel accuracy 0.9000, mean IoU 0.8000.")


def test_intervals_stand_below_their_scores_and_around_their_dots():
    found = with_intervals(results())
    table = scores.score_table(found)
    assert table["has_intervals"]
    assert table["over"] == "4 blocks of z"
    for row, value in ((0, found["per_class"]["pore"]["iou"]), (-1, found["miou"])):
        cell = table["rows"][row]["cells"][3]
        assert cell["interval"] == f"{value - 0.01:.4f}{DASH}{value + 0.01:.4f}"
    assert table["accuracy"][1]["interval"] != ""
    marks = [mark for row in scores.score_dots(found)["rows"] for mark in row["marks"]]
    assert len(marks) == 8
    for mark in marks:
        assert mark["x"] == pytest.approx((mark["from"] + mark["to"]) / 2, abs=0.02)


def test_boundaries_of_each_class_and_method():
    assert scores.boundary_table(results()) is None
    found = with_intervals(results())
    found["boundaries"]["per_class"]["metal"] |= {"hd95": None, "reason": "no boundary in label"}
    found["baselines"]["forest"]["boundaries"]["per_class"]["pore"]["surface_dice"] = 0.8
    table = scores.boundary_table(found)
    assert table["groups"] == ["U-Net", "forest"]
    assert "within 2 pixels" in table["words"]
    pore, _, metal = table["rows"]
    assert [cell["text"] for cell in pore["cells"][:3]] == ["0.9000", "2.500", "0.7000"]
    assert [cell["best"] for cell in pore["cells"]] == [True, *[False] * 5]
    assert pore["cells"][0]["interval"] == f"0.8900{DASH}0.9100"
    assert metal["cells"][1]["text"] == NONE
    assert table["notes"] == ["metal: no HD95, for no boundary in label."]


def test_boundaries_are_lengths_too_where_pixels_have_a_size():
    found = with_intervals(results())
    for one in (found, found["baselines"]["forest"]):
        one["boundaries"] = with_lengths(one["boundaries"], Pixel(0.5, "um"))
    table = scores.boundary_table(found)
    assert table["heads"] == ["Dice", "HD95", "mean", "HD95, µm", "mean, µm"]
    assert [cell["text"] for cell in table["rows"][0]["cells"][:5]] == [
        "0.9000", "2.500", "0.7000", "1.250", "0.3500",
    ]  # fmt: skip
    assert "within 2 pixels (1 µm) of the other" in table["words"]
    assert table["words"].endswith("in pixels and in µm.")
    line = distance_line(found["boundaries"])
    assert line in results_table(found).splitlines()
    assert line == (
        "boundaries of U-Net, farthest off for pore: 95% within 2.50 pixels (1.25 um), on average "
        "0.70 pixels (0.35 um)"
    )
