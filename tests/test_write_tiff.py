"""TIFF: ImageJ's form and OME-TIFF, what they say beside the pixels, and BigTIFF."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image
from skimage.io import imread
from written import ABOUT, LEGEND, labels, write

from xseg_jax.data.images import read_label
from xseg_jax.scans import write_tiff
from xseg_jax.scans.scan import Geometry, open_scan


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej(tmp_path, dtype):
    expected_ZYX = labels(dtype)
    with tifffile.TiffFile(write(tmp_path / "a.tif", expected_ZYX)) as tiff:
        assert tiff.is_imagej
        assert not tiff.is_bigtiff
        about = tiff.imagej_metadata
        assert (about["slices"], about["spacing"], about["unit"]) == (5, 2.0, "um")
        # ImageJ stretches a colour map over the range that it is told.
        assert about.get("max") == {"uint16": 200}.get(dtype)
        lines = about["Info"].splitlines()
        notes = dict(line.split(": ", 1) for line in lines[-2:])
        assert {key: json.loads(value) for key, value in notes.items()} == ABOUT
        assert ("class 7: céramique #44aa99" in lines) == (dtype != "float32")
        assert tiff.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tiff.asarray(), expected_ZYX)
        for page in tiff.pages:
            assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            resolution = [page.tags[name].value for name in ("XResolution", "YResolution")]
            assert [above / below for above, below in resolution] == [4.0, 2.0]


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_colours_stand_in_pages_that_are_values(tmp_path, name):
    expected_ZYX = labels()
    path = write(tmp_path / name, expected_ZYX)
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            map_3V = np.reshape(page.tags[320].value, (3, 256))
            np.testing.assert_array_equal(map_3V[:, LEGEND.values] // 257, np.transpose(LEGEND.rgb))
            assert np.count_nonzero(map_3V.any(axis=0)) == 3
            assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    # Programs that know nothing of ImageJ see the label values, not colours.
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), expected_ZYX)
    with Image.open(path) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), expected_ZYX[0])
    with open_scan(path, colours=True) as scan:
        assert scan.picture(2).kind == "gray"


def test_classes_stand_in_the_description_too(tmp_path):
    with tifffile.TiffFile(write(tmp_path / "a.tif", labels())) as tiff:
        said = tiff.pages[0].tags["ImageDescription"].value
        (line,) = [line for line in said.splitlines() if line.startswith("classes=")]
        assert json.loads(line.removeprefix("classes=")) == LEGEND.classes()


def test_an_image_of_labels_has_colours_and_is_read_as_values(tmp_path):
    label_HW, path = labels()[0], tmp_path / "a.tif"
    write_tiff.write_image(path, label_HW, legend=LEGEND, about={"classes": LEGEND.classes()})
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.PALETTE
        assert json.loads(tiff.pages[0].description) == {"classes": LEGEND.classes()}
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), label_HW)
        shown = np.asarray(image.convert("RGB"))
        for value, rgb in zip(LEGEND.values, LEGEND.rgb, strict=True):
            assert (shown[label_HW == value] == rgb).all()
    for read in (tifffile.imread(path), imread(path), read_label(path)):
        np.testing.assert_array_equal(read, label_HW)
    with open_scan(path) as scan:  # As a segmented volume is measured.
        np.testing.assert_array_equal(scan.plane(0), label_HW)


@pytest.mark.parametrize(
    ("array", "photometric"),
    [
        (labels("uint16")[0], "MINISBLACK"),
        (labels("float32"), "MINISBLACK"),
        (np.repeat(labels()[0][..., None], 3, axis=-1), "RGB"),
    ],
)
def test_what_no_palette_can_show_has_none(tmp_path, array, photometric):
    legend = LEGEND if array.dtype.kind == "u" else None
    write_tiff.write_image(tmp_path / "a.tif", array, legend=legend)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].photometric.name == photometric
        np.testing.assert_array_equal(tiff.asarray(), array)


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.tif", "uint32"), ("a.ome.tif", "uint8"), ("a.OME.tiff", "float32")]
)
def test_ome(tmp_path, name, dtype):
    expected_ZYX = labels(dtype)
    with tifffile.TiffFile(write(tmp_path / name, expected_ZYX)) as tiff:
        assert tiff.is_ome
        assert not tiff.is_imagej
        said = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        sizes = [said["Pixels"][f"PhysicalSize{axis}"] for axis in "ZYX"]
        assert (sizes, said["Pixels"]["PhysicalSizeXUnit"]) == ([2.0, 0.5, 0.25], "µm")
        assert 'run: "runs/a"' in said["Description"]
        assert ("class 7: céramique" in said["Description"]) == (dtype != "float32")
        np.testing.assert_array_equal(tiff.asarray(), expected_ZYX)


def test_from_4_gb_on_it_is_a_big_ome_tiff(tmp_path, monkeypatch):
    expected_ZYX = labels()
    beside = 5 * (7 * 9 + write_tiff.BESIDE)
    for limit, big in ((beside + 1, False), (beside, True)):
        monkeypatch.setattr(write_tiff, "BIG", limit)
        path = write(tmp_path / "a.tif", expected_ZYX)
        with tifffile.TiffFile(path) as tiff:
            assert (tiff.is_bigtiff, tiff.is_ome, tiff.is_imagej) == (big, big, not big)
        with open_scan(path) as scan:
            np.testing.assert_array_equal(scan.slab(0, 5), expected_ZYX)
            assert scan.geometry == Geometry((2.0, 0.5, 0.25), "um")


@pytest.mark.parametrize("unit", ["nm", "mm", "cm", "inch", "angstrom"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_units(tmp_path, name, unit):
    with open_scan(write(tmp_path / name, labels(), Geometry((2.0, 0.5, 0.25), unit))) as scan:
        assert scan.geometry == Geometry((2.0, 0.5, 0.25), unit)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_metres_are_too_large_for_imagej(tmp_path, name):
    with open_scan(write(tmp_path / name, labels(), Geometry((2e-9, 5e-10, 2e-10), "m"))) as scan:
        assert scan.unit == "um"
        np.testing.assert_allclose(scan.voxel_size, (2e-3, 5e-4, 2e-4), rtol=1e-6)


def test_a_size_without_unit_is_not_guessed_to_be_inches(tmp_path):
    for name in ("a.tif", "a.ome.tif"):
        with open_scan(write(tmp_path / name, labels(), Geometry((2.0, 0.5, 0.25)))) as scan:
            assert scan.geometry == Geometry()
