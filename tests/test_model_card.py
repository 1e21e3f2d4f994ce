import re
import shlex

import pytest
import yaml
from result_folders import results, untested, whole_run, write_results

from configs import default
from xseg_jax.data.intensity import KINDS as GREY_KINDS
from xseg_jax.data.splits import KINDS
from xseg_jax.report import model_card
from xseg_jax.report.run_folder import RunFolder

SECTIONS = [
    "Description", "Intended use", "Limits", "Training data", "Split", "Scores", "How it was made",
    "How to use",
]  # fmt: skip


def card_of(folder, **files):
    return model_card.model_card(RunFolder.read(write_results(folder, whole_run() | files)))


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_is_what_the_hub_reads(tmp_path):
    found = front_matter(card_of(tmp_path / "a: run"))
    assert found["library_name"] == "jax"
    assert found["pipeline_tag"] == "image-segmentation"
    assert found["metrics"] == ["accuracy", "mean_iou"]
    assert "license" not in found
    (model,) = found["model-index"]
    assert model["name"] == "a: run"
    values = {one["type"]: one["value"] for one in model["results"][0]["metrics"]}
    scores = results()
    expected = {"accuracy": round(scores["accuracy"], 4), "mean_iou": round(scores["miou"], 4)}
    assert values == expected


def test_sections_say_what_is_true_of_the_run(tmp_path):
    card = card_of(tmp_path)
    assert re.findall(r"^## (.*)$", card, re.M) == SECTIONS
    for said in (
        "482,483 parameters",
        "other heights of the same scans; other scans were not tested",
        "grey scale of the training images (uint16)",
        "white noise (0.6 spread) its mean IoU is 0.6000, on the scan as it is 0.8800",
        "| ceramic | 5,000 | 50.0% |",
        "3 slices for training, 1 slice for validation, 4 slices for testing.",
        f"| mean IoU | {results()['miou']:.4f} | {results()['baselines']['forest']['miou']:.4f} |",
        "The run warned: slice s1: holds 3 grey values",
        "--mode=predict",
    ):
        assert said in card
    assert "not calibrated" not in card


def test_every_split_and_grey_scale_has_its_limit():
    assert set(model_card.REACH) == set(KINDS) - {"auto"}
    assert set(model_card.GREY_SCALE) == set(GREY_KINDS)


def test_a_run_without_a_test(tmp_path):
    files = whole_run()
    data = files["data.json"] | {"split_kind": "none", "train_pixels": [3000, 0, 2000]}
    data["split"] = {"train": ["a"], "validation": [], "test": [], "between": []}
    missing = {"degraded.json": None, "warnings.json": None, "calibration.json": None}
    card = card_of(tmp_path, **{"results.json": untested(), "data.json": data}, **missing)
    assert "metrics" not in front_matter(card)
    assert "tested on nothing" in card
    assert "None: no label is left" in card
    assert "never seen ceramic" in card
    assert "not calibrated" in card


def test_its_command_can_be_pasted_whatever_the_folder_is_called(tmp_path):
    for name in ("plain", "two words", "$HOME `x` 'y'"):
        (tmp_path / name).mkdir()
        card = card_of(tmp_path / name)
        (line,) = re.findall(r"^python main\.py --mode=predict .*$", card, re.M)
        assert shlex.split(line)[3] == f"--workdir={name}"


def test_names_are_shown_as_they_are(tmp_path):
    odd = ("<script>", "a|b", "*c*")
    files = {"results.json": results(odd), "data.json": whole_run()["data.json"]}
    files["data.json"]["label_map"] = files["results.json"]["label_map"]
    card = card_of(tmp_path, **files)
    assert "<script>" not in card
    for name in ("&lt;script&gt;", r"a\|b", r"\*c\*"):
        assert f"| {name} |" in card


def test_an_evaluation_has_no_card(tmp_path):
    folder = RunFolder.read(write_results(tmp_path, {"results.json": results()}))
    with pytest.raises(ValueError, match="of a trained run"):
        model_card.model_card(folder)


def test_images_are_named_without_their_folder(tmp_path):
    config = default.get_config()
    config.data.update({"source": "folder", "images": "/home/somebody/cell.tif"})
    card = card_of(tmp_path, **{"config.json": config.to_dict()})
    assert "The images of cell.tif" in card
    assert "/home" not in card
    assert front_matter(card)["model-index"][0]["results"][0]["dataset"]["name"] == "cell.tif"
