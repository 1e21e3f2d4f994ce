"""OME-Zarr stores: blocks of several processes, whole chunks only, levels, metadata last."""

import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from test_ome import valid
from written import ABOUT, GEOMETRY, LEGEND, TURN, labels

from xseg_jax.errors import InputError, SaveError
from xseg_jax.scans import pyramid
from xseg_jax.scans.pyramid import majority
from xseg_jax.scans.scan import Geometry, open_scan
from xseg_jax.scans.write_zarr import ZarrStore

ROOT = Path(__file__).parent.parent
SHAPE, CHUNKS = (20, 37, 45), (8, 16, 16)


@pytest.fixture(name="path")
def _path(tmp_path, monkeypatch):
    monkeypatch.setattr(pyramid.factors_of_levels, "__defaults__", (12,))  # Small pyramids.
    return tmp_path / "a [1].zarr"  # A name that libraries would take for a pattern.


def create(path, dtype="uint8", shape=SHAPE, chunks=CHUNKS, **options):
    options = {"geometry": GEOMETRY, "legend": LEGEND, "about": ABOUT, **options}
    if dtype == "float32":
        options["legend"] = None
    geometry = options.pop("geometry")
    return ZarrStore.create(path, shape, dtype, geometry, chunks, **options)


def regions(shape=SHAPE, chunks=CHUNKS):
    for start in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunks, strict=True))):
        z, y, x = (
            slice(k * c, min((k + 1) * c, n)) for k, c, n in zip(start, chunks, shape, strict=True)
        )
        yield z, y, x


def fill(store, volume):
    for region in regions(store.shape, store.chunks):
        store.write(region, volume[(..., *region)])
    store.finish()
    store.close()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_written_block_by_block_and_read_by_zarr(path, version, dtype):
    expected_ZYX = labels(dtype, SHAPE)
    fill(create(path, dtype, version=version), expected_ZYX)
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == {"0.4": 2, "0.5": 3}[version]
    said = dict(group.attrs)
    ours = said.pop("xseg_jax")
    image = valid(said, version)
    assert (ours["finished"], ours["about"]) == (True, ABOUT)
    levels = [group[data["path"]] for data in image["datasets"]]
    assert [level.shape for level in levels] == [
        (20, 37, 45), (20, 37, 23), (20, 19, 12), (20, 10, 6), (10, 5, 3),
    ]  # fmt: skip
    assert all(level.dtype == dtype and level.fill_value == 0 for level in levels)
    chunk = "c/0/0/0" if version == "0.5" else "0/0/0"
    assert (path / "0" / chunk).is_file()
    np.testing.assert_array_equal(levels[0][...], expected_ZYX)
    reduced = majority if dtype != "float32" else pyramid.mean
    steps = [(1, 1, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2)]
    for before, after, step in zip(levels[:-1], levels[1:], steps, strict=True):
        np.testing.assert_array_equal(after[...], reduced(before[...], step))
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.slab(0, 20), expected_ZYX)
        assert scan.geometry == GEOMETRY


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_lie_where_they_say(path, version):
    # A volume whose values are places: means of a level must be the places of its voxels.
    geometry = Geometry((2.0, 0.5, 0.5), "um", (1.0, 2.0, 3.0))
    shape = (16, 32, 32)
    for axis in range(3):
        place_ZYX = np.empty(shape, np.float32)
        steps = geometry.origin[axis] + geometry.voxel_size[axis] * np.arange(shape[axis])
        place_ZYX[...] = np.expand_dims(steps, [a for a in range(3) if a != axis])
        where = path.with_name(f"{axis}.zarr")
        fill(create(where, "float32", shape, geometry=geometry, version=version), place_ZYX)
        group = zarr.open_group(where, mode="r")
        said = dict(group.attrs)
        image = said["ome"]["multiscales"][0] if version == "0.5" else said["multiscales"][0]
        assert len(image["datasets"]) == 4
        for data in image["datasets"]:
            scale, shift = data["coordinateTransformations"]
            level_zyx = group[data["path"]][...]
            expected = shift["translation"][axis] + scale["scale"][axis] * np.arange(
                level_zyx.shape[axis]
            )
            others = tuple(a for a in range(3) if a != axis)
            np.testing.assert_allclose(level_zyx.mean(axis=others), expected, rtol=1e-6)


