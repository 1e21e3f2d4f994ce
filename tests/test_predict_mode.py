"""--mode=predict, in this process."""

import glob
import json
import logging
import os
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from configs import tiny
from xseg_jax.data.annotations import Labels
from xseg_jax.data.checks import CheckedPlanes, check
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.sources import open_sources
from xseg_jax.errors import InputError
from xseg_jax.modes import images as folder_of_images
from xseg_jax.modes import predict, train
from xseg_jax.training.runlog import read_json, write_json

SIZES = [(48, 48), (130, 40), (64, 64), (90, 100), (20, 31), (130, 40)]  # 1 to 4 tiles.


@pytest.fixture(scope="module")
def trained(prepared, no_pictures, tmp_path_factory):
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(prepared)
    config.inference.batch_size = 3
    workdir = tmp_path_factory.mktemp("run")
    train.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def images(tmp_path_factory, write):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        grey_HW = rng.integers(20000, 45000, size).astype(np.uint16)
        write(folder / f"slice_{number}.tif", grey_HW)
    return folder


def files(folder):
    """What a prediction has written: labels, and maps in folders beside."""
    beside = folder.parent.glob(f"{glob.escape(folder.name)}_*/*")
    maps = {f"{path.parent.name[len(folder.name) + 1 :]}/{path.name}": path for path in beside}
    labels = {path.name: path for path in folder.iterdir()}
    return {name: path.read_bytes() for name, path in (labels | maps).items()}


@pytest.fixture(scope="module")
def uninterrupted(trained, images, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out"
    predict.run(trained, images, output, probabilities=True)
    return files(output)


@pytest.mark.rounding
@pytest.mark.parametrize("done", [1, 2, 5, 8, 11])
def test_an_interrupted_prediction_ends_with_the_same_bytes(
    trained, images, uninterrupted, tmp_path, monkeypatch, done
):
    """After so many files, a label or the probabilities of an image each."""
    write_image, written = folder_of_images.write_image, []
    output = tmp_path / "out"

    def dies(path, array, **about):
        if len(written) == done:
            raise KeyboardInterrupt
        written.append(path)
        write_image(path, array, **about)

    monkeypatch.setattr(folder_of_images, "write_image", dies)
    with pytest.raises(KeyboardInterrupt):
        predict.run(trained, images, output, probabilities=True)
    pictures = [name for name in files(output) if name.endswith(".tif")]
    assert len(pictures) == done
    monkeypatch.setattr(folder_of_images, "write_image", write_image)
    predict.run(trained, images, output, probabilities=True)
    assert files(output) == uninterrupted
    assert len(uninterrupted) == 2 * len(SIZES) + 3  # A claim, and a record of each folder.


def test_predictions_say_what_they_hold(trained, images, uninterrupted, tmp_path):
    for name, data in uninterrupted.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    names = ["pore", "ceramic", "metal"]
    told = read_json(tmp_path / "prediction.json")
    assert [(one["value"], one["name"]) for one in told["classes"]] == list(enumerate(names))
    assert told["probability_channels"] == names
    with tifffile.TiffFile(tmp_path / "slice_0.tif") as tiff:
        assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.PALETTE
        assert json.loads(tiff.pages[0].description)["classes"] == told["classes"]
    with tifffile.TiffFile(tmp_path / "probabilities" / "slice_0.tif") as tiff:
        assert json.loads(tiff.pages[0].description)["channels"] == names
        assert tiff.series[0].shape == (3, *SIZES[0])
        np.testing.assert_array_equal(
            tiff.asarray().argmax(axis=0), tifffile.imread(tmp_path / "slice_0.tif")
        )


def test_a_prediction_of_an_earlier_version_goes_on(trained, some, tmp_path):
    """Its claim says nothing of classes."""
    predict.run(trained, some, tmp_path / "out")
    before = read_json(tmp_path / "out" / "prediction.json")
    write_json(
        tmp_path / "out" / "prediction.json",
        {key: before[key] for key in before if key != "classes"},
    )
    predict.run(trained, some, tmp_path / "out")
    assert "classes" in read_json(tmp_path / "out" / "prediction.json")


def test_maps_can_be_added_later_and_are_no_labels(trained, some, tmp_path):
    """Whoever measures the folder, or takes it for labels, finds labels alone."""
    output, at_once = tmp_path / "out", tmp_path / "at once"
    predict.run(trained, some, output)
    labels = {name: made for name, made in files(output).items() if name.startswith("slice")}
    predict.run(trained, some, output, uncertainty=True)
    predict.run(trained, some, output, probabilities=True)
    predict.run(trained, some, output)
    predict.run(trained, some, at_once, probabilities=True, uncertainty=True)
    found, whole = files(output), files(at_once)
    assert labels.items() <= found.items()
    assert found.keys() == whole.keys()
    assert all(made == whole[name] for name, made in found.items() if name.endswith(".tif"))
    told = read_json(output / "prediction.json")
    assert told | {"run": ""} == read_json(at_once / "prediction.json") | {"run": ""}
    assert [len(source) for source in open_sources(str(output))] == [3]
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        "out", "out_probabilities", "out_uncertainty",
    ]  # fmt: skip


