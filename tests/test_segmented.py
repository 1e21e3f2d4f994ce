"""modes/segmented.py: what a segmented volume says of itself."""

import json

import numpy as np
import pytest
import tifffile

from configs import scan as scan_config
from xseg_jax.data.labels import LabelMap
from xseg_jax.errors import InputError
from xseg_jax.modes import measure
from xseg_jax.modes.segmented import (
    images_of,
    label_map_of,
    maker_of,
    own_test,
    record_of,
    refuse_map,
    trained_on,
)
from xseg_jax.training.runlog import write_json

MADE = {
    "run": "/home/me/runs/scan", "step": 300, "input": "/home/me/data/scan.tif",
    "classes": [{"value": v, "name": n} for v, n in ((0, "air"), (1, "clay"), (2, "quartz"))],
}  # fmt: skip
LUNGS = {"classes": [{"value": 0, "name": "background"}, {"value": 1, "name": "lung"}]}


def config_of(**data):
    config = scan_config.get_config()
    config.update_from_flattened_dict({f"data.{name}": value for name, value in data.items()})
    return config


def radiographs(folder, names, record=None, sizes=(8,)):
    """Label images with a lung in more and more of each."""
    folder.mkdir()
    for n, name in enumerate(names):
        label_HW = np.zeros((10, sizes[n % len(sizes)]), np.uint8)
        label_HW[: n + 1] = 1
        tifffile.imwrite(folder / f"{name}.tif", label_HW)
    if record is not None:
        (folder / "prediction.json").write_text(json.dumps(record))
    return folder


def test_a_record_stands_beside_a_volume_or_in_a_folder(tmp_path):
    assert record_of(tmp_path / "a.tif") == {}
    (tmp_path / "a.tif.json").write_text(json.dumps(MADE))
    assert record_of(tmp_path / "a.tif") == MADE
    folder = radiographs(tmp_path / "out", "ab", MADE)
    assert record_of(folder) == MADE


def test_the_run_and_the_scan_are_named_without_their_folders(tmp_path):
    assert maker_of({"classes": []}) is None
    assert maker_of(MADE) == {
        "runs": [{"run": "scan", "step": 300}], "scan": "scan.tif", "network": "U-Net",
    }  # fmt: skip
    run = tmp_path / "scan_1"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"model": {"features": [4, 8]}}))
    both = MADE | {"run": str(run), "others": [{"run": "/x/scan_2", "step": 5}]}
    found = maker_of(both)
    assert found is not None
    assert found["network"] == "mean of 2 U-Nets of 4, 8 features"
    assert [one["run"] for one in found["runs"]] == ["scan_1", "scan_2"]


@pytest.mark.parametrize(
    ("names", "record", "kind", "independent"),
    [
        (("JP001", "JP002", "JP003"), None, "auto", False),
        (("JP001", "JP002", "JP003"), {"planes": "image"}, "auto", True),
        (("JP001", "JP002", "JP003"), {"planes": "slice"}, "auto", False),
        (("JP001", "JP002", "JP003"), None, "group", True),
        (("anna", "bert", "cleo"), None, "auto", True),
    ],
)
def test_images_that_are_no_slices_are_known_where_something_says_so(
    tmp_path, names, record, kind, independent
):
    folder = radiographs(tmp_path / "out", names, record)
    found = images_of(config_of(**{"split.kind": kind}), folder, record_of(folder))
    assert [path.stem for path in found] == (list(names) if independent else [])
    assert images_of(config_of(), folder / f"{names[0]}.tif", {}) == []


def test_values_that_are_ignored_are_no_classes():
    planes = [np.array([[0, 1, 2]])]
    whole = label_map_of(config_of(), "a.tif", MADE, planes)
    assert whole.names == ("air", "clay", "quartz")
    assert label_map_of(config_of(ignore="0"), "a.tif", MADE, planes).names == ("clay", "quartz")
    assert label_map_of(config_of(ignore="0"), "a.tif", {}, planes).names == ("1", "2")


def test_values_that_a_run_has_merged_are_one_class_of_its_labels_too(tmp_path):
    known = LabelMap.parse("0:rest,1:lung,2:lung,3:heart", "9")
    write_json(tmp_path / "data.json", {"label_map": known.to_json()})
    written = [
        {"value": value, "name": name} for value, name in ((0, "rest"), (1, "lung"), (3, "heart"))
    ]
    record = {"classes": written, "run": str(tmp_path)}
    found = label_map_of(config_of(), "a.tif", record, [])
    assert found.names == ("rest", "lung", "heart")
    label_HW = np.array([[0, 1, 2, 3, 9]])
    assert found.encode(label_HW, "a.tif").tolist() == [[0, 1, 1, 2, 255]]
    moved = label_map_of(config_of(), "a.tif", record | {"run": str(tmp_path / "gone")}, [])
    assert moved.encode(label_HW[:, [0, 1, 3]], "a.tif").tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("sizes", [(8,), (8, 12)])
