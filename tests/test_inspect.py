"""`--mode=inspect`: what it writes, that it trains, and whose files it leaves alone."""

import importlib.util
import json
import logging
import resource
import sys
from pathlib import Path

import flax.linen as nn
import forked
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from configs import scan
from xseg_jax.data import phantom
from xseg_jax.data.fingerprint import planes_to_look_at
from xseg_jax.data.sources import Volume, open_sources
from xseg_jax.errors import InputError
from xseg_jax.inference import cost
from xseg_jax.model.unet import UNet
from xseg_jax.modes import inspect, options, recipe, train
from xseg_jax.modes.data import open_data
from xseg_jax.modes.inputs import split_at
from xseg_jax.report.paper import DOUBLE, DPI
from xseg_jax.training.parallel import Parallel

SIZE, DEPTH, SMALL = 64, 40, 30
PACE = cost.Pace(1e-6, 5e-7)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A scan in one file, and labels of three of its planes, the others 9."""
    folder = tmp_path_factory.mktemp("scan")
    slices = list(phantom.tomogram(
        size=SIZE, depth=DEPTH, z_step=1, fractions=(0.5, 0.47, 0.03), correlation_length=3.0,
        attenuation=(0.0005, 0.0035, 0.0055), texture=0.05, photons=5000.0, ring_strength=0.0,
        beam_hardening=0.0, projections=60, seed=0,
    ))  # fmt: skip
    image_DHW = np.stack([image for _, image, _ in slices])
    label_DHW = np.stack([label for _, _, label in slices])
    few_DHW = np.full_like(label_DHW, 9)
    few_DHW[[5, 20, 35]] = label_DHW[[5, 20, 35]]
    resolution = {"resolution": (4, 4), "metadata": {"spacing": 0.5, "unit": "um", "axes": "ZYX"}}
    tifffile.imwrite(folder / "scan.tif", image_DHW, imagej=True, **resolution)
    tifffile.imwrite(folder / "labels.tif", few_DHW)
    # The smaller the planes, the smaller the network, which takes long to compile.
    (folder / "small").mkdir()
    corner = np.s_[:, :SMALL, :SMALL]
    tifffile.imwrite(folder / "small" / "scan.tif", image_DHW[corner], imagej=True, **resolution)
    tifffile.imwrite(folder / "small" / "labels.tif", few_DHW[corner])
    for name, planes in (("images", image_DHW), ("labels", label_DHW)):
        (folder / "slices" / name).mkdir(parents=True)
        for z, plane_HW in enumerate(planes[:12]):
            tifffile.imwrite(folder / "slices" / name / f"s{z:02d}.tif", plane_HW)
    return folder


@pytest.fixture
def look(monkeypatch, tmp_path):
    """Inspects without the seconds that timing and drawing take; gives what was found, and the
    config.
    """
    monkeypatch.setattr(inspect, "pace_of", lambda *_, **__: PACE)
    monkeypatch.setattr(inspect, "contact_sheet", lambda path, *_: path.touch())

    def inspected(source, labels=None, output="out", **changes):
        config = scan.get_config()
        config.update_from_flattened_dict(changes)
        labels = str(labels) if labels else None
        found = inspect.run(
            source, tmp_path / output, config=config, labels=labels, changes=changes
        )
        return found, config_in(tmp_path / output)

    return inspected


def config_in(output):
    spec = importlib.util.spec_from_file_location("written", output / "config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.parametrize(("step", "context"), [(1, 2), (5, 0)])
def test_planes_without_neighbours_are_seen_alone(place, look, tmp_path, step, context):
    for kind in ("images", "labels"):
        (tmp_path / "some" / kind).mkdir(parents=True)
        for z in range(12):
            source = place / "slices" / kind / f"s{z:02d}.tif"
            (tmp_path / "some" / kind / f"s{step * z:02d}.tif").symlink_to(source)
    _, config = look(tmp_path / "some", **{"data.split.kind": "z"})
    assert config.data.context == context


def command(*flags):
    process = forked.Main(*flags)
    said, errors = process.communicate(timeout=300)
    return process.returncode, said + errors


def test_one_command_looks_and_what_it_writes_trains_without_edits(place, tmp_path, no_pictures):
    output = tmp_path / "inspect"
    code, said = command(
        "--mode=inspect", f"--input={place / 'small' / 'scan.tif'}",
        f"--labels={place / 'small' / 'labels.tif'}", f"--output={output}",
    )  # fmt: skip
    assert code == 0, said
    small = place / "small"
    assert said.startswith(
        f"data: {small}/scan.tif, {DEPTH} slices of {SMALL} x {SMALL}, uint16; 3 labelled by "
        f"{small}/labels.tif\n"
    )
    assert (
        f"\n\nresults: {output}/fingerprint.json\nfigures: {output}/contact_sheet.png\n"
        f"config:  {output}/config.py\nnext: train by " in said
    )
    assert (
        f"scan: {DEPTH} x {SMALL} x {SMALL} voxels (z, y, x), uint16, voxel size 0.5 x 0.25 x 0.2"
        in said
    )
    assert "labelled planes are z = 5, 20, 35" in said
    assert (
        "split: blocks of z: 1 slice in train, 1 in validation, 1 in test, too few for an "
        "interval, which takes 4; not used: 37 slices without a label (skip_unlabelled)\n"
        "contact sheet: all 3 labelled planes, 8 of 37 planes"
    ) in said
    found = json.loads((output / "fingerprint.json").read_text())
    assert found["scans"][0]["voxel_size"] == [0.5, 0.25, 0.25]
    assert found["labels"]["labelled_planes"] == ["scan_z05", "scan_z20", "scan_z35"]
    assert sum(found["labels"]["classes"].values()) == pytest.approx(1)
    assert 0 < found["estimate"]["training_minutes"] < 600
    with Image.open(output / "contact_sheet.png") as sheet:
        assert sheet.width == DOUBLE * DPI
    config = config_in(output)
    # What takes long is made small; the fields that inspection chose for the data stay.
    config.update_from_flattened_dict({
        "epochs": 1, "data.crops_per_epoch": 16, "model.features": (4, 8),
        "data.prepared_dir": str(tmp_path / "prepared"),
    })  # fmt: skip
    results = train.run(config, tmp_path / "run")
    assert results["slices"] == 1
    assert list(results["label_map"]["values"]) == ["0", "1", "2"]


def test_rare_classes_the_gap_and_the_network_follow_the_labels(place, look):
    found, config = look(place / "scan.tif", place / "labels.tif")
    assert found["labels"]["classes"]["2"] < recipe.RARE
    assert (config.data.rare_fraction, config.loss.name) == (0.5, "cross_entropy_dice")
    assert config.data.classes == "0:0,1:1,2:2"
    assert config.data.images == str(place / "scan.tif")
    assert config.data.split.gap == (35 - 5) // recipe.HEIGHT_PER_GAP
    assert config.data.crop == SIZE
    text = (
        recipe.text_of([recipe.Choice("a.b", 1, "Why so: " + "word " * 40)], ["A note."], "scan")
    ).split("\n")
    assert text[2] == "# A note."
    assert text[-3:] == ["    config.a.b = 1", "    return config", ""]
    assert max(map(len, text)) <= 100


def test_without_labels_it_says_what_to_label_and_that_trains(place, look, capsys):
    found, config = look(place / "scan.tif")
    assert found["labels"] is None
    asked = found["to_label"]
    assert asked["tested"] == ("scan_z04", "scan_z12", "scan_z20", "scan_z28", "scan_z36")
    assert asked["first"] == ("scan_z20",)
    assert "5 of 40 planes: 3 train, 1 chooses the checkpoint, 1 tests, 16 " in asked["tested_why"]
    said = capsys.readouterr().out
    assert "to label for a first answer: scan_z20 (blocks within it train and test)" in said
    assert "next: label, then look again with the path of your labels, by python main.py" in said
    assert config.data.labels == config.data.classes == ""
    places = [one for one in range(DEPTH) if f"scan_z{one:02d}" in asked["tested"]]
    planes = [open_sources(str(place / "scan.tif"))[0].plane(z, 0).place for z in places]
    split = split_at(config, asked["tested"], planes)
    assert split.kind == "z"
    assert [len(part) for part in split.parts().values()] == [3, 1, 1]


def test_labels_that_are_missing_are_refused_before_the_scan_is_read(place, look, monkeypatch):
    def read(*arguments, **options):
        raise AssertionError("the scan is read")

    monkeypatch.setattr(inspect, "fingerprint", read)
    with pytest.raises(InputError, match=r"nowhere.tif: no such file or folder; check the path"):
        look(place / "scan.tif", place / "nowhere.tif")


def test_a_folder_with_images_and_labels_needs_no_more(place, look):
    found, config = look(place / "slices")
    assert found["labels_from"] == str(place / "slices" / "labels")
    assert not found["independent_images"]
    assert len(found["labels"]["labelled_planes"]) == 12
    assert (config.data.split.kind, config.data.normalize) == ("auto", "scan")


@pytest.mark.parametrize("how", ["shuffled", "unnumbered", "sizes"])
def test_images_that_are_no_slices_are_split_by_group(place, look, tmp_path, how):
    order = np.random.default_rng(3).permutation(DEPTH)[:16]
    image_DHW = tifffile.imread(place / "scan.tif")[range(16) if how == "sizes" else order * 1]
    for kind in ("images", "labels"):
        (tmp_path / how / kind).mkdir(parents=True)
    for k, image_HW in enumerate(image_DHW):
        name = chr(ord("a") + k) if how == "unnumbered" else f"s{k:02d}"
        cut = np.s_[: SIZE - 8 * (how == "sizes" and k == 9)]
        label_HW = (image_HW > np.median(image_HW)).astype(np.uint8)
        tifffile.imwrite(tmp_path / how / "images" / f"{name}.tif", image_HW[cut])
        tifffile.imwrite(tmp_path / how / "labels" / f"{name}.tif", label_HW[cut])
    found, config = look(tmp_path / how)
    assert found["independent_images"]
    assert (config.data.split.kind, config.data.normalize) == ("group", "image")
    # Of the recipe for radiographs, not of that for scans.
    written = (tmp_path / "out" / "config.py").read_text()
    assert "    config = radiograph.get_config()\n" in written
    assert (config.checkpoint.use, config.augment.noise, config.data.context) == ("best", 0.0, 0)
    assert (config.augment.flip, config.augment.rotate90) == ("horizontal", False)
    assert config.data.crop == SIZE - 8 * (how == "sizes")
    assert "groups of independent images: 11 images in train, 2 in validation" in found["split"]
    if how != "unnumbered":
        as_slices = look(tmp_path / how, output="z", **{"data.split.kind": "z"})
        assert not as_slices[0]["independent_images"]
        assert as_slices[1].data.split.kind == "z"


def test_scans_in_a_folder_are_listed(place, look, tmp_path):
    image_DHW, label_DHW = (tifffile.imread(place / f"{name}.tif") for name in ("scan", "labels"))
    for kind, volume, gain in (("images", image_DHW, 0.5), ("labels", label_DHW, 1)):
        (tmp_path / "study" / kind).mkdir(parents=True)
        for name in "abc":
            one = volume if name == "a" else (volume * gain).astype(volume.dtype)
            tifffile.imwrite(tmp_path / "study" / kind / f"{name}.tif", one)
    found, config = look(tmp_path / "study")
    assert [one["name"] for one in found["scans"]] == ["a", "b", "c"]
    assert found["scans"][1]["mean"] == pytest.approx(found["scans"][0]["mean"] / 2, rel=0.01)
    assert found["split"].startswith("whole scans")
    assert config.data.normalize == "scan"


GIVEN = {
    "data.classes": "0:a,1:b,2:c",
    "data.ignore": "9",
    "data.number_pattern": r"s(\d+)",
    "data.skip_unlabelled": False,
    "data.labelled": "z=5,20",
    "data.normalize": "volume",
    "data.context": 1,
    "data.split.kind": "none",
    "data.split.fractions": (0.4, 0.3, 0.3),
    "data.split.gap": 3,
    "data.split.between": 4,
    "data.split.train": (0, 6),
    "data.split.validation": (18, 22),
    "data.split.test": (34, 36),
    "data.split.group_pattern": "(.)",
    "data.split.seed": 3,
    "report.formats": ("png", "svg"),
}


def test_every_field_that_may_be_given_is_tried():
    wholes = {field: field.split(".split.")[0] + ".split" for field in GIVEN if ".split." in field}
    assert {wholes.get(field, field) for field in GIVEN} == set(options.MAY_DIFFER["inspect"])


@pytest.mark.parametrize("field", GIVEN)
def test_a_given_field_stands_in_the_config(place, look, field):
    given = {field: GIVEN[field]}
    if field == "data.split.group_pattern":
        with pytest.raises(InputError, match=r"knows no groups; add --config\.data\.split\.kind"):
            look(place / "scan.tif", **given)
        return
    _, config = look(place / "scan.tif", **given)
    for name in field.split("."):
        config = config[name]
    assert config == GIVEN[field]


def test_files_of_somebody_else_and_edited_configs_stay(place, look, tmp_path, caplog):
    caplog.set_level(logging.INFO, "xseg_jax")
    look(place / "scan.tif")
    look(place / "scan.tif")  # The same again takes the place of the one before.
    config = tmp_path / "out" / "config.py"
    mine = config.read_text().replace("config.batch_size = 8", "config.batch_size = 4")
    config.write_text(mine)
    for _ in range(2):  # Everything else is made anew, as often as one looks.
        (tmp_path / "out" / "contact_sheet.png").unlink()
        look(place / "scan.tif")
        assert "config.py: was changed since --mode=inspect wrote it, and stays" in caplog.text
        caplog.clear()
        assert (tmp_path / "out" / "contact_sheet.png").exists()
        assert config.read_text() == mine
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.py").write_text("mine")
    with pytest.raises(InputError, match="was not written by an inspection"):
        look(place / "scan.tif", output="mine")
    with pytest.raises(InputError, match="is in the folder of the images; choose another --output"):
        look(place / "slices", output=place / "slices" / "images" / "inspect")


def test_the_receptive_field_is_what_the_gradient_says():
    levels, size = 3, 64
    model = UNet(classes=2, features=(2,) * levels, norm="none")
    image_BHWC = 1 + 0.01 * jnp.broadcast_to(jnp.arange(size)[:, None, None], (1, size, size, 1))
    variables = jax.jit(lambda: model.init(jax.random.key(0), image_BHWC, train=False))()
    positive = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.1, variables)  # No ReLU is shut.

    @jax.jit
    def seen_by(place):
        def value(image_BHWC):
            return model.apply(positive, image_BHWC, train=False)[0, place, place, 0]

        return jnp.abs(jax.grad(value)(image_BHWC))[0, :, :, 0].sum(axis=1)

    extents = [np.ptp(np.flatnonzero(seen_by(place))) + 1 for place in range(32, 36)]
    # Pooling takes the larger of two pixels, so that a gradient may miss one at the rim.
    assert 0.75 * recipe.receptive_field(levels) <= max(extents) <= recipe.receptive_field(levels)
    assert recipe.receptive_field(4) == 96


@pytest.mark.parametrize("patch", [1, 2])
def test_memory_is_that_of_what_xla_holds(patch):
    features, crop = (8, 16), 64 * patch
    model = UNet(classes=2, features=features, patch=patch, norm="batch")
    image_BHWC = jax.ShapeDtypeStruct((4, crop, crop, 1), jnp.float32)
    variables = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, crop, crop, 1)), train=False)
    )

    def loss(params, variables, image_BHWC):
        logits, _ = model.apply(
            variables | {"params": params}, image_BHWC, train=True, mutable=["batch_stats"]
        )
        return nn.log_softmax(logits)[..., 0].mean()

    step = jax.jit(jax.grad(loss)).lower(variables["params"], variables, image_BHWC).compile()
    held = step.memory_analysis().temp_size_in_bytes / (4 * crop**2)
    assert held == pytest.approx(
        4 * cost.TRAINING_COPIES * cost.floats_per_pixel(features, patch), rel=0.4
    )


def test_minutes_grow_with_pixels_and_memory_with_the_batch():
    parallel = Parallel.choose("jit")
    fields = {
        "features": (8, 16), "patch": 1, "crop": 128, "validation_pixels": 0, "data_bytes": 0,
        "planes": 100, "shape": (256, 256), "tile": 512, "overlap": 64, "inference_batch": 1,
    }  # fmt: skip
    one = cost.estimate(PACE, parallel, crops=600, batch_size=16, **fields)
    two = cost.estimate(PACE, parallel, crops=1200, batch_size=32, **fields)
    assert one.training_minutes == pytest.approx(600 * 128**2 * 1e-6 / 60)
    assert two.training_minutes == pytest.approx(2 * one.training_minutes)
    assert one.prediction_minutes == pytest.approx(100 * 256**2 * 1e-6 / 3 / 60)
    more = (two.training_gib - cost.PROCESS_GIB) / (one.training_gib - cost.PROCESS_GIB)
    assert more == pytest.approx(2)


# Other formats, and scans that are larger than memory.


def as_hdf5(folder, name, array):
    with h5py.File(folder / "study.h5", "a") as file:
        file[f"entry/{name}/data"] = array
    return f"{folder / 'study.h5'}::/entry/{name}/data"


def as_zarr(folder, name, array):
    zarr = pytest.importorskip("zarr")
    chunks = (8, *array.shape[1:])
    store = zarr.open_group(folder / "study.zarr", mode="a")
    store.create_array(f"{name}/0", shape=array.shape, dtype=array.dtype, chunks=chunks)[:] = array
    return f"{folder / 'study.zarr'}::{name}/0"


@pytest.mark.parametrize("write", [as_hdf5, as_zarr])
def test_a_data_set_inside_a_file_is_inspected_as_the_stack_is(place, look, tmp_path, write):
    paths = [
        write(tmp_path, name, tifffile.imread(place / f"{name}.tif")) for name in ("scan", "labels")
    ]
    expected, _ = look(place / "scan.tif", place / "labels.tif", output="stack")
    found, config = look(Path(paths[0]), paths[1])
    assert [config.data.images, config.data.labels] == paths
    for kind in ("labels", "split"):
        said, wanted = (json.dumps(one[kind]) for one in (found, expected))
        for name in ("data", "0", "scan"):
            said = said.replace(f'"{name}_z', '"scan_z').replace(f'"{name}, z"', '"scan, z"')
        assert said == wanted
    one, other = found["scans"][0], expected["scans"][0]
    same = ("shape", "type", "mean", "std", "drift_in_std", "saturated", "air_fraction", "rings")
    assert {field: one[field] for field in same} == {field: other[field] for field in same}
    assert {
        field: choice["value"] for field, choice in found["choices"].items()
        if field not in ("data.images", "data.labels")
    } == {
        field: choice["value"] for field, choice in expected["choices"].items()
        if field not in ("data.images", "data.labels")
    }  # fmt: skip
    config.update_from_flattened_dict({"data.prepared_dir": str(tmp_path / "prepared")})
    planes = open_data(config).prepare()
    assert len(planes) == 3
    np.testing.assert_array_equal(planes[1].image_HW, tifffile.imread(place / "scan.tif")[20])


LARGE = (1024, 1448, 1448)
"""4 GiB of uint16."""


def poke(path, itemsize, planes):
    """Planes of a raw file that is a hole elsewhere."""
    size = LARGE[1] * LARGE[2] * itemsize
    with path.open("wb") as file:
        file.truncate(LARGE[0] * size)
        for z, plane in planes:
            file.seek(z * size)
            file.write(np.ascontiguousarray(plane).data)
    shape = "x".join(map(str, LARGE))
    return f"{path}::{shape},uint{8 * itemsize}"


def inspect_large(source, labels, output):
    """In a process of its own, whose memory is measured."""
    read = []
    real = Volume.image

    def image(self, index, axis=0):
        read.append(index)
        return real(self, index, axis)

    Volume.image = image
    inspect.pace_of = lambda *_, **__: PACE
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    changes = {"data.ignore": "0"}
    config = scan.get_config()
    config.update_from_flattened_dict(changes)
    inspect.run(Path(source), output, config=config, labels=labels, changes=changes)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    (output / "cost.json").write_text(json.dumps({"read": read, "bytes": more}))


def test_a_scan_of_4_gigabytes_with_three_labelled_planes(tmp_path):
    rng = np.random.default_rng(0)
    looked_at = planes_to_look_at(LARGE[0], LARGE[1] * LARGE[2])
    assert 100 < len(looked_at) < 130
    labelled = [looked_at[place] for place in (10, 60, 110)]
    cells_hw = rng.integers(1, 3, (LARGE[1] // 8, LARGE[2] // 8)).astype(np.uint8)
    label_HW = cells_hw.repeat(8, 0).repeat(8, 1)
    image_HW = (label_HW * 1000.0 + rng.integers(0, 300, LARGE[1:])).astype("<u2")
    source = poke(tmp_path / "scan.raw", 2, [(z, image_HW) for z in labelled])
    labels = poke(tmp_path / "labels.raw", 1, [(z, label_HW) for z in labelled])
    output = tmp_path / "out"
    process = forked.start(inspect_large, source, labels, output)
    process.join(120)
    assert process.exitcode == 0
    found = json.loads((output / "fingerprint.json").read_text())
    assert found["labels"]["labelled_planes"] == [f"scan_z{z:04d}" for z in labelled]
    assert list(found["labels"]["classes"]) == ["1", "2"]
    assert found["split"].startswith("blocks of z: 1 slice in train, 1 in validation, 1 in test")
    suspected = [one["kind"] for one in found["scans"][0]["suspicions"]]
    assert suspected.count("constant") == len(looked_at) - len(labelled)
    assert found["scans"][0]["planes_looked_at"] == len(labelled)
    spent = json.loads((output / "cost.json").read_text())
    assert set(spent["read"]) <= set(looked_at)
    # Each once, and those that are labelled again for labels, rings and pictures.
    assert len(spent["read"]) < len(looked_at) + 12 * len(labelled)
    plane = LARGE[1] * LARGE[2] * 2
    assert spent["bytes"] < 100 * plane < np.prod(LARGE) * 2 / 8
    config = config_in(output)
    assert (config.data.images, config.data.labels) == (source, labels)


@pytest.mark.parametrize("alike", [True, False])
def test_images_that_resemble_others_as_the_next_are_no_slices(write, tmp_path, caplog, alike):
    """As inspection takes them; numbers in names alone would make blocks of z of patients."""
    noise = np.random.default_rng(0).normal(1000, 100, (24, 64, 64))
    images = gaussian_filter(noise, (4, 4, 4)) if alike else noise
    folder = tmp_path / "images"
    for n, image_HW in enumerate(images):
        write(folder / f"JPCLN{n:03d}.tif", image_HW.astype(np.float32))
    sources = open_sources(str(folder))
    with caplog.at_level(logging.INFO, "xseg_jax"):
        assert inspect.independent_images(sources, str(folder)) != alike
    assert ("images are taken for independent" in caplog.text) != alike
    each = inspect.each_image(sources)
    assert [one.name for one in each] == [f"JPCLN{n:03d}" for n in range(24)]
    assert not inspect.independent_images(each, str(folder))  # They are known to be.
