"""A scan that becomes one volume: --mode=predict with a volume for its output, in this process."""

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from configs import tiny
from xseg_jax import locks
from xseg_jax.colours import class_rgb
from xseg_jax.errors import InputError, StoppedError
from xseg_jax.inference import blocks
from xseg_jax.modes import predict, segment, train
from xseg_jax.modes.predict import parse_share
from xseg_jax.modes.volume import SHARES
from xseg_jax.scans.scan import open_scan
from xseg_jax.scans.write_zarr import ZarrStore

SHAPE = (40, 70, 33)
VOXEL = (0.5, 0.5, 0.5)


def write_scan(path, shape=SHAPE, spacing=0.5, seed=0):
    rng = np.random.default_rng(seed)
    gray_ZYX = rng.integers(20000, 45000, shape).astype(np.uint16)
    tifffile.imwrite(
        path, gray_ZYX, imagej=True, resolution=(2, 2),
        metadata={"axes": "ZYX", "spacing": spacing, "unit": "um"},
    )  # fmt: skip
    return path


def trained(folder, prepared, seed):
    config = tiny.get_config()
    config.seed, config.epochs, config.data.context = seed, 1, seed
    config.report.baselines = ()
    config.data.prepared_dir = str(prepared)
    train.run(config, folder)
    return folder


@pytest.fixture(scope="module")
def first(prepared, no_pictures, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("first"), prepared, seed=0)


@pytest.fixture(scope="module")
def runs(first, prepared, no_pictures, tmp_path_factory):
    """Two, of which the second sees neighbours too."""
    return [first, trained(tmp_path_factory.mktemp("second"), prepared, seed=1)]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.tif")


@pytest.fixture(scope="module")
def slices(first, scan, tmp_path_factory):
    """The labels of each plane, segmented as an image by itself."""
    folder = tmp_path_factory.mktemp("slices")
    predict.run(first, scan, folder / "out")
    return np.stack([tifffile.imread(file) for file in sorted((folder / "out").glob("*.tif"))])


@pytest.fixture(scope="module")
def doubting(runs, scan, tmp_path_factory):
    """What uninterrupted predictions write."""
    folder = tmp_path_factory.mktemp("doubting")
    for name in ("a.ome.zarr", "a.tif"):
        predict.run(runs[0], scan, folder / name, uncertainty=True)
    return content(folder)


