"""Zarr 2 and 3, OME-Zarr, N5: values, axes, scale and translation; wrong stores are refused."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import tensorstore
import zarr
from volumes import DTYPES, check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "scan.zarr"


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "uint64"])
@pytest.mark.parametrize("version", [2, 3])
def test_types(path, dtype, version):
    expected_ZYX = volume(dtype)
    zarr.create_array(path, data=expected_ZYX, chunks=(2, 4, 4), zarr_format=version)
    with open_scan(path) as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size) == ("scan", None)


@pytest.mark.parametrize("dtype", [">u2", ">f4"])
def test_big_endian(path, dtype):
    zarr.create_array(path, data=volume(dtype).astype(dtype), chunks=(2, 4, 4), zarr_format=2)
    with open_scan(path) as scan:
        check(scan, volume(dtype))


FORMS = {
    "shards": {"zarr_format": 3, "shards": (4, 8, 8), "chunks": (2, 4, 4)},
    "gzip": {"zarr_format": 3, "chunks": (2, 4, 4), "compressors": zarr.codecs.GzipCodec()},
    "zstd": {"zarr_format": 3, "chunks": (2, 4, 4), "compressors": zarr.codecs.ZstdCodec()},
    "blosc": {"zarr_format": 3, "chunks": (2, 4, 4), "compressors": zarr.codecs.BloscCodec()},
    "columns first": {"zarr_format": 2, "chunks": (2, 4, 4), "order": "F"},
    "plain": {"zarr_format": 2, "chunks": (2, 4, 4), "compressors": None},
    "slashes": {"zarr_format": 2, "chunks": (2, 4, 4),
                "chunk_key_encoding": {"name": "v2", "separator": "/"}},
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms(path, name):
    zarr.create_array(path, data=volume(), **FORMS[name])
    with open_scan(path) as scan:
        check(scan, volume())


def test_chunks_that_were_never_written_are_the_fill_value(path):
    array = zarr.create_array(path, shape=(5, 7, 9), dtype="u2", chunks=(1, 7, 9), fill_value=7)
    array[2] = volume()[2]
    expected_ZYX = np.full((5, 7, 9), 7, np.uint16)
    expected_ZYX[2] = volume()[2]
    with open_scan(path) as scan:
        check(scan, expected_ZYX)


def test_one_array_in_a_group_is_taken_and_several_are_listed(path):
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.create_array("deep/grey", data=volume(seed=1))
    root.create_array("list", data=np.arange(4))
    root.create_array("flat", data=volume("uint8", (7, 9)))
    with open_scan(path) as scan:
        check(scan, volume(seed=1))
    root.create_array("other", data=volume(seed=2))
    with pytest.raises(
        InputError, match=r"holds 2 arrays; name one as \S*scan.zarr::deep/grey; there .* other$"
    ):
        open_scan(path)
    for form in (f"{path}::other", f"{path}::/other/", str(path / "other")):
        with open_scan(form) as scan:
            check(scan, volume(seed=2))
            assert scan.name == "other"
    with pytest.raises(
        InputError, match=r"has nothing at away; name one as .*deep/grey, flat, oth"
    ):
        open_scan(f"{path}::away")


def ome(path, values, axes, scale, *, version="0.4", unit="micrometer", more=(), image=()):
    """An OME-Zarr image of two levels, as its specification says."""
    values = np.asarray(values)
    types = {"t": "time", "c": "channel"}
    named = [
        {"name": a, "type": types.get(a, "space"), **({"unit": unit} if a in "zyx" else {})}
        for a in axes
    ]
    root = zarr.open_group(path, mode="a", zarr_format=3 if version == "0.5" else 2)
    levels = []
    for level, factor in (("0", 1), ("1", 2)):
        root.create_array(level, data=values[(..., *[slice(None, None, factor)] * 2)])
        sizes = [size * factor if a in "yx" else size for a, size in zip(axes, scale, strict=True)]
        steps = [{"type": "scale", "scale": sizes}, *(more if level == "0" else ())]
        levels.append({"path": level, "coordinateTransformations": steps})
    multiscales = [{"axes": named, "datasets": levels, "version": version}]
    if image:
        multiscales[0]["coordinateTransformations"] = list(image)
    said = {"multiscales": multiscales}
    root.attrs.update({"ome": {**said, "version": "0.5"}} if version == "0.5" else said)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome(path, version):
    translation = {"type": "translation", "translation": [10.0, 20.0, 30.0]}
    ome(path, volume(), "zyx", [2.0, 0.5, 0.25], version=version, more=[translation])
    with open_scan(path) as scan:
        check(scan, volume())
        assert (scan.voxel_size, scan.unit) == ((2.0, 0.5, 0.25), "um")
        assert scan.geometry.origin == (10.0, 20.0, 30.0)
    # A second scale is that of the image; it scales the translation too.
    shutil.rmtree(path)
    whole = [{"type": "scale", "scale": [2.0, 2.0, 4.0]}]
    ome(path, volume(), "zyx", [2.0, 0.5, 0.25], version=version, more=[translation], image=whole)
    with open_scan(path) as scan:
        assert scan.voxel_size == (4.0, 1.0, 1.0)
        assert scan.geometry.origin == (20.0, 40.0, 120.0)


def test_ome_axes(path):
    values = volume("uint16", (3, 2, 5, 7, 9))
    ome(path, values, "tczyx", [1.0, 1.0, 2.0, 0.5, 0.25])
    with pytest.raises(
        InputError, match=r"axes tczyx \(3, 2, 5, 7, 9\): 3 along t, 2 along c .*::t=0,c=0$"
    ):
        open_scan(path)
    with open_scan(f"{path}::t=2,c=1") as scan:
        check(scan, values[2, 1])
        assert scan.voxel_size == (2.0, 0.5, 0.25)
    ome(path / "labels" / "a", values, "tczyx", [1.0, 1.0, 2.0, 0.5, 0.25])
    with open_scan(f"{path}::labels/a::t=0,c=1") as scan:
        check(scan, values[0, 1])
        assert scan.name == "a"
    with pytest.raises(InputError, match=r"has 2 along c, counted from 0"):
        open_scan(f"{path}::t=0,c=2")
    with pytest.raises(InputError, match=r"cannot choose 'q=1' of axes tczyx"):
        open_scan(f"{path}::q=1")


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [((1, 1, 5, 7, 9), "tczyx", (5, 7, 9)), ((7, 9), "yx", (1, 7, 9)),
     ((1, 7, 9), "cyx", (1, 7, 9)), ((1, 1, 7, 9), "czyx", (1, 7, 9))],
)  # fmt: skip
def test_ome_of_fewer_axes(path, shape, axes, expected):
    values = volume("uint8", shape)
    ome(path, values, axes, [1.0] * (len(shape) - 2) + [0.5, 0.25])
    with open_scan(path) as scan:
        check(scan, values.reshape(expected))
        assert scan.voxel_size[1:] == (0.5, 0.25)
        assert np.isnan(scan.voxel_size[0]) == ("z" not in axes)


def test_ome_axes_in_another_order(path):
    ome(path, volume(), "xyz", [0.25, 0.5, 2.0])
    with open_scan(path) as scan:
        check(scan, volume().transpose())
        assert scan.voxel_size == (2.0, 0.5, 0.25)


def test_labels_of_an_image_open_by_their_path(path):
    ome(path, volume(), "zyx", [2.0, 0.5, 0.25])
    ome(path / "labels" / "nuclei", volume("uint8"), "zyx", [2.0, 0.5, 0.25])
    with open_scan(path) as scan:
        check(scan, volume())
    with open_scan(f"{path}::labels/nuclei") as scan:
        check(scan, volume("uint8"))
        assert (scan.name, scan.voxel_size) == ("nuclei", (2.0, 0.5, 0.25))


def test_units_are_brought_to_that_of_x(path):
    ome(path, volume(), "zyx", [0.002, 0.5, 0.25])
    said = json.loads((path / ".zattrs").read_text())
    said["multiscales"][0]["axes"][0]["unit"] = "millimeter"
    (path / ".zattrs").write_text(json.dumps(said))
    with open_scan(path) as scan:
        np.testing.assert_allclose(scan.voxel_size, (2.0, 0.5, 0.25))
        assert scan.unit == "um"


def test_n5_counts_x_first(tmp_path):
    path = tmp_path / "scan.n5"
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{path}/setup/s0/"},
        "metadata": {"dimensions": [9, 7, 5], "blockSize": [4, 4, 2], "dataType": "uint16",
                     "compression": {"type": "gzip"},
                     "pixelResolution": {"dimensions": [0.25, 0.5, 2.0], "unit": "um"}},
    }  # fmt: skip
    store = tensorstore.open(spec, create=True).result()
    store[...] = volume().transpose()
    (path / "attributes.json").write_text('{"n5": "2.5.0"}')
    with open_scan(path) as scan:
        check(scan, volume())
        assert (scan.voxel_size, scan.unit) == ((2.0, 0.5, 0.25), "um")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zip(tmp_path, path, version):
    ome(path, volume(), "zyx", [2.0, 0.5, 0.25], version=version)
    with zipfile.ZipFile(tmp_path / "scan.zarr.zip", "w") as packed:
        for file in sorted(path.rglob("*")):
            packed.write(file, file.relative_to(path))
    with open_scan(tmp_path / "scan.zarr.zip") as scan:
        check(scan, volume())
        assert (scan.name, scan.voxel_size) == ("scan", (2.0, 0.5, 0.25))


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((2, 5, 7, 9), "uint16", r"has shape \(2, 5, 7, 9\); expected a volume"),
        ((50, 70, 3), "uint8", r"has shape \(50, 70, 3\): a colour image"),
        ((5, 7, 9), "complex64", r"values are complex64, not plain numbers"),
        ((9,), "uint16", r"has shape \(9,\); expected a volume"),
    ],
)
def test_no_volume(path, shape, dtype, said):
    zarr.create_array(path, data=np.zeros(shape, dtype), chunks=shape)
    with pytest.raises(InputError, match=rf"scan.zarr: {said}"):
        open_scan(path)


def test_damaged_stores(path):
    zarr.create_array(path, data=volume(), chunks=(1, 7, 9), zarr_format=2)
    (path / "2.0.0").write_bytes(b"no chunk")
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.plane(1), volume()[1])
        with pytest.raises(InputError, match=r"scan.zarr: plane 2 along axis 0 cannot be read \("):
            scan.plane(2)
    (path / ".zarray").write_text("{")
    with pytest.raises(InputError, match=r"scan.zarr: cannot be read as Zarr or N5 \("):
        open_scan(path)
    shutil.rmtree(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"scan.zarr: holds no Zarr or N5 array of two or more"):
        open_scan(path)


def test_a_first_level_that_is_missing(path):
    ome(path, volume(), "zyx", [2.0, 0.5, 0.25])
    shutil.rmtree(path / "0")
    with pytest.raises(InputError, match=r"its first level '0' is missing; copy the store again"):
        open_scan(path)


def test_a_zip_that_is_no_store(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match=r"a.zip: is no zip file or is truncated"):
        open_scan(tmp_path / "a.zip")
