from result_folders import DEGRADED, METRICS, results, untested

from xseg_jax.colours import class_rgb
from xseg_jax.report import sections
from xseg_jax.report.numbers import NONE


def test_history_has_loss_and_scores_and_marks_the_tested_checkpoint():
    loss, accuracy, miou = sections.history(METRICS, tested=8)
    assert [line["name"] for line in loss["lines"]] == ["training", "validation"]
    assert loss["table"]["rows"] == [["4", "0.9", "0.7"], ["8", "0.4", "0.3"]]
    assert loss["says"] == "At the end: training 0.4000, validation 0.3000."
    assert [len(chart["lines"]) for chart in (accuracy, miou)] == [2, 1]
    assert [line["name"] for line in miou["lines"]] == ["validation"]
    assert (accuracy["y"]["label"], miou["y"]["label"]) == ("accuracy", "mean IoU")
    marked = loss["lines"][1]["points"][-1]
    assert loss["at"] == {"place": marked[0], "means": "tested checkpoint"}
    assert sections.history([], tested=None) == []


def test_history_without_validation_or_labelled_pixels():
    rows = [{"step": 4, "split": "train", "epoch": 1}, METRICS[2]]
    loss, accuracy = sections.history(rows, tested=None)
    assert len(loss["lines"][0]["points"]) == 1
    assert [line["name"] for line in accuracy["lines"]] == ["training"]
    assert loss["at"] is None


def test_confusion_shares_of_each_row():
    found = sections.confusion(results())
    assert found["rows"][0]["cells"][0] == {
        "share": "90.0%", "pixels": "900", "tint": 90, "own": True,
    }  # fmt: skip
    assert found["rows"][2]["rgb"] == class_rgb(2)
    assert found["worst"] == (
        "The commonest mistake: 8.0% of pore, 80 pixels, is taken for ceramic."
    )


def test_confusion_of_an_absent_class_and_without_mistakes():
    found = results() | {"confusion": [[5, 0, 0], [0, 0, 0], [0, 0, 7]]}
    section = sections.confusion(found)
    assert [cell["share"] for cell in section["rows"][1]["cells"]] == [NONE] * 3
    assert section["worst"] == "No pixel is wrong."


def test_reliability_before_and_after_the_temperature():
    found = sections.reliability(results())
    everywhere, boundary = found["charts"]
    assert boundary["title"] == "Within 2 pixels of a boundary"
    assert everywhere["table"]["head"] == [
        "confidence", "as the network says", "at temperature 1.25",
    ]  # fmt: skip
    assert everywhere["table"]["rows"][0] == ["0.8800", "0.7000", NONE]
    assert everywhere["says"] == "Expected error 0.0500, then 0.0100."
    assert [row["cells"] for row in found["rows"]] == [["0.0400", "0.0200"]] * 3


def test_reliability_without_a_temperature_has_one_curve_and_without_bins_none():
    found = results()
    found["calibration"] |= {"temperature": None, "reason": "there is no validation part"}
    for part in (found["calibration"], found["calibration"]["boundary"]):
        part["ece"] = None
    section = sections.reliability(found)
    assert [len(chart["lines"]) for chart in section["charts"]] == [1, 1]
    assert section["words"].endswith("without a temperature: there is no validation part.")
    assert sections.reliability(untested()) is None
    assert sections.reliability(results() | {"calibration": None}) is None


def test_robustness_starts_at_the_scan_as_it_is():
    found = sections.robustness(DEGRADED)
    (chart,) = found["charts"]
    assert chart["title"] == "white noise"
    assert [row[0] for row in chart["table"]["rows"]] == ["0", "0.3", "0.6"]
    assert chart["table"]["rows"][0][1:] == ["0.8800", "0.8700"]
    assert chart["says"] == "The lowest mean IoU of the U-Net is 0.6000."
    assert len(found["rows"]) == 3
    assert found["rows"][2]["cells"] == ["0.7000", "0.6000", "0.7500", "0.6500"]
    assert found["lowest"].startswith("In 1 of 2 rows")


def test_robustness_of_the_network_alone():
    alone = {
        "planes": 3,
        "clean": {"U-Net": DEGRADED["clean"]["U-Net"]},
        "rows": [
            row | {"scores": {"U-Net": row["scores"]["U-Net"]}} for row in DEGRADED["rows"]
        ],
    }  # fmt: skip
    assert sections.robustness(alone)["lowest"] == ""
