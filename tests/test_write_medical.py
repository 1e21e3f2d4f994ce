"""NIfTI and NRRD, opened by nibabel and SimpleITK: values, place, units, classes."""

import gzip
import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from written import ABOUT, LEGEND, TURN, labels, write

from xseg_jax.scans.scan import Geometry, open_scan
from xseg_jax.scans.write import DTYPES

PLACED = Geometry((2.0, 0.5, 0.25), "mm", (10.0, -20.0, 30.0), TURN)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
def test_simpleitk_sees_values_and_place(tmp_path, suffix, dtype):
    expected_ZYX = labels(dtype)
    image = sitk.ReadImage(str(write(tmp_path / f"a{suffix}", expected_ZYX, PLACED)))
    found_ZYX = sitk.GetArrayFromImage(image)
    assert found_ZYX.dtype == dtype
    np.testing.assert_array_equal(found_ZYX, expected_ZYX)
    np.testing.assert_allclose(image.GetSpacing(), (0.25, 0.5, 2.0), rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), (30.0, -20.0, 10.0), rtol=1e-6)
    direction_33 = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction_33.T[::-1, ::-1], TURN, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel(tmp_path, suffix, dtype):
    expected_ZYX = labels(dtype)
    image = nibabel.load(write(tmp_path / f"a{suffix}", expected_ZYX, PLACED))
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj), expected_ZYX.transpose())
    # The voxel (x, y, z) lies where the geometry says; R and A are opposite to L and P.
    place_zyx = np.array(PLACED.origin) + np.array([4, 3, 2]) * (2.0, 0.5, 0.25) @ np.array(TURN)
    z, y, x = place_zyx
    np.testing.assert_allclose(image.affine @ (2, 3, 4, 1), (-x, -y, z, 1), rtol=1e-5)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header.get_intent()[0] == ("none" if dtype == "float32" else "label")
    (extension,) = image.header.extensions
    said = json.loads(extension.get_content().decode().rstrip("\0"))
    assert said == {**ABOUT, **({} if dtype == "float32" else {"classes": LEGEND.classes()})}


def test_axes_that_are_not_square_are_in_the_affine_alone(tmp_path):
    sheared = ((1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
    path = write(tmp_path / "a.nii", labels(), Geometry((2.0, 0.5, 0.25), "mm", None, sheared))
    header = nibabel.load(path).header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    with open_scan(path) as scan:
        np.testing.assert_allclose(scan.geometry.direction, sheared, atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "written", "factor"),
    [("nm", "um", 1e-3), ("um", "um", 1), ("mm", "mm", 1), ("cm", "mm", 10), ("m", "m", 1),
     ("angstrom", "um", 1e-4), ("inch", "mm", 25.4)],
)  # fmt: skip
def test_nifti_knows_three_units(tmp_path, unit, written, factor):
    with open_scan(write(tmp_path / "a.nii", labels(), Geometry((2.0, 0.5, 0.25), unit))) as scan:
        assert (scan.unit, scan.geometry.origin) == (written, None)
        np.testing.assert_allclose(scan.voxel_size, np.multiply((2.0, 0.5, 0.25), factor), 1e-6)


def test_a_side_too_long_for_nifti_1(tmp_path):
    for length, version in ((32767, 1), (32768, 2)):
        expected_ZYX = labels(shape=(2, 1, length))
        path = write(tmp_path / f"{length}.nii", expected_ZYX)
        assert int.from_bytes(path.read_bytes()[:4], "little") == {1: 348, 2: 540}[version]
        image = nibabel.load(path)
        np.testing.assert_array_equal(np.asarray(image.dataobj), expected_ZYX.transpose())
        with open_scan(path) as scan:
            np.testing.assert_array_equal(scan.slab(0, 2), expected_ZYX)


def test_packed_and_plain_hold_the_same_bytes(tmp_path):
    plain = write(tmp_path / "a.nii", labels()).read_bytes()
    packed = write(tmp_path / "b.nii.gz", labels()).read_bytes()
    assert gzip.decompress(packed) == plain
    assert packed[4:8] == bytes(4)  # No time: equal volumes are equal files.


def test_nrrd_header(tmp_path):
    expected_ZYX = labels("uint16")
    head, _, packed = write(tmp_path / "a.nrrd", expected_ZYX).read_bytes().partition(b"\n\n")
    lines = head.decode().splitlines()
    assert lines[0] == "NRRD0005"
    for line in (
        "type: uint16", "sizes: 9 7 5", "endian: little", "encoding: gzip",
        "space: left-posterior-superior", 'space units: "um" "um" "um"',
        "space directions: (0.25,0.0,0.0) (0.0,0.5,0.0) (0.0,0.0,2.0)",
        "space origin: (3.0,2.0,1.0)",
    ):  # fmt: skip
        assert line in lines
    assert lines.index("space: left-posterior-superior") < lines.index("sizes: 9 7 5")
    assert gzip.decompress(packed) == expected_ZYX.astype("<u2").tobytes()


def test_nrrd_without_a_place(tmp_path):
    nothing = Geometry((float("nan"), 0.5, 0.25), "nm")
    path = write(tmp_path / "a.nrrd", labels(), nothing)
    assert b'\nspacings: 0.25 0.5 nan\nunits: "nm" "nm" "nm"\n' in path.read_bytes()
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels())
    with open_scan(path) as scan:
        assert (scan.unit, scan.geometry.origin) == ("nm", None)
    for geometry in (Geometry(), Geometry(unit="um"), Geometry(origin=(1.0, 2.0, 3.0))):
        path = write(tmp_path / "b.nrrd", labels(), geometry)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), labels())


def test_nrrd_keeps_classes_and_notes(tmp_path):
    image = sitk.ReadImage(str(write(tmp_path / "a.seg.nrrd", labels())))
    said = json.loads(image.GetMetaData("xseg_jax"))
    assert said == {**ABOUT, "classes": LEGEND.classes()}
    # 3D Slicer's own keys; 0 is where no segment is.
    values = [image.GetMetaData(f"Segment{n}_LabelValue") for n in range(2)]
    names = [image.GetMetaData(f"Segment{n}_Name") for n in range(2)]
    assert (values, names) == (["7", "200"], list(LEGEND.names[1:]))
    assert image.GetMetaData("Segment0_Color") == "0.266667 0.666667 0.600000"
    assert image.GetMetaData("Segment1_Extent") == "0 8 0 6 0 4"
    assert not image.HasMetaDataKey("Segment2_ID")
