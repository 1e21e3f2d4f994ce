"""Every kind of file is read to the bit, and what cannot be used is refused by name."""

import re

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xseg_jax.data.images import (
    COLOUR,
    Pair,
    find_pairs,
    folder_of,
    list_images,
    natural_key,
    number_in,
    read_array,
    read_image,
    read_label,
)
from xseg_jax.errors import InputError

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))
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
    np.testing.assert_array_equal(read_image(write(tmp_path / f"a{suffix}", array_HWC)), grey_HW)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_png_saved_as_colour_keeps_16_bits(tmp_path, channels):
    grey_HW = noise((9, 7)) * 300
    array_HWC = np.repeat(grey_HW[..., None], channels, axis=-1)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array_HWC))
    image_HW = read_image(tmp_path / "a.png")
    assert image_HW.dtype == np.uint16
    np.testing.assert_array_equal(image_HW, grey_HW)


def test_grey_png_with_alpha(tmp_path, write):
    array_HW2 = noise((5, 6, 2), "uint8")
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
    path = write(tmp_path / f"a{suffix}", mask_HW)
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
        read_array(path)


def test_missing_file_and_folder_with_the_name_of_an_image(tmp_path):
    (tmp_path / "b.tif").mkdir()
    for name in ("a.tif", "b.tif"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            read_array(tmp_path / name)


def test_unknown_suffix(tmp_path):
    with pytest.raises(InputError, match=r"a.dcm: cannot read '.dcm' files; use one of .tif, "):
        read_array(tmp_path / "a.dcm")


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
        read_array(path)


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_stack(tmp_path, write, suffix):
    path = write(tmp_path / f"volume{suffix}", noise((5, 20, 30)))
    with pytest.raises(
        InputError, match=rf"volume{suffix}: has shape \(5, 20, 30\).*one file a slice"
    ):
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


@pytest.mark.parametrize(("bad", "dtype"), [(np.nan, "f4"), (-np.inf, "f4"), (1e300, "f8")])
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


def test_label_of_16_bit_colours(tmp_path, write):
    path = write(tmp_path / "a.tif", np.full((4, 5, 3), 300, np.uint16))
    with pytest.raises(InputError, match=r"a.tif: colour mask with value 300; save it with 8 bits"):
        read_label(path)


# Names and pairs.


def test_natural_order():
    names = ["slice_10", "slice_2", "Slice_1", "slice_1", "10", "9", "a1b20", "a1b3", "²"]
    expected = ["9", "10", "Slice_1", "a1b3", "a1b20", "slice_1", "slice_2", "slice_10", "²"]
    assert sorted(names, key=natural_key) == expected


@QUICK
@given(
    prefix=st.text(PRINTABLE, max_size=8),
    numbers=st.lists(st.integers(0, 10**6), min_size=2, unique=True),
)
def test_natural_order_is_the_order_of_the_numbers(prefix, numbers):
    prefix = prefix.rstrip("0123456789")
    if prefix[-1:].isdecimal():
        prefix += "_"
    names = sorted((f"{prefix}{number}" for number in numbers), key=natural_key)
    assert names == [f"{prefix}{number}" for number in sorted(numbers)]
    assert [number_in(name) for name in names] == sorted(numbers)


@given(st.lists(st.text(), max_size=9))
def test_any_names_can_be_ordered(names):
    assert sorted(sorted(names, key=natural_key)) == sorted(names)


@pytest.mark.parametrize(
    ("name", "number"),
    [("SOCprist0001", 1), ("slice__001", 1), ("12um_0040_crop", 40), ("mean", None), ("5²", 5)],
)
def test_number_in_a_name(name, number):
    assert number_in(name) == number


def test_number_by_pattern():
    assert number_in("z12_scan7", r"z(\d+)") == 12
    assert number_in("scan7", r"z(\d+)") is None


@pytest.mark.parametrize("pattern", [r"z\d+", r"(z\d+)", r"(\d+", r"z(\d)?"])
def test_pattern_that_gives_no_number(pattern):
    message = re.escape(f"config.data.number_pattern={pattern!r}") + r".*\(\.\.\.\) must match"
    with pytest.raises(InputError, match=message):
        number_in("z_z12", pattern)


def test_listing_skips_what_is_no_image_and_takes_any_case(tmp_path):
    for name in ("._a1.tif", ".a2.png", "Thumbs.db", "notes.txt", "a10.TIF", "a2.tif", "a1.Png"):
        (tmp_path / name).touch()
    assert list(list_images(tmp_path)) == ["a1", "a2", "a10"]
    assert list_images(tmp_path)["a10"] == tmp_path / "a10.TIF"


def test_listing_does_not_depend_on_the_order_of_the_disk(tmp_path):
    for name in ("a001.tif", "a1.tif", "a01.tif"):
        (tmp_path / name).touch()
    assert list(list_images(tmp_path)) == ["a001", "a01", "a1"]


def test_folder_missing_empty_or_with_one_stem_twice(tmp_path):
    with pytest.raises(InputError, match=r"absent: no such folder"):
        list_images(tmp_path / "absent")
    (tmp_path / "readme.md").touch()
    with pytest.raises(InputError, match=r"holds no images; expected files ending .tif, .tiff"):
        list_images(tmp_path)
    with pytest.raises(InputError, match=r"readme.md: no such folder"):
        list_images(tmp_path / "readme.md")
    for name in ("a.tif", "a.TIFF", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"two files are called 'a'; keep one of them"):
        list_images(tmp_path)


def make_files(root, **names_of):
    for folder, names in names_of.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).touch()
    return [root / folder for folder in names_of]