def test_a_run_that_has_not_ended_says_so(trained, some, tmp_path, caplog):
    run = shutil.copytree(trained, tmp_path / "run")
    predict.run(run, some, tmp_path / "before")
    assert "has not ended" not in caplog.text
    (run / "results.json").unlink()
    predict.run(run, some, tmp_path / "after")
    assert f"{run}: has not ended its training, and was not tested: this is its" in caplog.text


def test_predicted_labels_are_labels(trained, some, tmp_path):
    """Read by value, with named classes and without, as those of a person are."""
    predict.run(trained, some, tmp_path / "out")
    for source in tmp_path.joinpath("out").glob("slice*.tif"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        shutil.copy(source, tmp_path / "labels")
    found, _ = Labels().find(open_sources(str(some)), str(tmp_path / "labels"))
    values = [tifffile.imread(path) for path in sorted((tmp_path / "labels").glob("*.tif"))]
    for known in (None, LabelMap.parse("0:pore,1:ceramic,2:metal")):
        checked = check(found, known)
        for plane, value_HW in zip(CheckedPlanes(found, checked), values, strict=True):
            held = [int(checked.label_map.values[k]) for k in plane.label_HW.ravel()]
            np.testing.assert_array_equal(held, value_HW.ravel())


@pytest.mark.parametrize("kept", ["slice_0.tif", "slice_3.tif", "probabilities/slice_5.tif"])
def test_files_of_somebody_else_are_not_taken_for_labels(trained, images, tmp_path, write, kept):
    output = tmp_path / "hand"
    output.mkdir()
    folder, name = kept.rpartition("/")[::2]
    path = output.with_name(f"hand_{folder}" if folder else "hand") / name
    mine = write(path, np.eye(9, dtype=np.uint8)).read_bytes()
    with pytest.raises(InputError, match=rf"{name}: is there already and was not written by a pre"):
        predict.run(trained, images, output, probabilities=True)
    assert files(output) == {kept: mine}


@pytest.fixture
def some(images, tmp_path):
    """Three images, to be changed."""
    folder = tmp_path / "some"
    folder.mkdir()
    for number in (0, 2, 4):
        (folder / f"slice_{number}.tif").write_bytes((images / f"slice_{number}.tif").read_bytes())
    return folder


@pytest.mark.rounding
@pytest.mark.parametrize("probabilities", [False, True])
def test_an_image_that_changed_is_segmented_anew_and_no_other(
    trained, images, some, tmp_path, caplog, probabilities
):
    output = tmp_path / "out"
    predict.run(trained, some, output, probabilities=probabilities)
    before = files(output)
    (some / "slice_2.tif").write_bytes((images / "slice_3.tif").read_bytes())
    kept = {path: path.stat().st_mtime_ns for path in output.glob("slice_[04]*")}
    with caplog.at_level(logging.INFO, "xseg_jax"):
        predict.run(trained, some, output, probabilities=probabilities)
    assert f"segmented anew: 1, {some}/slice_2.tif for one" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    changed = {name for name, content in files(output).items() if before[name] != content}
    beside = {f"probabilities/{name}" for name in ("slice_2.tif", "predictions.jsonl")}
    assert changed == {"slice_2.tif", "predictions.jsonl"} | (beside if probabilities else set())
    assert tifffile.imread(output / "slice_2.tif").shape == (90, 100)


@pytest.mark.parametrize("name", ["out/slice_0.tif", "out_probabilities/slice_4.tif"])
@pytest.mark.parametrize("image_changed", [False, True])
def test_labels_corrected_by_hand_are_not_overwritten(
    trained, images, some, tmp_path, name, image_changed
):
    output = tmp_path / "out"
    predict.run(trained, some, output, probabilities=True)
    path = tmp_path / name
    array = tifffile.imread(path)
    tifffile.imwrite(path, array[..., ::-1].copy(), photometric="minisblack")
    if image_changed:
        for image in ("slice_0.tif", "slice_4.tif"):
            (some / image).write_bytes((images / "slice_3.tif").read_bytes())
    before = files(output)
    with pytest.raises(
        InputError, match=rf"{name}: was changed after it was written, .*\(1 such f"
    ):
        predict.run(trained, some, output, probabilities=True)
    assert files(output) == before
    path.rename(tmp_path / "moved.tif")
    predict.run(trained, some, output, probabilities=True)
    assert (tifffile.imread(path).shape == array.shape) != image_changed


def test_a_file_put_beside_the_labels_later_is_not_taken_for_one(trained, some, tmp_path, write):
    predict.run(trained, some, tmp_path / "out", probabilities=False)
    (some / "slice_9.tif").write_bytes((some / "slice_0.tif").read_bytes())
    mine = write(tmp_path / "out" / "slice_9.tif", np.eye(9, dtype=np.uint8)).read_bytes()
    with pytest.raises(InputError, match=r"slice_9\.tif: is there already and was not written by"):
        predict.run(trained, some, tmp_path / "out", probabilities=False)
    assert (tmp_path / "out" / "slice_9.tif").read_bytes() == mine


def test_the_output_of_an_earlier_version_is_refused(trained, some, tmp_path):
    predict.run(trained, some, tmp_path / "out", probabilities=False)
    (tmp_path / "out" / "predictions.jsonl").unlink()
    with pytest.raises(InputError, match=r"keeps a record .* earlier versions do not \(3 such fil"):
        predict.run(trained, some, tmp_path / "out", probabilities=False)


def test_labels_of_images_that_are_gone_are_named(trained, some, tmp_path, caplog):
    predict.run(trained, some, tmp_path / "out", probabilities=False)
    (some / "slice_4.tif").unlink()
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        predict.run(trained, some, tmp_path / "out", probabilities=False)
    assert "not in the input any more: 1, slice_4.tif for one" in caplog.text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["a", "b", "a"],
            r"place 2: .* for it and for place 0 would both be called a\.tif; rename",
        ),
        (["x" * 252], r"would have a name of 256 bytes, and 255 is the most; rename the image"),
        (["漢" * 84], r"would have a name of 256 bytes"),
    ],
)
def test_names_that_cannot_be_written_are_refused(names, said, tmp_path):
    images: Any = [SimpleNamespace(name=one, where=f"place {n}") for n, one in enumerate(names)]
    with pytest.raises(InputError, match=said):
        folder_of_images.check_names(images, tmp_path)


