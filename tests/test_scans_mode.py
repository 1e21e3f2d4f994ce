"""A scan in any form, with labels in any form, trains: through train.run, as a user starts it."""

import json

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from configs import scan as scan_config
from configs import tiny
from xseg_jax.data import phantom
from xseg_jax.modes import evaluate, train
from xseg_jax.training.runlog import read_json

pytestmark = pytest.mark.usefixtures("no_pictures")

DEPTH, SIZE = 64, 48


@pytest.fixture(scope="module")
def volume():
    """A tomogram (Z, Y, X) uint16 and its truth uint8."""
    slices = [
        *phantom.tomogram(
            size=SIZE,
            depth=DEPTH,
            z_step=1,
            fractions=(0.3, 0.42, 0.28),
            correlation_length=3.0,
            attenuation=(0.0005, 0.0035, 0.0055),
            texture=0.05,
            photons=5000.0,
            ring_strength=0.005,
            beam_hardening=0.15,
            projections=48,
            seed=0,
        )
    ]  # fmt: skip
    return np.stack([image for _, image, _ in slices]), np.stack([label for *_, label in slices])


def config_of(prepared, **changes):
    config = scan_config.get_config()
    small = tiny.get_config()
    # Of the config for scans its data; a few steps with averages and augmentation learn nothing.
    for name in ("batch_size", "model", "augment", "optimizer", "inference"):
        config[name] = small[name]
    config.model.features = (4,)
    config.epochs = 1
    config.data.crop = 16
    config.data.crops_per_epoch = 16
    config.data.split.gap = 5
    config.data.prepared_dir = str(prepared)
    config.update_from_flattened_dict({f"data.{key}": value for key, value in changes.items()})
    return config


def write_tiff(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def write_bigtiff(path, array):
    tifffile.imwrite(path, array, bigtiff=True, photometric="minisblack", byteorder=">")
    return path


def write_imagej(path, array):
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"})
    return path


def write_hdf5(path, array):
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=array, chunks=True, compression="gzip")
    return f"{path}::/entry/data"


def write_zarr(path, array):
    store = zarr.create_array(str(path), shape=array.shape, chunks=(8, 32, 32), dtype=array.dtype)
    store[:] = array
    return path


def write_nifti(path, array):
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array.T), np.eye(4)), path)
    return path


def write_npy(path, array):
    np.save(path, array)
    return path


def write_raw(path, array):
    array.astype(array.dtype.newbyteorder(">")).tofile(path)
    return f"{path}::{'x'.join(map(str, array.shape))},{array.dtype},big"


def write_slices(path, array):
    path.mkdir()
    for z, plane in enumerate(array):
        tifffile.imwrite(path / f"slice_{z:03d}.tif", plane)
    return path


FORMATS = {
    "tiff": (write_tiff, "scan.tif"), "bigtiff": (write_bigtiff, "scan.btf"),
    "imagej": (write_imagej, "scan.tif"), "hdf5": (write_hdf5, "scan.h5"),
    "zarr": (write_zarr, "scan.zarr"), "nifti": (write_nifti, "scan.nii.gz"),
    "npy": (write_npy, "scan.npy"), "raw": (write_raw, "scan.raw"),
}  # fmt: skip


def numbers(results):
    return {key: value for key, value in results.items() if key != "seconds"}


@pytest.fixture(scope="module")
def of_slices(volume, tmp_path_factory, prepared, no_pictures):
    """Results of the folder of slices."""
    folder = tmp_path_factory.mktemp("slices")
    images, labels = (
        write_slices(folder / kind, array)
        for kind, array in zip(("scan", "labels"), volume, strict=True)
    )
    config = config_of(prepared, images=str(images), labels=str(labels))
    return numbers(train.run(config, folder / "run"))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_trains_the_run_of_the_folder_of_slices(
    volume, of_slices, tmp_path, prepared, kind
):
    write, name = FORMATS[kind]
    (tmp_path / "labels").mkdir()
    images = write(tmp_path / name, volume[0])
    labels = write(tmp_path / "labels" / name, volume[1])
    config = config_of(prepared, images=str(images), labels=str(labels))
    assert numbers(train.run(config, tmp_path / "run")) == of_slices


def test_three_orthogonal_planes_train_one_network(volume, tmp_path, prepared):
    images, truth = volume
    labels = np.full_like(truth, 255)
    labels[30], labels[:, 20], labels[:, :, 25] = truth[30], truth[:, 20], truth[:, :, 25]
    scan, label = write_tiff(tmp_path / "scan.tif", images), write_npy(tmp_path / "l.npy", labels)
    config = config_of(prepared, images=str(scan), labels=str(label), ignore="255")
    results = train.run(config, tmp_path / "run")
    data = read_json(tmp_path / "run" / "data.json")
    assert results["split"] == "test within the labelled slices"
    assert data["split_kind"] == "tiles"
    assert set(data["split"]["train"]) <= {"scan_z30", "scan_y20", "scan_x25"}
    assert len(data["split"]["train"]) >= 2
    # No voxel is counted twice, and those in the gaps not at all.
    assert 0 < sum(data["train_pixels"]) + results["pixels"] < 3 * SIZE * DEPTH
    assert results["leak"]["nearest"] == "within"


