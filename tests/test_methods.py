import copy

import pytest
from result_folders import untested, whole_run, write_results

from configs import default, scan
from xseg_jax.data.intensity import KINDS as GREY_KINDS
from xseg_jax.data.splits import KINDS
from xseg_jax.model.augment import FLIPS
from xseg_jax.model.losses import LOSSES
from xseg_jax.report import methods, recipe_words
from xseg_jax.report.numbers import TIMES
from xseg_jax.report.run_folder import RunFolder
from xseg_jax.report.sources import IN_TEXT, SOURCES
from xseg_jax.training.state import SCHEDULES


def text_of(folder, **files):
    found = RunFolder.read(write_results(folder, whole_run() | files))
    return methods.methods_text(found)


def test_a_run_in_words(tmp_path):
    text, sources = text_of(tmp_path)
    for said in (
        f"synthetic tomogram of 240 slices of 256 {TIMES} 256 voxels",
        "3 for training, 1 for validation and 4 for testing",
        "50 voxels apart or more",
        "pore 30.0%, ceramic 50.0%, metal 20.0%",
        "U-Net (Ronneberger et al. 2015) of 16, 32, 64 and 128 features on its 4 levels",
        "482,483 parameters",
        f"10 epochs of 400 crops (8 steps), in batches of 16 crops of 128 {TIMES} 128 pixels",
        "Adam (Kingma and Ba 2015) at a constant learning rate of 0.001",
        "minimised cross-entropy.",
        "augmented by mirror images and quarter turns",
        "highest mean IoU on the validation slices was used",
        "random forest on multi-scale filters (Breiman 2001), ",
        "temperature of 1.25 (Guo et al. 2017)",
        "xseg_jax, commit 0123456789ab, with jax 0.10.2",
    ):
        assert said in text
    assert "{" not in text
    assert "None" not in text
    assert sources[0] == SOURCES["unet"]
    assert SOURCES["adamw"] not in sources


def test_each_citation_has_its_source_and_no_source_is_idle(tmp_path):
    text, sources = text_of(tmp_path)
    cited = {key for key, short in IN_TEXT.items() if short in text}
    assert {SOURCES[key] for key in cited} == set(sources)


def test_every_choice_of_a_config_has_its_words():
    assert set(methods.SPLITS) == set(KINDS) - {"auto"}
    assert set(recipe_words.LOSSES) == set(LOSSES)
    assert set(recipe_words.SCHEDULES) == set(SCHEDULES)
    assert set(recipe_words.GREY_SCALES) == set(GREY_KINDS)
    assert set(recipe_words.FLIPS) == set(FLIPS) - {"none"}


def test_a_split_that_is_drawn_names_its_seed(tmp_path):
    data = whole_run()["data.json"] | {"split_kind": "group"}
    config = whole_run()["config.json"]
    config["data"]["split"] |= {"kind": "group", "seed": 17}
    text, _ = text_of(tmp_path / "drawn", **{"data.json": data, "config.json": config})
    assert "groups of images that belong together, drawn by seed 17: " in text
    del config["data"]["split"]["seed"]  # Of an earlier version.
    text, _ = text_of(tmp_path / "earlier", **{"data.json": data, "config.json": config})
    assert "groups of images that belong together: " in text


def test_what_another_config_does_is_said(tmp_path):
    config = scan.get_config()
    config.data.update({"source": "folder", "images": "/home/somebody/cell.tif", "context": 1})
    config.optimizer.weight_decay = 0.01
    config.loss.name = "cross_entropy_dice"
    text, sources = text_of(tmp_path, **{"config.json": config.to_dict()})
    assert "the images of cell.tif" in text
    assert "/home/somebody" not in text
    assert "sees 3 neighbouring slices" in text
    assert "AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019)" in text
    assert "a weight decay of 0.01" in text
    assert "the Dice loss (Milletari et al. 2016)" in text
    assert "The last checkpoint was used" in text
    assert f"each with a chance of {config.augment.chance:g}" in text
    assert SOURCES["dice"] in sources


@pytest.mark.parametrize("norm", ["none", "group", "instance"])
def test_normalisation_layers(tmp_path, norm):
    config = default.get_config()
    config.model.norm = norm
    text, _ = text_of(tmp_path, **{"config.json": config.to_dict()})
    assert ("without normalisation layers, with" if norm == "none" else f"with {norm} norm") in text


def test_a_run_that_was_not_tested_says_so(tmp_path):
    files = whole_run()
    data = copy.deepcopy(files["data.json"]) | {"split_kind": "none"}
    data["split"] = {"train": ["s0", "s1"], "validation": [], "test": [], "between": []}
    text, _ = text_of(tmp_path, **{"results.json": untested(), "data.json": data})
    assert "All 2 labelled slices trained the network." in text
    assert "Nothing was left to test the network on." in text


def test_an_evaluation_names_run_and_images_but_no_folders(tmp_path):
    evaluation = {"run": "/home/a/runs/cell", "step": 8, "input": "/home/a/other.tif"}
    files = dict.fromkeys(whole_run()) | {"results.json": whole_run()["results.json"]}
    found = RunFolder.read(write_results(tmp_path, files | {"evaluation.json": evaluation}))
    text, _ = methods.methods_text(found)
    assert text.startswith(
        "The network of the run cell (step 8) was scored on 4 labelled images of"
    )
    assert "other.tif" in text
    assert "/home" not in text


def test_how_to_cite(tmp_path):
    results = whole_run()["results.json"]
    found = methods.citation(results, ["a source"])
    assert found["bibtex"].count("{") == found["bibtex"].count("}")
    assert "0123456789abcdef0123" in found["text"]
    assert "Commit" not in methods.citation(results | {"git_commit": None}, [])["bibtex"]
