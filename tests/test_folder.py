"""A folder is checked before any long work: what is wrong is named, with the file."""

import os
import re

import numpy as np
import pytest

from xseg_jax.data import folder
from xseg_jax.data.folder import Checked, FolderSlices, check, content_hashes, each, read_pair
from xseg_jax.data.images import Convention
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.pairs import find_pairs
from xseg_jax.errors import InputError

KNOWN = LabelMap.parse("0:pore,128:YSZ,255:nickel")
CHECKED = Checked(np.dtype(np.uint8), KNOWN, Convention())


@pytest.fixture
def pairs(tmp_path, write_folder):
    return find_pairs(*write_folder(tmp_path))


def refused(pairs, message, known=None):
    with pytest.raises(InputError, match=message):
        check(pairs, known)


def test_check_finds_pixel_type_and_values(pairs):
    found = check(pairs, None)
    assert found.dtype == np.uint8
    assert found.label_map.values == ("0", "128", "255")
    assert check(pairs, KNOWN).label_map is KNOWN
    assert check(pairs, None, "128").label_map.values == ("0", "255")


def test_values_of_all_files_are_gathered(pairs, write):
    for pair, value in zip(pairs, (3, 9, 3, 1, 3, 9), strict=True):
        write(pair.label, np.full((12, 10), value, np.uint8))
    assert check(pairs, None).label_map.values == ("1", "3", "9")


def test_read_pair_and_slices_on_demand(pairs, write):
    label_HW = np.zeros((12, 10), np.uint8)
    label_HW[3, 4], label_HW[5, 6] = 128, 255
    write(pairs[2].label, label_HW)
    item = read_pair(pairs[2], CHECKED)
    assert item.name == "slice_002"
    assert item.label_HW.sum() == 1 + 2
    assert (item.label_HW[3, 4], item.label_HW[5, 6]) == (1, 2)
    slices = FolderSlices(pairs, CHECKED)
    assert [one.name for one in slices] == [f"slice_{z:03d}" for z in range(6)]
    np.testing.assert_array_equal(slices[2].label_HW, item.label_HW)
    np.testing.assert_array_equal(slices[2].image_HW, item.image_HW)


def test_different_sizes(pairs, write):
    write(pairs[3].label, np.zeros((10, 12), np.uint8))
    refused(
        pairs,
        r"slice_003.tif: is 12 x 10 pixels, but its label \S*slice_003.png is 10 x 12; crop or res",
    )
    with pytest.raises(InputError, match=r"is 12 x 10 pixels, but its label"):
        read_pair(pairs[3], CHECKED)


def test_constant_image(pairs, write):
    write(pairs[0].image, np.full((12, 10), 17, np.uint8))
    refused(pairs, r"slice_000.tif: every pixel is 17; remove the empty slice and its label")


def test_mixed_pixel_types(pairs, write):
    write(pairs[4].image, np.arange(120, dtype=np.uint16).reshape(12, 10))
    refused(
        pairs, r"slice_004.tif: pixels are uint16, but uint8 in \S*slice_000.tif; export all images"
    )


def test_label_value_outside_the_map(pairs, write):
    write(pairs[1].label, np.full((12, 10), 64, np.uint8))
    refused(pairs, r"slice_001.png: value 64 is in no class; classes are 0, 128, 255", KNOWN)


def test_labels_that_look_like_a_grayscale_image(pairs, write):
    write(pairs[1].label, np.arange(120, dtype=np.uint8).reshape(12, 10))
    message = r"slice_001.png: has 120 distinct values and looks like a grayscale image"
    refused(pairs, message)
    refused(pairs, message, KNOWN)


def test_values_of_all_files_together_are_more_than_classes_can_be(tmp_path, write, write_folder):
    pairs = find_pairs(*write_folder(tmp_path, 10))
    for z, pair in enumerate(pairs):
        write(pair.label, (np.arange(120) % 30 + 30 * z).astype(np.uint16).reshape(12, 10))
    assert len(check(pairs[:8], None).label_map.names) == 240
    refused(pairs, r"labels hold 300 distinct values; name the classes with --config.data.classes")


