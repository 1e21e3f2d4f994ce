"""Files of a folder are listed in order, numbered and paired; none is left out silently."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xseg_jax.data.pairs import (
    Pair,
    find_pairs,
    folder_of,
    left_out,
    list_images,
    natural_key,
    number_in,
)
from xseg_jax.errors import InputError

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))


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


@pytest.mark.parametrize("name", ["slice_z0.5mm", "slice_z0.25", "z12.75um", "z_1,5mm", "1.125"])
def test_digits_behind_a_decimal_point_are_no_number(name):
    assert number_in(name) is None
    assert number_in(name, r"(\d+)[.,]") == int(re.search(r"\d+", name)[0])


@pytest.mark.parametrize(
    ("name", "number"),
    [("scan_v2.0001", 1), ("z12um", 12), ("0.5mm_007", 7), ("a.7", 7), ("a1.b7", 7)],
)
def test_numbers_that_only_look_decimal(name, number):
    assert number_in(name) == number


def test_a_decimal_pattern_is_refused():
    with pytest.raises(InputError, match=r"gives no whole number for 'z0.5mm' .*digits alone"):
        number_in("z0.5mm", r"z([\d.]+)mm")


def test_decimal_numbers_do_not_pair(tmp_path):
    images, labels = make_files(
        tmp_path, images=["raw_z0.25.tif", "raw_z1.5.tif"], labels=["m_z0.25.tif", "m_z1.5.tif"]
    )
    with pytest.raises(InputError, match=r"images: .*'raw_z0.25' has no whole number; rename the"):
        find_pairs(images, labels)


def test_the_same_name_in_two_unicode_forms_pairs(tmp_path):
    composed, decomposed = "M\u00fcller_1", "Mu\u0308ller_1"
    images, labels = make_files(
        tmp_path,
        images=[f"{decomposed}.tif", "a\u0301_2.tif"],
        labels=[f"{composed}.png", "\u00e1_2.png"],
    )
    pairs = find_pairs(images, labels)
    label_of = {pair.name: pair.label.name for pair in pairs}
    assert label_of == {decomposed: f"{composed}.png", "a\u0301_2": "\u00e1_2.png"}


def test_one_name_in_two_unicode_forms_stands_twice(tmp_path):
    (folder,) = make_files(tmp_path, images=["Mu\u0308ller.tif", "M\u00fcller.png"])
    if len(list(folder.iterdir())) < 2:
        pytest.skip("this disk knows one form")
    with pytest.raises(InputError, match=r"two files are called 'M\u00fcller'; keep one of them"):
        list_images(folder)


def test_what_is_left_out_is_named_with_a_count(tmp_path):
    (folder,) = make_files(
        tmp_path, images=["a.tif", "b.dcm", "c.DCM", ".d.tif", "notes.txt", "Thumbs.db", "._a.tif"]
    )
    (folder / "sub").mkdir()
    assert left_out(folder) == (
        f"{folder}: 5 files are of no kind that is read here, or hidden, and left out: "
        ".d.tif, b.dcm, c.DCM, ..."
    )
    for name in ("b.dcm", "c.DCM", "notes.txt", ".d.tif"):
        (folder / name).unlink()
    assert left_out(folder).endswith(
        ": 1 file is of no kind that is read here, or hidden, and left out: sub/"
    )
    (folder / "sub").rmdir()
    assert left_out(folder) == ""


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
        InputError, match=r"labels: .*'mask' has no whole number; rename.*--config.data.number_pat"
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