PROGRAM = """
import sys
import numpy as np
from xseg_jax.scans.write_zarr import ZarrStore
path, first = sys.argv[1], int(sys.argv[2])
store = ZarrStore.open(path)
for z in range(8 * first, store.shape[0], 16):
    region = slice(z, min(z + 8, store.shape[0])), slice(0, 37), slice(0, 45)
    lengths = [part.stop - part.start for part in region]
    store.write(region, np.full(lengths, 1 + z // 8, store.dtype))
"""


def test_processes_write_side_by_side(path):
    create(path).close()
    running = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), str(k)], cwd=ROOT)
        for k in range(2)
    ]
    assert [process.wait() for process in running] == [0, 0]
    with ZarrStore.open(path) as store:
        assert not store.finished
        store.finish()
    with open_scan(path) as scan:
        found_ZYX = scan.slab(0, 20)
    assert [np.unique(found_ZYX[z : z + 8]).tolist() for z in (0, 8, 16)] == [[1], [2], [3]]


@pytest.mark.parametrize(
    "region",
    [
        (slice(1, 8), slice(0, 16), slice(0, 16)),
        (slice(0, 8), slice(0, 15), slice(0, 16)),
        (slice(0, 8), slice(0, 16), slice(0, 44)),
        (slice(0, 8), slice(0, 16), slice(0, 48)),
        (slice(0, 8), slice(0, 16), slice(16, 16)),
        (slice(0, 8, 2), slice(0, 16), slice(0, 16)),
    ],
)
def test_parts_of_chunks_are_refused(path, region):
    store = create(path)
    lengths = [part.stop - part.start for part in region]
    with pytest.raises(ValueError, match=r"is not of whole chunks \(8, 16, 16\)|no region"):
        store.write(region, np.ones(lengths, np.uint8))
    assert not store.read((slice(0, 20), slice(0, 37), slice(0, 45))).any()


def test_values_that_do_not_fit_are_refused(path):
    store = create(path)
    region = next(regions())
    for values in (np.ones((8, 16, 15), np.uint8), np.ones((8, 16, 16), np.uint16)):
        with pytest.raises(ValueError, match=r"region .* takes uint8 \(8, 16, 16\)"):
            store.write(region, values)


