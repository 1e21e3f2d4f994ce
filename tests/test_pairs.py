"""Images and labels pair by name or by number; what does not pair is named."""

import pytest

from xseg_jax.data.pairs import Pair, find_pairs, folder_of
from xseg_jax.errors import InputError


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
