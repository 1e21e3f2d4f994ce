"""Folders of slices and single pictures: z from the names, what viewers show, voxel size."""

import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from volumes import DTYPES, check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_any_type(tmp_path, write, dtype, suffix):
    expected_ZYX = volume(dtype)
    # tifffile writes bits with white at 0, so that viewers show the opposite.
    stored_ZYX = ~expected_ZYX if (dtype, suffix) == ("bool", ".tif") else expected_ZYX
    for z, page_YX in enumerate(stored_ZYX):
        write(tmp_path / "slices" / f"s_{3 * z + 8}{suffix}", page_YX)
    with open_scan(tmp_path / "slices") as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.numbers) == ("slices", (8, 11, 14, 17, 20))


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", "uint8"), (".png", "uint16"),
                                               (".bmp", "uint8")])  # fmt: skip
def test_pictures(tmp_path, write, suffix, dtype):
    expected_ZYX = volume(dtype)
    for z, page_YX in enumerate(expected_ZYX):
        write(tmp_path / f"s{z:03d}{suffix}", page_YX)
    with open_scan(tmp_path) as scan:
        check(scan, expected_ZYX)
    with open_scan(tmp_path / f"s002{suffix}") as scan:
        check(scan, expected_ZYX[2:3])
        assert (scan.name, scan.numbers) == ("s002", None)


def test_jpeg_is_what_pillow_shows(tmp_path):
    smooth_YX = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint8)
    Image.fromarray(smooth_YX).save(tmp_path / "a.jpg")
    with open_scan(tmp_path / "a.jpg") as scan:
        check(scan, np.asarray(Image.open(tmp_path / "a.jpg"))[None])


def test_z_is_the_number_and_not_the_order_of_names(tmp_path, write):
    for z in (10, 9, 2, 100):
        write(tmp_path / f"b{z}.tif", np.full((2, 3), z, np.uint8))
    write(tmp_path / "a011.png", np.full((2, 3), 11, np.uint8))
    (tmp_path / "notes.txt").touch()
    with open_scan(tmp_path) as scan:
        assert scan.numbers == (2, 9, 10, 11, 100)
        assert scan.plane(0, axis=1)[:, 0].tolist() == [2, 9, 10, 11, 100]


def test_a_pattern_finds_the_number(tmp_path, write):
    for z in (3, 1, 2):
        write(tmp_path / f"z{z}_of_3.tif", np.full((2, 3), z, np.uint8))
    with pytest.raises(InputError, match=r"z2_of_3.tif and another file have the number 3; rename"):
        open_scan(tmp_path)
    with open_scan(tmp_path, number_pattern=r"z(\d+)") as scan:
        assert scan.numbers == (1, 2, 3)
        assert scan.plane(0, axis=1)[:, 0].tolist() == [1, 2, 3]
        assert scan.reopen().numbers == (1, 2, 3)


def test_names_without_numbers_come_in_order(tmp_path, write):
    for value, name in enumerate(["alice", "bob", "carol 2"]):
        write(tmp_path / f"{name}.tif", np.full((2, 3), value, np.uint8))
    with open_scan(tmp_path) as scan:
        assert scan.numbers is None
        assert scan.plane(0, axis=1)[:, 0].tolist() == [0, 1, 2]


def test_colours_that_are_gray(tmp_path):
    gray_YX = volume("uint8")[0]
    Image.fromarray(np.stack([gray_YX] * 3, axis=-1)).save(tmp_path / "a.png")
    with open_scan(tmp_path / "a.png") as scan:
        check(scan, gray_YX[None])
    Image.fromarray(np.stack([gray_YX, gray_YX, 255 - gray_YX], axis=-1)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a.png: is a colour image; X-ray images are grayscale"):
        open_scan(tmp_path / "a.png")


def test_pictures_say_palette_colours_and_loss(tmp_path):
    colours_YX3 = np.random.default_rng(0).integers(0, 255, (7, 9, 3), np.uint8)
    for z in range(2):
        Image.fromarray(colours_YX3 + z).save(tmp_path / f"s{z}.png")
    with pytest.raises(InputError, match=r"s0.png: is a colour image"):
        open_scan(tmp_path)
    with open_scan(tmp_path, colours=True) as scan:
        assert scan.shape == (2, 7, 9)
        assert scan.picture(1).kind == "rgb"
        np.testing.assert_array_equal(scan.reopen().picture(1).pixels, colours_YX3 + 1)
        with pytest.raises(InputError, match=r"s1.png: is a colour image"):
            scan.plane(1)
    Image.fromarray(volume("uint8")[0]).save(tmp_path / "a.jpg")
    with open_scan(tmp_path / "a.jpg") as scan:
        assert (scan.picture(0).kind, scan.picture(0).lossy) == ("gray", "JPEG")


@pytest.mark.parametrize(
    ("other", "said"),
    [(np.zeros((7, 8), np.uint16), r"s2.tif: is uint16 \(7, 8\), but s1.tif is uint16 \(7, 9\)"),
     (np.zeros((7, 9), np.uint8), r"s2.tif: is uint8 \(7, 9\), but s1.tif is uint16 \(7, 9\)"),
     (np.zeros((2, 7, 9), np.uint16), r"s2.tif: has .*, expected one slice")],
)  # fmt: skip
def test_slices_that_differ(tmp_path, write, other, said):
    write(tmp_path / "s1.tif", volume()[0])
    write(tmp_path / "s2.tif", other)
    with open_scan(tmp_path) as scan:
        np.testing.assert_array_equal(scan.plane(0), volume()[0])
        with pytest.raises(InputError, match=said):
            scan.plane(1)


def test_a_slice_that_is_truncated_or_a_broken_link(tmp_path, write):
    for z in range(3):
        write(tmp_path / f"s{z}.tif", volume()[z])
    os.truncate(tmp_path / "s1.tif", 300)
    (tmp_path / "s2.tif").unlink()
    (tmp_path / "s2.tif").symlink_to(tmp_path / "away.tif")
    with open_scan(tmp_path) as scan:
        for z in (1, 2):
            with pytest.raises(InputError, match=rf"s{z}.tif: cannot be read \("):
                scan.plane(z)


def test_voxel_size_of_the_first_file(tmp_path):
    for z in range(2):
        tifffile.imwrite(tmp_path / f"s{z}.tif", volume()[z], resolution=(4000, 2000),
                         resolutionunit="CENTIMETER")  # fmt: skip
    with open_scan(tmp_path) as scan:
        np.testing.assert_allclose(scan.voxel_size, (np.nan, 0.005, 0.0025))
        assert scan.unit == "mm"


@pytest.mark.parametrize("line", ["Pixel Size (um)=1.25", "Image Pixel Size (um)=1.25000"])
def test_voxel_size_of_a_skyscan_log(tmp_path, write, line):
    for z in range(2):
        write(tmp_path / f"bone_rec{z:08d}.bmp", volume("uint8")[z])
    (tmp_path / "bone_rec.log").write_text(
        f"[Reconstruction]\nReconstruction Program=NRecon\n{line}\n"
    )
    with open_scan(tmp_path) as scan:
        assert (scan.voxel_size, scan.unit) == ((1.25, 1.25, 1.25), "um")


def test_folder_without_slices(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds no images; expected files ending .tif"):
        open_scan(tmp_path)