def test_any_region_is_read(path):
    store, expected_ZYX = create(path), labels(shape=SHAPE)
    for region in regions():
        store.write(region, expected_ZYX[region])
    part = slice(3, 17), slice(5, 37), slice(15, 17)
    np.testing.assert_array_equal(store.read(part), expected_ZYX[part])
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(copy.read(part), expected_ZYX[part])
    assert (copy.shape, copy.chunks, copy.dtype) == (SHAPE, CHUNKS, np.uint8)
    with pytest.raises(ValueError, match="no region"):
        store.read((slice(0, 21), slice(0, 1), slice(0, 1)))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_it_is_an_image_only_when_it_is_finished(path, version):
    store = create(path, version=version)
    said = dict(zarr.open_group(path, mode="r").attrs)
    assert set(said) == {"xseg_jax"}
    fill(store, labels(shape=SHAPE))
    first = {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with ZarrStore.open(path) as again:
        assert again.finished
        again.finish()
    assert first == {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_further_images_beside_the_labels(path, version):
    fill(create(path, version=version), labels(shape=SHAPE))
    doubt_ZYX = labels("float32", SHAPE)
    fill(create(path, "float32", version=version, group="uncertainty"), doubt_ZYX)
    probability_CZYX = np.stack([doubt_ZYX, 1 - doubt_ZYX])
    names = ("pore", "metal")
    store = create(path, "float32", version=version, group="deep/probabilities", channels=names)
    assert store.channels == names
    fill(store, probability_CZYX)
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.slab(0, 20), labels(shape=SHAPE))
    with open_scan(f"{path}::uncertainty") as scan:
        np.testing.assert_array_equal(scan.slab(0, 20), doubt_ZYX)
        assert scan.geometry == GEOMETRY
    for c in range(2):
        with open_scan(f"{path}::deep/probabilities::c={c}") as scan:
            np.testing.assert_array_equal(scan.slab(0, 20), probability_CZYX[c])
            assert scan.geometry == GEOMETRY
    group = zarr.open_group(path, mode="r")["deep/probabilities"]
    assert group["0"].chunks == (1, 8, 16, 16)
    assert group["1"].shape == (2, 20, 37, 23)
    for c in range(2):
        np.testing.assert_array_equal(group["1"][c], pyramid.mean(probability_CZYX[c], (1, 1, 2)))


def test_the_plan_outlives_the_process_that_made_it(path):
    geometry = Geometry((float("nan"), 0.5, 0.25), "nm", (1.0, 2.0, 3.0), TURN)
    create(path, geometry=geometry).close()
    assert "NaN" not in (path / ".zattrs").read_text()  # Which is no JSON.
    store = ZarrStore.open(path)
    np.testing.assert_equal(store.geometry.voxel_size, geometry.voxel_size)
    assert store.geometry.direction == TURN
    assert (store.geometry.unit, store.geometry.origin) == ("nm", (1.0, 2.0, 3.0))
    assert (store.legend, store.about) == (LEGEND, ABOUT)


def test_chunks_are_cut_where_the_volume_is_smaller(path):
    store = create(path, shape=(3, 37, 5), chunks=(64, 16, 64))
    assert store.chunks == (3, 16, 5)
    fill(store, labels(shape=(3, 37, 5)))
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.slab(0, 3), labels(shape=(3, 37, 5)))


def test_what_is_there_is_not_overwritten(path):
    create(path).close()
    with pytest.raises(InputError, match=r"\.zarr: exists already; move it away"):
        create(path)
    create(path, group="doubt").close()
    with pytest.raises(InputError, match=r"\.zarr/doubt: exists already"):
        create(path, group="doubt")
    with pytest.raises(ValueError, match=r"the store is not of OME-Zarr 0\.5"):
        create(path, group="other", version="0.5")
    with pytest.raises(ValueError, match=r"OME-Zarr 0\.3 is not written"):
        create(path.with_name("b.zarr"), version="0.3")


def test_what_is_no_store_of_ours(path):
    with pytest.raises(InputError, match="no such store; check the path"):
        ZarrStore.open(path)
    zarr.open_group(path, mode="w", zarr_format=3)
    with pytest.raises(InputError, match="is no image that xseg_jax writes"):
        ZarrStore.open(path)


def test_a_full_disk_is_one_line(path):
    store = create(path, "uint16", (64, 64, 64), (64, 64, 64))
    noise_ZYX = np.random.default_rng(0).integers(0, 2**16, (64, 64, 64), np.uint16)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SaveError, match=r"\.zarr: the volume cannot be written \(.*make room"):
            store.write((slice(0, 64),) * 3, noise_ZYX)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.write((slice(0, 64),) * 3, noise_ZYX)
    np.testing.assert_array_equal(store.read((slice(0, 64),) * 3), noise_ZYX)


def test_a_damaged_chunk_is_named_and_not_taken_for_labels(path):
    store = create(path)
    for region in regions():
        store.write(region, labels(shape=SHAPE)[region])
    (path / "0" / "1" / "1" / "1").write_bytes(b"no chunk")
    with pytest.raises(InputError, match=r"a \[1\]\.zarr: cannot be read \(.*; write it again"):
        store.finish()
    assert "multiscales" not in json.loads((path / ".zattrs").read_text())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_py_opens_it(path, version):
    pytest.importorskip("ome_zarr", reason="ome-zarr is heavy, and not required for tests")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    plain = path.with_name("a.zarr")
    fill(create(plain, version=version), labels(shape=SHAPE))
    (node,) = Reader(parse_url(str(plain)))()
    assert [level.shape for level in node.data][:2] == [(20, 37, 45), (20, 37, 23)]
    assert node.metadata["properties"][7] == {"name": "céramique"}
