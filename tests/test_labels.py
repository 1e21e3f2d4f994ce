"""Label values become class indices and come back; a wrong map is refused by name."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xseg_jax.colours import class_rgb
from xseg_jax.data.images import COLOUR
from xseg_jax.data.labels import IGNORED, LabelMap, check_is_label
from xseg_jax.errors import InputError

PATH = Path("slice__017.tif")
RED, BLUE, BLACK, WHITE = COLOUR | 0xFF0000, COLOUR | 0x0000FF, COLOUR, COLOUR | 0xFFFFFF


def row(*values):
    return np.array([values], np.int64)


def read_back(pixels):
    """What `read_label` would give for an array of these pixels."""
    if pixels.ndim == 3:
        red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
        return COLOUR | red << 16 | green << 8 | blue
    return pixels.astype(np.int64)


def test_parse_keeps_the_order_and_merges_equal_names():
    label_map = LabelMap.parse(" 255:metal, 0 : pore ,7:metal,128:YSZ", "64")
    assert label_map.names == ("metal", "pore", "YSZ")
    assert label_map.encode(row(0, 7, 64, 128, 255), PATH).tolist() == [[1, 0, IGNORED, 2, 0]]
    assert label_map.encode(row(0), PATH).dtype == np.uint8
    expected = "255 -> 0 (metal), 0 -> 1 (pore), 7 -> 0 (metal), 128 -> 2 (YSZ), 64 -> ignored"
    assert str(label_map) == expected


def test_decode_gives_the_first_value_of_a_class():
    label_map = LabelMap.parse("255:metal,0:pore,7:metal,300:YSZ")
    assert label_map.decode(row(0, 1, 2)).tolist() == [[255, 0, 300]]
    assert label_map.decode(row(0, 1, 2)).dtype == np.uint16
    assert LabelMap.parse("0:a,255:b").decode(row(0, 1)).dtype == np.uint8


def test_classes_as_they_are_written():
    """The first value of merged ones, in the colour that it has in every figure."""
    rows = LabelMap.parse("0:back,2:lung,1:lung,300:heart").written()
    assert rows == [
        {"value": value, "name": name, "colour": f"#{bytes(class_rgb(k)).hex()}"}
        for k, (value, name) in enumerate([(0, "back"), (2, "lung"), (300, "heart")])
    ]
    rows = LabelMap.parse("#000000:back,#ff0000:tooth").written()
    assert [row["value"] for row in rows] == ["#000000", "#ff0000"]


def test_images_are_written_in_the_palette_of_the_labels():
    label_map = LabelMap(
        ("0", "7", "9"), ("back", "tooth", "bone"), shown=("#000000", "#ff0000", "")
    )
    assert label_map.image_legend.colours == ("#000000", "#ff0000", label_map.legend.colours[2])
    assert label_map.image_legend.values == (0, 7, 9)


def test_colours():
    label_map = LabelMap.parse("#000000:back,#FF0000:tooth", "#0000fF")
    assert label_map.encode(row(RED, BLACK, BLUE), PATH).tolist() == [[1, 0, IGNORED]]
    assert label_map.decode(row(1, 0)).tolist() == [[[255, 0, 0], [0, 0, 0]]]
    assert label_map.decode(row(1, 0)).dtype == np.uint8


@given(st.data())
def test_round_trip(data):
    plain = data.draw(st.booleans(), "plain")
    numbers = st.integers(0, 65535) if plain else st.integers(0, 0xFFFFFF)
    values = data.draw(st.lists(numbers, min_size=2, max_size=20, unique=True))
    names = data.draw(
        st.lists(st.sampled_from("abcdefgh"), min_size=len(values), max_size=len(values))
    )
    assume(len(set(names)) > 1)
    ignore, *values = values if len(values) > len(set(names)) and len(values) > 2 else ["", *values]
    names = names[: len(values)]
    assume(len(set(names)) > 1)
    written = [str(v) if plain else f"#{v:06x}" for v in values]
    text = ",".join(f"{value}:{name}" for value, name in zip(written, names, strict=True))
    label_map = LabelMap.parse(
        text, ignore if ignore == "" else str(ignore) if plain else f"#{ignore:06x}"
    )
    offset = 0 if plain else COLOUR
    values_HW = row(*(offset + value for value in values))
    class_HW = label_map.encode(values_HW, PATH)
    assert [label_map.names[k] for k in class_HW[0]] == names
    again_HW = label_map.encode(read_back(label_map.decode(class_HW)), PATH)
    np.testing.assert_array_equal(again_HW, class_HW)
    if ignore != "":
        assert label_map.encode(row(offset + int(ignore)), PATH).tolist() == [[IGNORED]]
    assert LabelMap.from_json(label_map.to_json()) == label_map


@given(st.sets(st.integers(0, 65535), min_size=2, max_size=255))
def test_guess_follows_sorted_order(values):
    label_map = LabelMap.guess(values)
    class_HW = label_map.encode(row(*sorted(values)), PATH)
    assert class_HW.tolist() == [list(range(len(values)))]
    assert label_map.decode(class_HW).tolist() == [sorted(values)]


def test_guess_leaves_the_ignored_value_out():
    label_map = LabelMap.guess({0, 128, 255, 64}, "64")
    assert label_map.names == ("0", "128", "255")
    assert label_map.encode(row(0, 64, 128, 255), PATH).tolist() == [[0, IGNORED, 1, 2]]


def test_several_values_are_left_out():
    label_map = LabelMap.guess({0, 128, 255, 64}, "64, 255")
    assert label_map.names == ("0", "128")
    assert label_map.encode(row(0, 64, 128, 255), PATH).tolist() == [[0, IGNORED, 1, IGNORED]]
    colours = LabelMap.parse("#000000:back,#0000ff:tooth", "#ff0000,255")
    assert colours.encode(row(RED, BLUE, WHITE), PATH).tolist() == [[IGNORED, 1, IGNORED]]


@pytest.mark.parametrize(
    ("classes", "ignore", "row_of", "expected"),
    [
        (None, "7,8", (0, 128, 255, 7, 8), [0, 1, 2, IGNORED, IGNORED]),
        ("2:nickel,0:pore,1:YSZ", None, (0, 1, 2, 9), [0, 1, 2, IGNORED]),
        ("2:nickel,3:YSZ,0:pore,1:YSZ", "", (0, 1, 2, 3), [0, 1, 2, 1]),
        (None, None, (0, 128, 255, 9), [0, 1, 2, IGNORED]),
    ],
)
def test_the_same_classes_in_labels_with_other_values(classes, ignore, row_of, expected):
    label_map = LabelMap.parse("0:pore,128:YSZ,255:nickel", "9").with_values(classes, ignore)
    assert label_map.names == ("pore", "YSZ", "nickel")
    assert label_map.encode(row(*row_of), PATH).tolist() == [expected]


@pytest.mark.parametrize(
    ("classes", "ignore", "message"),
    [
        ("0:pore,1:YSZ", None, "must name the classes that the run was trained on: pore, YSZ, ni"),
        ("0:pore,1:YSZ,2:Nickel", None, "must name the classes that the run was trained on"),
        (None, "128", "a value stands twice or is ignored"),
        ("0:pore,9:YSZ,2:nickel", None, "a value stands twice or is ignored"),
    ],
)
def test_other_classes_or_a_class_left_out_are_refused(classes, ignore, message):
    with pytest.raises(InputError, match=message):
        LabelMap.parse("0:pore,128:YSZ,255:nickel", "9").with_values(classes, ignore)


@pytest.mark.parametrize("ignore", ["#FF0000", "#ff0000", " #ff0000 "])
def test_guess_leaves_the_ignored_colour_out_however_it_is_written(ignore):
    label_map = LabelMap.guess({BLACK, RED, BLUE}, ignore)
    assert label_map.names == ("#000000", "#0000ff")
    assert label_map.encode(row(BLACK, RED, BLUE), PATH).tolist() == [[0, IGNORED, 1]]


def test_grey_colours_are_plain_values():
    label_map = LabelMap.guess({BLACK, WHITE, 128})
    assert label_map.values == ("0", "128", "255")
    assert label_map.encode(row(0, 128, WHITE, 255), PATH).tolist() == [[0, 1, 2, 2]]


def test_a_black_mask_saved_as_grayscale_is_the_black_of_the_colour_masks():
    label_map = LabelMap.guess({0, BLACK, RED})
    assert label_map.values == ("#000000", "#ff0000")
    assert label_map.encode(row(0, BLACK, RED), PATH).tolist() == [[0, 0, 1]]
    mixed = LabelMap.parse("0:back,#ff0000:tooth")
    assert mixed.encode(row(0, BLACK, RED), PATH).tolist() == [[0, 0, 1]]
    assert mixed.decode(row(0, 1)).tolist() == [[[0, 0, 0], [255, 0, 0]]]


def test_label_value_outside_the_map():
    label_map = LabelMap.parse("0:pore,128:YSZ,255:nickel")
    with pytest.raises(
        InputError,
        match=r"slice__017.tif: value 64 \(1 pixel\) is in no class; classes are 0, 128, 255. Name "
        r"it with --config.data.classes=0:pore,128:YSZ,255:nickel,64:64, or leave it .*ignore=64$",
    ):
        label_map.encode(row(0, 64, 255), PATH)
    with pytest.raises(InputError, match=r"slice__017.tif: value 300 \(1 pixel\) is in no class"):
        label_map.encode(row(300), PATH)
    with pytest.raises(InputError, match=r"value #ff0000 \(1 pixel\) is in no class; classes are"):
        label_map.encode(row(0, RED), PATH)


def test_flags_are_quoted_as_a_shell_takes_them():
    label_map = LabelMap.parse("0:air,#ff0000:heavy mineral", "#000001")
    with pytest.raises(InputError) as told:
        label_map.encode(row(0, BLUE, BLUE), PATH)
    words = shlex.split(str(told.value))
    blue = "#0000ff"
    assert f"--config.data.classes=0:air,#ff0000:heavy mineral,{blue}:{blue}," in words
    assert f"--config.data.ignore=#000001,{blue}" in words
    assert "value #0000ff (2 pixels)" in str(told.value)


def test_a_grayscale_image_is_not_a_label():
    message = r"slice__017.tif: has 33 distinct values and looks like a grayscale image.*check whi"
    with pytest.raises(InputError, match=message):
        check_is_label(np.arange(33), PATH)
    with pytest.raises(InputError, match=message):
        LabelMap.parse("0:a,1:b").encode(np.arange(33), PATH)
    assert check_is_label(np.arange(32), PATH) == set(range(32))
    many = LabelMap.parse(",".join(f"{value}:c{value}" for value in range(200)))
    assert many.encode(np.arange(200), PATH).tolist() == list(range(200))


@pytest.mark.parametrize(
    "text",
    ["0", "0:", "pore:0", ":pore", "0:a,,1:b", "0.5:a,1:b", "-1:a,1:b", "1_0:a,1:b", "#ff:a,1:b",
     "#-12345:a,1:b", "#gggggg:a,1:b"],
)  # fmt: skip
def test_bad_class_text(text):
    message = re.escape(f"config.data.classes={text!r}: ") + r".*must be VALUE:NAME with a whole nu"
    with pytest.raises(InputError, match=message):
        LabelMap.parse(text)


@pytest.mark.parametrize(
    ("text", "ignore"),
    [("0:a,0:b", ""), ("0:a,00:b", ""), ("0:a,1:b", "1"), ("0:a,1:b", "01"),
     ("#FF0000:a,#ff0000:b", ""), ("0:a,#ff0000:b", "#FF0000"), ("0:a,#000000:b", "")],
)  # fmt: skip
def test_value_that_stands_twice(text, ignore):
    message = f"classes={text.lower()!r}, config.data.ignore={ignore.lower()!r}: a value stands tw"
    with pytest.raises(InputError, match=re.escape(message)):
        LabelMap.parse(text, ignore)


@pytest.mark.parametrize("ignore", ["none", "-1", "2.0", "#ff", "0,", "7,x", "7;8"])
def test_bad_ignored_value(ignore):
    message = re.escape(f"config.data.ignore={ignore!r}: must be whole numbers from 0 or #rrggbb")
    with pytest.raises(InputError, match=message):
        LabelMap.parse("0:a,1:b", ignore)
    with pytest.raises(InputError, match=message):
        LabelMap.guess({0, 1, 2}, ignore)


def test_too_few_classes():
    with pytest.raises(InputError, match=r"hold only the value 0; a segmentation needs two classe"):
        LabelMap.guess({0})
    with pytest.raises(InputError, match=r"hold only the value 0; a segmentation needs two classe"):
        LabelMap.guess({0, 255}, "255")
    with pytest.raises(InputError, match=r"classes='0:a,1:a': names 1 classes.* needs 2 to 255"):
        LabelMap.parse("0:a,1:a")


def test_too_many_classes_do_not_run_into_the_ignored_index():
    assert LabelMap.guess(range(255)).encode(row(254), PATH).tolist() == [[254]]
    with pytest.raises(
        InputError, match=r"hold 256 distinct values; name the classes with --confi"
    ):
        LabelMap.guess(range(256))
    text = ",".join(f"{value}:c{value}" for value in range(256))
    with pytest.raises(InputError, match=r"names 256 classes; a segmentation needs 2 to 255"):
        LabelMap.parse(text)
