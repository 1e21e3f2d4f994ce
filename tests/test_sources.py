"""Planes and their neighbours come from the scan that a path names, and from no other place."""

import numpy as np
import pytest
import tifffile

from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.sources import SAMPLED_PLANES, Slices, Volume, open_sources, sample_evenly
from xseg_jax.errors import InputError

SHAPE = (6, 8, 10)


@pytest.fixture
def grey_ZYX():
    return np.random.default_rng(0).integers(0, 60000, SHAPE).astype(np.uint16)


def stack(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def folder(path, array, names):
    path.mkdir(parents=True)
    for name, plane in zip(names, array, strict=True):
        tifffile.imwrite(path / f"{name}.tif", plane)
    return path


def open_one(path, **options):
    (source,) = open_sources(str(path), **options)
    return source


def numbers_around(source, index, context, axis=0):
    return [source.neighbour(index, d, axis) for d in range(-context, context + 1)]


# Which scans there are.


def test_a_file_is_a_volume_and_a_folder_of_slices_a_scan(tmp_path, grey_ZYX):
    volume = open_one(stack(tmp_path / "scan.tif", grey_ZYX))
    slices = open_one(folder(tmp_path / "slices", grey_ZYX, [f"s{z}" for z in range(7, 13)]))
    assert isinstance(volume, Volume)
    assert isinstance(slices, Slices)
    assert (volume.name, slices.name) == ("scan", "slices")
    assert (list(volume.numbers), slices.numbers) == (list(range(6)), list(range(7, 13)))
    assert len(volume) == len(slices) == 6
    for source in (volume, slices):
        for z, plane in enumerate(grey_ZYX):
            np.testing.assert_array_equal(source.image(z), plane)
    for axis in (1, 2):
        np.testing.assert_array_equal(volume.image(3, axis), grey_ZYX.take(3, axis))
    assert volume.where(4, 1) == f"{tmp_path / 'scan.tif'}, y = 4"
    assert slices.where(2) == str(tmp_path / "slices" / "s9.tif")
    with pytest.raises(InputError, match=r"slices: a folder of slices has no planes across x"):
        slices.image(0, 2)


def test_independent_images_are_scans_of_one_plane(tmp_path, grey_ZYX):
    path = folder(tmp_path / "i", grey_ZYX, ["tooth_2", "tooth_10", "a", "b3", "c", "d"])
    sources = open_sources(str(path), independent=True)
    assert [one.name for one in sources] == ["a", "b3", "c", "d", "tooth_2", "tooth_10"]
    assert [one.numbers for one in sources] == [[None], [3], [None], [None], [2], [10]]
    assert numbers_around(sources[1], 0, 2) == [0] * 5
    assert len(open_one(path)) == 6


def test_a_folder_of_scans_of_several_kinds(tmp_path, grey_ZYX):
    stack(tmp_path / "b.tif", grey_ZYX)
    np.save(tmp_path / "c.npy", grey_ZYX[:, :5])
    folder(tmp_path / "a", grey_ZYX[:2], ["z1", "z2"])
    sources = open_sources(str(tmp_path))
    assert [one.name for one in sources] == ["a", "b", "c"]
    assert [type(one) for one in sources] == [Slices, Volume, Volume]
    assert [one.image(1).shape for one in sources] == [(8, 10), (8, 10), (5, 10)]


def test_two_scans_of_one_name_are_refused(tmp_path, grey_ZYX):
    stack(tmp_path / "a.tif", grey_ZYX)
    np.save(tmp_path / "a.npy", grey_ZYX)
    with pytest.raises(InputError, match=r"a.tif: is a scan called a, as is a.npy; rename one"):
        open_sources(str(tmp_path))


def test_number_pattern(tmp_path, grey_ZYX):
    path = folder(tmp_path / "s", grey_ZYX, [f"z{z}_of_9" for z in range(6)])
    assert open_one(path).numbers == [9] * 6
    assert open_one(path, number_pattern=r"z(\d+)").numbers == list(range(6))


# Neighbours.


def test_neighbours_are_at_their_true_distance(tmp_path, grey_ZYX):
    source = open_one(folder(tmp_path / "s", grey_ZYX, ["z0", "z1", "z2", "z4", "z8", "z9"]))
    assert numbers_around(source, 0, 2) == [0, 0, 0, 1, 2]
    assert numbers_around(source, 2, 2) == [0, 1, 2, 2, 3]  # There is no 3.
    assert numbers_around(source, 3, 2) == [2, 3, 3, 3, 3]
    assert numbers_around(source, 5, 3) == [5, 5, 4, 5, 5, 5, 5]
    image_HWC = source.image_with(2, 2)
    np.testing.assert_array_equal(image_HWC, np.stack(grey_ZYX[[0, 1, 2, 2, 3]], axis=-1))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_repeats_its_last_planes(tmp_path, grey_ZYX, axis):
    source = open_one(stack(tmp_path / "scan.tif", grey_ZYX))
    last = SHAPE[axis] - 1
    assert numbers_around(source, 1, 2, axis) == [0, 0, 1, 2, 3]
    assert numbers_around(source, last, 2, axis) == [last - 2, last - 1, last, last, last]
    np.testing.assert_array_equal(
        source.image_with(last, 1, axis),
        np.stack([grey_ZYX.take(k, axis) for k in (last - 1, last, last)], axis=-1),
    )


@pytest.mark.parametrize("context", [0, 1])
def test_slices_whose_numbers_repeat_or_lack_are_themselves(tmp_path, grey_ZYX, context):
    names = ["a1", "b1", "b2", "c", "d3", "e3"]
    source = open_one(folder(tmp_path / "s", grey_ZYX, names))
    assert source.numbers == [1, 1, 2, None, 3, 3]
    for index in range(6):
        # The neighbours at 1 and 3 are two files each: none is the neighbour; 2 is alone.
        around = {0: (0, 0, 2), 1: (1, 1, 2), 4: (2, 4, 4), 5: (2, 5, 5)}.get(index, (index,) * 3)
        expected = grey_ZYX[[*around] if context else [index]]
        found_HWC = source.image_with(index, context)
        np.testing.assert_array_equal(found_HWC, np.stack(expected, axis=-1))


def test_a_slice_of_another_size_is_no_neighbour(tmp_path, grey_ZYX):
    planes = [grey_ZYX[0], grey_ZYX[1][:, :9], grey_ZYX[2]]
    source = open_one(folder(tmp_path / "s", planes, ["z0", "z1", "z2"]))
    np.testing.assert_array_equal(source.image_with(0, 1), np.stack([planes[0]] * 3, -1))
    np.testing.assert_array_equal(source.image_with(1, 1), np.stack([planes[1]] * 3, -1))


# The grey scale of a scan.


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 1000])
def test_planes_are_sampled_evenly(count):
    found = sample_evenly(count)
    assert len(found) == min(count, SAMPLED_PLANES) == len(set(found))
    assert found == sorted(found)
    assert abs(found[0] - (count - 1 - found[-1])) <= 1
    steps = np.diff([*found, found[0] + count])
    assert steps.max() - steps.min() <= 1


def test_the_grey_scale_is_that_of_sampled_planes_in_any_form(tmp_path):
    rng = np.random.default_rng(0)
    grey_ZYX = (rng.normal(900, 50, (70, 9, 11)) + np.arange(70)[:, None, None]).astype(np.uint16)
    sampled = [grey_ZYX[z] for z in sample_evenly(70)]
    expected = Normalizer.fit(sampled)
    assert expected.mean == pytest.approx(grey_ZYX.mean(), abs=3)
    volume = open_one(stack(tmp_path / "scan.tif", grey_ZYX))
    slices = open_one(folder(tmp_path / "s", grey_ZYX, [f"z{z}" for z in range(70)]))
    assert volume.grey_scale() == slices.grey_scale() == expected
    read = []
    slices.image = lambda index: read.append(index) or grey_ZYX[index]
    assert slices.grey_scale() == expected
    assert read == sample_evenly(70)
