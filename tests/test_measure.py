"""--mode=measure: a segmented volume in, quantities, tables and meshes out."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from configs import scan as scan_config
from xseg_jax.data.phantom import microstructure
from xseg_jax.errors import InputError
from xseg_jax.measure.quantities import FAMILIES
from xseg_jax.modes import measure
from xseg_jax.modes.quantities import choose
from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.write import Legend
from xseg_jax.scans.write_tiff import write_image
from xseg_jax.scans.write_zarr import ZarrStore

MAIN = Path(__file__).parents[1] / "main.py"
QUICK = "fractions,surfaces,triple_lines"


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A true volume, and a predicted one that takes a tenth of class 0 for class 1."""
    folder = tmp_path_factory.mktemp("volumes")
    true_ZYX = microstructure(
        depth=36, size=40, fractions=(0.3, 0.4, 0.3), correlation_length=4.0, seed=0
    )
    wrong_ZYX = true_ZYX.copy()
    wrong_ZYX.flat[np.flatnonzero(true_ZYX == 0)[::10]] = 1
    values = np.array([0, 128, 255], np.uint8)
    for name, class_ZYX in (("true", true_ZYX), ("segmented", wrong_ZYX)):
        tifffile.imwrite(
            folder / f"{name}.tif", values[class_ZYX], imagej=True, resolution=(2, 2),
            metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
        )  # fmt: skip
    return folder


def run(source, output, changes=None, **options):
    config = scan_config.get_config()
    config.update_from_flattened_dict(changes or {})
    return measure.run(source, output, config=config, changes=changes, **options)