def content(path):
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def labels(path):
    with open_scan(path) as volume:
        return volume.slab(0, volume.shape[0])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a.ome.zarr", marks=pytest.mark.rounding),
        "a.tif", "a.h5", "a.nii.gz", "a.nii", "a.nrrd",
    ],
)  # fmt: skip
def test_every_format_holds_the_labels_of_the_slices_and_the_voxel_size(
    first, scan, slices, tmp_path, name, capsys
):
    predict.run(first, scan, tmp_path / name)
    np.testing.assert_array_equal(labels(tmp_path / name), slices)
    assert len(np.unique(slices)) > 1
    with open_scan(tmp_path / name) as volume:
        assert (volume.voxel_size, volume.unit) == (VOXEL, "um")
    preview = tmp_path / f"{name}.preview.png"
    beside = [] if name.endswith(".zarr") else [preview.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [name, f"{name}.json", *beside]
    )
    if beside:
        with Image.open(preview) as image:
            np.testing.assert_array_equal(np.asarray(image), slices[len(slices) // 2])
            assert image.getpalette()[:9] == [part for k in range(3) for part in class_rgb(k)]
    said = json.loads((tmp_path / f"{name}.json").read_text())
    assert [one["name"] for one in said["classes"]] == ["pore", "ceramic", "metal"]
    assert "probability_channels" not in said
    assert said["run"] == str(first)
    assert str(tmp_path / name) in capsys.readouterr().out  # How to open it.


class Power:
    """Goes out at the nth write of a block, before or after what is written is on the disk."""

    def __init__(self, monkeypatch, at, after):
        self.left, self.after, self.write = at, after, ZarrStore.write
        monkeypatch.setattr(ZarrStore, "write", lambda *arguments: self(*arguments))

    def __call__(self, store, region, values):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise StoppedError("stopped")
        self.write(store, region, values)
        if self.left == 0:
            raise StoppedError("stopped")


@pytest.mark.parametrize(
    ("name", "at", "after"),
    [("a.ome.zarr", 1, False), ("a.ome.zarr", 4, False), ("a.tif", 2, True), ("a.tif", 6, True)],
)
def test_a_stopped_prediction_goes_on_and_ends_with_the_same_bytes(
    runs, scan, doubting, tmp_path, monkeypatch, name, at, after
):
    with monkeypatch.context() as patch:
        Power(patch, at, after)
        with pytest.raises(StoppedError):
            predict.run(runs[0], scan, tmp_path / name, uncertainty=True)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.part"]
    predict.run(runs[0], scan, tmp_path / name, uncertainty=True)
    found = {file: data for file, data in content(tmp_path).items() if not file.endswith(".json")}
    assert len(found) > 1
    assert found == {file: doubting[file] for file in found}


def test_what_is_done_is_not_segmented_again(runs, scan, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        Power(patch, 2, after=False)
        with pytest.raises(StoppedError):
            predict.run(runs[0], scan, tmp_path / "a.ome.zarr")
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(logging.getLogger("xseg_jax"), "propagate", True)
    predict.run(runs[0], scan, tmp_path / "a.ome.zarr")
    assert "1 of 3 blocks are done, 2 to segment here" in caplog.text
    caplog.clear()
    monkeypatch.setattr(segment, "_segment", None)  # And a finished one does nothing.
    predict.run(runs[0], scan, tmp_path / "a.ome.zarr")
    assert "is finished" in caplog.text


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_processes_gives_the_same_bytes(runs, scan, tmp_path, count, monkeypatch):
    """Shares of blocks, in another order, before the one that finishes."""
    outputs = []
    for name, shares in (("alone", 0), ("shared", count)):
        (tmp_path / name).mkdir()
        output = tmp_path / name / "a.ome.zarr"
        if shares:
            with monkeypatch.context() as patch:  # The store is made, and no block is done.
                patch.setattr(segment, "_segment", _stops)
                with pytest.raises(StoppedError):
                    predict.run(runs[0], scan, output)
        for k in reversed(range(shares)):
            predict.run(runs[0], scan, output, share=f"{k}/{shares}")
        if shares:
            marks = sorted(path.name for path in (tmp_path / name).rglob("done/*"))
            assert marks == [f"{n:06d}" for n in range(3)]
        predict.run(runs[0], scan, output)
        outputs.append(content(output))
    assert outputs[0] == outputs[1]


def _stops(job, numbers):
    raise StoppedError("stopped")


def test_all_axes_and_turns_and_runs_give_labels_and_maps_of_doubt(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "SUMS_BYTES", 4 * 3 * 10 * 32 * 32)  # Several blocks.
    monkeypatch.setattr(blocks, "MOST", (10, 16, 16))
    scan = write_scan(tmp_path / "cube.tif", (20, 32, 32))
    both = f"{runs[0]},{runs[1]}"
    flags = {"axes": "all", "tta": True, "uncertainty": True, "probabilities": True}
    predict.run(both, scan, tmp_path / "a.ome.zarr", **flags)
    label_ZYX = labels(tmp_path / "a.ome.zarr")
    groups = [
        "probabilities", "uncertainty", "disagreement_of_axes", "disagreement_of_runs",
    ]  # fmt: skip
    stores = {group: ZarrStore.open(tmp_path / "a.ome.zarr", group) for group in groups}
    whole = (slice(0, 20), slice(0, 32), slice(0, 32))
    probability_KZYX = stores["probabilities"].read(whole).astype(int)
    assert stores["probabilities"].channels == ("pore", "ceramic", "metal")
    assert abs(probability_KZYX.sum(axis=0) - 255).max() <= 2
    top_ZYX = probability_KZYX.max(axis=0)
    assert (np.take_along_axis(probability_KZYX, label_ZYX[None], 0)[0] == top_ZYX).all()
    for group in groups[1:]:
        assert stores[group].read(whole).max() > 0, group
    predict.run(both, scan, tmp_path / "a.tif", **flags)
    np.testing.assert_array_equal(labels(tmp_path / "a.tif"), label_ZYX)
    for k, name in enumerate(("pore", "ceramic", "metal")):
        one_ZYX = tifffile.imread(tmp_path / f"a_probability_{k}_{name}.tif")
        np.testing.assert_array_equal(one_ZYX, probability_KZYX[k])
    doubt_ZYX = tifffile.imread(tmp_path / "a_uncertainty.tif")
    np.testing.assert_array_equal(doubt_ZYX, stores["uncertainty"].read(whole))
    assert json.loads((tmp_path / "a.tif.json").read_text())["others"][0]["run"] == str(runs[1])


def test_a_run_twice_is_that_run_and_another_one_changes_the_labels(runs, scan, slices, tmp_path):
    with pytest.raises(InputError, match="names a run twice"):
        predict.run(f"{runs[0]},{runs[0]}", scan, tmp_path / "a.tif")
    predict.run(f"{runs[0]},{runs[1]}", scan, tmp_path / "a.tif")
    assert (labels(tmp_path / "a.tif") != slices).any()
    predict.run(f"{runs[0]},{runs[1]}", scan, tmp_path / "folder", uncertainty=True)
    files = sorted((tmp_path / "folder").glob("scan_z*[0-9].tif"))
    found = np.stack([tifffile.imread(file) for file in files])
    np.testing.assert_array_equal(found, labels(tmp_path / "a.tif"))
    assert len(list((tmp_path / "folder_disagreement_of_runs").glob("*.tif"))) == SHAPE[0]
    predict.run(f"{runs[0]},{runs[1]}", scan, tmp_path / "b.tif", uncertainty=True)
    ranks = (tmp_path / "b.tif.next.csv").read_text()
    assert ranks == (tmp_path / "folder" / "next.csv").read_text()
    doubt_Z = tifffile.imread(tmp_path / "b_uncertainty.tif").mean(axis=(1, 2)) / 255
    first = ranks.splitlines()[1].split(",")
    assert first[:2] == ["1", f"scan_z{doubt_Z.argmax()}"]
    assert float(first[2]) == pytest.approx(doubt_Z.max(), abs=1e-6)


def test_a_pixel_type_that_one_of_the_runs_does_not_know_is_refused(first, runs, tmp_path):
    """The second has one grey scale for all, of uint16; the first is told to have each scan's."""
    data = json.loads((first / "data.json").read_text())
    data["grey_scales"] |= {"kind": "scan", "shared": None}
    own = tmp_path / "own"
    shutil.copytree(first, own)
    (own / "data.json").write_text(json.dumps(data))
    np.save(tmp_path / "scan.npy", np.arange(4 * 33 * 33, dtype="f4").reshape(4, 33, 33))
    predict.run(own, tmp_path / "scan.npy", tmp_path / "a.tif")
    with pytest.raises(InputError, match="pixels are float32, but the run was trained on uint16"):
        predict.run(f"{own},{runs[1]}", tmp_path / "scan.npy", tmp_path / "b.tif")


def test_another_run_or_a_changed_scan_is_refused_and_nothing_is_lost(runs, scan, tmp_path):
    mine = tmp_path / "scan.tif"
    shutil.copy(scan, mine)
    predict.run(runs[0], mine, tmp_path / "a.tif")
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"a\.tif\.json: .* made otherwise; .* run: "):
        predict.run(runs[1], mine, tmp_path / "a.tif")
    with pytest.raises(InputError, match="maps"):
        predict.run(runs[0], mine, tmp_path / "a.tif", uncertainty=True)
    assert content(tmp_path) == before
    write_scan(mine, seed=1)
    changed = r"scan\.tif: was changed since .*a\.tif was begun; .* or remove .*a\.tif and"
    with pytest.raises(InputError, match=changed):
        predict.run(runs[0], mine, tmp_path / "a.tif")
    (tmp_path / "a.tif").unlink()  # Nor is it made again of another scan.
    with pytest.raises(InputError, match=changed):
        predict.run(runs[0], mine, tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"b\.tif: is there already"):
        predict.run(runs[0], mine, tmp_path / "b.tif")
    assert (tmp_path / "b.tif").read_bytes() == b"mine"
    for text in ("[1, 2]", '{"VoxelSize": 3}'):
        (tmp_path / "c.tif.json").write_text(text)
        with pytest.raises(InputError, match=r"c\.tif\.json: is there already and was not"):
            predict.run(runs[0], mine, tmp_path / "c.tif")
        assert (tmp_path / "c.tif.json").read_text() == text


def test_a_scan_that_changes_while_it_is_read_is_no_result(runs, scan, tmp_path, monkeypatch):
    mine = tmp_path / "scan.tif"
    shutil.copy(scan, mine)
    work = segment._segment

    def changes(job, numbers):
        work(job, numbers)
        write_scan(mine, seed=1)

    monkeypatch.setattr(segment, "_segment", changes)
    with pytest.raises(InputError, match="changed while it was read"):
        predict.run(runs[0], mine, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


@pytest.mark.parametrize(
    ("spacing", "flags", "message"),
    [
        (1.0, {"axes": "all"}, r"voxels of .* are 1 x 0.5 x 0.5 um"),
        (0.5, {"anisotropic": True}, "--anisotropic: has no effect with --axes=z"),
        (0.5, {"ome_zarr": "0.5"}, "--ome_zarr=0.5: has no effect on TIFF"),
        (0.5, {"share": "3/3"}, "must be K/N"),
        (0.5, {"jobs": 0}, "--jobs=0"),
        (0.5, {"jobs": 2, "share": "0/2"}, "--share: is what --jobs gives"),
    ],
)
def test_what_would_go_wrong_or_has_no_effect_is_said(runs, tmp_path, spacing, flags, message):
    scan = write_scan(tmp_path / "scan.tif", (4, 33, 33), spacing)
    with pytest.raises(InputError, match=message):
        predict.run(runs[0], scan, tmp_path / "a.tif", **flags)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.tif"]


def test_who_knows_better_may_see_voxels_that_are_no_cubes_along_all_axes(runs, tmp_path):
    scan = write_scan(tmp_path / "scan.tif", (12, 33, 33), spacing=1.0)
    predict.run(runs[0], scan, tmp_path / "a.tif", axes="all", anisotropic=True)
    assert labels(tmp_path / "a.tif").shape == (12, 33, 33)


@pytest.mark.parametrize(
    "flags",
    [
        {"axes": "all"}, {"share": "0/2"}, {"jobs": 2}, {"anisotropic": True},
        {"executor": "slurm"},
    ],
)  # fmt: skip
def test_a_folder_of_label_images_knows_no_volume(runs, scan, tmp_path, flags):
    with pytest.raises(InputError, match="has no effect on a folder of label images"):
        predict.run(runs[0], scan, tmp_path / "out", **flags)


def test_slices_with_a_gap_are_no_volume_and_without_one_they_are(runs, write, tmp_path):
    rng = np.random.default_rng(0)
    for z in (3, 4, 6):
        write(tmp_path / "in" / f"slice_{z}.tif", rng.integers(0, 60000, (33, 40)).astype("u2"))
    with pytest.raises(InputError, match="1 slices between 3 and 6 are missing"):
        predict.run(runs[0], tmp_path / "in", tmp_path / "a.tif")
    (tmp_path / "in" / "slice_6.tif").rename(tmp_path / "in" / "slice_5.tif")
    predict.run(runs[0], tmp_path / "in", tmp_path / "a.tif")
    assert labels(tmp_path / "a.tif").shape == (3, 33, 40)


def test_shares_are_numbered_from_0():
    assert parse_share("0/8") == (0, 8)
    assert parse_share(None) is None
    for text in ("2/2", "1", "/3", "²/3", "-1/3", "1/3/5"):
        with pytest.raises(InputError, match="must be K/N"):
            parse_share(text)


def begun(run, scan, output, monkeypatch):
    """A prediction that was stopped before its first block."""
    with monkeypatch.context() as patch:
        patch.setattr(segment, "_segment", _stops)
        with pytest.raises(StoppedError):
            predict.run(run, scan, output)


def test_a_folder_of_somebody_else_beside_the_output_is_not_emptied(runs, scan, tmp_path):
    mine = tmp_path / "a.tif.part" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt: is there already and was not written by"):
        predict.run(runs[0], scan, tmp_path / "a.tif")
    assert content(tmp_path) == {"a.tif.part/notes.txt": b"mine"}


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr"])
def test_a_file_that_appears_under_the_name_of_the_output_is_not_lost(
    runs, scan, tmp_path, monkeypatch, name
):
    begun(runs[0], scan, tmp_path / name, monkeypatch)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        predict.run(runs[0], scan, tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr"])
def test_a_kill_while_it_tidies_up_or_writes_leaves_nothing_behind(
    runs, scan, tmp_path, monkeypatch, name
):
    def killed(*arguments):
        raise StoppedError("stopped")

    for function in ("_clear", "write_json"):
        with monkeypatch.context() as patch:
            patch.setattr(segment, function, killed)
            with pytest.raises(StoppedError):
                predict.run(runs[0], scan, tmp_path / name)
        assert (tmp_path / f"{name}.part").is_dir()
        predict.run(runs[0], scan, tmp_path / name)
        beside = set() if name.endswith(".zarr") else {f"{name}.preview.png"}
        assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.json"} | beside
        for other in {f"{name}.json"} | beside:
            (tmp_path / other).unlink()
        (tmp_path / name).rename(tmp_path.with_name(f"{tmp_path.name}_{function}"))


def test_shares_of_a_killed_call_end_before_the_next_one_begins(
    runs, scan, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(logging.getLogger("xseg_jax"), "propagate", True)
    output = tmp_path / "a.tif"
    begun(runs[0], scan, output, monkeypatch)
    with (
        ThreadPoolExecutor(1) as pool,
        (tmp_path / "a.tif.part" / SHARES).open("a") as share,
    ):
        locks.wait_for(share, alone=False)
        command = pool.submit(predict.run, runs[0], scan, output)
        while "waiting for processes of an earlier call" not in caplog.text:
            assert not command.done()
        assert not list((tmp_path / "a.tif.part" / "done").iterdir())
        share.close()
        command.result()
    assert labels(output).shape == SHAPE
    assert not (tmp_path / "a.tif.part").exists()


def test_a_share_of_nothing_that_was_begun_is_refused_and_of_a_finished_one_does_nothing(
    runs, scan, tmp_path
):
    with pytest.raises(InputError, match=r"--share=0/2: nothing was begun in .*; .* give --jobs"):
        predict.run(runs[0], scan, tmp_path / "a.tif", share="0/2")
    assert not list(tmp_path.iterdir())
    predict.run(runs[0], scan, tmp_path / "a.tif")
    before = content(tmp_path)
    predict.run(runs[0], scan, tmp_path / "a.tif", share="0/2")
    assert content(tmp_path) == before


def test_an_output_within_what_is_read_is_refused(runs, write, tmp_path):
    gray_HW = np.random.default_rng(0).integers(0, 60000, (33, 40)).astype("u2")
    for z in range(2):
        write(tmp_path / "in" / f"slice_{z}.tif", gray_HW)
    before = content(tmp_path)
    for name, match in (("in/a.tif", "lies in the folder"), ("b.h5::/seg", "place inside a file")):
        with pytest.raises(InputError, match=match):
            predict.run(runs[0], tmp_path / "in", tmp_path / name)
    with pytest.raises(InputError, match="is the input itself"):
        predict.run(runs[0], tmp_path / "in" / "slice_0.tif", tmp_path / "in" / "slice_0.tif")
    assert content(tmp_path) == before


def test_a_folder_of_one_scan_is_that_scan_and_of_two_asks_which(runs, scan, slices, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(scan, tmp_path / "in" / "a.tif")
    predict.run(runs[0], tmp_path / "in", tmp_path / "a.tif")
    np.testing.assert_array_equal(labels(tmp_path / "a.tif"), slices)
    shutil.copy(scan, tmp_path / "in" / "b.tif")
    with pytest.raises(InputError, match=r"in: holds 2 scans, .* --input=.*in/a\.tif, for"):
        predict.run(runs[0], tmp_path / "in", tmp_path / "b.tif")


def test_another_pixel_type_is_said_as_the_file_has_it(runs, tmp_path):
    tifffile.imwrite(tmp_path / "scan.tif", np.zeros((5, 33, 33), np.int16))
    with pytest.raises(InputError, match=r"scan\.tif \(int16, read as float32\): pixels are"):
        predict.run(runs[0], tmp_path / "scan.tif", tmp_path / "a.tif")


def test_neighbours_of_planes_at_the_edge_of_a_block_are_seen(runs, scan, tmp_path):
    """Run 1 sees neighbours: 40 planes in blocks of 16 give what planes one by one give."""
    predict.run(runs[1], scan, tmp_path / "a.nrrd")
    predict.run(runs[1], scan, tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.tif"))
    found = np.stack([tifffile.imread(file) for file in files])
    np.testing.assert_array_equal(labels(tmp_path / "a.nrrd"), found)
