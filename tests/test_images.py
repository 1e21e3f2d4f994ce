"""Every kind of file is read to the bit, and what cannot be used is refused by name."""

import re

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xseg_jax.data.images import COLOUR, Convention, read_image, read_label
from xseg_jax.errors import InputError
from xseg_jax.scans.picture import read_picture

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
COMPRESSIONS = (None, "packbits", "lzw", "deflate")
LAYOUTS = ({}, {"tile": (16, 16)}, {"rowsperstrip": 8})


def noise(shape=(64, 48), dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", ["<u1", "<u2", ">u2", "<f4", ">f4"])
def test_tiff_keeps_every_bit_and_the_depth(tmp_path, dtype, compression, layout):
    full = np.iinfo(dtype).max if dtype[1] == "u" else 1e6
    array_HW = (np.random.default_rng(0).random((40, 33)) * full).astype(dtype)
    array_HW[0, :2] = 0, full
    path = tmp_path / "slice.tif"
    tifffile.imwrite(path, array_HW, byteorder=dtype[0], compression=compression, **layout)
    image_HW = read_image(path)
    assert image_HW.dtype == np.dtype(dtype).newbyteorder("=")
    assert image_HW.dtype.isnative
    np.testing.assert_array_equal(image_HW, array_HW)


@QUICK
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from(["u1", "u2", "i1", "i2", "u4", "i4", "f2", "f4", "f8"]),
    byteorder=st.sampled_from("<>"),
    compression=st.sampled_from(COMPRESSIONS),
    layout=st.sampled_from(LAYOUTS),
    suffix=st.sampled_from([".tif", ".TIF", ".tiff", ".Tiff"]),
)
def test_tiff_round_trip_of_any_size_and_pixel_type(
    tmp_path, shape, dtype, byteorder, compression, layout, suffix
):
    array_HW = (noise(shape) // 2).astype(dtype)
    path = tmp_path / f"slice{suffix}"
    tifffile.imwrite(path, array_HW, byteorder=byteorder, compression=compression, **layout)
    image_HW = read_image(path)
    assert image_HW.dtype == (dtype if dtype in ("u1", "u2") else "f4")
    assert image_HW.shape == shape
    np.testing.assert_array_equal(image_HW, array_HW)
    np.testing.assert_array_equal(read_label(path), array_HW)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".npy", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_and_numpy_keep_every_bit(tmp_path, write, dtype, suffix):
    array_HW = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
    image_HW = read_image(write(tmp_path / f"slice{suffix}", array_HW))
    assert image_HW.dtype == dtype
    np.testing.assert_array_equal(image_HW, array_HW)


def test_numpy_big_endian_becomes_native(tmp_path, write):
    path = write(tmp_path / "slice.npy", np.array([[1, 256], [2, 65535]], ">u2"))
    assert read_image(path).dtype == np.dtype("=u2")
    assert read_image(path).tolist() == [[1, 256], [2, 65535]]


def test_jpeg_image(tmp_path, write):
    path = write(tmp_path / "radiograph.JPG", np.full((16, 24), 77, np.uint8))
    assert read_image(path).dtype == np.uint8
    assert np.unique(read_image(path)).tolist() == [77]
    assert read_image(path).shape == (16, 24)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_grey_image_saved_as_colour(tmp_path, write, suffix, channels):
    grey_HW = noise((9, 7), "uint8")
    array_HWC = np.repeat(grey_HW[..., None], channels, axis=-1)
    array_HWC[..., 3:] = 255
    if suffix == ".npy" and channels == 4:
        pytest.skip("NumPy has no alpha")
    np.testing.assert_array_equal(read_image(write(tmp_path / f"a{suffix}", array_HWC)), grey_HW)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_png_saved_as_colour_keeps_16_bits(tmp_path, channels):
    grey_HW = noise((9, 7)) * 300
    array_HWC = np.repeat(grey_HW[..., None], channels, axis=-1)
    if channels in (2, 4):
        array_HWC[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array_HWC))
    image_HW = read_image(tmp_path / "a.png")
    assert image_HW.dtype == np.uint16
    np.testing.assert_array_equal(image_HW, grey_HW)


def test_grey_png_with_alpha(tmp_path, write):
    array_HW2 = noise((5, 6, 2), "uint8")
    array_HW2[..., 1] = 255
    np.testing.assert_array_equal(
        read_image(write(tmp_path / "a.png", array_HW2)), array_HW2[..., 0]
    )


