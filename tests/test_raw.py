"""Raw data, VGI headers, NumPy files: any type, byte order and layout; wrong ones are refused."""

import re

import numpy as np
import pytest
from volumes import DTYPES, check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "uint64"])
@pytest.mark.parametrize(("order", "code"), [("little", "<"), ("big", ">")])
def test_raw(tmp_path, dtype, order, code):
    expected_ZYX = volume(dtype)
    stored = expected_ZYX.astype(np.dtype(dtype).newbyteorder(code))
    (tmp_path / "scan.raw").write_bytes(stored.tobytes())
    with open_scan(f"{tmp_path}/scan.raw::5x7x9,{dtype},{order}") as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size, scan.unit) == ("scan", None, None)


def test_raw_is_little_and_2d_is_one_slice_and_a_header_is_skipped(tmp_path):
    expected_YX = volume("int16", (7, 9))
    (tmp_path / "scan.dat").write_bytes(b"header" + expected_YX.astype("<i2").tobytes())
    with open_scan(f"{tmp_path}/scan.dat::7x9,int16,skip=6") as scan:
        check(scan, expected_YX[None])


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("5x7x9", "cannot understand the layout '5x7x9'; write ZxYxX,type,order"),
        ("5x7x9,u2", "cannot understand the layout"),
        ("5x7x9x2,uint16", "cannot understand the layout"),
        ("5x7x9,uint16,middle", "cannot understand the layout"),
        ("5x7x9,uint16,skip=-4", "cannot understand the layout"),
        ("6x7x9,uint16", "the data has 630 bytes, but 6 x 7 x 9 uint16 from byte 0 on end at 756"),
        ("4x7x9,uint16", "the data has 630 bytes, but 4 x 7 x 9 uint16 from byte 0 on end at 504"),
        ("0x7x9,uint16", "has shape (0, 7, 9): no voxels"),
    ],
)
def test_wrong_layout(tmp_path, layout, said):
    (tmp_path / "scan.raw").write_bytes(volume().tobytes())
    with pytest.raises(InputError, match=re.escape(f"scan.raw::{layout}: {said}")):
        open_scan(f"{tmp_path}/scan.raw::{layout}")


def test_raw_without_layout(tmp_path):
    (tmp_path / "scan.raw").write_bytes(bytes(10))
    with pytest.raises(InputError, match=r"does not say its shape; give it as scan.raw::ZxYxX,"):
        open_scan(tmp_path / "scan.raw")


def test_truncated_between_opening_and_reading(tmp_path):
    (tmp_path / "scan.raw").write_bytes(volume().tobytes())
    with open_scan(f"{tmp_path}/scan.raw::5x7x9,uint16") as scan:
        (tmp_path / "scan.raw").write_bytes(bytes(100))
        with pytest.raises(InputError, match=r"the data has 100 bytes, but 5 x 7 x 9 uint16"):
            scan.plane(0)


VGI = """{volume1}
[representation]
size = 9 7 5
datatype = float
bitsperelement = 32
[file1]
SkipHeader = 8
FileFormat = raw
Size = 9 7 5
Name = C:\\scans\\scan.vol
Datatype = float
BitsPerElement = 32
{volumeprimitive12}
[geometry]
resolution = 0.02 0.03 0.04
unit = mm
"""


@pytest.mark.parametrize("opened", ["scan.vgi", "scan.vol"])
def test_vgi(tmp_path, opened):
    expected_ZYX = volume("float32")
    (tmp_path / "scan.vol").write_bytes(bytes(8) + expected_ZYX.tobytes())
    (tmp_path / "scan.vgi").write_text(VGI)
    with open_scan(tmp_path / opened) as scan:
        check(scan, expected_ZYX)
        assert (scan.voxel_size, scan.unit) == ((0.04, 0.03, 0.02), "mm")


@pytest.mark.parametrize(
    ("pattern", "new", "said"),
    [
        ("scan.vol", "other.vol", r"its data file \S*other.vol is missing; put it beside"),
        ("(?i)bitsperelement = 32", "", r"has no field 'bitsperelement'; export the header again"),
        ("(?i)size = 9 7 5", "", r"has no field 'size'; export the header again"),
        ("datatype = float", "datatype = rgb", r"datatype 'rgb' of 32 bits are not known"),
        ("SkipHeader = 8", "SkipHeader = 80", r"has 1268 bytes, but 5 x 7 x 9 float32 .*1340"),
        ("SkipHeader = 8", "SkipHeader = 0", r"has 1268 bytes, but 5 x 7 x 9 float32 .*1260"),
    ],
)
def test_wrong_vgi(tmp_path, pattern, new, said):
    (tmp_path / "scan.vol").write_bytes(bytes(8) + volume("float32").tobytes())
    (tmp_path / "scan.vgi").write_text(re.sub(pattern, new, VGI))
    with pytest.raises(InputError, match=said):
        open_scan(tmp_path / "scan.vgi")


@pytest.mark.parametrize("dtype", [*DTYPES, ">u2", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy(tmp_path, dtype, order):
    expected_ZYX = volume(dtype)
    np.save(tmp_path / "scan.npy", np.asarray(expected_ZYX.astype(dtype), order=order))
    with open_scan(tmp_path / "scan.npy") as scan:
        check(scan, expected_ZYX)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [((7, 9), (1, 7, 9)), ((1, 5, 7, 9, 1), (5, 7, 9)), ((5, 7, 1), (5, 7, 1)),
     ((1, 1, 1, 1), (1, 1, 1))],
)  # fmt: skip
def test_numpy_of_other_dimensions(tmp_path, stored, expected):
    values = volume("uint16", stored)
    np.save(tmp_path / "scan.npy", values)
    with open_scan(tmp_path / "scan.npy") as scan:
        check(scan, values.reshape(expected))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 5, 7, 9)), r"has shape \(2, 5, 7, 9\); expected a volume \(z, y, x\)"),
        (np.zeros(9), r"has shape \(9,\); expected a volume"),
        (np.zeros((50, 70, 3), np.uint8), r"has shape \(50, 70, 3\): a colour image"),
        (np.zeros((5, 7, 9), complex), r"values are complex128, not plain numbers"),
        (np.zeros((5, 0, 9)), r"has shape \(5, 0, 9\): no voxels"),
        (np.array(["a"], object), r"values are object, not plain numbers"),
    ],
)
def test_numpy_that_is_no_volume(tmp_path, values, said):
    np.save(tmp_path / "scan.npy", values)
    with pytest.raises(InputError, match=rf"scan.npy: {said}"):
        open_scan(tmp_path / "scan.npy")


def test_truncated_numpy(tmp_path):
    np.save(tmp_path / "scan.npy", volume())
    whole = (tmp_path / "scan.npy").read_bytes()
    (tmp_path / "scan.npy").write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"scan.npy: the data has 757 bytes, .* end at 758; the "):
        open_scan(tmp_path / "scan.npy")
    (tmp_path / "scan.npy").write_bytes(whole[:40])
    with pytest.raises(InputError, match=r"scan.npy: cannot be read as NumPy \(.*truncated"):
        open_scan(tmp_path / "scan.npy")
    np.save(tmp_path / "scan.npy", volume())
    with pytest.raises(InputError, match=r"this file holds one volume; leave ::/data away"):
        open_scan(f"{tmp_path}/scan.npy::/data")
