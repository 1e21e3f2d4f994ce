import numpy as np

from xseg_jax.model.metrics import scores
from xseg_jax.report.table import results_table

NAMES = ("pore", "ceramic oxide", "metal")
UNET_KK = np.array([[900, 100, 0], [0, 2000, 0], [0, 0, 0]])
OTSU_KK = np.array([[500, 500, 0], [1000, 0, 1000], [0, 0, 0]])


def results(baseline: np.ndarray | None = OTSU_KK, **change):
    table = {"split": "test", "slices": 4, "leak": None} | scores(UNET_KK, NAMES)
    table["baseline"] = None if baseline is None else scores(baseline, NAMES)
    return table | change


def test_both_methods_stand_beside_each_other_by_class():
    lines = results_table(results()).split("\n")
    assert lines[0] == "test: 4 slices, 3,000 pixels"
    assert lines[2].split() == ["U-Net", "thresholding"]
    assert lines[3].split() == ["precision", "recall", "f1", "iou"] * 2
    rows = {line[:13].strip(): line[13:].split() for line in lines[4:8]}
    assert rows == {
        # Precision 900 / 900, recall 900 / 1000, F1 1800 / 1900, IoU 900 / 1000; and so on.
        "pore": ["1.0000", "0.9000", "0.9474", "0.9000", "0.3333", "0.5000", "0.4000", "0.2500"],
        "ceramic oxide": ["0.9524", "1.0000", "0.9756", "0.9524", *["0.0000"] * 4],
        "metal": ["-"] * 4 + ["0.0000"] * 4,
        "macro mean": [
            "0.9762", "0.9500", "0.9615", "0.9262", "0.1111", "0.1667", "0.1333", "0.0833",
        ],
    }  # fmt: skip
    assert "pixel accuracy: U-Net 0.9667, thresholding 0.1667" in lines


def test_columns_are_aligned():
    lines = results_table(results()).split("\n")
    assert {len(line) for line in lines[2:8]} == {13 + 2 * 4 * 11}
    ends = [lines[3].index("iou") + 3, len(lines[3])]
    assert [lines[2].index("U-Net") + 5, len(lines[2])] == ends


def test_absent_classes_are_named_with_their_method():
    text = results_table(results())
    note = "U-Net: absent in truth and prediction, not in the macro mean: metal"
    assert note in text
    assert "thresholding: absent" not in text
    assert "absent" not in results_table(results(**scores(OTSU_KK, NAMES)))


def test_without_a_baseline_the_table_says_why():
    text = results_table(results(baseline=None))
    assert "thresholding: not defined for more than 8 classes" in text
    assert text.split("\n")[2].split() == ["U-Net"]
    assert "pixel accuracy: U-Net 0.9667\n" in text


def test_leak_is_told_where_it_was_measured():
    leak = {"agreement": 0.81234, "chance": 0.5, "nearest": "z"}
    text = results_table(results(leak=leak))
    assert text.endswith(
        "\nleak: labels agree with the nearest training slice by 0.812, by chance 0.500"
    )
    assert "leak" not in results_table(results())
    assert "leak" not in results_table(results(leak={"agreement": None, "chance": None}))


def test_what_was_not_tested_says_so():
    table = results_table({"split": "none", "slices": 0})
    assert table.startswith("not tested: the network was trained on every label")


def test_a_test_within_slices_says_so_and_how_far_its_parts_are():
    leak = {"agreement": 0.8, "chance": 0.4, "nearest": "within", "smallest_distance": 7}
    said = results_table(results(split="test within the labelled slices", leak=leak))
    assert said.startswith("test within the labelled slices: 4 slices")
    assert "labels agree at the distance of the parts, 7 voxels, by 0.800, by chance 0.400" in said


def test_planes_between_those_of_training_have_a_line():
    between = {"slices": 37} | scores(UNET_KK, NAMES)
    said = results_table(results(between=between)).split("\n")
    assert (
        "between the training slices, on 37 others: pixel accuracy 0.9667, mean IoU 0.9262" in said
    )