def test_planes_of_a_scan_whose_names_are_too_long_are_refused_before(trained, tmp_path):
    tifffile.imwrite(tmp_path / f"{'x' * 249}.tif", np.zeros((20, 32, 32), np.uint16))
    with pytest.raises(InputError, match=r"_z00\.tif in .* would have a name of 257 bytes"):
        predict.run(trained, tmp_path / f"{'x' * 249}.tif", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["[v1] a?", os.fsdecode(b"lat\xe4in"), "new\nline", "x" * 251])
def test_images_and_folders_may_have_any_name(trained, some, tmp_path, name):
    run, source, output = (tmp_path / name[:200] / kind for kind in ("run", "in", "out"))
    source.mkdir(parents=True)
    shutil.copytree(trained, run)
    (source / f"{name}.tif").write_bytes((some / "slice_0.tif").read_bytes())
    for _ in range(2):
        predict.run(run, source, output, probabilities=False)
    assert tifffile.imread(output / f"{name}.tif").shape == SIZES[0]


@pytest.mark.parametrize("link", [False, True])
def test_images_are_not_overwritten(trained, images, tmp_path, link):
    before = files(images)
    (tmp_path / "link").symlink_to(images)
    output = tmp_path / "link" if link else images
    with pytest.raises(InputError, match="is the folder of the images"):
        predict.run(trained, images, output, probabilities=False)
    assert files(images) == before


