"""A TIFF page is what viewers show, whatever its tags, or is refused."""

import io

import numpy as np
import pytest
import tifffile
from pictures import TO_STORED, noise, tiff
from PIL import Image, ImageOps

from xseg_jax.errors import InputError
from xseg_jax.scans.picture import read_picture
from xseg_jax.scans.tiff_page import page_as_shown

SPREAD = {1: 255, 2: 85, 4: 17, 8: 1}
MINISWHITE, MINISBLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6


def shown(path):
    """Gray values as uint8 or as they are; a bit is black or white."""
    with tifffile.TiffFile(path) as file:
        picture = page_as_shown(file.pages[0], path.name)
    gray = picture.pixels if picture.kind == "gray" else picture.colours
    if gray.ndim == 3:
        assert (gray == gray[..., :1]).all()
        gray = gray[..., 0]
    return gray * np.uint8(255) if gray.dtype == bool else gray


def by_pillow(path):
    # From bytes: from a path Pillow 13 maps 8-bit strips with the size that they have upright.
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("L"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("photometric", [MINISWHITE, MINISBLACK, PALETTE])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_in_every_photometric_and_orientation(tmp_path, bits, photometric, orientation):
    samples_HW = noise(bits=bits)
    expected_HW = samples_HW * np.uint8(SPREAD[bits])
    stored_HW = TO_STORED[orientation](samples_HW)
    tags = {262: [photometric], 274: [orientation]}
    if photometric == MINISWHITE:
        stored_HW = 2**bits - 1 - stored_HW
    if photometric == PALETTE:  # Each index shows the opposite, so that an index is no gray value.
        stored_HW = 2**bits - 1 - stored_HW
        tags[320] = [value * SPREAD[bits] * 257 for value in range(2**bits - 1, -1, -1)] * 3
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(stored_HW, bits, tags))
    np.testing.assert_array_equal(shown(path), expected_HW)
    path.write_bytes(tiff(stored_HW, bits, tags, deflate=True))
    np.testing.assert_array_equal(shown(path), expected_HW)
    if bits in (1, 8) or photometric != PALETTE:
        np.testing.assert_array_equal(by_pillow(path), expected_HW)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_reversed_fill_order(tmp_path, bits):
    samples_HW = noise(bits=bits)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(samples_HW, bits, {262: [MINISBLACK], 266: [2]}, reverse_bits=True))
    np.testing.assert_array_equal(shown(path), samples_HW * np.uint8(SPREAD[bits]))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_of_a_detector_are_not_spread(tmp_path, bits):
    samples_HW = noise(bits=bits)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(samples_HW, bits, {262: [MINISBLACK]}))
    np.testing.assert_array_equal(shown(path), samples_HW)
    path.write_bytes(tiff(samples_HW, bits, {262: [MINISWHITE]}))
    np.testing.assert_array_equal(shown(path), 2**bits - 1 - samples_HW)


def test_without_photometric_tag_zero_is_black(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(noise(), 8, {}))
    np.testing.assert_array_equal(shown(path), noise())


