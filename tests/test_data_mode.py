"""From config.data to facts: what is refused or said before any training."""

import json
import logging
import re
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from configs import tiny
from xseg_jax.data.planes import Place
from xseg_jax.data.splits import Split
from xseg_jax.errors import InputError
from xseg_jax.modes import data, evaluate, fit, predict, train
from xseg_jax.modes.inputs import sources_of, split_at, split_in_words
from xseg_jax.training.runlog import read_json, read_metrics

pytestmark = pytest.mark.usefixtures("no_pictures")

draw_history = fit.draw_history  # Before no_pictures takes it away.

SLICES = 12  # Training 0 to 5, validation 7, test 9 to 11.


def scan(write, root, *, image=lambda z, x: x, label=lambda z, x: x):
    """Two phases that grey values tell apart, changed by z."""
    rng = np.random.default_rng(0)
    for z in range(SLICES):
        label_HW = rng.integers(0, 2, (12, 12)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
        grey_HW = (0.35 + 0.02 * label_HW + rng.normal(0, 0.005, (48, 48))).astype(np.float32)
        write(root / "images" / f"slice_{z:03d}.tif", image(z, grey_HW))
        write(root / "labels" / f"slice_{z:03d}.tif", label(z, label_HW))
    return root


def config_of(root, prepared, **changes):
    config = tiny.get_config()
    config.epochs = 1
    config.model.features = (4,)
    config.data.source = "folder"
    config.data.root = str(root)
    config.data.prepared_dir = str(prepared)
    config.data.split.gap = 1
    config.update_from_flattened_dict(changes)
    return config


def test_parts_that_are_drawn_among_all_are_no_ranges(capsys):
    """As if images between the first and the last of training had been tested as well."""
    names = [f"chest_{n}" for n in range(7)]
    fields = {"names": names, "label_map": "0 -> 0 lung", "__len__": lambda _: len(names)}
    planes: Any = type("Planes", (), fields)()
    drawn = Split((0, 2, 4, 6), (1,), (3, 5), kind="group")
    data.say_split(tiny.get_config(), planes, drawn, 0)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "train: 4 images, chest_0, chest_2 and 2 more, drawn at random among all",
        "validation: 1 image, chest_1",
        "test: 2 images, chest_3, chest_5",
    ]
    data.say_split(tiny.get_config(), planes, Split((0, 1, 2), (3,), (4, 5, 6), kind="z"), 0)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "train: 3 slices, chest_0 to chest_2", "validation: 1 slice, chest_3",
        "test: 3 slices, chest_4 to chest_6",
    ]  # fmt: skip