def test_a_single_slice_saved_as_a_stack_of_one(tmp_path, write):
    array_HW = noise((8, 9))
    np.testing.assert_array_equal(
        read_image(write(tmp_path / "a.tif", array_HW[None, :, :])), array_HW
    )
    np.testing.assert_array_equal(
        read_image(write(tmp_path / "a.npy", array_HW[..., None])), array_HW
    )


def test_one_pixel_is_an_image(tmp_path, write):
    assert read_image(write(tmp_path / "a.png", np.array([[7]], np.uint8))).tolist() == [[7]]


def test_thumbnail_page_does_not_make_a_stack(tmp_path):
    array_HW = noise((64, 48))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(array_HW)
        tiff.write(array_HW[::4, ::4], subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array_HW)


@pytest.mark.parametrize("bad", [1e300, -1.79e308])
def test_pixels_beyond_float32_are_not_called_infinite(tmp_path, write, bad):
    array_HW = noise((9, 7), "f8")
    array_HW[2, 3:5] = bad
    path = write(tmp_path / "a.tif", array_HW)
    with pytest.raises(InputError, match=r"a.tif: holds 2 pixels beyond what float32 holds, up to"):
        read_image(path)


@pytest.mark.parametrize(
    ("low", "dtype"), [(2**31 - 300, "i4"), (-(2**31), "i4"), (2**32 - 300, "u4"), (1e9, "f8")]
)
def test_differences_that_float32_cannot_hold(tmp_path, write, low, dtype):
    array_HW = (low + noise((64, 64), "i8")).astype(dtype)
    path = write(tmp_path / "a.tif", array_HW)
    with pytest.raises(InputError, match=r"a.tif: gray values from .* lie so close .* subtract"):
        read_image(path)
    # One gray value alone has no differences to lose.
    write(path, np.full((64, 64), array_HW[0, 0], dtype))
    assert np.ptp(read_image(path)) == 0


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", "f8"])
def test_wide_types_whose_values_float32_holds(tmp_path, write, dtype):
    array_HW = noise((64, 64), "i8") * 10_000_019
    array_HW = array_HW.astype(dtype)
    image_HW = read_image(write(tmp_path / "a.npy", array_HW))
    np.testing.assert_array_equal(image_HW, array_HW.astype(np.float32))


def test_no_data_and_hot_pixels_do_not_hide_lost_differences(tmp_path, write):
    array_HW = 1e9 + noise((64, 64), "f8")
    array_HW[:20], array_HW[30, 30] = np.finfo("f4").min, 1e30
    path = write(tmp_path / "a.npy", array_HW)
    with pytest.raises(InputError, match=r"a.npy: gray values from 1000000\d+ to 1000000\S+ lie"):
        read_image(path)
    write(path, array_HW - 1e9)
    assert read_image(path).dtype == np.float32


# Labels.


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_label_from_grayscale(tmp_path, write, suffix):
    path = write(tmp_path / f"a{suffix}", np.array([[0, 128], [255, 3]], np.uint8))
    assert read_label(path).tolist() == [[0, 128], [255, 3]]
    assert read_label(path).dtype == np.int64


def test_label_from_16_bit_and_from_whole_floats(tmp_path, write):
    path = write(tmp_path / "a.tif", np.array([[0, 40000]], np.uint16))
    assert read_label(path).tolist() == [[0, 40000]]
    path = write(tmp_path / "b.tif", np.array([[0, 2]], np.float32))
    assert read_label(path).tolist() == [[0, 2]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [(), (255,)], ids=["rgb", "rgba"])
def test_label_from_colours(tmp_path, write, suffix, alpha):
    colours = [[(255, 0, 0, *alpha), (0, 255, 1, *alpha)], [(0, 0, 0, *alpha), (7, 7, 7, *alpha)]]
    path = write(tmp_path / f"a{suffix}", np.array(colours, np.uint8))
    expected = [[COLOUR + 0xFF0000, COLOUR + 0x00FF01], [COLOUR, COLOUR + 0x070707]]
    assert read_label(path).tolist() == expected


def test_label_from_palette_png_is_the_index(tmp_path):
    index_HW = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    picture = Image.fromarray(index_HW, mode="L").convert("P")
    picture.putdata(index_HW.ravel().tolist())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    assert read_label(tmp_path / "a.png").tolist() == index_HW.tolist()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_label_from_bool(tmp_path, write, suffix):
    mask_HW = noise((11, 13)) > 100
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":  # By itself tifffile writes bits with white at 0.
        tifffile.imwrite(path, mask_HW, photometric="minisblack")
    else:
        write(path, mask_HW)
    np.testing.assert_array_equal(read_label(path), mask_HW.astype(np.int64))


