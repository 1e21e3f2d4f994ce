"""Labels of a folder are read in one convention, or one file of each is named."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from planes import find

from xseg_jax.data.checks import CheckedPlanes, check
from xseg_jax.data.images import Convention
from xseg_jax.data.labels import LabelMap
from xseg_jax.errors import InputError

BLACK, WHITE, RED, BLUE, MAROON = (0, 0, 0), (255,) * 3, (255, 0, 0), (0, 0, 255), (128, 0, 0)
TRUTH_HW = np.arange(12).reshape(3, 4) % 3 == 0


def indexed(index_HW, *palette):
    picture = Image.fromarray(np.asarray(index_HW, np.uint8))
    picture.putpalette([value for colour in palette for value in colour])
    return picture


def gray(values_HW, dtype=np.uint8):
    return np.asarray(values_HW, dtype)


def coloured(truth_HW, background, object_):
    return np.where(truth_HW[..., None], object_, background).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, write):
    """Makes pairs of labels given as arrays, or as pictures with a palette."""

    def make(*labels):
        for z, label in enumerate(labels):
            image_HW = np.random.default_rng(z).integers(0, 200, (3, 4)).astype(np.uint8)
            write(tmp_path / "images" / f"s{z}.tif", image_HW)
            path = tmp_path / "labels" / f"s{z}.tif"
            if isinstance(label, Image.Image):
                path = path.with_suffix(".png")
                label.save(path)
            elif label.dtype == bool:
                tifffile.imwrite(path, label, photometric="minisblack")
            else:
                write(path, label)
        return find(tmp_path / "images", tmp_path / "labels")

    (tmp_path / "labels").mkdir()
    return make


def values_of(pairs, known="", ignore=""):
    """The values of the classes found, when each slice is the truth in them."""
    label_map = LabelMap.parse(known, ignore) if known else None
    checked = check(pairs, label_map, ignore)
    read = CheckedPlanes(pairs, checked)
    for item in read:
        np.testing.assert_array_equal(item.label_HW, read[0].label_HW, item.name)
    return checked.label_map.values


# Palettes.


def test_palettes_of_another_order_are_read_as_colours(folder):
    pairs = folder(indexed(TRUTH_HW, BLUE, RED), indexed(~TRUTH_HW, RED, BLUE))
    assert values_of(pairs) == ("#0000ff", "#ff0000")
    assert values_of(pairs, "#ff0000:object,#0000ff:rest") == ("#ff0000", "#0000ff")
    message = (
        r"s0.png and \S*s1.png: index 0 is #0000ff in one and #ff0000 in the other, so that the "
        r"index is no class; save all labels with one palette, or name classes by colour, as in "
        r"'--config\.data\.classes=#0000ff:NAME,\.\.\.'$"
    )
    with pytest.raises(InputError, match=message):
        values_of(pairs, "0:rest,1:object")


def test_one_colour_at_two_indices_is_read_as_colours(folder):
    pairs = folder(indexed(TRUTH_HW, BLACK, RED), indexed(TRUTH_HW * 2, BLACK, BLUE, RED))
    assert values_of(pairs) == ("#000000", "#ff0000")
    with pytest.raises(InputError, match=r"s0.png and \S*s1.png: #ff0000 is index 1 in one and 2 "):
        values_of(pairs, "0:a,1:b,2:c")


def test_one_palette_is_read_by_its_index_as_voc_means_it(folder):
    pairs = folder(*[indexed(TRUTH_HW * 255, BLACK, *[MAROON] * 254, (224, 224, 192))] * 2)
    assert values_of(pairs) == ("0", "255")
    assert values_of(pairs, "0:background,255:void") == ("0", "255")
    assert values_of(pairs, "#000000:background,#e0e0c0:void") == ("#000000", "#e0e0c0")


@pytest.mark.parametrize("known", ["", "0:rest,1:object"])
def test_a_run_knows_the_palette_of_its_training(folder, known):
    """Labels of another palette, each alone consistent, would swap classes in evaluation."""
    pairs = folder(*[indexed(TRUTH_HW, BLUE, RED)] * 2)
    label_map = check(pairs, LabelMap.parse(known) if known else None).label_map
    assert label_map.values == ("0", "1")
    assert label_map.shown == ("#0000ff", "#ff0000")
    assert LabelMap.from_json(label_map.to_json()) == label_map
    assert check(pairs, label_map).label_map is label_map
    for pair in pairs:
        indexed(~TRUTH_HW, RED, BLUE).save(pair.label)
    message = r"s0.png: index 0 is #ff0000, but #0000ff in the labels of training; save the labels "
    with pytest.raises(InputError, match=message):
        check(pairs, label_map)
    other = label_map.with_values(
        f"#ff0000:{label_map.names[1]},#0000ff:{label_map.names[0]}", None
    )
    np.testing.assert_array_equal(CheckedPlanes(pairs, check(pairs, other))[1].label_HW, TRUTH_HW)


def test_without_palette_nothing_is_kept_of_one(folder):
    label_map = check(folder(gray(TRUTH_HW), gray(TRUTH_HW)), None).label_map
    assert label_map.to_json() == {"values": ("0", "1"), "classes": ("0", "1"), "ignore": ""}


def test_palettes_that_differ_in_unused_entries_are_one(folder):
    pairs = folder(
        indexed(TRUTH_HW, BLACK, MAROON, RED, BLUE), indexed(TRUTH_HW, BLACK, MAROON, WHITE)
    )
    assert values_of(pairs) == ("0", "1")


def test_a_palette_that_nobody_filled_shows_nothing(folder):
    pairs = folder(*[indexed(TRUTH_HW * 2, BLACK, BLACK, BLACK)] * 2)
    assert values_of(pairs) == ("0", "2")


def test_a_palette_of_grays_is_the_gray_picture_that_it_shows(folder):
    """As ImageJ writes an inverting lookup table, GIF any gray picture."""
    pairs = folder(indexed(TRUTH_HW, BLACK, WHITE), indexed(~TRUTH_HW, WHITE, BLACK))
    assert values_of(pairs) == ("0", "255")
    assert values_of(pairs, "0:a,255:b") == ("0", "255")


def test_a_palette_of_grays_beside_gray(folder):
    pairs = folder(indexed(~TRUTH_HW, WHITE, BLACK), gray(TRUTH_HW * 255))
    assert values_of(pairs) == ("0", "255")


def test_classes_named_by_index_hold_for_a_palette_of_grays(folder):
    pairs = folder(*[indexed(TRUTH_HW, BLACK, WHITE)] * 2)
    assert values_of(pairs, "0:a,1:b") == ("0", "1")
    assert check(pairs, LabelMap.parse("0:a,1:b")).convention == Convention(colours=False)


def test_indexed_beside_rgb(folder):
    pairs = folder(indexed(TRUTH_HW, BLACK, MAROON), coloured(TRUTH_HW, BLACK, MAROON))
    assert values_of(pairs) == ("#000000", "#800000")


def test_indexed_beside_gray_of_the_index(folder):
    """As VOC masks of which some were saved again without their palette."""
    pairs = folder(indexed(TRUTH_HW, BLACK, MAROON), gray(TRUTH_HW))
    message = (
        r"s0.png and \S*s1.tif: one shows colours, the other the gray value 1, which no label with "
        r"colours has; save all labels in one way, or name the classes with --config.data.classes"
    )
    with pytest.raises(InputError, match=message):
        values_of(pairs)
    assert values_of(pairs, "0:a,1:b") == ("0", "1")
    with pytest.raises(InputError, match=r"s0.png and \S*s1.tif: one has a palette, the other non"):
        values_of(pairs, ignore="7")


def test_indexed_beside_an_empty_gray_label(folder):
    pairs = folder(indexed(TRUTH_HW, BLACK, MAROON), gray(TRUTH_HW * 0))
    assert check(pairs, None).label_map.values == ("0", "1")


# Gray, bits and colours.


@pytest.mark.parametrize(("object_", "first"), [(WHITE, "s1.tif"), (RED, "s1.tif")])
def test_gray_beside_colour(folder, object_, first):
    pairs = folder(coloured(TRUTH_HW, BLUE, object_), gray(TRUTH_HW * 254))
    with pytest.raises(InputError, match=rf"s0.tif and \S*{first}: one shows colours, the other "):
        values_of(pairs)


def test_gray_beside_colour_that_shows_the_same(folder):
    pairs = folder(coloured(TRUTH_HW, BLACK, RED), gray(TRUTH_HW * 0))
    assert check(pairs, None).label_map.values == ("#000000", "#ff0000")


def test_bits_alone_are_0_and_1(folder):
    pairs = folder(TRUTH_HW, TRUTH_HW)
    assert values_of(pairs) == ("0", "1")
    assert values_of(pairs, "0:a,1:b") == ("0", "1")
    assert values_of(pairs, "0:a,255:b") == ("0", "255")


@pytest.mark.parametrize("white", [1, 255])
def test_bits_beside_bytes_are_what_they_show(folder, white):
    pairs = folder(TRUTH_HW, gray(TRUTH_HW * white))
    assert values_of(pairs) == ("0", str(white))


def test_a_white_bit_beside_colours_is_white(folder):
    pairs = folder(coloured(TRUTH_HW, BLACK, WHITE), TRUTH_HW, coloured(TRUTH_HW, RED, BLUE))
    assert [item.label_HW.max() for item in CheckedPlanes(pairs, check(pairs, None))] == [3, 3, 2]
    assert check(pairs, None).label_map.values == ("#000000", "#0000ff", "#ff0000", "#ffffff")


# Two scales.

COUNTED_HW = np.arange(12).reshape(3, 4) % 3


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (TRUTH_HW * 1, TRUTH_HW * 255, np.uint8),
        (TRUTH_HW * 1, np.full((3, 4), 255), np.uint8),
        (TRUTH_HW * 1, TRUTH_HW * 65535, np.uint16),
        (TRUTH_HW * 255, TRUTH_HW * 65535, np.uint16),
        (COUNTED_HW, COUNTED_HW * 127.5, np.uint8),
        (COUNTED_HW, COUNTED_HW * 128 - (COUNTED_HW == 2), np.uint8),
        (COUNTED_HW, TRUTH_HW * 255, np.uint8),
        (np.arange(12).reshape(3, 4) % 4, np.arange(12).reshape(3, 4) % 4 * 85, np.uint8),
    ],
)
def test_counted_beside_spread_over_black_to_white(folder, one, other, dtype):
    pairs = folder(gray(TRUTH_HW * 0, dtype), gray(one, dtype), gray(other, dtype))
    message = r"s1.tif and \S*s2.tif: labels hold 0, .* in some files and 0, .* in others, and no f"
    with pytest.raises(InputError, match=message):
        values_of(pairs)


@pytest.mark.parametrize(
    "labels",
    [
        # One file has both: three classes.
        (TRUTH_HW * 1, TRUTH_HW * 255, COUNTED_HW * 127 + (COUNTED_HW == 1) * -126),
        (np.where(TRUTH_HW, 255, 1), TRUTH_HW * 0, TRUTH_HW * 1),
        (TRUTH_HW * 0, TRUTH_HW * 255),
        # Numbers that are spread over nothing: classes that never meet.
        (TRUTH_HW * 1, TRUTH_HW * 2),
        (TRUTH_HW * 1, TRUTH_HW * 200),
        (COUNTED_HW, TRUTH_HW * 90),
        (TRUTH_HW * 3, TRUTH_HW * 255),
    ],
)
def test_values_that_are_no_two_scales(folder, labels):
    pairs = folder(*(gray(label) for label in labels))
    found = sorted({int(value) for label in labels for value in np.unique(label)})
    assert check(pairs, None).label_map.values == tuple(str(value) for value in found)


def test_two_scales_that_the_user_knows_of(folder):
    pairs = folder(gray(TRUTH_HW), gray(TRUTH_HW * 255))
    assert values_of(pairs, "0:pore,1:solid,255:solid") == ("0", "1", "255")
    assert check(pairs, None, "255").label_map.values == ("0", "1")
