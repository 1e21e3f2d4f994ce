"""What a folder holds: slices, or scans; and what of it is not read is named."""

import numpy as np
import pytest
import tifffile

from xseg_jax.data.sources import open_sources
from xseg_jax.errors import InputError
from xseg_jax.scans.folders import is_store, left_out, scans_in
from xseg_jax.scans.scan import open_scan


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


def test_files_of_an_ome_set_are_slices(tmp_path):
    pixels = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    names = [f"scan_Z{z}.ome.tif" for z in range(3)]
    planes = "".join(
        f'<TiffData IFD="0" PlaneCount="1" FirstZ="{z}"><UUID FileName="{name}">urn:uuid:{z}</UUID>'
        "</TiffData>"
        for z, name in enumerate(names)
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="8" SizeZ="3" '
        f'SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    for z, name in enumerate(names):
        tifffile.imwrite(tmp_path / name, pixels[z], description=xml, metadata=None)
    with open_scan(tmp_path / names[0]) as scan:
        assert scan.shape == (3, 8, 9)
    assert scans_in(tmp_path) == []
    (source,) = open_sources(str(tmp_path))
    assert source.numbers == [0, 1, 2]
    for z in range(3):
        np.testing.assert_array_equal(source.image(z), pixels[z])


def test_numpy_files_with_channels_are_slices_that_are_refused(tmp_path):
    for z in range(3):
        np.save(tmp_path / f"slice_{z}.npy", np.zeros((8, 9, 2), np.uint8))
    (source,) = open_sources(str(tmp_path))
    with pytest.raises(InputError, match="has 2 channels, expected one"):
        source.image(0)