# What cannot be read.


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_truncated_tiff_is_never_read(tmp_path, compression, layout):
    path = tmp_path / "slice__017.tif"
    tifffile.imwrite(path, noise(), compression=compression, **layout)
    whole = path.read_bytes()
    for kept in np.linspace(1, len(whole) - 20, 12).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(
            InputError, match=r"slice__017.tif: cannot be read.*damaged or truncated: export"
        ):
            read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".npy", ".jpg"])
def test_truncated_picture_is_never_read(tmp_path, write, suffix):
    path = write(tmp_path / f"slice__017{suffix}", noise(dtype="uint8"))
    whole = path.read_bytes()
    for kept in np.linspace(0, len(whole) - 40, 12).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(
            InputError, match=rf"slice__017{suffix}: cannot be read.*damaged or truncated: export"
        ):
            read_image(path)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".jpeg"])
def test_a_file_of_something_else(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("The quick brown fox jumps over the lazy dog.")
    with pytest.raises(InputError, match=rf"a{suffix}: cannot be read \(.+\); the file is damaged"):
        read_picture(path)


def test_a_pickle_is_not_called_damaged(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"a.npy: cannot be read .* not known here: export it as"):
        read_picture(tmp_path / "a.npy")


@pytest.mark.parametrize("kept", [4, 6, 8])
def test_a_tiff_without_page_is_damaged(tmp_path, kept):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0"[:kept])
    with pytest.raises(InputError, match=r"a.tif: cannot be read .*damaged or truncated: export"):
        read_picture(path)


def test_missing_file_and_folder_with_the_name_of_an_image(tmp_path):
    (tmp_path / "b.tif").mkdir()
    for name in ("a.tif", "b.tif"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            read_picture(tmp_path / name)


def test_unknown_suffix(tmp_path):
    with pytest.raises(InputError, match=r"a.dcm: cannot read '.dcm' files; use one of .tif, "):
        read_picture(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "array", [np.array([["a", "b"]]), np.zeros((3, 3), complex), np.zeros((2, 2), [("a", int)])]
)
def test_pixels_that_are_not_numbers(tmp_path, write, array):
    path = write(tmp_path / "a.npy", array)
    for read in (read_image, read_label):
        with pytest.raises(InputError, match=r"a.npy: pixels are .* not plain numbers"):
            read(path)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 5, 3), (4,), ()])
def test_shapes_that_are_not_a_slice(tmp_path, write, shape):
    path = write(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=re.escape(f"has shape {shape}, expected one slice")):
        read_picture(path)


@pytest.mark.parametrize(
    ("suffix", "found"), [(".tif", "5 images"), (".npy", r"shape \(5, 20, 30\)")]
)
def test_stack(tmp_path, write, suffix, found):
    path = write(tmp_path / f"volume{suffix}", noise((5, 20, 30)))
    with pytest.raises(InputError, match=rf"volume{suffix}: has {found}.*one file a slice"):
        read_image(path)


def test_stack_written_page_by_page_is_not_taken_for_its_first_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "volume.tif") as tiff:
        for z in range(3):
            tiff.write(noise(seed=z))
    with pytest.raises(InputError, match=r"volume.tif: has 3 images.*save a stack as one file a"):
        read_image(tmp_path / "volume.tif")


def test_colour_image(tmp_path, write):
    path = write(tmp_path / "a.png", noise((9, 7, 3), "uint8"))
    with pytest.raises(InputError, match=r"a.png: is a colour image.*grayscale: convert it"):
        read_image(path)


@pytest.mark.parametrize(("bad", "dtype"), [(np.nan, "f4"), (-np.inf, "f4"), (np.inf, "f8")])
def test_pixels_that_are_not_finite(tmp_path, write, bad, dtype):
    array_HW = noise((9, 7), dtype)
    array_HW[2, 3:5] = bad
    path = write(tmp_path / "a.tif", array_HW)
    with pytest.raises(InputError, match=r"a.tif: holds 2 NaN or infinite pixels; replace them"):
        read_image(path)


@pytest.mark.parametrize("bad", [-1.0, 0.5, np.nan, np.inf])
def test_label_values_that_are_not_whole_numbers_from_0(tmp_path, write, bad):
    path = write(tmp_path / "a.tif", np.array([[0, bad]], np.float32))
    with pytest.raises(InputError, match=r"a.tif: label values must be whole numbers from 0"):
        read_label(path)


def test_a_negative_label_value_is_named(tmp_path, write):
    path = write(tmp_path / "a.tif", np.array([[0, -1, -1]], np.int16))
    message = r"a.tif: label values must be whole numbers from 0; found -1 in 2 pixels \(int16\); "
    with pytest.raises(InputError, match=message):
        read_label(path)