def test_areas_of_images_are_measured_and_nothing_of_a_volume(tmp_path, sizes, capsys):
    folder = radiographs(tmp_path / "out", "abcdef", LUNGS, sizes)
    true = radiographs(tmp_path / "true", "abcdef", None, sizes)
    found = measure.run(folder, tmp_path / "measured", config=config_of(), labels=str(true))
    rows = {(row["quantity"], row["phase"]): row for row in found["quantities"]}
    assert set(rows) == {("area_fraction", "background"), ("area_fraction", "lung")}
    wide = [sizes[n % len(sizes)] for n in range(6)]
    share = sum((n + 1) * w for n, w in enumerate(wide)) / (10 * sum(wide))
    lung = rows["area_fraction", "lung"]
    assert (lung["value"], lung["against"]["error"]) == (pytest.approx(share), 0)
    assert lung["interval"] == "95%, 6 images"
    assert (found["independent"], found["prediction"]) == (True, None)
    said = capsys.readouterr().out
    assert "areas in 6 images" in said
    assert "volume" not in said.replace("no slices of one volume", "")
    with pytest.raises(InputError, match="labels have other sizes than the images"):
        measure.run(
            folder, tmp_path / "other", config=config_of(),
            labels=str(radiographs(tmp_path / "more", "abcdefg", None, sizes)),
        )  # fmt: skip


def test_a_measurement_names_who_has_segmented(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 3, (20, 20, 20), np.uint8))
    (tmp_path / "a.npy.json").write_text(json.dumps(MADE))
    changes = {"data.ignore": "0"}
    found = measure.run(
        tmp_path / "a.npy", tmp_path / "out", config=config_of(ignore="0"), changes=changes,
        quantities="fractions",
    )  # fmt: skip
    assert [row["phase"] for row in found["quantities"]] == ["clay", "quartz"]
    assert found["prediction"]["runs"] == [{"run": "scan", "step": 300}]
    assert "run:  scan (step 300), U-Net, has segmented scan.tif\n" in capsys.readouterr().out


def test_what_the_run_was_off_by_in_its_own_test_is_told(tmp_path):
    """An interval over places does not say what the segmentation does."""
    against = {"truth": 0.04, "error": -0.864, "baselines": {"forest": {"error": 0.1}}}
    row = {"quantity": "volume_fraction", "label": "volume fraction", "phase": "clay", "with": None,
           "axis": None, "against": against}  # fmt: skip
    write_json(
        tmp_path / "measured.json", {"dimension": 2, "shape": [2, 8, 8], "quantities": [row]}
    )
    assert own_test({"run": str(tmp_path)}) == (
        "in the run's own test, largest error of a phase, from 2 slices: U-Net: volume fraction "
        "86.4% (clay)"
    )
    assert own_test({"run": str(tmp_path / "gone")}) == own_test({}) == ""


def test_labels_of_the_scan_that_trained_the_network_are_no_test(tmp_path):
    (tmp_path / "scan" / "images").mkdir(parents=True)
    data = {"images": "", "root": str(tmp_path / "scan")}
    write_json(tmp_path / "config.json", {"data": data})
    write_json(tmp_path / "data.json", {"split": {"train": ["a", "b"], "test": ["c"]}})
    record = {"run": str(tmp_path), "input": str((tmp_path / "scan" / "images").resolve())}
    assert trained_on(record) == 2
    assert trained_on(record | {"input": "/elsewhere"}) == 0
    assert trained_on({}) == 0
    write_json(tmp_path / "config.json", {"data": {"images": "", "root": ""}})  # A phantom.
    assert trained_on(record) == 0


def test_maps_are_no_labels(tmp_path):
    labels = radiographs(tmp_path / "out", "ab", LUNGS)
    for name in ("uncertainty", "probabilities", "disagreement_of_runs"):
        with pytest.raises(
            InputError, match=rf"out_{name}: holds the {name} of .*out, and no labels"
        ):
            refuse_map(tmp_path / f"out_{name}")
    refuse_map(labels)
    refuse_map(tmp_path / "mine_uncertainty")
