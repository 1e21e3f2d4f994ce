"""HDF5 and NeXus: the data set that is meant, its values and voxel size; others are listed."""

import re
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest
from volumes import DTYPES, check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "scan.h5"


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "uint64", ">u2", ">f4"])
def test_types(path, dtype):
    expected_ZYX = volume(dtype)
    with h5py.File(path, "w") as file:
        file["entry/data"] = expected_ZYX.astype(dtype)
    with open_scan(path) as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size) == ("scan", None)


FILTERS = {
    "gzip": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "szip or scale": {"scaleoffset": 0},
    "blosc": hdf5plugin.Blosc(),
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "zstd": hdf5plugin.Zstd(),
    "lz4": hdf5plugin.LZ4(),
    "blosc2": hdf5plugin.Blosc2(),
}


@pytest.mark.parametrize("name", FILTERS)
def test_compressions(path, name):
    expected_ZYX = volume("uint16", (6, 16, 18)) // 16
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=expected_ZYX, chunks=(2, 8, 8), **FILTERS[name])
    with open_scan(path) as scan:
        check(scan, expected_ZYX)


def test_a_compression_that_is_not_installed(path):
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 7, 9))
        # Optional filters may be unknown when a file is written, and not when it is read.
        plist.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((5, 7, 9))
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT16, space, plist)
    with pytest.raises(
        InputError, match=r"/data is compressed with filter 32099 \(unknown\); pip install hdf5plug"
    ):
        open_scan(path)


def test_a_reader_that_is_not_installed(path, monkeypatch):
    with h5py.File(path, "w") as file:
        file["data"] = volume()
    monkeypatch.delitem(sys.modules, "xseg_jax.scans.hdf5", raising=False)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"scan.h5: reading HDF5 needs h5py; pip install h5py hdf"):
        open_scan(path)


def test_a_path_inside_and_a_group(path):
    with h5py.File(path, "w") as file:
        file["a/data"], file["b/other"] = volume(seed=1), volume(seed=2)
        file["b/list"] = np.arange(9)
    for inside, seed, name in (("/a/data", 1, "data"), ("b/other", 2, "other"), ("b", 2, "b")):
        with open_scan(f"{path}::{inside}") as scan:
            check(scan, volume(seed=seed))
            assert scan.name == name


def test_what_cannot_be_chosen_is_listed(path):
    with h5py.File(path, "w") as file:
        file["a"], file["b/c"], file["list"] = volume(), volume("float32"), np.arange(9)
        file["note"] = "text"
    names = r"name one as \S*scan.h5::/a; there are /a \(5, 7, 9\) uint16, /b/c \(5, 7, 9\) float32"
    with pytest.raises(InputError, match=rf"scan.h5: holds 2 data sets; {names}$"):
        open_scan(path)
    for inside in ("/c", "a/b", "b/c/d"):
        with pytest.raises(InputError, match=rf"has nothing at /{inside.strip('/')}; {names}$"):
            open_scan(f"{path}::{inside}")


def test_a_volume_comes_before_slices_and_a_link_counts_once(path):
    with h5py.File(path, "w") as file:
        file["detector/data"] = volume()
        file["flat"], file["other"] = volume("uint16", (7, 9)), volume("uint16", (1, 7, 9))
        file["hard"], file["soft"] = file["detector/data"], h5py.SoftLink("/detector/data")
        file["detector/loop"] = h5py.SoftLink("/")
    with open_scan(path) as scan:
        check(scan, volume())


@pytest.mark.parametrize(
    ("stored", "expected"),
    [((7, 9), (1, 7, 9)), ((1, 1, 7, 9), (1, 7, 9)), ((5, 1, 7, 9), (5, 7, 9)),
     ((1, 5, 7, 9, 1), (5, 7, 9))],
)  # fmt: skip
def test_axes_of_length_one(path, stored, expected):
    values = volume("int16", stored)
    with h5py.File(path, "w") as file:
        file["data"] = values
    with open_scan(path) as scan:
        check(scan, values.reshape(expected))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        (
            "data",
            np.zeros((2, 5, 7, 9)),
            r"has shape \(2, 5, 7, 9\); expected a volume \(z, y, x\)",
        ),
        ("data", np.zeros((50, 70, 3), np.uint8), r"a colour image"),
        ("data", np.zeros((5, 7, 9), complex), r"holds no data set of two or three dimensions"),
        (
            "data",
            np.arange(4),
            r"holds no data set of two or three dimensions; it has no data sets",
        ),
    ],
)
def test_no_volume(path, name, values, said):
    with h5py.File(path, "w") as file:
        file[name] = values
    with pytest.raises(InputError, match=rf"scan.h5: .*{said}"):
        open_scan(path)


@pytest.mark.parametrize("named", [np.bytes_, str, lambda text: np.array([text], object)])
def test_nexus_default_and_signal(path, named):
    with h5py.File(path, "w") as file:
        file["entry/raw/counts"], file["entry/recon/grey"] = volume(seed=1), volume(seed=2)
        file.attrs["default"] = named("entry")
        file["entry"].attrs["default"] = named("recon")
        file["entry/recon"].attrs["signal"] = named("grey")
    with open_scan(path) as scan:
        check(scan, volume(seed=2))
    with open_scan(f"{path}::/entry/raw/counts") as scan:
        check(scan, volume(seed=1))


