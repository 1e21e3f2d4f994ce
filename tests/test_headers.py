"""NRRD and MetaImage that SimpleITK writes, and those that it does not write."""

import bz2
import gzip
import math

import numpy as np
import pytest
import SimpleITK as sitk
from volumes import check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan

ITK_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32",
              "float64")  # fmt: skip
TURNED = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # Columns are steps along x, y, z.


def write(path, values, compress=False, direction=TURNED):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.25, 2.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path), useCompression=compress)
    return path


@pytest.mark.parametrize("dtype", ITK_DTYPES)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_what_simpleitk_writes(tmp_path, dtype, compress, suffix):
    expected_ZYX = volume(dtype)
    path = write(tmp_path / f"scan{suffix}", expected_ZYX, compress)
    with open_scan(path) as scan:
        check(scan, expected_ZYX)
        assert (scan.voxel_size, scan.unit) == ((2.0, 0.25, 0.5), "mm")
        assert scan.geometry.origin == (30.0, 20.0, 10.0)
        # Step along z, y, x; each in z, y, x of the patient.
        z, y, x = scan.geometry.direction
        image = sitk.ReadImage(str(path))
        for step, index in ((z, (0, 0, 1)), (y, (0, 1, 0)), (x, (1, 0, 0))):
            moved = np.subtract(image.TransformIndexToPhysicalPoint(index), image.GetOrigin())
            np.testing.assert_allclose(step, moved[::-1] / np.linalg.norm(moved), atol=1e-12)


@pytest.mark.parametrize("suffix", [".raw", ".zraw"])
def test_data_of_a_detached_header_opens_by_the_header(tmp_path, suffix):
    expected_ZYX = volume()
    write(tmp_path / "scan.mhd", expected_ZYX, compress=suffix == ".zraw")
    assert (tmp_path / f"scan{suffix}").is_file()
    if suffix == ".raw":
        with open_scan(tmp_path / "scan.raw") as scan:
            check(scan, expected_ZYX)
            assert scan.voxel_size == (2.0, 0.25, 0.5)


def nrrd(path, sizes, dtype="short", encoding="raw", data=b"", **fields):
    lines = ["NRRD0004", "# by hand", f"type: {dtype}", f"dimension: {len(sizes.split())}",
             f"sizes: {sizes}", f"encoding: {encoding}", "a key:=a value"]  # fmt: skip
    lines += [f"{key.replace('_', ' ')}: {value}" for key, value in fields.items()]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    return path


def test_nrrd_encodings(tmp_path):
    expected_ZYX = volume("int16")
    big = expected_ZYX.astype(">i2").tobytes()
    text = "\n".join(" ".join(map(str, row)) for row in expected_ZYX.reshape(-1, 9)).encode()
    forms = {
        "raw": {"encoding": "raw", "data": big},
        "gz": {"encoding": "gz", "data": gzip.compress(big)},
        "bz2": {"encoding": "bzip2", "data": bz2.compress(big)},
        "text": {"encoding": "ascii", "data": text},
        "skip": {"encoding": "raw", "data": b"1\n22\n" + b"abc" + big, "line_skip": 2,
                 "byte_skip": 3},
        "end": {"encoding": "raw", "data": b"whatever" + big, "byte_skip": -1},
        "packed_end": {"encoding": "gzip", "data": gzip.compress(b"head" + big), "byte_skip": -1},
    }  # fmt: skip
    for name, form in forms.items():
        with open_scan(nrrd(tmp_path / f"{name}.nrrd", "9 7 5", endian="big", **form)) as scan:
            check(scan, expected_ZYX)


def test_nrrd_spacings_units_and_two_dimensions(tmp_path):
    values = volume("uint8", (7, 9))
    path = nrrd(tmp_path / "a.nrrd", "9 7", "uchar", data=values.tobytes(), spacings="0.5 0.25",
                units='"um" "um"')  # fmt: skip
    with open_scan(path) as scan:
        check(scan, values[None])
        z, y, x = scan.voxel_size
        assert math.isnan(z)
        assert (y, x, scan.unit) == (0.25, 0.5, "um")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("9 1 7 5", (5, 7, 9)),
        ("1 1 1 5", (1, 5, 1)),
        ("9 7 5 1", (5, 7, 9)),
        ("1 9 7 1 1", (1, 7, 9)),
    ],
)
def test_nrrd_axes_of_length_one(tmp_path, sizes, expected):
    values = volume("uint8", expected)
    with open_scan(nrrd(tmp_path / "a.nrrd", sizes, "uchar", data=values.tobytes())) as scan:
        check(scan, values)