def test_pairs_by_stem(tmp_path):
    images, labels = make_files(
        tmp_path, images=["s10.tif", "s2.tif", "s2b.tif"], labels=["s2.png", "s10.png", "s2b.npy"]
    )
    assert find_pairs(images, labels) == [
        Pair("s2", images / "s2.tif", labels / "s2.png", 2),
        Pair("s2b", images / "s2b.tif", labels / "s2b.npy", 2),
        Pair("s10", images / "s10.tif", labels / "s10.png", 10),
    ]


def test_pairs_by_number(tmp_path):
    images, labels = make_files(
        tmp_path,
        images=["SOCprist0001.tiff", "SOCprist0010.tiff", "SOCprist0002.tiff"],
        labels=["slice__010.tif", "slice__001.tif", "slice__002.tif"],
    )
    pairs = find_pairs(images, labels)
    assert [pair.number for pair in pairs] == [1, 2, 10]
    assert [pair.image.name[8:12] for pair in pairs] == ["0001", "0002", "0010"]
    assert [pair.label.name[6:10] for pair in pairs] == ["_001", "_002", "_010"]
    assert pairs[0].name == "SOCprist0001"


def test_pairs_by_a_number_that_is_not_the_last(tmp_path):
    images, labels = make_files(
        tmp_path, images=["z05_of_9.tif", "z06_of_9.tif"], labels=["m_z6_9.png", "m_z5_9.png"]
    )
    pairs = find_pairs(images, labels, number_pattern=r"z(\d+)")
    assert [(pair.number, pair.label.name) for pair in pairs] == [
        (5, "m_z5_9.png"),
        (6, "m_z6_9.png"),
    ]
    with pytest.raises(
        InputError, match=r"images: no image has its label's stem, and 'z05_of_9' has a number "
    ):
        find_pairs(images, labels)


def test_pair_without_numbers(tmp_path):
    images, labels = make_files(tmp_path, images=["alice.jpg"], labels=["alice.png"])
    assert [pair.number for pair in find_pairs(images, labels)] == [None]


def test_names_without_number_and_without_common_stem(tmp_path):
    images, labels = make_files(tmp_path, images=["i1.tif"], labels=["mask.tif"])
    with pytest.raises(
        InputError, match=r"labels: .*'mask' has no number; rename.*--config.data.number_pattern"
    ):
        find_pairs(images, labels)


def test_no_pairs(tmp_path):
    images, labels = make_files(tmp_path, images=["i1.tif", "i2.tif"], labels=["m3.tif"])
    with pytest.raises(
        InputError, match=r"no image pairs with a label, for example i1 and m3; give both the same"
    ):
        find_pairs(images, labels)


def test_unpaired_image(tmp_path):
    images, labels = make_files(
        tmp_path, images=[f"s{i}.tif" for i in range(8)], labels=["s0.png", "s1.png"]
    )
    with pytest.raises(
        InputError, match=r"s2.tif, \S*s3.tif, \S*s4.tif and 3 more: no label.*skip_unlabelled=True"
    ):
        find_pairs(images, labels)
    pairs = find_pairs(images, labels, skip_unlabelled=True)
    assert [pair.name for pair in pairs] == ["s0", "s1"]


def test_skip_unlabelled_by_number(tmp_path):
    images, labels = make_files(
        tmp_path, images=[f"raw{i:04d}.tif" for i in range(1, 12)], labels=["m_5.png", "m_10.png"]
    )
    pairs = find_pairs(images, labels, skip_unlabelled=True)
    assert [(pair.name, pair.number) for pair in pairs] == [("raw0005", 5), ("raw0010", 10)]


def test_unpaired_label_is_refused_even_with_skip_unlabelled(tmp_path):
    images, labels = make_files(tmp_path, images=["s0.tif"], labels=["s0.png", "s1.png"])
    for skip in (False, True):
        with pytest.raises(InputError, match=r"s1.png: no image for this label; remove it or add"):
            find_pairs(images, labels, skip_unlabelled=skip)


@pytest.mark.parametrize("image_folder", ["images", "data"])
@pytest.mark.parametrize("label_folder", ["labels", "masks"])
def test_folders_below_a_root(tmp_path, image_folder, label_folder):
    made = make_files(tmp_path, **{image_folder: [], label_folder: []})
    assert [folder_of(tmp_path, kind) for kind in ("images", "labels")] == list(made)


def test_folders_that_are_ambiguous_or_missing(tmp_path):
    make_files(tmp_path, images=[], labels=[], masks=[])
    with pytest.raises(
        InputError, match=r"one folder of labels called labels or masks, found 2; rename"
    ):
        folder_of(tmp_path, "labels")
    with pytest.raises(InputError, match=r"one folder of images called images or data, found 0"):
        folder_of(tmp_path / "masks", "images")