def test_all_labels_empty(pairs, write):
    for pair in pairs:
        write(pair.label, np.zeros((12, 10), np.uint8))
    refused(pairs, r"labels hold only the value 0; a segmentation needs two classes")
    assert check(pairs, KNOWN).label_map is KNOWN


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(pairs, write, bad):
    image_HW = np.arange(120, dtype=np.float32).reshape(12, 10)
    image_HW[0, 0] = bad
    write(pairs[5].image, image_HW)
    refused(pairs, r"slice_005.tif: holds 1 NaN or infinite pixels; replace them with a number")


def test_colour_image_and_stack(pairs, write):
    write(pairs[5].image, np.random.default_rng(0).integers(0, 9, (12, 10, 3), np.uint8))
    refused(pairs, r"slice_005.tif: is a colour image")
    write(pairs[5].image, np.random.default_rng(0).integers(0, 9, (7, 12, 10), np.uint8))
    refused(pairs, r"slice_005.tif: has 7 images, expected one slice")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_truncated_file(pairs, kind):
    path = getattr(pairs[2], kind)
    path.write_bytes(path.read_bytes()[:-30])
    refused(pairs, rf"slice_002{path.suffix}: cannot be read .* damaged or truncated: export it ag")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_file_that_cannot_be_opened(pairs, kind):
    """As a broken symbolic link of git-annex or DataLad."""
    path = getattr(pairs[2], kind)
    path.unlink()
    path.symlink_to("nowhere")
    message = rf"slice_002{path.suffix}: cannot be opened \(No such file or directory\); check the "
    with pytest.raises(InputError, match=message):
        content_hashes(pairs)
    refused(pairs, rf"slice_002{path.suffix}: cannot be read")


def test_first_wrong_file_in_order_is_named(pairs, write):
    for z in (4, 1, 3):
        write(pairs[z].image, np.full((12, 10), z, np.uint8))
    refused(pairs, r"slice_001.tif: every pixel is 1")


def test_one_slice_of_one_row(tmp_path, write):
    write(tmp_path / "i" / "1.TIF", np.array([[1, 2, 3]], np.uint16))
    write(tmp_path / "l" / "1.PNG", np.array([[0, 1, 1]], np.uint8))
    (pair,) = find_pairs(tmp_path / "i", tmp_path / "l")
    found = check([pair], None)
    assert found.dtype == np.uint16
    assert read_pair(pair, found).label_HW.tolist() == [[0, 1, 1]]


def test_hash_follows_content_name_and_number(pairs, tmp_path, write_folder):
    hashes = content_hashes(pairs)
    assert len(set(hashes)) == len(pairs)
    assert content_hashes(find_pairs(*write_folder(tmp_path / "copy"))) == hashes
    renumbered = find_pairs(
        tmp_path / "images", tmp_path / "labels", number_pattern=r"slice_(\d\d)"
    )
    assert [pair.number for pair in renumbered] == [0] * 6
    assert not set(content_hashes(renumbered[1:])) & set(hashes)
    for path in (pairs[3].image, pairs[3].label):
        before = content_hashes(pairs)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        after = content_hashes(pairs)
        assert [z for z in range(6) if before[z] != after[z]] == [3]


def test_swapped_label_and_image_give_another_hash(tmp_path, write):
    one, other = np.eye(4, dtype=np.uint8), 1 - np.eye(4, dtype=np.uint8)
    for root, first, second in (("a", one, other), ("b", other, one)):
        write(tmp_path / root / "images" / "1.tif", first)
        write(tmp_path / root / "labels" / "1.tif", second)
    hashes = [
        content_hashes(find_pairs(tmp_path / root / "images", tmp_path / root / "labels"))
        for root in "ab"
    ]
    assert hashes[0] != hashes[1]


def test_each_keeps_the_order(pairs, monkeypatch):
    monkeypatch.setattr(folder, "READERS", 3)
    assert each("Counting", lambda pair: pair.number, pairs) == list(range(6))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission(pairs):
    pairs[1].image.chmod(0)
    with pytest.raises(InputError, match=re.escape("cannot be opened (Permission denied)")):
        content_hashes(pairs)