def test_nexus_default_that_is_wrong(path):
    with h5py.File(path, "w") as file:
        file["entry/data/x"], file["entry/other"] = np.arange(9.0), volume()
        file["entry"].attrs["default"] = "data"
        file["entry/data"].attrs["signal"] = "x"
        file.attrs["default"] = "entry"
    with pytest.raises(
        InputError,
        match=r"default data set /entry/data/x has shape \(9,\), no volume; name .*other",
    ):
        open_scan(path)
    with h5py.File(path, "a") as file:
        file["entry/data"].attrs["signal"] = "away"
    with pytest.raises(
        InputError, match=r"has nothing at /entry/data/away; name one as .*::/entry/other"
    ):
        open_scan(path)


@pytest.mark.parametrize("sign", ["image_key", "axes", "white"])
def test_projections_are_refused_unless_named(path, sign):
    with h5py.File(path, "w") as file:
        file["exchange/data"] = volume()
        if sign == "image_key":
            file["exchange/image_key"] = np.zeros(5, int)
        elif sign == "axes":
            file["exchange/data"].attrs["axes"] = "theta:y:x"
        else:
            file["exchange/data_white"] = volume("uint16", (7, 9))
    with pytest.raises(
        InputError, match=r"/exchange/data \(5, 7, 9\) are projections \(.*reconstruct them first"
    ):
        open_scan(path)
    with open_scan(f"{path}::exchange/data") as scan:
        check(scan, volume())


def test_voxel_size(path):
    with h5py.File(path, "w") as file:
        file["a"] = volume()
        file["a"].attrs["element_size_um"] = [3.0, 2.0, 1.0]
        group = file.create_group("b")
        group["grey"] = volume()
        group.attrs["axes"] = ["z", "y", "x"]
        for axis, length, step, unit in (
            ("z", 5, 0.5, "mm"),
            ("y", 7, -2.0, "um"),
            ("x", 9, 2, "um"),
        ):
            group[axis] = 10 + step * np.arange(length)
            group[axis].attrs["units"] = unit
        file.copy("b", "c")
        file["c/z"].attrs["units"] = "deg"
        file["c/x"][3] += 1
    with open_scan(f"{path}::a") as scan:
        assert (scan.voxel_size, scan.unit) == ((3.0, 2.0, 1.0), "um")
    with open_scan(f"{path}::b/grey") as scan:
        assert scan.unit == "mm"
        np.testing.assert_allclose(scan.voxel_size, (0.5, 0.002, 0.002))
    with open_scan(f"{path}::c/grey") as scan:
        # Degrees are no length, and uneven coordinates no size.
        np.testing.assert_array_equal(scan.voxel_size, (np.nan, 2.0, np.nan))
        assert scan.unit == "um"


def test_external_link(path):
    with h5py.File(path.with_name("part.h5"), "w") as file:
        file["deep/data"] = volume()
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink("part.h5", "/deep/data")
    with open_scan(path) as scan:
        check(scan, volume())
    path.with_name("part.h5").unlink()
    link = r"a broken link to part.h5::/deep/data; put that file back"
    with pytest.raises(InputError, match=rf"scan.h5: holds no data set .* broken links: .*{link}"):
        open_scan(path)
    with pytest.raises(InputError, match=rf"scan.h5::/data: /data is {link}"):
        open_scan(f"{path}::/data")
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/nowhere")
    with pytest.raises(InputError, match=r"/soft is a broken link to /nowhere"):
        open_scan(f"{path}::soft")


def test_a_virtual_set_with_a_missing_slice_names_it(path):
    layout = h5py.VirtualLayout((5, 7, 9), "uint16")
    for z in range(5):
        part = path.with_name(f"slice_{z}.h5")
        with h5py.File(part, "w") as file:
            file["data"] = volume()[z]
        layout[z] = h5py.VirtualSource(part.name, "data", (7, 9))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=0)
    with open_scan(path) as scan:
        check(scan, volume())
    path.with_name("slice_3.h5").unlink()
    with pytest.raises(
        InputError, match=r"/data is made of 5 files, of which 1 are missing: slice_3.h5; put them"
    ):
        open_scan(path)


def test_external_raw_data_that_is_missing(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.with_name("pixels.raw").write_bytes(volume().tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (5, 7, 9), "uint16", external=[("pixels.raw", 0, 630)])
    with open_scan(path) as scan:
        check(scan, volume())
    path.with_name("pixels.raw").unlink()
    with pytest.raises(InputError, match=r"made of 1 files, of which 1 are missing: pixels.raw"):
        open_scan(path)


def test_damaged_files(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=volume(), chunks=(1, 7, 9), compression="gzip")
        where = file["data"].id.get_chunk_info(2).byte_offset
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"scan.h5: cannot be read as HDF5 \(.*truncated file"):
        open_scan(path)
    path.write_bytes(whole[:where] + bytes(20) + whole[where + 20 :])
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.plane(1), volume()[1])
        with pytest.raises(InputError, match=r"scan.h5: plane 2 along axis 0 cannot be read \("):
            scan.plane(2)


def test_another_suffix_and_a_file_that_is_no_hdf5(tmp_path):
    with h5py.File(tmp_path / "scan.data", "w") as file:
        file["data"] = volume()
    with open_scan(tmp_path / "scan.data") as scan:
        check(scan, volume())
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match=re.escape("text.h5: cannot be read as HDF5 (")):
        open_scan(tmp_path / "text.h5")