@pytest.mark.parametrize("dtype", ["u4", "u8", "f4"])
def test_label_values_that_could_be_taken_for_colours(tmp_path, write, dtype):
    path = write(tmp_path / "a.npy", np.array([[0, 2**24 - 1]], dtype))
    assert read_label(path).tolist() == [[0, 2**24 - 1]]
    write(path, np.array([[0, 2**24]], dtype))
    with pytest.raises(
        InputError, match=r"a.npy: label value 16777216(\.0)?; the largest is 16777"
    ):
        read_label(path)


@pytest.mark.parametrize(
    ("name", "options", "called"),
    [
        ("a.jpg", {"quality": 100}, "JPEG"),
        ("a.jpeg", {"quality": 95}, "JPEG"),
        ("a.webp", {"quality": 90}, "WebP"),
        ("a.tif", {"compression": "jpeg"}, "JPEG"),
        ("jpeg_by_content.png", {"format": "JPEG"}, "JPEG"),
    ],
)
def test_label_in_a_lossy_format(tmp_path, name, options, called):
    mask_HW = ((noise((16, 16)) > 100) * 255).astype(np.uint8)
    picture = Image.fromarray(mask_HW).convert("RGB" if called == "WebP" else "L")
    picture.save(tmp_path / name, **options)
    with pytest.raises(InputError, match=rf"{name}: is compressed as {called}, which can ch"):
        read_label(tmp_path / name)
    if called == "JPEG":
        assert read_image(tmp_path / name).shape == (16, 16)


@pytest.mark.parametrize("level", [70, 0])
def test_label_in_jpeg_2000_tiff(tmp_path, level):
    mask_HW = ((noise((32, 32)) > 100) * 255).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", mask_HW, compression="jpeg2000",
        compressionargs={"level": level, "reversible": not level},
    )  # fmt: skip
    if not level:
        np.testing.assert_array_equal(read_label(tmp_path / "a.tif"), mask_HW)
        return
    with pytest.raises(
        InputError, match=r"a.tif: is compressed as JPEG 2000, which can change label"
    ):
        read_label(tmp_path / "a.tif")


@pytest.mark.parametrize("lossless", [False, True])
def test_label_in_webp_tiff(tmp_path, lossless):
    mask_HWC = np.repeat(((noise((16, 16, 1)) > 100) * 255).astype(np.uint8), 3, axis=-1)
    tifffile.imwrite(
        tmp_path / "a.tif", mask_HWC, compression="webp",
        compressionargs={"level": 80, "lossless": lossless},
    )  # fmt: skip
    if lossless:
        np.testing.assert_array_equal(read_label(tmp_path / "a.tif") & 255, mask_HWC[..., 0])
        return
    with pytest.raises(InputError, match=r"a.tif: is compressed as WebP, which can change label"):
        read_label(tmp_path / "a.tif")


def test_label_in_lossless_webp(tmp_path):
    mask_HW = ((noise((16, 16)) > 100) * 255).astype(np.uint8)
    Image.fromarray(mask_HW).save(tmp_path / "a.webp", lossless=True)
    assert set(np.unique(read_label(tmp_path / "a.webp"))) == {COLOUR, COLOUR + 0xFFFFFF}
    np.testing.assert_array_equal(read_label(tmp_path / "a.webp") & 255, mask_HW)


def test_palette_label_by_index_or_by_colour(tmp_path):
    index_HW = noise((8, 8), "uint8") % 3
    picture = Image.fromarray(index_HW)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), index_HW)
    colours = np.array([0, 0xFF0000, 0x0000FF])[index_HW] + COLOUR
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", Convention(colours=True)), colours)


def test_image_with_a_palette_is_what_it_shows(tmp_path):
    index_HW = noise((8, 8), "uint8")
    picture = Image.fromarray(index_HW)
    picture.putpalette([value for index in range(256) for value in [255 - index] * 3])
    picture.save(tmp_path / "inverting.png")
    np.testing.assert_array_equal(read_image(tmp_path / "inverting.png"), 255 - index_HW)
    picture.putpalette([value for index in range(256) for value in (index, 0, 255 - index)])
    picture.save(tmp_path / "false_colour.png")
    with pytest.raises(InputError, match=r"false_colour.png: is a colour image"):
        read_image(tmp_path / "false_colour.png")


def test_label_of_16_bit_colours(tmp_path, write):
    path = write(tmp_path / "a.tif", np.full((4, 5, 3), 300, np.uint16))
    with pytest.raises(InputError, match=r"a.tif: colour mask with value 300; save it with 8 bits"):
        read_label(path)
