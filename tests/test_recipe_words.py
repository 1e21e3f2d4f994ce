"""report/recipe_words.py: every field of a recipe stands in the Methods text."""

import copy
import importlib

import pytest
from result_folders import whole_run, write_results

from configs import default
from xseg_jax.report import recipe_words
from xseg_jax.report.methods import methods_text
from xseg_jax.report.run_folder import RunFolder
from xseg_jax.training.runlog import flatten

RECIPES = ("scan", "sandstone", "radiograph", "quick", "soc", "tiny")
SILENT = {
    # How fast and where it is computed, what is kept and drawn.
    "log_every", "checkpoint", "parallel", "report", "data.prepared_dir", "data.memory_gib",
    "model.remat", "inference.batch_size",
    # What data.json says for the run: values of classes, which planes are labelled, of which size.
    "data.classes", "data.ignore", "data.labelled", "data.number_pattern", "data.skip_unlabelled",
    "data.voxel_size", "data.labels", "data.root", "data.split.kind", "data.split.fractions",
    "data.split.between",
    # Said where another field is set.
    "data.images", "loss.focal_gamma", "loss.class_weights", "augment.chance",
    "data.split.group_pattern", "data.split.seed", "data.split.train",
    "data.split.validation", "data.split.test",
}  # fmt: skip
OTHERS = {
    "seed": 3, "epochs": 7, "batch_size": 5, "init_from": "runs/before", "data.source": "folder",
    "data.normalize": "image", "data.context": 2, "data.crop": 96, "data.crops_per_epoch": 33,
    "data.rare_fraction": 0.25, "data.train_slices": 3, "data.split.gap": 21,
    "augment.flip": "horizontal", "augment.rotate90": False, "model.features": (4, 8),
    "model.patch": 2, "model.norm": "group", "model.upsample": "resize", "model.dropout": 0.2,
    "model.skip": False, "model.dtype": "bfloat16", "loss.name": "focal",
    "optimizer.learning_rate": 2e-4, "optimizer.schedule": "cosine", "optimizer.warmup_steps": 9,
    "optimizer.clip_norm": 0.5, "optimizer.weight_decay": 0.01, "optimizer.ema_decay": 0.97,
    "optimizer.freeze_norm": 0.3, "inference.tile": 100, "inference.overlap": 10,
    "data.phantom.fractions": (0.2, 0.4, 0.4), "data.phantom.attenuation": (0.1, 0.2, 0.3),
}  # fmt: skip


def silent(field):
    return any(field == one or field.startswith(f"{one}.") for one in SILENT)


def text_of(folder, config, **data):
    files = whole_run() | {"config.json": config.to_dict()}
    files["data.json"] = files["data.json"] | data
    return methods_text(RunFolder.read(write_results(folder, files)))[0]


def changed(config, **fields):
    other = copy.deepcopy(config)
    other.update_from_flattened_dict(fields)
    return other


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_of_a_recipe_is_in_a_sentence(tmp_path, name):
    plain = default.get_config()
    recipe = importlib.import_module(f"configs.{name}").get_config()
    usual, here = flatten(plain.to_dict()), flatten(recipe.to_dict())
    text = text_of(tmp_path / "recipe", recipe)
    simulated = recipe.data.source == "phantom"
    for n, field in enumerate(field for field in here if here[field] != usual[field]):
        if not silent(field) and (simulated or not field.startswith("data.phantom.")):
            without = changed(recipe, **{field: usual[field]})
            assert text_of(tmp_path / str(n), without) != text, field


def test_every_field_that_there_is_changes_a_sentence_or_is_silent(tmp_path):
    config = default.get_config()
    text = text_of(tmp_path / "default", config)
    for n, (field, usual) in enumerate(flatten(config.to_dict()).items()):
        if silent(field):
            continue
        value = 3 * usual + 1 if type(usual) in (int, float) else None
        value = OTHERS.get(field, value)
        assert value is not None, f"{field}: say it in the Methods text, and here"
        other = text_of(tmp_path / str(n), changed(config, **{field: value}))
        assert other != text, field


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"data.rare_fraction": 0.5}, "50.0% of the crops were centred on a pixel of a class"),
        (
            {"optimizer.ema_decay": 0.99},
            "a moving average over the steps (Polyak and Juditsky 1992) with a decay of 0.99.",
        ),
        ({"optimizer.freeze_norm": 0.5}, "In the last 50.0% of the steps batch normalisation kept"),
        ({"loss.name": "focal"}, "focal loss (Lin et al. 2017) with a focusing parameter of 2."),
        ({"loss.name": "weighted_cross_entropy"}, "class-weighted cross-entropy (by inverse freq"),
        (
            {"augment.noise": 1.0, "augment.blur": 2.5},
            "turns, and by blur up to 2.5 pixels and noise up to 1 SD (SD: standard deviation of",
        ),
        ({"augment.flip": "horizontal"}, "by mirror images from left to right and quarter turns."),
        ({"data.phantom.z_step": 4}, "voxels, one in 4 of which is imaged, reconstructed"),
        (
            {"data.split.train": (0, 200), "data.split.test": (350, 400)},
            "divided by z, 0 to 200 for training and 350 to 400 for testing: 3 for",
        ),
        ({"data.source": "folder", "data.images": "/a/rock/images"}, "the images of rock/images ("),
        ({"data.train_slices": 1}, "No more than 1 slice of the training part trained the network"),
    ],
)
def test_what_is_set_is_said(tmp_path, fields, sentence):
    text = text_of(tmp_path, changed(default.get_config(), **fields))
    assert sentence in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("left", "said"), [(None, ""), (0, ""), (1, "1 slice in the gaps between them was left out.")]
)
def test_slices_in_gaps_are_said(tmp_path, left, said):
    text = text_of(tmp_path, default.get_config(), left_out=left)
    assert said in text
    assert ("left out" in text) == bool(said)


def test_names_of_folders_that_every_data_set_has():
    assert recipe_words.data_name("/a/rock/images/") == "rock/images"
    assert recipe_words.data_name("images") == "images"
    assert recipe_words.data_name("/a/rock.tif") == "rock.tif"
    assert recipe_words.listed(["a"]) == "a"
    assert recipe_words.listed([1, 2, 3]) == "1, 2 and 3"