def test_all_is_measured_and_written(volumes, tmp_path):
    """The command as it is typed."""
    output = tmp_path / "measured"
    done = subprocess.run(
        [
            sys.executable, MAIN, "--mode=measure", f"--input={volumes / 'segmented.tif'}",
            f"--labels={volumes / 'true.tif'}", f"--output={output}", "--meshes=ply,stl",
            "--config.data.classes=0:pore,128:YSZ,255:nickel",
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == f"data:   {volumes / 'segmented.tif'}, 36 slices of 40 x 40, uint8"
    assert lines[1:3] == [f"labels: {volumes / 'true.tif'}", "voxels: 0.5 x 0.5 x 0.5 um"]
    last = lines.index(f"results: {output}/measured.json, {output}/measured.csv")
    assert [line.partition(":")[0] for line in lines[last:]] == [
        "results", "objects", "meshes", "page",
    ]  # fmt: skip
    found = json.loads((output / "measured.json").read_text())
    assert (found["shape"], found["unit"], found["voxel_size"]) == ([36, 40, 40], "um", [0.5] * 3)
    assert found["phases"] == ["pore", "YSZ", "nickel"]
    assert found["left_out"] == []
    rows = {(r["quantity"], r["phase"], r["axis"]): r for r in found["quantities"]}
    fraction = rows["volume_fraction", "pore", None]
    assert fraction["value"] == pytest.approx(0.27, abs=2e-3)
    assert fraction["against"]["error"] == pytest.approx(-0.1, abs=1e-3)
    assert rows["tortuosity", "YSZ", "z"]["value"] > 1
    assert rows["surface_density", "pore", None]["unit"] == "1/um"
    curves = {curve["quantity"] for curve in found["curves"]}
    assert curves == {"thickness", "chord_length", "two_point_correlation"}
    with (output / "measured.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(found["quantities"])
    assert float(table[0]["error"]) == fraction["against"]["error"]
    files = {path.name for path in output.iterdir()}
    for phase in found["phases"]:
        assert {f"objects_{phase}.csv", f"{phase}.ply", f"{phase}.stl"} <= files
    assert (output / "pore.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")


def test_the_same_again_takes_its_place_and_another_is_refused(volumes, tmp_path):
    first = run(volumes / "segmented.tif", tmp_path / "out", quantities="fractions")
    again = run(volumes / "segmented.tif", tmp_path / "out", quantities="fractions")
    assert [r["value"] for r in first["quantities"]] == [r["value"] for r in again["quantities"]]
    with pytest.raises(InputError, match=r"quantities: \['fractions'\] there"):
        run(volumes / "segmented.tif", tmp_path / "out", quantities="surfaces")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "measured.csv").write_text("mine")
    with pytest.raises(InputError, match="was not written by a measurement"):
        run(volumes / "segmented.tif", tmp_path / "own", quantities="fractions")


def test_tables_and_meshes_of_somebody_are_not_written_over(volumes, tmp_path):
    changes = {"data.classes": "0:pore,128:YSZ,255:nickel"}
    for n, name in enumerate(("objects_pore.csv", "nickel.ply")):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name}: is there already and was not written by"):
            run(
                volumes / "segmented.tif", folder, quantities="fractions", meshes="ply",
                changes=changes,
            )  # fmt: skip
        assert (folder / name).read_text() == "mine"
    with pytest.raises(InputError, match=r"two of these phases .* would share a file"):
        run(
            volumes / "segmented.tif", tmp_path / "new",
            changes={"data.classes": "0:a b,128:a_b,255:c"},
        )  # fmt: skip


def test_voxel_size_is_that_of_the_file_or_as_given(volumes, tmp_path, caplog):
    said = run(volumes / "segmented.tif", tmp_path / "a", quantities="surfaces")
    given = run(
        volumes / "segmented.tif", tmp_path / "b", quantities="surfaces",
        changes={"data.voxel_size": "1 um"},
    )  # fmt: skip
    pairs = zip(said["quantities"], given["quantities"], strict=True)
    assert all(a["value"] == pytest.approx(2 * b["value"]) for a, b in pairs)
    np.save(tmp_path / "bare.npy", tifffile.imread(volumes / "segmented.tif"))
    bare = run(tmp_path / "bare.npy", tmp_path / "c", quantities="surfaces")
    assert bare["unit"] == "voxel"
    assert "says no voxel size; lengths are in voxels" in caplog.text


def test_what_a_prediction_says_of_its_values_is_read(volumes, tmp_path):
    (tmp_path / "labels.tif").write_bytes((volumes / "segmented.tif").read_bytes())
    classes = [{"value": v, "name": n} for v, n in ((255, "nickel"), (0, "pore"), (128, "YSZ"))]
    (tmp_path / "labels.tif.json").write_text(json.dumps({"classes": classes}))
    found = run(tmp_path / "labels.tif", tmp_path / "out", quantities="fractions")
    assert found["phases"] == ["nickel", "pore", "YSZ"]
    assert found["quantities"][1]["value"] == pytest.approx(0.27, abs=2e-3)


def test_a_predicted_folder_of_images_says_what_its_values_are(volumes, tmp_path):
    """Its images have a palette, and are measured by their values."""
    labels_ZYX, folder = tifffile.imread(volumes / "segmented.tif"), tmp_path / "out"
    legend = Legend.of((0, 128, 255), ("pore", "YSZ", "nickel"))
    folder.mkdir()
    for z in (0, 12):
        write_image(folder / f"s{z:03d}.tif", labels_ZYX[z], legend=legend)
    (folder / "prediction.json").write_text(json.dumps({"classes": legend.classes()}))
    found = run(folder, tmp_path / "measured", quantities="fractions")
    assert found["phases"] == ["pore", "YSZ", "nickel"]
    for k, value in enumerate(legend.values):
        expected = (labels_ZYX[[0, 12]] == value).mean()
        assert found["quantities"][k]["value"] == pytest.approx(expected)


def test_what_is_ignored_counts_nowhere(volumes, tmp_path):
    found = run(
        volumes / "segmented.tif", tmp_path / "out", quantities=QUICK,
        changes={"data.ignore": "255"},
    )  # fmt: skip
    fractions = [r["value"] for r in found["quantities"] if r["quantity"] == "volume_fraction"]
    assert sum(fractions) == pytest.approx(1)
    assert found["ignore"] == "255"
    assert found["left_out"][0]["quantity"] == "triple_lines"


def test_nothing_outside_of_a_mask_is_measured(volumes, tmp_path):
    """As if what lies outside were not labelled: pores within stay, and have no wall there."""
    true_ZYX = tifffile.imread(volumes / "true.tif")
    y, x = np.ogrid[-20:20, -20:20]
    inside_YX = y**2 + x**2 < 15**2
    around_ZYX = np.where(inside_YX, true_ZYX, 0)  # A core in air that has the value of pores.
    np.save(tmp_path / "core.npy", around_ZYX)
    np.save(tmp_path / "mask.npy", np.broadcast_to(inside_YX, true_ZYX.shape).astype(np.uint8))
    np.save(tmp_path / "marked.npy", np.where(inside_YX, true_ZYX, 7))
    some = {"quantities": f"{QUICK},connectivity,tortuosity"}
    mask = str(tmp_path / "mask.npy")
    labels = str(tmp_path / "core.npy")
    found = run(tmp_path / "core.npy", tmp_path / "a", within=mask, labels=labels, **some)
    ignored = run(tmp_path / "marked.npy", tmp_path / "b", changes={"data.ignore": "7"}, **some)
    assert [row["value"] for row in found["quantities"]] == [
        row["value"] for row in ignored["quantities"]
    ]
    errors = {row["against"]["error"] for row in found["quantities"]}
    assert errors <= {0.0, None}
    expected = (true_ZYX == 0)[:, inside_YX].mean()
    assert found["quantities"][0]["value"] == pytest.approx(expected)
    assert found["within"] == mask
    np.save(tmp_path / "circle.npy", inside_YX[None].astype(np.uint8))
    circle = run(tmp_path / "core.npy", tmp_path / "c", within=str(tmp_path / "circle.npy"), **some)
    assert [row["value"] for row in circle["quantities"]] == [
        row["value"] for row in found["quantities"]
    ]
    with pytest.raises(InputError, match="within: nothing there, "):
        run(
            tmp_path / "core.npy", tmp_path / "b", within=mask, changes={"data.ignore": "7"}, **some
        )


def test_a_mask_of_something_else_is_refused(volumes, tmp_path):
    source = volumes / "segmented.tif"
    np.save(tmp_path / "small.npy", np.ones((36, 40, 39), np.uint8))
    np.save(tmp_path / "empty.npy", np.zeros((36, 40, 40), np.uint8))
    with pytest.raises(
        InputError, match=r"small.npy: has \(36, 40, 39\) voxels, but .* \(36, 40, 40"
    ):
        run(source, tmp_path / "out", within=str(tmp_path / "small.npy"))
    with pytest.raises(InputError, match=r"empty.npy: is 0 everywhere"):
        run(source, tmp_path / "out", within=str(tmp_path / "empty.npy"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantities": "fraction"}, "--quantities=fraction: there is no 'fraction'; choose among"),
        ({"meshes": "obj"}, "--meshes=obj: there is no 'obj'; choose among ply, stl"),
    ],
)
def test_names_that_are_none_are_refused(volumes, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(volumes / "segmented.tif", tmp_path / "out", **options)


def test_labels_of_another_volume_are_refused(volumes, tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((36, 40, 41), np.uint8))
    with pytest.raises(InputError, match=r"has \(36, 40, 41\) voxels, but .* has \(36, 40, 40\)"):
        run(volumes / "segmented.tif", tmp_path / "out", labels=str(tmp_path / "other.npy"))


def test_an_image_is_no_segmented_volume(tmp_path):
    np.save(tmp_path / "scan.npy", np.arange(20 * 20 * 20, dtype=np.uint16).reshape(20, 20, 20))
    with pytest.raises(InputError, match="more than 255 values: it is no segmented volume"):
        run(tmp_path / "scan.npy", tmp_path / "out")


def test_families_are_chosen_in_their_order():
    assert choose("surfaces, fractions") == ("fractions", "surfaces")
    assert choose(None) == choose("all") == tuple(FAMILIES)


def test_probabilities_of_a_prediction_say_what_doubt_leaves_open(volumes, tmp_path):
    labels_ZYX = tifffile.imread(volumes / "segmented.tif")
    legend = Legend.of((0, 128, 255), ("pore", "YSZ", "nickel"))
    path = tmp_path / "out.ome.zarr"
    share_KZYX = np.stack([np.where(labels_ZYX == v, 153, 51) for v in legend.values])
    everything = tuple(slice(0, n) for n in labels_ZYX.shape)
    common = {"shape": labels_ZYX.shape, "geometry": Geometry((0.5,) * 3, "um"), "about": {}}
    with ZarrStore.create(path, dtype=np.uint8, legend=legend, **common) as store:
        store.write(everything, labels_ZYX)
        store.finish()
    with ZarrStore.create(
        path, dtype=np.uint8, group="probabilities", channels=legend.names, **common
    ) as store:
        store.write(everything, share_KZYX.astype(np.uint8))
        store.finish()
    (tmp_path / "out.ome.zarr.json").write_text(json.dumps({"classes": legend.classes()}))
    found = run(path, tmp_path / "measured", quantities="fractions,connectivity")
    rows = {(r["quantity"], r["phase"]): r for r in found["quantities"]}
    one = rows["volume_fraction", "pore"]
    assert one["doubt_low"] < one["value"] < one["doubt_high"]
    whole = rows["cluster_density", "pore"]
    assert 0 <= whole["doubt_low"] < whole["doubt_high"]
    np.save(tmp_path / "mask.npy", (labels_ZYX == 0).astype(np.uint8))
    within = run(
        path, tmp_path / "within", quantities="fractions", within=str(tmp_path / "mask.npy")
    )
    rows = {r["phase"]: r for r in within["quantities"]}
    assert rows["pore"]["value"] == 1
    assert rows["pore"]["doubt_low"] < 1
    other = run(
        path, tmp_path / "renamed", quantities="fractions",
        changes={"data.classes": "0:a,128:b,255:c"},
    )  # fmt: skip
    assert other["quantities"][0]["doubt_low"] is None


def test_slices_that_are_no_volume_give_estimates(volumes, tmp_path):
    labels_ZYX = tifffile.imread(volumes / "segmented.tif")
    for z in (0, 12, 24):
        (tmp_path / "slices").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "slices" / f"s{z:03d}.tif", labels_ZYX[z])
    changes = {"data.voxel_size": "0.5 um", "data.classes": "0:pore,128:YSZ,255:nickel"}
    found = run(tmp_path / "slices", tmp_path / "out", changes=changes)
    assert (found["dimension"], found["shape"]) == (2, [3, 40, 40])
    (one, *_) = found["quantities"]
    assert one["value"] == pytest.approx((labels_ZYX[[0, 12, 24]] == 0).mean())
    assert {"tortuosity", "thickness"} <= {row["quantity"] for row in found["left_out"]}
    alone = run(tmp_path / "slices" / "s000.tif", tmp_path / "one", changes=changes)
    assert alone["shape"] == [1, 40, 40]
    with pytest.raises(InputError, match="--meshes=ply: has no effect on slices"):
        run(tmp_path / "slices", tmp_path / "other", meshes="ply", changes=changes)
