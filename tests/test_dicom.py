"""DICOM series that SimpleITK writes: order by position, slope applied once, gaps refused."""

import locale

import numpy as np
import pytest
import SimpleITK as sitk
from volumes import check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan

UID = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(autouse=True)
def _locale():
    """Writing DICOM sets the locale of the process to C, and what is text is no UTF-8 then."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def write(folder, values_ZYX, *, step=2.0, suffix=".dcm", series=UID, positions=None, **tags):
    """One file a slice, named against the order of their positions."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for z, values_YX in enumerate(values_ZYX):
        image = sitk.GetImageFromArray(values_YX[None])
        place = z * step if positions is None else positions[z]
        image.SetSpacing((0.25, 0.5, step))
        said = {
            "0008|0060": "CT",
            "0020|000e": series,
            "0008|0018": f"{series}.{z + 1}",
            "0020|0013": str(z + 1),
            "0020|0032": f"10\\20\\{30 + place}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            **tags,
        }
        for key, value in said.items():
            image.SetMetaData(key, value)
        writer.SetImageIO("GDCMImageIO")
        path = folder / f"file{99 - z}.dcm"
        writer.SetFileName(str(path))
        writer.Execute(image)
        path.rename(path.with_suffix(suffix))
    return folder


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_a_series(tmp_path, dtype):
    expected_ZYX = volume(dtype)
    with open_scan(write(tmp_path / "ct", expected_ZYX)) as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size, scan.unit) == ("ct", (2.0, 0.5, 0.25), "mm")
        assert scan.geometry.origin == (30.0, 20.0, 10.0)
        assert scan.geometry.direction == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_files_without_suffix(tmp_path):
    with open_scan(write(tmp_path / "ct", volume(), suffix="")) as scan:
        check(scan, volume())


def test_rescaling_is_applied_once(tmp_path):
    stored_ZYX = volume("uint16") // 4
    with open_scan(
        write(tmp_path / "ct", stored_ZYX, **{"0028|1052": "-1024", "0028|1053": "1"})
    ) as scan:
        # SimpleITK writes values divided by the slope, less the intercept, and reads them back.
        assert scan.slab(0, 5).astype(int).tolist() == stored_ZYX.astype(int).tolist()
        assert scan.dtype.kind == "i"


def test_one_file(tmp_path):
    folder = write(tmp_path / "ct", volume())
    with open_scan(folder / "file97.dcm") as scan:
        check(scan, volume()[2:3])
        assert scan.geometry.origin == (34.0, 20.0, 10.0)


def test_frames_of_one_file(tmp_path):
    image = sitk.GetImageFromArray(volume())
    image.SetSpacing((0.25, 0.5, 2.0))
    sitk.WriteImage(image, str(tmp_path / "frames.dcm"))
    with open_scan(tmp_path / "frames.dcm") as scan:
        check(scan, volume())
        assert scan.voxel_size[1:] == (0.5, 0.25)


def test_several_series(tmp_path):
    write(tmp_path / "ct", volume(seed=1)[:2], series=f"{UID}.1")
    other = write(tmp_path / "other", volume(seed=2), series=f"{UID}.2")
    for file in other.iterdir():
        file.rename(tmp_path / "ct" / f"other_{file.name}")
    with pytest.raises(
        InputError, match=r"ct: holds 2 DICOM series, expected one: .*choose one wi"
    ):
        open_scan(tmp_path / "ct")
    with pytest.raises(InputError, match=r"ct::3.4: no such series; there are 1.2.826"):
        open_scan(f"{tmp_path}/ct::3.4")
    with pytest.raises(InputError) as failed:
        open_scan(tmp_path / "ct")
    proposed = str(failed.value).rpartition("choose one with ")[2]
    with open_scan(proposed) as scan:
        check(scan, volume(seed=1)[:2] if f"{UID}.1" in proposed else volume(seed=2))


def test_a_missing_slice_is_named(tmp_path):
    folder = write(tmp_path / "ct", volume())
    (folder / "file97.dcm").unlink()
    with pytest.raises(
        InputError,
        match=r"slices are 2 mm apart, but 4 mm between file98.dcm and file96.dcm; a slice",
    ):
        open_scan(folder)


def test_a_slice_that_is_there_twice(tmp_path):
    folder = write(tmp_path / "ct", volume(), positions=[0, 2, 2, 4, 6])
    with pytest.raises(
        InputError, match=r"but 0 mm between file9[78].dcm and file9[78].dcm; a slic"
    ):
        open_scan(folder)


def test_sizes_that_differ(tmp_path):
    folder = write(tmp_path / "ct", volume()[:3])
    write(folder, volume("uint16", (4, 7, 8))[3:], positions=[6])
    write(tmp_path / "wide", volume("uint16", (1, 7, 8)), positions=[20])
    (tmp_path / "wide" / "file99.dcm").rename(folder / "file1.dcm")
    with pytest.raises(
        InputError, match=r"file\d+.dcm is \(1, 7, \d\), but file\d+.dcm is \(1, 7, "
    ):
        open_scan(folder)


def test_colours_and_damage(tmp_path):
    path = tmp_path / "a.dcm"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((1, 7, 9, 3), np.uint8), isVector=True), path)
    with pytest.raises(InputError, match=r"a.dcm is a colour image; X-ray images are grayscale"):
        open_scan(path)
    path.write_bytes(bytes(128) + b"DICM" + b"and no more")
    with pytest.raises(InputError, match=r"a.dcm: cannot be read as DICOM \("):
        open_scan(path)
    folder = write(tmp_path / "ct", volume())
    damaged = folder / "file97.dcm"
    with open_scan(folder) as scan:
        damaged.write_bytes(damaged.read_bytes()[:-50])
        with pytest.raises(InputError, match=r"ct: plane 2 along axis 0 cannot be read"):
            scan.plane(2)
