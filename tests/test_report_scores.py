import pytest
from result_folders import results, untested

from xseg_jax.report import scores


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
        (None, None, "The U-Net beside the forest: one slice was tested, and no interval is known"),
    ],
)
def test_a_verdict_that_is_no_victory(low, high, words):
    found = results()
    found["verdict"] |= {"difference": -0.02, "low": low, "high": high}
    assert scores.verdict(found)["words"] == words


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
    assert table["notes"] == ["thresholding is not defined for these data."]
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
    assert notes[-1].endswith("on 2 others: pixel accuracy 0.9000, mean IoU 0.8000.")
