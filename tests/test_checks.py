"""Planes are checked before any long work: what is wrong is named, with the file."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from planes import find

from xseg_jax.data import checks
from xseg_jax.data.checks import Checked, CheckedPlanes, check, each
from xseg_jax.data.images import Convention, read_image
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Place
from xseg_jax.errors import InputError
from xseg_jax.scans.picture import read_picture

KNOWN = LabelMap.parse("0:pore,128:YSZ,255:nickel")
CHECKED = Checked(np.dtype(np.uint8), KNOWN, Convention(), ())


def image_of(plane):
    """The file of a slice."""
    return plane.source.files[plane.index]


@pytest.fixture
def planes(tmp_path, write_folder):
    return find(*write_folder(tmp_path))


def refused(planes, message, known=None):
    with pytest.raises(InputError, match=message):
        check(planes, known)


def test_check_finds_pixel_type_and_values(planes):
    found = check(planes, None)
    assert found.dtype == np.uint8
    assert found.label_map.values == ("0", "128", "255")
    assert check(planes, KNOWN).label_map is KNOWN
    assert check(planes, None, "128").label_map.values == ("0", "255")


def test_values_of_all_files_are_gathered(planes, write):
    for plane, value in zip(planes, (3, 9, 3, 1, 3, 9), strict=True):
        write(plane.label, np.full((12, 10), value, np.uint8))
    assert check(planes, None).label_map.values == ("1", "3", "9")


def test_planes_are_read_on_demand(planes, write):
    label_HW = np.zeros((12, 10), np.uint8)
    label_HW[3, 4], label_HW[5, 6] = 128, 255
    write(planes[2].label, label_HW)
    checked = CheckedPlanes(planes, CHECKED)
    item = checked[2]
    assert item.name == "slice_002"
    assert item.label_HW.sum() == 1 + 2
    assert (item.label_HW[3, 4], item.label_HW[5, 6]) == (1, 2)
    assert [one.name for one in checked] == [f"slice_{z:03d}" for z in range(6)]
    np.testing.assert_array_equal(checked[2].image_HW, item.image_HW)
    write(planes[2].label, np.zeros((12, 10), np.uint8))
    assert checked[2].label_HW.sum() == 0


def test_different_sizes(planes, write):
    write(planes[3].label, np.zeros((10, 12), np.uint8))
    refused(
        planes,
        r"slice_003.tif: is 12 x 10 pixels, but its label \S*slice_003.png is 10 x 12; crop or res",
    )
    with pytest.raises(InputError, match=r"is 12 x 10 pixels, but its label"):
        CheckedPlanes(planes, CHECKED)[3]


def test_constant_image(planes, write):
    write(image_of(planes[0]), np.full((12, 10), 17, np.uint8))
    refused(planes, r"slice_000.tif: every pixel is 17; remove the empty slice and its label")


def test_mixed_pixel_types(planes, write):
    write(image_of(planes[4]), np.arange(120, dtype=np.uint16).reshape(12, 10))
    refused(
        planes,
        r"slice_004.tif: pixels are uint16, but uint8 in \S*slice_000.tif; export all images",
    )


def test_label_value_outside_the_map(planes, write):
    write(planes[1].label, np.full((12, 10), 64, np.uint8))
    refused(
        planes,
        r"slice_001.png: value 64 \(120 pixels\) is in no class; classes are 0, 128, 255",
        KNOWN,
    )


def test_all_values_in_no_class_are_told_at_once_with_flags_to_paste(planes, write):
    label_HW = np.zeros((12, 10), np.uint8)
    for z, values in ((1, [64, 64, 64, 9]), (3, [64, 200])):
        label_HW.flat[: len(values)] = values
        write(planes[z].label, label_HW)
        label_HW[:] = 0
    with pytest.raises(InputError) as told:
        check(planes, KNOWN)
    said = str(told.value)
    one, two = planes[1].label, planes[3].label
    assert said.startswith(
        f"labels: values 9 (1 pixel in {one}), 64 (4 pixels in 2 files, {one} for one), 200 "
        f"(1 pixel in {two}) are in no class; classes are 0, 128, 255. "
    )
    flag, ignore = re.findall(r"--config\.data\.(?:classes|ignore)=(\S+?)(?:,?\s|$)", said)
    assert flag == "0:pore,128:YSZ,255:nickel,9:9,64:64,200:200"
    # What is pasted is taken: each way once.
    assert check(planes, LabelMap.parse(flag)).label_map.names[3:] == ("9", "64", "200")
    named = "0:pore,128:YSZ,255:nickel"
    assert check(planes, LabelMap.parse(named, ignore)).label_map.ignore == "9,64,200"


def test_a_trained_run_takes_no_further_class(planes, write):
    write(planes[1].label, np.full((12, 10), 64, np.uint8))
    with pytest.raises(InputError, match=r"64:CLASS, with one of pore, YSZ, nickel for CLASS, or"):
        check(planes, KNOWN, fixed=True)


def test_labels_that_look_like_a_grayscale_image(planes, write):
    write(planes[1].label, np.arange(120, dtype=np.uint8).reshape(12, 10))
    message = r"slice_001.png: has 120 distinct values and looks like a grayscale image"
    refused(planes, message)
    refused(planes, message, KNOWN)


def test_values_of_all_files_together_are_more_than_classes_can_be(tmp_path, write, write_folder):
    planes = find(*write_folder(tmp_path, 10))
    for z, plane in enumerate(planes):
        write(plane.label, (np.arange(120) % 30 + 30 * z).astype(np.uint16).reshape(12, 10))
    assert len(check(planes[:8], None).label_map.names) == 240
    refused(planes, r"labels hold 300 distinct values; name the classes with --config.data.classes")


def test_all_labels_empty(planes, write):
    for plane in planes:
        write(plane.label, np.zeros((12, 10), np.uint8))
    refused(planes, r"labels hold only the value 0; a segmentation needs two classes")
    assert check(planes, KNOWN).label_map is KNOWN


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(planes, write, bad):
    image_HW = np.arange(120, dtype=np.float32).reshape(12, 10)
    image_HW[0, 0] = bad
    write(image_of(planes[5]), image_HW)
    refused(planes, r"slice_005.tif: holds 1 NaN or infinite pixels; replace them with a number")


def test_colour_image_and_stack(planes, write):
    write(image_of(planes[5]), np.random.default_rng(0).integers(0, 9, (12, 10, 3), np.uint8))
    refused(planes, r"slice_005.tif: is a colour image")
    write(image_of(planes[5]), np.random.default_rng(0).integers(0, 9, (7, 12, 10), np.uint8))
    refused(planes, r"slice_005.tif: has 7 images, expected one slice")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_truncated_file(planes, kind):
    path = image_of(planes[2]) if kind == "image" else planes[2].label
    path.write_bytes(path.read_bytes()[:-30])
    refused(
        planes, rf"slice_002{path.suffix}: cannot be read .* damaged or truncated: export it ag"
    )


@pytest.mark.parametrize("kind", ["image", "label"])
def test_file_that_cannot_be_opened(planes, kind):
    """As a broken symbolic link of git-annex or DataLad."""
    path = image_of(planes[2]) if kind == "image" else planes[2].label
    path.unlink()
    path.symlink_to("nowhere")
    refused(planes, rf"slice_002{path.suffix}: cannot be read \(.*No such file or directory")


def test_first_wrong_file_in_order_is_named(planes, write):
    for z in (4, 1, 3):
        write(image_of(planes[z]), np.full((12, 10), z, np.uint8))
    refused(planes, r"slice_001.tif: every pixel is 1")


def test_one_slice_of_one_row(tmp_path, write):
    write(tmp_path / "i" / "1.TIF", np.array([[1, 2, 3]], np.uint16))
    write(tmp_path / "l" / "1.PNG", np.array([[0, 1, 1]], np.uint8))
    planes = find(tmp_path / "i", tmp_path / "l")
    found = check(planes, None)
    assert found.dtype == np.uint16
    (item,) = CheckedPlanes(planes, found)
    assert item.label_HW.tolist() == [[0, 1, 1]]


def hashes_of(planes, **options):
    return check(planes, None, **options).hashes


def test_hash_follows_content_name_and_number(planes, tmp_path, write, write_folder):
    hashes = hashes_of(planes)
    assert len(set(hashes)) == len(planes)
    assert hashes_of(find(*write_folder(tmp_path / "copy"))) == hashes
    renumbered = find(tmp_path / "images", tmp_path / "labels", number_pattern=r"slice_(\d\d)")
    assert [plane.place.number for plane in renumbered] == [0] * 6
    assert not set(hashes_of(renumbered[1:])) & set(hashes)
    for path in (image_of(planes[3]), planes[3].label):
        before = hashes_of(planes)
        array_HW = read_picture(path).pixels.copy()
        array_HW[4, 5] = 0 if array_HW[4, 5] else 255
        write(path, array_HW)
        after = hashes_of(planes)
        assert [z for z in range(6) if before[z] != after[z]] == [3]


def test_the_kind_of_a_file_does_not_change_the_hash_but_what_it_says_does(planes, write):
    hashes, path = hashes_of(planes), planes[2].label
    values_HW = read_picture(path).pixels
    for dtype in (np.uint16, np.int32, np.float32):
        write(path.with_suffix(".tif"), values_HW.astype(dtype))
        other = [*planes[:2], replace(planes[2], label=path.with_suffix(".tif")), *planes[3:]]
        assert hashes_of(other) == hashes
    pixels_HW = read_image(image_of(planes[2]))
    write(image_of(planes[2]), pixels_HW.astype(np.uint16))
    assert hashes_of(planes[2:3]) != hashes[2:3]
    write(image_of(planes[2]), pixels_HW)
    assert hashes_of(planes) == hashes


@pytest.mark.parametrize("colours", [(0, 0, 0, 255, 255, 255), (0, 0, 0, 9, 9, 9)])
def test_a_palette_is_part_of_what_a_label_says(planes, colours):
    path = planes[2].label
    picture = Image.fromarray((read_picture(path).pixels > 0).astype(np.uint8), "L")
    hashes = set()
    for palette in (None, (1, 2, 3, 4, 5, 6), colours):
        if palette:
            picture = picture.convert("P") if picture.mode == "L" else picture
            picture.putpalette(palette)
        picture.save(path)
        hashes.add(hashes_of(planes[2:3]))
    assert len(hashes) == 3


def test_swapped_label_and_image_give_another_hash(tmp_path, write):
    one, other = np.eye(4, dtype=np.uint8), 1 - np.eye(4, dtype=np.uint8)
    for root, first, second in (("a", one, other), ("b", other, one)):
        write(tmp_path / root / "images" / "1.tif", first)
        write(tmp_path / root / "labels" / "1.tif", second)
    hashes = [
        hashes_of(find(tmp_path / root / "images", tmp_path / root / "labels")) for root in "ab"
    ]
    assert hashes[0] != hashes[1]


def test_where_a_name_ends_is_part_of_the_hash(planes):
    """Names may hold blanks: "a b" of the scan "c" is not "a" of the scan "b c"."""
    hashes = {
        hashes_of([replace(planes[0], name=name, place=Place(scan, 0, 1))])
        for name, scan in (("a b", "c"), ("a", "b c"), ("a b c", ""), ("a", "b c "))
    }
    assert len(hashes) == 4


def test_place_decides_the_hash(planes):
    places = [Place(), Place("s"), Place("s", 0, 1), Place("s", 0, 11), Place("t", 0, 1)]
    assert len({hashes_of([replace(planes[0], place=place)]) for place in places}) == 5


# Neighbours.


def test_a_plane_is_checked_and_hashed_with_its_neighbours(planes, write):
    alone, among = hashes_of(planes), hashes_of(planes, context=1)
    assert not set(alone) & set(among)
    write(image_of(planes[3]), np.arange(120, dtype=np.uint8).reshape(12, 10))
    changed = [one != other for one, other in zip(among, hashes_of(planes, context=1), strict=True)]
    assert changed == [False, False, True, True, True, False]
    checked = CheckedPlanes(planes, check(planes, None, context=1), 1)
    np.testing.assert_array_equal(checked[2].image_HWC[..., 2], checked[3].image_HW)
    np.testing.assert_array_equal(checked[2].image_HW, read_image(image_of(planes[2])))


def test_a_constant_neighbour_is_no_constant_plane(planes, write):
    write(image_of(planes[0]), np.full((12, 10), 17, np.uint8))
    assert check(planes[1:], None, context=1).dtype == np.uint8
    refused(planes, r"slice_000.tif: every pixel is 17")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_an_unlabelled_neighbour_of_another_pixel_type_is_named(planes, write, dtype):
    write(image_of(planes[3]), np.arange(120).reshape(12, 10).astype(dtype))
    labelled = [planes[2], planes[5]]
    assert check(labelled, None).dtype == np.uint8
    for one_type in (True, False):
        with pytest.raises(
            InputError,
            match=rf"slice_003.tif: pixels are {np.dtype(dtype)}, but uint8 in \S*slice_002.tif; ",
        ):
            check(labelled, None, context=1, one_type=one_type)


# Scans.


def test_scans_of_different_pixel_types_become_float32_where_they_may(tmp_path, write_folder):
    for name, dtype in (("a", np.uint8), ("b", np.uint16)):
        made = write_folder(tmp_path / name, 2, dtype=dtype, seed=ord(name))
        for folder, kind in zip(made, ("images", "labels"), strict=True):
            (tmp_path / kind).mkdir(exist_ok=True)
            folder.rename(tmp_path / kind / name)
    planes = find(tmp_path / "images", tmp_path / "labels")
    refused(
        planes,
        r"b/slice_000.tif: pixels are uint16, but uint8 in \S*a/slice_000.tif; .*normalize=scan",
    )
    found = check(planes, None, one_type=False)
    assert found.dtype == np.float32
    items = list(CheckedPlanes(planes, found))
    assert {item.image_HWC.dtype for item in items} == {np.dtype(np.float32)}
    for item, plane in zip(items, planes, strict=True):
        np.testing.assert_array_equal(item.image_HW, read_image(image_of(plane)))
    assert check(planes[2:], None).dtype == np.uint16


def test_the_plane_that_a_wrong_one_differs_from_is_one_of_its_own_scan(tmp_path, write):
    rng = np.random.default_rng(0)
    for name, dtype in (("a/1", "u1"), ("b/1", "u2"), ("b/2", "f4")):
        write(tmp_path / "images" / f"{name}.tif", rng.integers(0, 9, (5, 6)).astype(dtype))
        write(tmp_path / "labels" / f"{name}.tif", rng.integers(0, 2, (5, 6)).astype(np.uint8))
    planes = find(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(
        InputError,
        match=r"b/2.tif: pixels are float32, but uint16 in \S*b/1.tif; export all ",
    ):
        check(planes, None, one_type=False)


def test_each_keeps_the_order(planes, monkeypatch):
    monkeypatch.setattr(checks, "READERS", 3)
    assert each("Counting", lambda plane: plane.place.number, planes) == list(range(6))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission(planes):
    image_of(planes[1]).chmod(0)
    with pytest.raises(InputError, match=re.escape("Permission denied")):
        check(planes, None)