@pytest.mark.parametrize("compression", ["group3", "group4", "packbits", "tiff_ccitt", "raw"])
@pytest.mark.parametrize("inverted", [0, 1])
def test_fax_codes(tmp_path, compression, inverted):
    """Which colour is 0 is said by two codes and a tag; all must come out as Pillow shows it."""
    mask_HW = noise((16, 24), bits=1) > 0
    path = tmp_path / "a.tif"
    options = {} if compression == "raw" else {"compression": compression}
    Image.fromarray(mask_HW).save(path, tiffinfo={262: 1 - inverted}, **options)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[262].overwrite(inverted)
    np.testing.assert_array_equal(shown(path), by_pillow(path))
    assert set(np.unique(shown(path))) == {0, 255}


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("extra", [None, "assocalpha", "unassalpha"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_colour_planes_and_opaque_alpha(tmp_path, dtype, extra, planar):
    gray_HW = noise().astype(dtype)
    opaque = 1 if dtype == "f4" else np.iinfo(dtype).max
    array_HWC = np.repeat(gray_HW[..., None], 4 if extra else 3, axis=-1)
    array_HWC[..., 3:] = opaque
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "planarconfig": planar, "extrasamples": extra}

    def save():
        array = array_HWC if planar == "contig" else array_HWC.transpose(2, 0, 1)
        tifffile.imwrite(path, array, **options)

    save()
    np.testing.assert_array_equal(shown(path), gray_HW)
    if extra:
        array_HWC[2, 3:5, 3] = 0
        save()
        with pytest.raises(InputError, match=r"a.tif: 2 of 35 pixels are transparent, so "):
            shown(path)


@pytest.mark.parametrize("orientation", [2, 5, 8])
def test_orientation_of_colours_in_planes(tmp_path, orientation):
    colours_HWC = noise((7, 5, 3))
    stored_HWC = TO_STORED[orientation](colours_HWC)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, stored_HWC.transpose(2, 0, 1), photometric="rgb", planarconfig="separate",
        extratags=[(274, "H", 1, orientation, True)],
    )  # fmt: skip
    with tifffile.TiffFile(path) as file:
        picture = page_as_shown(file.pages[0], "a.tif")
    assert picture.kind == "rgb"
    np.testing.assert_array_equal(picture.pixels, colours_HWC)


@pytest.mark.parametrize(
    ("channels", "tags"),
    [
        (2, {262: [MINISBLACK]}),
        (2, {262: [MINISBLACK], 338: [0]}),
        (4, {262: [MINISBLACK]}),
        (4, {262: [RGB], 338: [0]}),
        (4, {262: [RGB]}),
        (5, {262: [RGB], 338: [2, 0]}),
    ],
)
def test_samples_that_nothing_declares(tmp_path, channels, tags):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(noise((7, 5, channels)), 8, tags))
    with pytest.raises(InputError, match=rf"a.tif: has {channels} channels, expected one; "):
        shown(path)


@pytest.mark.parametrize(
    ("photometric", "channels", "called"),
    [(5, 4, "SEPARATED"), (6, 3, "YCBCR"), (8, 3, "CIELAB"), (32803, 1, "CFA"), (4, 1, "MASK"),
     (60000, 1, "60000")],
)  # fmt: skip
def test_other_photometrics(tmp_path, photometric, channels, called):
    path = tmp_path / "a.tif"
    samples = noise((7, 5, channels))
    path.write_bytes(tiff(samples, 8, {262: [photometric], 530: [1, 1]}))
    with pytest.raises(InputError, match=rf"a.tif: is a {called} picture; convert it to grayscale"):
        shown(path)


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_white_at_the_least_value_where_it_means_nothing(tmp_path, dtype):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise().astype(dtype), photometric="miniswhite")
    with pytest.raises(InputError, match=r"a.tif: says that its least value is white.*black at"):
        shown(path)


def test_a_palette_of_8_bits_where_the_format_has_16(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(noise(bits=4), 4, {262: [PALETTE], 320: list(range(16)) * 3}))
    np.testing.assert_array_equal(shown(path), noise(bits=4))


def test_complex_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.complex64))
    with pytest.raises(InputError, match=r"a.tif: pixels are complex64, not plain numbers"):
        shown(tmp_path / "a.tif")


def test_depth_within_a_page(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", noise((4, 16, 16)),
        volumetric=True, tile=(16, 16, 16), photometric="minisblack",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"a.tif: has shape \(4, 16, 16\), expected one slice"):
        read_picture(tmp_path / "a.tif")


def test_planes_of_a_stack_as_frames(tmp_path):
    """What reads stacks calls it for frames, which leave their tags to the first page."""
    planes_ZHW = noise((3, 7, 5))
    tifffile.imwrite(tmp_path / "a.tif", planes_ZHW, photometric="miniswhite")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        file.pages.useframes = True
        file.pages.set_keyframe(0)
        assert isinstance(file.pages[2], tifffile.TiffFrame)
        shown_HW = [page_as_shown(page, "a.tif").pixels for page in file.pages]
    np.testing.assert_array_equal(shown_HW, 255 - planes_ZHW)