PARTS = {"train": range(6), "validation": (7,), "test": range(9, 12)}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_without_a_labelled_pixel_is_refused(write, prepared, tmp_path, part):
    root = scan(
        write, tmp_path / "scan", label=lambda z, x: x if z not in PARTS[part] else 0 * x + 255
    )
    with pytest.raises(InputError, match=rf"all pixels of the {part} slices, slice_0.*value 255"):
        train.run(config_of(root, prepared, **{"data.ignore": "255"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_class_in_training_is_refused(write, prepared, tmp_path):
    root = scan(write, tmp_path / "scan", label=lambda z, x: x if z > 5 else 0 * x)
    with pytest.raises(InputError, match="training slices have pixels of '0' alone, and none of 1"):
        train.run(config_of(root, prepared), tmp_path / "run")


def test_a_class_absent_in_training_is_named_and_thresholding_not_defined(
    write, prepared, tmp_path, caplog, capsys
):
    root = scan(write, tmp_path / "scan", label=lambda z, x: np.where((z > 5) & (x > 0), 2 * x, x))
    (root / "labels" / "slice_003.tif").unlink()
    (root / "images" / "slice_003.tif").unlink()
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        results = train.run(config_of(root, prepared), tmp_path / "run")
    assert "no training slice has a pixel of 2: it will never be predicted" in caplog.text
    assert results["baselines"]["thresholding"] is None
    assert "thresholding: not defined" in capsys.readouterr().out


def test_planes_held_out_are_scored_and_nothing_is_measured_on_them(
    write, prepared, tmp_path, capsys
):
    def hot(z, image_HW):  # The planes that are held out, 1 and 4, are unlike the others.
        return image_HW * np.float32(1 + 9 * (z in (1, 4)))

    root = scan(write, tmp_path / "scan", image=hot, label=lambda z, x: x * (z not in (1, 4)))
    results = train.run(config_of(root, prepared, **{"data.split.between": 3}), tmp_path / "run")
    said = capsys.readouterr().out
    assert "\ntrain: 4 slices, slice_000 to slice_005\n" in said
    assert "\nbetween: 2 slices held out (split.between), scored but not trained on\n" in said
    facts = read_json(tmp_path / "run" / "data.json")
    assert facts["split"]["train"] == [f"slice_{z:03d}" for z in (0, 2, 3, 5)]
    assert facts["split"]["between"] == ["slice_001", "slice_004"]
    assert sum(facts["train_pixels"]) == 4 * 48 * 48
    assert facts["grey_scales"]["shared"]["mean"] < 0.4
    assert max(np.abs(facts["thresholds"]["thresholds"])) < 3  # Standard deviations.
    assert results["between"]["slices"] == 2
    # All of them is class 0.
    assert np.sum(results["between"]["confusion"], axis=1).tolist() == [2 * 48 * 48, 0]
    accuracy = f"{results['between']['accuracy']:.4f}"
    assert f"between the training slices, on 2 others: pixel accuracy {accuracy}, mean" in said


def test_a_class_that_is_held_out_alone_and_one_that_is_not_labelled_are_named(
    write, prepared, tmp_path, caplog
):
    every = {"data.split.between": 3}
    root = scan(write, tmp_path / "a", label=lambda z, x: np.where((z == 4) & (x > 0), 2, x))
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        train.run(config_of(root, prepared, **every), tmp_path / "run")
    assert "no training slice has a pixel of 2: it will never be predicted" in caplog.text
    assert "or hold none out with --config.data.split.between=0" in caplog.text
    root = scan(write, tmp_path / "b", label=lambda z, x: x if z not in (1, 4) else 0 * x + 255)
    config = config_of(root, prepared, **every, **{"data.ignore": "255"})
    with pytest.raises(
        InputError,
        match=r"all pixels of the between slices, slice_001 to slice_004, are ignored.*between=0$",
    ):
        train.run(config, tmp_path / "other")


def test_steps_without_a_labelled_pixel_have_no_loss_and_end_nothing(
    write, prepared, tmp_path, monkeypatch
):
    """A scribble that few crops meet."""
    monkeypatch.setattr(fit, "draw_history", draw_history)

    def scribble(z, label_HW):
        sparse_HW = np.full_like(label_HW, 255)
        if z in (0, 7, 9):
            sparse_HW[:4, :8] = label_HW[:4, :8]
            sparse_HW[0, :2] = (0, 1)
        return sparse_HW

    root = scan(write, tmp_path / "scan", label=scribble)
    config = config_of(root, prepared, **{"data.ignore": "255"})
    config.batch_size, config.data.crops_per_epoch, config.epochs = 1, 6, 3
    config.data.crop, config.log_every = 32, 1
    config.parallel.mode = "jit"
    train.run(config, tmp_path / "run")
    lines = [row for row in read_metrics(tmp_path / "run") if row["split"] == "train"]
    without = [row for row in lines if row["pixels"] == 0]
    assert len(lines) == 18
    assert 9 < len(without) < 18
    assert all("loss" not in row and "accuracy" not in row for row in without)
    assert all(0 < row["loss"] < 10 for row in lines if row["pixels"])
    assert (tmp_path / "run" / "figures" / "history.png").exists()


def test_an_epoch_without_a_labelled_pixel_is_left_out_of_the_curves(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(fit.figures, "history", lambda path, records, *rest: drawn.extend(records))
    rows = [
        {"step": 1, "split": "train", "epoch": 1, "weight": 0.0, "pixels": 0.0},
        {"step": 2, "split": "train", "epoch": 2, "loss": 0.5, "accuracy": 0.7, "weight": 9.0,
         "pixels": 9.0},
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw_history(tmp_path, 2, ("png",))
    assert drawn == [{"split": "train", "epoch": 2, "loss": 0.5, "accuracy": 0.7}]


def ours(caplog):
    """Messages of this package's warnings about data, but that planes of chance are no slices."""
    found = [
        one.getMessage()
        for one in caplog.records
        if one.name.startswith("xseg_jax") and one.name != fit.__name__
    ]
    return [one for one in found if not one.endswith("--config.data.split.kind=group")]


def hot(value, places):
    def change(z, image_HW):
        image_HW = image_HW.copy()
        if z == 2:
            image_HW.flat[:places] = value
        return image_HW

    return change


@pytest.mark.parametrize(("value", "places"), [(1e4, 1), (1e7, 1), (-3.4e38, 9), (3e38, 2)])
def test_hot_pixels_do_not_ruin_training_and_are_named(
    write, prepared, tmp_path, caplog, value, places
):
    root = scan(write, tmp_path / "hot", image=hot(value, places))
    config = config_of(root, prepared, epochs=4)
    config.data.crops_per_epoch, config.optimizer.learning_rate = 64, 0.01
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        results = train.run(config, tmp_path / "run")
    assert results["accuracy"] > 0.95
    (said,) = ours(caplog)
    assert said.startswith(f"slice_002: holds {places} grey value{'s' * (places > 1)} far")
    assert read_json(tmp_path / "run" / "data.json")["grey_scales"]["shared"]["std"] < 0.02


def test_images_unlike_training_are_named_at_prediction(write, prepared, tmp_path, caplog):
    root = scan(write, tmp_path / "scan")
    train.run(config_of(root, prepared), tmp_path / "run")
    alike = scan(write, tmp_path / "alike")
    dim = scan(write, tmp_path / "dim", image=lambda z, x: x / np.float32(16))
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        predict.run(tmp_path / "run", alike / "images", tmp_path / "1", probabilities=False)
        assert ours(caplog) == []
        predict.run(tmp_path / "run", dim / "images", tmp_path / "2", probabilities=False)
    first, more = ours(caplog)
    assert "slice_000.tif: grey values have mean 0.022" in first
    assert "those of training 0.36" in first
    assert "normalize=scan" in first
    assert more == "grey values of 12 images in all are unlike training's"


@pytest.mark.parametrize("normalize", ["scan", "image"])
def test_scans_unlike_training_are_named_whatever_their_grey_scale(
    write, prepared, tmp_path, caplog, normalize
):
    root = scan(write, tmp_path / "scan")
    run = tmp_path / "run"
    train.run(config_of(root, prepared, **{"data.normalize": normalize}), run)
    dim = scan(write, tmp_path / "dim", image=lambda z, x: x / np.float32(16))
    blurred = scan(write, tmp_path / "blurred", image=lambda z, x: gaussian_filter(x, 4))
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        predict.run(run, dim / "images", tmp_path / "1", probabilities=False)
        assert ours(caplog) == []
        predict.run(run, blurred / "images", tmp_path / "2", probabilities=False)
        evaluate.run(run, blurred, tmp_path / "3")
    first, again = ours(caplog)
    assert first == again
    assert first.startswith("images: grey values lie 0.")
    assert f"{run} has not seen the like: score it" in first


@pytest.mark.parametrize(
    ("imaged", "expected", "alone"),
    [(range(12), 2, 0), (range(0, 36, 3), 0, 0), ((*range(8), 11, 14, 17, 20), 2, 4)],
)
def test_a_network_looks_at_neighbours_where_training_slices_have_them(
    write, prepared, tmp_path, caplog, imaged, expected, alone
):
    root = scan(write, tmp_path / "scan")
    for z in reversed(range(SLICES)):
        for folder in ("images", "labels"):
            path = root / folder / f"slice_{z:03d}.tif"
            path.rename(path.with_name(f"slice_{imaged[z]:03d}.tif"))
    config = config_of(root, prepared, **{"data.context": 2, "data.split.gap": 0})
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        train.run(config, tmp_path / "run")
        trained = "\n".join(ours(caplog))
        caplog.clear()
        evaluate.run(tmp_path / "run", root, tmp_path / "evaluated")
    assert read_json(tmp_path / "run" / "data.json")["context"] == expected
    warned = "config.data.context=2: 7 of 7 training slices lack neighbours, slice_000 for one; so"
    assert (warned in trained) == (expected == 0)
    missing = (
        f"{alone} of 12 slices lack neighbours, slice_011 for one, and the network was trained"
    )
    assert (missing in "\n".join(ours(caplog))) == bool(alone)


@pytest.mark.parametrize(("context", "expected"), [(1, 0), (2, 2)])
def test_slices_that_are_not_imaged_are_no_neighbours(prepared, caplog, context, expected):
    config = tiny.get_config()  # Every second slice is imaged.
    config.data.update({"prepared_dir": str(prepared), "context": context})
    assert data.open_data(config).context == expected
    assert len(ours(caplog)) == (expected == 0)


def test_files_left_out_are_named_once_in_every_mode(write, prepared, tmp_path, caplog):
    root = scan(write, tmp_path / "scan")
    for name in ("images/raw.dcm", "images/scan.log", "labels/notes.txt", "images/Thumbs.db"):
        (root / name).touch()
    some = f"{root / 'images'}: 2 files are of no kind that is read here, or hidden, and left out: "
    expected = {some + "raw.dcm, scan.log"}
    one = f"{root / 'labels'}: 1 file is of no kind that is read here, or hidden, and left out: "

    def notices(run, *arguments, **options):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "xseg_jax"):
            run(*arguments, **options)
        found = [record.getMessage() for record in caplog.records]
        found = [message for message in found if "left out" in message]
        assert len(set(found)) == len(found)
        return set(found)

    workdir = tmp_path / "run"
    assert notices(train.run, config_of(root, prepared), workdir) == expected | {one + "notes.txt"}
    assert notices(evaluate.run, workdir, root, tmp_path / "e") == expected | {one + "notes.txt"}
    images = root / "images"
    assert notices(predict.run, workdir, images, tmp_path / "p", probabilities=False) == expected


def test_decimal_numbers_are_refused_before_files_are_read(write, prepared, tmp_path, monkeypatch):
    for z in range(SLICES):
        for folder in ("images", "labels"):
            write(tmp_path / folder / f"slice_z{z / 4:.2f}mm.tif", np.zeros((4, 4), np.uint8))
    monkeypatch.setattr(data, "prepare_scans", lambda *arguments, **options: pytest.fail("read"))
    for kind in ("auto", "z"):
        config = config_of(tmp_path, prepared, **{"data.split.kind": kind})
        with pytest.raises(InputError, match=r"no whole slice number in the name.*number_pattern"):
            train.run(config, tmp_path / "run")


def sides(write, root):
    """Two blocks of one grey value, left and right."""
    label_HW = np.zeros((48, 48), np.uint8)
    label_HW[8:40, 4:20], label_HW[8:40, 28:44] = 1, 2
    noise = np.random.default_rng(0).normal(0, 0.01, (SLICES, 48, 48))
    for z in range(SLICES):
        grey_HW = (0.35 + 0.1 * (label_HW > 0) + noise[z]).astype(np.float32)
        write(root / "images" / f"slice_{z:03d}.tif", grey_HW)
        write(root / "labels" / f"slice_{z:03d}.tif", label_HW)
    return root


def test_mirroring_that_makes_left_right_is_warned_of(
    write, prepared, tmp_path, caplog, monkeypatch
):
    class Trains(Exception):
        pass

    def trains(*arguments):
        raise Trains

    monkeypatch.setattr(train, "fit", trains)  # All is said before.
    root = sides(write, tmp_path / "scan")
    config = config_of(root, prepared, **{"data.classes": "0:around,1:left,2:right"})
    with pytest.raises(Trains):
        train.run(config, tmp_path / "both")
    (line,) = (one for one in caplog.messages if "classes into each other" in one)
    assert "horizontal: 100% of left lies where right was, 0% where it was itself" in line
    remedies = {"augment.flip": "vertical", "augment.rotate90": False}
    assert all(f"--config.{field}={value}" in line for field, value in remedies.items())
    caplog.clear()
    config.update_from_flattened_dict(remedies)
    with pytest.raises(Trains):
        train.run(config, tmp_path / "vertical")
    assert "classes into each other" not in caplog.text


def test_a_class_that_is_never_predicted_is_named_after_every_epoch(
    write, prepared, tmp_path, caplog
):
    root = sides(write, tmp_path / "scan")
    config = config_of(root, prepared, **{
        "data.classes": "0:around,1:left,2:right", "optimizer.learning_rate": 1e-30, "epochs": 2,
        "model.norm": "none", "model.features": (4, 8),
    })  # fmt: skip
    train.run(config, tmp_path / "run")
    lines = [one for one in caplog.messages if "is predicted to be" in one]
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    results = read_json(tmp_path / "run" / "results.json")
    lost = [name for name, row in results["per_class"].items() if not row["recall"]]
    assert lost
    assert all(name in lines[0] for name in lost)


def split_of(config, count, step=1):
    names = [f"slice_{n * step:03d}" for n in range(count)]
    places = [Place("scan", 0, n * step) for n in range(count)]
    return split_at(config, names, places)


@pytest.mark.parametrize(
    ("changes", "unlabelled", "said"),
    [
        ({"data.split.gap": 5}, 0, "10 slices in gaps of 5 voxels (split.gap)"),
        ({"data.split.gap": 0}, 0, ""),
        ({"data.split.gap": 0}, 1, "1 slice without a label (skip_unlabelled)"),
        (
            {"data.split.gap": 5, "data.train_slices": 2},
            7,
            "10 slices in gaps of 5 voxels (split.gap), 8 slices left out by train_slices=2, "
            "7 slices without a label (skip_unlabelled)",
        ),
        (
            {"data.split.train": (0, 9), "data.split.validation": (20, 24),
             "data.split.test": (30, 35), "data.split.gap": 5},
            0,
            "19 slices outside the ranges of split.train, validation and test",
        ),
        ({"data.split.kind": "group"}, 0, ""),
        ({"data.split.kind": "none"}, 0, ""),
    ],
)  # fmt: skip
def test_slices_that_no_part_has_are_counted_by_what_leaves_them_out(changes, unlabelled, said):
    config = tiny.get_config()
    config.update_from_flattened_dict({"data.skip_unlabelled": True} | changes)
    split = split_of(config, 40)
    assert data.not_used(config, split, 40, unlabelled) == said
    line = split_in_words(config, split, 40, unlabelled)
    assert line.partition("; not used: ")[2] == said
    parts = {**split.parts(), "between": split.between}
    told = re.findall(
        r"(\d+)(?: slices?| images?| held out)?(?: in)? (train|validation|test|between)\b", line
    )
    assert {part: int(count) for count, part in told} == {
        part: len(indices) for part, indices in parts.items() if indices
    }
    counted = sum(map(len, (*split.parts().values(), split.between, split.spared)))
    numbers = [int(number) for number in re.findall(r"(\d+) slices? (?!without)", said)]
    assert counted + sum(numbers) - len(split.spared) == 40


def test_images_that_are_no_slices_are_told_how_to_be_split(write, tmp_path, caplog):
    rng = np.random.default_rng(0)
    base_HW = rng.integers(0, 200, (32, 32))
    for n in range(12):
        slices_HW = np.roll(base_HW, n, axis=1).astype(np.uint8)
        write(tmp_path / "slices" / f"s_{n:03d}.png", slices_HW.repeat(8, 0).repeat(8, 1))
        image_HW = rng.integers(0, 200, (32, 32)).astype(np.uint8)
        write(tmp_path / "images" / f"s_{n:03d}.png", image_HW.repeat(8, 0).repeat(8, 1))
    config = tiny.get_config()
    for kind, folder, warned in (
        ("auto", "images", True), ("z", "images", True), ("group", "images", False),
        ("auto", "slices", False),
    ):  # fmt: skip
        config.data.split.kind = kind
        caplog.clear()
        data.warn_of_independent(config, sources_of(config, str(tmp_path / folder)))
        said = [one.message for one in caplog.records if one.levelno == logging.WARNING]
        assert len(said) == warned, (kind, folder)
        assert all(one.endswith("split them by --config.data.split.kind=group") for one in said)
