"""Files of a folder are listed in order and numbered; none is left out silently."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xseg_jax.errors import InputError
from xseg_jax.scans.names import list_images, natural_key, number_in

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))


def make_files(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


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
    prefix = prefix.rstrip("0123456789.,")  # No decimals.
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


@pytest.mark.parametrize(
    "name",
    [
        "slice_z0.5mm",
        "slice_z0.25",
        "z12.75um",
        "z_1,5mm",
        "1.125",
        "z2.5000 mm",
        "z3.0001_µm",
        "z0.2500",
        "z00.2500_a",
    ],
)
def test_digits_behind_a_decimal_point_are_no_number(name):
    assert number_in(name) is None
    assert number_in(name, r"(\d+)[.,]") == int(re.search(r"\d+", name)[0])


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("scan_v2.0001", 1),
        ("z12um", 12),
        ("0.5mm_007", 7),
        ("v2.2500", 2500),
        ("v12.00010_", 10),
        ("a.7", 7),
        ("a1.b7", 7),
    ],
)
def test_numbers_that_only_look_decimal(name, number):
    assert number_in(name) == number


def test_a_decimal_pattern_is_refused():
    with pytest.raises(InputError, match=r"gives no whole number for 'z0.5mm' .*digits alone"):
        number_in("z0.5mm", r"z([\d.]+)mm")


def test_one_name_in_two_unicode_forms_stands_twice(tmp_path):
    folder = make_files(tmp_path, "Mu\u0308ller.tif", "M\u00fcller.png")
    if len(list(folder.iterdir())) < 2:
        pytest.skip("this disk knows one form")
    with pytest.raises(InputError, match=r"two files are called 'M\u00fcller'; keep one of them"):
        list_images(folder)


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
