"""NIfTI, FreeSurfer and MINC: values with their slope applied once, (Z, Y, X), place in L, P, S."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from volumes import check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan

# Voxels of 0.25 x 0.5 x 2 along x, y, z; x points to the right, so that it is turned.
AFFINE = np.array([[-0.25, 0, 0, 10], [0, 0.5, 0, 20], [0, 0, 2.0, 30], [0, 0, 0, 1]])
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64")


def write(path, values_ZYX, kind=nibabel.Nifti1Image, unit="micron"):
    options = {"dtype": values_ZYX.dtype} if unit else {}  # Or 64 bits would warn.
    image = kind(np.asarray(values_ZYX).transpose(), AFFINE, **options)
    if unit:
        image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti(tmp_path, dtype, suffix, kind):
    expected_ZYX = volume(dtype)
    with open_scan(write(tmp_path / f"scan{suffix}", expected_ZYX, kind)) as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size, scan.unit) == ("scan", (2.0, 0.5, 0.25), "um")


def test_place_is_that_of_simpleitk(tmp_path):
    path = write(tmp_path / "scan.nii", volume("int16"), unit="mm")
    image = sitk.ReadImage(str(path))
    with open_scan(path) as scan:
        assert scan.geometry.origin == image.GetOrigin()[::-1] == (30.0, -20.0, -10.0)
        np.testing.assert_array_equal(
            np.reshape(scan.geometry.direction, (3, 3)),
            np.reshape(image.GetDirection(), (3, 3)).T[::-1, ::-1],
        )


def test_big_endian(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    image = nibabel.Nifti1Image(volume("int16").transpose().astype(">i2"), AFFINE, header)
    nibabel.save(image, tmp_path / "scan.nii")
    assert (tmp_path / "scan.nii").read_bytes()[:4] == b"\0\0\1\x5c"
    with open_scan(tmp_path / "scan.nii") as scan:
        check(scan, volume("int16"))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_slope_and_intercept_are_applied_once(tmp_path, suffix):
    stored_ZYX = volume("int16")
    path = write(tmp_path / "scan.nii", stored_ZYX)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([0.5, -100], "<f4").tobytes()  # scl_slope and scl_inter.
    path.write_bytes(data)
    if suffix == ".nii.gz":
        path = tmp_path / "scan.nii.gz"
        path.write_bytes(gzip.compress(data))
    with open_scan(path) as scan:
        check(scan, stored_ZYX * 0.5 - 100)


def test_a_pair_of_header_and_image(tmp_path):
    image = nibabel.Nifti1Pair(volume("int16").transpose(), AFFINE)
    nibabel.save(image, tmp_path / "scan.img")
    nibabel.save(image, tmp_path / "packed.img.gz")
    for name in ("scan.img", "scan.hdr", "packed.img.gz", "packed.hdr.gz"):
        with open_scan(tmp_path / name) as scan:
            check(scan, volume("int16"))


# nibabel leaves closing this format's header to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
def test_freesurfer(tmp_path, suffix):
    path = write(tmp_path / f"scan{suffix}", volume("float32"), nibabel.MGHImage, unit=None)
    with open_scan(path) as scan:
        check(scan, volume("float32"))
        assert (scan.voxel_size, scan.unit) == ((2.0, 0.5, 0.25), "mm")


def test_minc(tmp_path):
    # A file of MINC 2 is HDF5, and only its suffix says what it is.
    h5py = pytest.importorskip("h5py")
    stored_ZYX = volume("uint8")
    with h5py.File(tmp_path / "scan.mnc", "w") as file:
        base = file.create_group("minc-2.0")
        image = base.create_group("image/0").create_dataset("image", data=stored_ZYX)
        image.attrs["dimorder"] = np.bytes_("zspace,yspace,xspace")
        image.attrs["valid_range"] = [0.0, 255.0]
        for name, value in (("image-max", 255.0), ("image-min", 0.0)):
            file["minc-2.0/image/0"].create_dataset(name, data=value)
        for axis, length, step in (("z", 5, 2.0), ("y", 7, 0.5), ("x", 9, 0.25)):
            space = base.create_dataset(f"dimensions/{axis}space", data=0)
            space.attrs.update({"start": 0.0, "step": step, "length": length})
            space.attrs["direction_cosines"] = np.eye(3)["xyz".index(axis)]
            space.attrs["spacing"] = np.bytes_("regular__")
    with open_scan(tmp_path / "scan.mnc") as scan:
        check(scan, stored_ZYX.astype(float))
        assert (scan.voxel_size, scan.unit) == ((2.0, 0.5, 0.25), "mm")


@pytest.mark.parametrize(
    ("stored", "expected"), [((9, 7), (1, 7, 9)), ((9, 7, 5, 1), (5, 7, 9)), ((9, 7, 1), (1, 7, 9))]
)
def test_other_dimensions(tmp_path, stored, expected):
    values = volume("uint8", stored)
    nibabel.save(nibabel.Nifti1Image(values, None), tmp_path / "scan.nii.gz")
    with open_scan(tmp_path / "scan.nii.gz") as scan:
        check(scan, values.reshape(stored[: len(stored)]).transpose().reshape(expected))
        # Without an affine there is no place.
        assert (scan.unit, scan.geometry.origin) == (None, None)


def test_what_is_refused(tmp_path):
    path = tmp_path / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(volume("uint8", (9, 7, 5, 2)), AFFINE), path)
    with pytest.raises(
        InputError, match=r"has shape \(9, 7, 5, 2\); expected one volume of 2 or 3"
    ):
        open_scan(path)
    colours = np.zeros((9, 7, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, AFFINE), path)
    with pytest.raises(InputError, match=r"scan.nii: values are \[\('R', .*not plain numbers"):
        open_scan(path)
    path.write_bytes(b"no NIfTI" * 90)
    with pytest.raises(
        InputError, match=r"scan.nii: cannot be read as NIfTI \(.*; the file is dam"
    ):
        open_scan(path)


def test_truncated(tmp_path):
    path = write(tmp_path / "scan.nii", volume("int16"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        InputError, match=r"is truncated: scan.nii has 962 bytes, but the last voxel ends at 982;"
    ):
        open_scan(path)
    packed = write(tmp_path / "scan.nii.gz", volume("int16", (5, 70, 90)))
    packed.write_bytes(packed.read_bytes()[:-20])
    with (
        open_scan(packed) as scan,
        pytest.raises(
            InputError, match=r"scan.nii.gz: plane 0 along axis 0 cannot be read \(Compr"
        ),
    ):
        scan.plane(0)
