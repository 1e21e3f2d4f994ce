"""Reading a plane of a scan of 4 GB takes memory for some planes only, whatever the format."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PLANES, SIDE = 1024, 1448
BYTES = PLANES * SIDE * SIDE * 2
K = 777

PROGRAM = """
import resource, sys
from xseg_jax.scans.scan import open_scan
import numpy, tifffile, h5py, tensorstore, nibabel  # Their own memory is not the scan's.
name, k = sys.argv[1], int(sys.argv[2])
unit = 1 if sys.platform == "darwin" else 1024
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
before = most()
with open_scan(name) as scan:
    opened = most() - before
    values = [scan.plane(k)[3, 4], scan.slab(k, k + 2)[0, 3, 4]]
    if not name.endswith(".tif"):  # Its pages are read whole, which takes long.
        values.append(scan.plane(5, axis=1)[k, 4])
    print(*scan.shape, *values, opened, most() - before)
"""


def big_tiff(path):
    import tifffile

    # Contiguous pages are written as a hole where the data is.
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(shape=(PLANES, SIDE, SIDE), dtype="uint16", photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        where = tiff.pages[K].dataoffsets[0]
    poke(path, where)
    return path


def big_raw(path):
    poke(path, K * SIDE * SIDE * 2)
    with path.open("r+b") as file:
        file.truncate(BYTES)
    return f"{path}::{PLANES}x{SIDE}x{SIDE},uint16"


def poke(path, where):
    with path.open("r+b" if path.exists() else "w+b") as file:
        for y, x, value in ((3, 4, 1234), (5, 4, 4321)):
            file.seek(where + (y * SIDE + x) * 2)
            file.write(np.array(value, "<u2").tobytes())


def big_hdf5(path):
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (PLANES, SIDE, SIDE), "u2", chunks=(16, 181, SIDE))
        data[K, 3, 4], data[K, 5, 4] = 1234, 4321
    return path


def big_zarr(path):
    import zarr

    array = zarr.create_array(
        path, shape=(PLANES, SIDE, SIDE), dtype="u2", chunks=(16, 181, SIDE), fill_value=0
    )
    array[K, 3, 4], array[K, 5, 4] = 1234, 4321
    return path


def big_nifti(path):
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype("u2")
    header.set_data_shape((SIDE, SIDE, PLANES))
    header.set_data_offset(352)
    header["magic"] = b"n+1"
    path.write_bytes(header.binaryblock + bytes(4))
    poke(path, 352 + K * SIDE * SIDE * 2)
    with path.open("r+b") as file:
        file.truncate(352 + BYTES)
    return path


FORMATS = {"scan.tif": big_tiff, "scan.raw": big_raw, "scan.h5": big_hdf5, "scan.zarr": big_zarr,
           "scan.nii": big_nifti}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_a_plane_of_4_gigabytes(tmp_path, name):
    scan = FORMATS[name](tmp_path / name)
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(scan), str(K)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    z, y, x, *values, opened, most = map(int, said.stdout.split())
    assert (z, y, x) == (PLANES, SIDE, SIDE)
    assert values == [1234, 1234, 4321][: 2 if name == "scan.tif" else 3]
    page = SIDE * SIDE * 2
    # A plane, a slab of two and their chunks.
    assert opened < 10 * page
    assert most < 60 * page < BYTES / 16
