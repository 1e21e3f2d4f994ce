"""What a folder holds: slices, or scans; and what of it is not read is named."""

import numpy as np
import pytest
import tifffile

from xseg_jax.scans.folders import is_store, left_out, scans_in


def picture(path, pages=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (8, 9) if pages == 1 else (pages, 8, 9)
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(path, array, photometric="minisblack")


def test_what_is_left_out_beside_slices_is_named_with_a_count(tmp_path):
    picture(tmp_path / "a.tif")
    for name in ("b.dcm", "c.DCM", ".d.tif", "notes.txt", "Thumbs.db", "._a.tif"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    assert left_out(tmp_path) == (
        f"{tmp_path}: 5 files are of no kind that is read here, or hidden, and left out: "
        ".d.tif, b.dcm, c.DCM, ..."
    )
    for name in ("b.dcm", "c.DCM", "notes.txt", ".d.tif"):
        (tmp_path / name).unlink()
    assert left_out(tmp_path).endswith(
        ": 1 file is of no kind that is read here, or hidden, and left out: sub/"
    )
    (tmp_path / "sub").rmdir()
    assert left_out(tmp_path) == ""


def test_slices_are_one_scan_and_stacks_are_several(tmp_path):
    for name in ("a.tif", "b.tif"):
        picture(tmp_path / "slices" / name)
        picture(tmp_path / "stacks" / name, pages=3)
    assert scans_in(tmp_path / "slices") == []
    assert [path.name for path in scans_in(tmp_path / "stacks")] == ["a.tif", "b.tif"]


def test_volumes_and_folders_are_scans_and_a_header_is_one_with_its_data(tmp_path):
    picture(tmp_path / "c" / "slice_0.tif")
    for name in ("a.nii.gz", "b.mhd", "b.raw", "b10.h5", "b9.h5", "notes.txt", ".hidden.h5"):
        (tmp_path / name).touch()
    names = [path.name for path in scans_in(tmp_path)]
    assert names == ["a.nii.gz", "b9.h5", "b10.h5", "b.mhd", "c"]
    assert left_out(tmp_path) == (
        f"{tmp_path}: 2 files are of no kind that is read here, or hidden, and left out: "
        ".hidden.h5, notes.txt"
    )


@pytest.mark.parametrize(("name", "store"), [("scan.zarr", True), ("scan", False)])
def test_a_store_is_one_scan(tmp_path, name, store):
    (tmp_path / name).mkdir()
    assert is_store(tmp_path / name) == store
    assert not is_store(tmp_path / "missing")