def test_scans_of_other_types_and_exposures_train_together_split_by_scan(
    volume, tmp_path, prepared
):
    images, truth = volume
    scans = {
        "a": images[:16], "b": (images[16:32] / 3.0).astype(np.float32),
        "c": images[32:48, :40], "d": (images[48:] >> 8).astype(np.uint8),
    }  # fmt: skip
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for n, (name, array) in enumerate(scans.items()):
        tifffile.imwrite(
            tmp_path / "images" / f"{name}.tif", array, photometric="minisblack",
            resolution=(1 + n, 1 + n), metadata={"spacing": 1 / (1 + n), "unit": "um"},
        )  # fmt: skip
        write_npy(
            tmp_path / "labels" / f"{name}.npy",
            truth[16 * n : 16 * n + 16, : array.shape[1]],
        )
    config = config_of(prepared, root=str(tmp_path))
    train.run(config, tmp_path / "run")
    data = read_json(tmp_path / "run" / "data.json")
    assert data["split_kind"] == "scan"
    between = {name[0] for name in data["split"].pop("between")}
    assert between == {name[0] for name in data["split"]["train"]}
    of_part = [{name[0] for name in part} for part in data["split"].values()]
    assert sum(map(len, of_part)) == 4
    assert sorted(set().union(*of_part)) == ["a", "b", "c", "d"]
    assert sorted(data["grey_scales"]["by_scan"]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("labelled", ["slice", "scribble"])
def test_one_labelled_slice_trains(volume, tmp_path, prepared, labelled):
    images, truth = volume
    label = truth[20].copy()
    if labelled == "scribble":
        label[np.random.default_rng(0).random(label.shape) < 0.9] = 255
    scan = write_tiff(tmp_path / "scan.tif", images)
    (tmp_path / "labels").mkdir()
    write_tiff(tmp_path / "labels" / "by_hand_020.tif", label)
    ignore = "255" * (labelled == "scribble")
    config = config_of(prepared, images=str(scan), labels=str(tmp_path / "labels"), ignore=ignore)
    results = train.run(config, tmp_path / "run")
    assert results["split"] == "test within the labelled slices"
    assert results["slices"] == 1
    assert results["pixels"] < (label != 255).sum() / 2


def test_all_labels_train_and_nothing_is_tested(volume, tmp_path, prepared, capsys):
    images, truth = volume
    scan, label = write_npy(tmp_path / "s.npy", images), write_npy(tmp_path / "l.npy", truth)
    config = config_of(prepared, images=str(scan), labels=str(label))
    train.run(config, tmp_path / "tested")
    config.data.split.kind = "none"
    config.init_from = str(tmp_path / "tested")
    results = train.run(config, tmp_path / "final")
    assert (results["split"], results["slices"]) == ("none", 0)
    assert "accuracy" not in results
    calibration = results["calibration"]
    assert calibration["temperature"] is None
    assert calibration["reason"] == "the run has no validation slices"
    assert "not tested: the network was trained on every label" in capsys.readouterr().out
    assert len(read_json(tmp_path / "final" / "data.json")["split"]["train"]) == DEPTH
    again = train.run(config, tmp_path / "final")
    assert again == json.loads(json.dumps(results))
    scored = evaluate.run(tmp_path / "final", scan, tmp_path / "e", labels=str(label))
    assert scored["pixels"] == truth.size


CHANGES = {
    "float32": lambda x: x.astype(np.float32),
    "gain 2": lambda x: 2 * x.astype(np.float32),
    "gain 0.9": lambda x: 0.9 * x.astype(np.float32),
    "offset": lambda x: x + np.float32(0.3 * x.std()),
    "contrast": lambda x: ((x - x.mean()) * 0.8 + x.mean()).astype(np.float32),
}


@pytest.fixture(scope="module")
def trained(volume, tmp_path_factory, prepared, no_pictures):
    """A run that has learnt something, and its scores on the whole scan."""
    folder = tmp_path_factory.mktemp("trained")
    scan, label = (
        write_npy(folder / f"{name}.npy", array) for name, array in zip("sl", volume, strict=True)
    )
    config = config_of(prepared, images=str(scan), labels=str(label), crops_per_epoch=128)
    config.epochs, config.model.features = 2, (4, 8)
    config.optimizer.learning_rate = 0.01
    train.run(config, folder / "run")
    return folder, evaluate.run(folder / "run", scan, folder / "same", labels=str(label))


@pytest.mark.parametrize("change", CHANGES)
def test_a_scan_of_another_grey_scale_is_scored_alike(volume, trained, tmp_path, change):
    folder, same = trained
    scan = write_npy(tmp_path / "s.npy", CHANGES[change](volume[0]))
    found = evaluate.run(folder / "run", scan, tmp_path / "e", labels=str(folder / "l.npy"))
    assert same["miou"] > 0.6
    if change in ("float32", "gain 2"):
        assert json.dumps(found["confusion"]) == json.dumps(same["confusion"])
        assert found["loss"] == same["loss"]
    assert abs(found["miou"] - same["miou"]) < 1e-3


def test_neighbours_are_seen_in_training_and_in_scoring(volume, tmp_path, prepared):
    images, truth = volume
    scan, label = write_npy(tmp_path / "s.npy", images), write_npy(tmp_path / "l.npy", truth)
    config = config_of(prepared, images=str(scan), labels=str(label), context=1)
    train.run(config, tmp_path / "run")
    with_neighbours = evaluate.run(tmp_path / "run", scan, tmp_path / "e", labels=str(label))
    shuffled = images.copy()
    shuffled[1::2] = images[1::2][::-1]
    scan, label = write_npy(tmp_path / "t.npy", shuffled), write_npy(tmp_path / "m.npy", truth)
    planes = {"data.labelled": "z=" + ",".join(map(str, range(0, DEPTH, 2)))}
    kept = evaluate.run(
        tmp_path / "run", tmp_path / "s.npy", tmp_path / "e1", labels=str(label), changes=planes
    )
    changed = evaluate.run(tmp_path / "run", scan, tmp_path / "e2", labels=str(label),
                           changes=planes)  # fmt: skip
    # The same slices, with other neighbours.
    assert kept["pixels"] == changed["pixels"] == with_neighbours["pixels"] / 2
    assert kept["loss"] != changed["loss"]