@pytest.mark.parametrize(
    ("sizes", "fields", "said"),
    [
        ("9 7 5", {"type": "block"}, r"type 'block' is not known; known are signed char"),
        ("9 7 5", {"encoding": "hex"}, r"encoding 'hex' is not known; known are raw, gzip"),
        ("9 7 6", {}, r"has 717 bytes, but 6 x 7 x 9 int16 from byte 87 on end at 843"),
        ("9 7 4", {}, r"the data has 717 bytes, but 4 x 7 x 9 int16"),
        ("9 7 5 2", {}, r"sizes \[9, 7, 5, 2\] hold a fourth axis; expected one value a voxel"),
        ("3 7 5", {"kinds": "RGB-color domain domain"}, r"hold 3 of kind RGB-color; expected one"),
        ("9 7 5", {"data_file": "LIST"}, r"its data is several files \('LIST'\)"),
        ("9 7 5", {"data_file": "away.raw"}, r"its data file \S*away.raw is missing"),
        ("630", {}, r"sizes \[630\] are no volume"),
    ],
)
def test_wrong_nrrd(tmp_path, sizes, fields, said):
    path = nrrd(tmp_path / "a.nrrd", sizes, data=volume().tobytes(), **fields)
    with pytest.raises(InputError, match=rf"a.nrrd: .*{said}"):
        open_scan(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(bytes(629)), "the data has 629 unpacked bytes, but 5 x 7 x 9 int16"),
        (gzip.compress(bytes(640)), "the data has 640 unpacked bytes, but 5 x 7 x 9 int16"),
        (gzip.compress(bytes(630))[:-9], r"plane 0 along axis 0 cannot be read \(.*end-of-stream"),
        (b"no gzip", r"plane 0 along axis 0 cannot be read \(Not a gzipped file"),
    ],
    ids=["too short", "too long", "cut off", "no gzip"],  # A gzip file holds the time.
)
def test_damaged_compressed_data(tmp_path, data, said):
    path = nrrd(tmp_path / "a.nrrd", "9 7 5", encoding="gzip", data=data, endian="little")
    with open_scan(path) as scan, pytest.raises(InputError, match=rf"a.nrrd: {said}"):
        scan.plane(0)


META = """ObjectType = Image
NDims = 3
DimSize = 9 7 5
ElementType = MET_SHORT
ElementByteOrderMSB = True
ElementDataFile = LOCAL
"""


@pytest.mark.parametrize(
    ("old", "new", "data"),
    [
        ("", "", volume("int16").astype(">i2").tobytes()),
        ("ElementByteOrderMSB = True", "BinaryData = False",
         " ".join(map(str, volume("int16").ravel())).encode()),
        ("DimSize = 9 7 5", "DimSize = 9 7 5 1", volume("int16").astype(">i2").tobytes()),
        ("MET_SHORT", "MET_SHORT\nHeaderSize = -1",
         b"head" + volume("int16").astype(">i2").tobytes()),
    ],
)  # fmt: skip
def test_metaimage_by_hand(tmp_path, old, new, data):
    (tmp_path / "a.mha").write_bytes(META.replace(old, new, 1).encode() + data)
    with open_scan(tmp_path / "a.mha") as scan:
        check(scan, volume("int16"))
        assert (scan.voxel_size, scan.unit) == (None, None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("NDims", "ElementNumberOfChannels = 3\nNDims", r"has 3 channels and sizes \[9, 7, 5\]"),
        ("9 7 5", "9 7 5 2", r"has 1 channels and sizes \[9, 7, 5, 2\]; expected one channel"),
        ("MET_SHORT", "MET_OTHER", r"ElementType 'MET_OTHER' is not known"),
        ("LOCAL", "slice%03d.raw 1 5 1", r"its data is several files"),
        ("LOCAL", "away.raw", r"its data file \S*away.raw is missing; put it beside the header"),
        ("DimSize = 9 7 5\n", "", r"the header has no field 'DimSize'"),
        ("9 7 5", "9 7 50", r"the data has .* bytes, but 50 x 7 x 9 int16"),
    ],
)
def test_wrong_metaimage(tmp_path, old, new, said):
    (tmp_path / "a.mha").write_bytes(META.replace(old, new, 1).encode() + volume().tobytes())
    with pytest.raises(InputError, match=rf"a.mha: {said}"):
        open_scan(tmp_path / "a.mha")