def test_a_smaller_machine_takes_smaller_tiles(trained, images, tmp_path):
    output = tmp_path / "out"
    small = {"inference.tile": 32, "inference.overlap": 8}
    predict.run(trained, images, output, probabilities=True, changes=small)
    assert len(files(output)) == 2 * len(SIZES) + 3
    with pytest.raises(InputError, match=r"inference\.tile: 32 there, 64 here"):
        predict.run(trained, images, output, probabilities=True)
    with pytest.raises(InputError, match=r"config\.inference: tile=33"):
        predict.run(trained, images, output, probabilities=True, changes={"inference.tile": 33})


@pytest.mark.rounding
def test_another_grey_scale_of_the_scan_segments_all_of_it_anew(
    prepared, no_pictures, tmp_path, write
):
    """With each scan's own scale, a slice more changes what is made of the others."""
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(prepared)
    config.data.normalize = "scan"
    train.run(config, tmp_path / "run")
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    for number in range(3):
        write(folder / f"slice_{number}.tif", rng.integers(100, 900, (40, 40)).astype(np.uint16))
    arguments = (tmp_path / "run", folder, tmp_path / "output")
    predict.run(*arguments, probabilities=True)
    before = files(tmp_path / "output")
    predict.run(*arguments, probabilities=True)
    assert files(tmp_path / "output") == before
    write(folder / "slice_3.tif", rng.integers(9000, 60000, (40, 40)).astype(np.uint16))
    predict.run(*arguments, probabilities=True)
    predict.run(tmp_path / "run", folder, tmp_path / "whole", probabilities=True)
    found, whole = files(tmp_path / "output"), files(tmp_path / "whole")
    for number in range(4):
        name = f"probabilities/slice_{number}.tif"
        assert found[name] == whole[name]
        assert number == 3 or found[name] != before[name]


@pytest.mark.rounding
def test_probabilities_are_written_at_the_temperature_of_the_run(
    trained, some, uninterrupted, tmp_path, caplog
):
    run = shutil.copytree(trained, tmp_path / "run")
    kept = read_json(run / "calibration.json")
    write_json(run / "calibration.json", kept | {"temperature": 2.5, "reason": None})
    with caplog.at_level(logging.INFO, "xseg_jax"):
        predict.run(run, some, tmp_path / "scaled", probabilities=True)
        (run / "calibration.json").unlink()
        predict.run(run, some, tmp_path / "as it is", probabilities=True)
    assert "at temperature 2.500" in caplog.text
    assert "without a temperature: the run is of an earlier version" in caplog.text
    for number in (0, 2, 4):
        for folder in ("scaled", "as it is"):
            label = (tmp_path / folder / f"slice_{number}.tif").read_bytes()
            assert label == uninterrupted[f"slice_{number}.tif"]
        scaled_KHW, as_is_KHW = (
            tifffile.imread(tmp_path / f"{folder}_probabilities" / f"slice_{number}.tif")
            for folder in ("scaled", "as it is")
        )
        power_KHW = as_is_KHW ** (1 / 2.5)
        np.testing.assert_allclose(scaled_KHW, power_KHW / power_KHW.sum(axis=0), rtol=1e-5)
        np.testing.assert_array_equal(scaled_KHW.argmax(axis=0), as_is_KHW.argmax(axis=0))
    # A folder holds probabilities of one temperature.
    with pytest.raises(InputError, match=r"temperature: 2\.5 there, nothing here"):
        predict.run(run, some, tmp_path / "scaled", probabilities=True)
