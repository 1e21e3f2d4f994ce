"""MRC files that mrcfile writes: types, byte orders, axes, gzip; voxel size in angstrom."""

import gzip

import mrcfile
import numpy as np
import pytest
from volumes import check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan


def write(path, values, **header):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(values)
        mrc.voxel_size = (1.5, 2.5, 3.5)  # x, y, z.
        for field, value in header.items():
            mrc.header[field] = value
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_mrcfile_writes(tmp_path, dtype, packed):
    expected_ZYX = volume(dtype)
    path = write(tmp_path / "scan.mrc", expected_ZYX)
    if packed:
        (tmp_path / "scan.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "scan.mrc.gz"
    with open_scan(path) as scan:
        check(scan, expected_ZYX)
        np.testing.assert_allclose(scan.voxel_size, (3.5, 2.5, 1.5), rtol=1e-6)
        assert (scan.unit, scan.name) == ("angstrom", "scan")


def test_big_endian_an_extended_header_and_a_2d_image(tmp_path):
    expected_YX = volume("int16", (7, 9))
    words = np.zeros(256, ">i4")
    words[:4] = 9, 7, 1, 1  # Columns, rows, sections, and the mode of int16.
    words[16:19] = 1, 2, 3  # Axes of columns, rows, sections.
    words[23] = 80  # Bytes of the extended header.
    header = bytearray(words.tobytes())
    header[208:216] = b"MAP \x11\x11\0\0"
    path = tmp_path / "scan.rec"
    path.write_bytes(header + bytes(80) + expected_YX.astype(">i2").tobytes())
    with open_scan(path) as scan:
        check(scan, expected_YX[None])
        assert scan.voxel_size is None


def test_voxel_size_follows_the_axes_of_the_file(tmp_path):
    # Columns are along z, rows along x, sections along y.
    header = {"mapc": 3, "mapr": 1, "maps": 2, "mx": 7, "my": 5, "mz": 9,
              "cella": (7 * 1.5, 5 * 2.5, 9 * 3.5)}  # fmt: skip
    with open_scan(write(tmp_path / "scan.map", volume("float32"), **header)) as scan:
        check(scan, volume("float32"))
        np.testing.assert_allclose(scan.voxel_size, (2.5, 1.5, 3.5), rtol=1e-6)


@pytest.mark.parametrize(("flag", "dtype"), [(0, "uint8"), (1, "int8")])
def test_bytes_of_imod(tmp_path, flag, dtype):
    expected_ZYX = volume("int8")
    path = write(tmp_path / "scan.mrc", expected_ZYX)
    data = bytearray(path.read_bytes())
    data[152:160] = np.array([1146047817, flag], "<i4").tobytes()
    path.write_bytes(data)
    with open_scan(path) as scan:
        check(scan, expected_ZYX.view(dtype))


def test_wrong_mrc(tmp_path):
    path = write(tmp_path / "scan.mrc", volume("float32"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(InputError, match=r"the data has 2280 bytes, but 5 x 7 x 9 float32 .* 2284"):
        open_scan(path)
    path.write_bytes(whole[:500])
    with pytest.raises(InputError, match=r"scan.mrc: is no MRC file or is truncated"):
        open_scan(path)
    write(path, volume("float32").astype(np.complex64))
    with pytest.raises(InputError, match=r"MRC mode 4 \(complex or packed\) is not read; known"):
        open_scan(path)
