"""Images and labels pair by name or by number; what does not pair is named."""

from pathlib import Path

import pytest

from xseg_jax.data.pairs import folder_of, pair_names
from xseg_jax.errors import InputError

FOLDER = Path("study/labels")


def pairs_of(images, labels, **options):
    return pair_names(images, labels, folder=FOLDER, **options)


def test_decimal_numbers_do_not_pair():
    with pytest.raises(
        InputError,
        match=r"study/labels: .*the image 'raw_z0.25' has no whole number; rename the files",
    ):
        pairs_of(["raw_z0.25", "raw_z1.5"], ["m_z0.25", "m_z1.5"])


def test_the_same_name_in_two_unicode_forms_pairs():
    composed, decomposed = "M\u00fcller_1", "Mu\u0308ller_1"
    pairs = pairs_of([decomposed, "a\u0301_2"], [composed, "\u00e1_2"])
    assert pairs == [(decomposed, composed), ("a\u0301_2", "\u00e1_2")]


def test_pairs_by_stem():
    # By the number alone, s2 and s2b would be one.
    assert pairs_of(["s2", "s2b", "s10"], ["s10", "s2", "s2b"]) == [
        ("s2", "s2"), ("s2b", "s2b"), ("s10", "s10")
    ]  # fmt: skip


def test_pairs_by_number_in_the_order_of_the_images():
    pairs = pairs_of(
        ["SOCprist0001", "SOCprist0002", "SOCprist0010"], ["slice__010", "slice__001", "slice__002"]
    )
    assert pairs == [
        ("SOCprist0001", "slice__001"),
        ("SOCprist0002", "slice__002"),
        ("SOCprist0010", "slice__010"),
    ]


def test_pairs_by_a_number_that_is_not_the_last():
    images, labels = ["z05_of_9", "z06_of_9"], ["m_z5_9", "m_z6_9"]
    assert pairs_of(images, labels, number_pattern=r"z(\d+)") == [
        ("z05_of_9", "m_z5_9"), ("z06_of_9", "m_z6_9")
    ]  # fmt: skip
    with pytest.raises(
        InputError,
        match=r"labels: no image has its label's stem, and the image 'z05_of_9' has a number that ",
    ):
        pairs_of(images, labels)


def test_pair_without_numbers():
    assert pairs_of(["alice"], ["alice"]) == [("alice", "alice")]


def test_names_without_number_and_without_common_stem():
    with pytest.raises(
        InputError,
        match=r"labels: .*the label 'mask' has no whole number; rename.*--config.data.number_patt",
    ):
        pairs_of(["i1"], ["mask"])


def test_no_pairs():
    with pytest.raises(
        InputError, match=r"no image pairs with a label, for example i1 and m3; give both the same"
    ):
        pairs_of(["i1", "i2"], ["m3"])


def test_unpaired_image():
    images, labels = [f"s{i}" for i in range(8)], ["s0", "s1"]
    with pytest.raises(
        InputError,
        match=r"labels: no label for the image s2, s3, s4 and 3 more; .*skip_unlabelled=True",
    ):
        pairs_of(images, labels)
    assert pairs_of(images, labels, skip_unlabelled=True) == [("s0", "s0"), ("s1", "s1")]


def test_skip_unlabelled_by_number():
    images = [f"raw{i:04d}" for i in range(1, 12)]
    pairs = pairs_of(images, ["m_5", "m_10"], skip_unlabelled=True)
    assert pairs == [("raw0005", "m_5"), ("raw0010", "m_10")]


@pytest.mark.parametrize("skip", [False, True])
def test_unpaired_label_is_refused_even_with_skip_unlabelled(skip):
    with pytest.raises(InputError, match=r"no image for the label s1; remove it or add its image"):
        pairs_of(["s0"], ["s0", "s1"], skip_unlabelled=skip)


def make_folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return [root / name for name in names]


@pytest.mark.parametrize("image_folder", ["images", "data"])
@pytest.mark.parametrize("label_folder", ["labels", "masks"])
def test_folders_below_a_root(tmp_path, image_folder, label_folder):
    made = make_folders(tmp_path, image_folder, label_folder)
    assert [folder_of(tmp_path, kind) for kind in ("images", "labels")] == made


def test_folders_that_are_ambiguous_or_missing(tmp_path):
    make_folders(tmp_path, "images", "labels", "masks")
    with pytest.raises(
        InputError, match=r"one folder of labels called labels or masks, found 2; rename"
    ):
        folder_of(tmp_path, "labels")
    with pytest.raises(InputError, match=r"one folder of images called images or data, found 0"):
        folder_of(tmp_path / "masks", "images")
