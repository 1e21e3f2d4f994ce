"""Slices for pages: levels, doubt, smaller ones, and the file that keeps them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xseg_jax.errors import InputError, SaveError
from xseg_jax.report import slices

NAMES, COLOURS = ("pore", "nickel", "ysz"), ((51, 34, 136), (68, 170, 153), (221, 204, 119))


def record(shape=(4, 6), name="a", seed=0, **changes):
    rng = np.random.default_rng(seed)
    image_HW, doubt_HW = rng.integers(0, 256, (2, *shape), np.uint8)
    class_HW, label_HW = rng.choice(np.array([0, 1, 2, 255], np.uint8), (2, *shape))
    made = slices.SliceRecord(name, image_HW, -0.5, 2.5, class_HW, label_HW, doubt_HW, 7, 0.75)
    return dataclasses.replace(made, **changes)


def same(one, other):
    assert one.pixels().keys() == other.pixels().keys()
    for name, pixels_HW in one.pixels().items():
        np.testing.assert_array_equal(pixels_HW, other.pixels()[name])
        assert other.pixels()[name].dtype == np.uint8
    for name in ("name", "low", "high", "z", "accuracy"):
        assert getattr(one, name) == getattr(other, name)


# The file


def test_slices_come_back_as_they_were(tmp_path):
    written = [
        record((4, 6), "slice 1/ä\udcff.tif"),
        record((1, 9), "b", 1, label_HW=None, accuracy=None),
        record((12, 1), "c", 2, doubt_HW=None, z=None, low=-1e30, high=0.1 + 0.2),
    ]
    slices.write_slices(tmp_path / "slices.npz", written, NAMES, COLOURS, 0.05, "µm")
    read = slices.read_slices(tmp_path / "slices.npz")
    assert [r.name for r in read.records] == ["slice 1/ä\udcff.tif", "b", "c"]
    for one, other in zip(written, read.records, strict=True):
        same(one, other)
    assert (read.names, read.colours) == (list(NAMES), list(COLOURS))
    assert (read.pixel_size, read.unit) == (0.05, "µm")
    assert [path.name for path in tmp_path.iterdir()] == ["slices.npz"]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_sizes_come_back(tmp_path_factory, data):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=4))
    path = tmp_path_factory.mktemp("slices") / "slices.npz"
    written = [record(shape, str(i), i) for i, shape in enumerate(shapes)]
    slices.write_slices(path, written, NAMES, COLOURS, None, "voxel")
    for one, other in zip(written, slices.read_slices(path).records, strict=True):
        same(one, other)


def test_a_file_that_is_no_whole_one_is_refused_in_one_line(tmp_path):
    path = tmp_path / "slices.npz"
    slices.write_slices(path, [record()], NAMES, COLOURS, None, "voxel")
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[90] ^= 255
    for content in (b"", b"no zip", whole[:-40], whole[: len(whole) // 2], bytes(changed)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"slices.npz: cannot be read as slices .*; evaluate"):
            slices.read_slices(path)
    for name, values in (("about", np.array([{}], object)), ("about", np.zeros(3)), ("a", [1])):
        np.savez(path, **{name: values})
        with pytest.raises(InputError, match="cannot be read as slices"):
            slices.read_slices(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="cannot be read as slices"):
        slices.read_slices(path)
    with pytest.raises(InputError, match="No such file"):
        slices.read_slices(tmp_path / "none.npz")


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(SaveError, match="the slices cannot be written"):
        slices.write_slices(tmp_path / "no" / "s.npz", [record()], NAMES, COLOURS, None, "")


# What is refused


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class_HW": np.zeros((4, 5), np.uint8)}, r"a: pixels are .*\(4, 5\)"),
        ({"doubt_HW": np.zeros((4, 6), np.float32)}, "a: pixels are .*float32"),
    ],
)
def test_pixels_that_do_not_fit_are_refused_by_name(changes, says):
    with pytest.raises(ValueError, match=says):
        record(**changes)


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"a: values \[3\] are in no class; classes are 0 to 2"):
        slices.Slices([record(class_HW=np.full((4, 6), 3, np.uint8))], NAMES, COLOURS, None, "")
    with pytest.raises(ValueError, match="3 classes have 2 colours"):
        slices.Slices([record()], NAMES, COLOURS[:2], None, "")


# Levels


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6))
    )
)
def test_levels_of_any_type_rise_with_the_grey_value(image_HW):
    level_HW, low, high = slices.levels(image_HW)
    assert level_HW.dtype == np.uint8
    assert low <= high
    finite_HW = np.isfinite(image_HW)
    order = np.argsort(image_HW[finite_HW], kind="stable")
    assert (np.diff(level_HW[finite_HW][order].astype(int)) >= 0).all()
    assert (level_HW[np.isnan(image_HW)] == 0).all()
    if low < high:
        assert level_HW.min() == 0
        assert level_HW.max() == 255


def test_levels_reach_from_percentile_to_percentile():
    image_HW = np.arange(1001, dtype=np.float32).reshape(7, 143) - 200
    level_HW, low, high = slices.levels(image_HW)
    assert (low, high) == pytest.approx((-199, 799))
    np.testing.assert_array_equal(level_HW.flat[[0, 1, 501, 999, 1000]], [0, 0, 128, 255, 255])
    shown_HW = low + level_HW / 255 * (high - low)
    assert np.abs(shown_HW - np.clip(image_HW, low, high)).max() <= 998 / 255 / 2 + 1e-6


def test_levels_of_a_few_bright_pixels_and_of_none():
    image_HW = np.zeros((50, 50), np.uint16)
    assert slices.levels(image_HW)[1:] == (0, 0)
    image_HW[3, 4] = 900
    level_HW, low, high = slices.levels(image_HW)
    assert (low, high, level_HW[3, 4], level_HW.sum()) == (0, 900, 255, 255)


def test_values_that_are_no_numbers():
    image_HW = np.array([[np.nan, np.inf], [-np.inf, np.nan]], np.float32)
    level_HW, low, high = slices.levels(image_HW)
    assert (low, high, level_HW.max()) == (0, 0, 0)
    image_HW = np.array([[np.nan, np.inf, 1], [-np.inf, 1.5, 3]], np.float32)
    level_HW, low, high = slices.levels(image_HW)
    assert (low, high) == pytest.approx((1.001, 2.997))
    np.testing.assert_array_equal(level_HW, [[0, 255, 0], [0, 64, 255]])


# Doubt


def test_doubt_of_known_distributions():
    probabilities_HWK = np.array([[[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]], np.float32)
    half = round(255 * np.log(2) / np.log(3))
    np.testing.assert_array_equal(slices.doubt(probabilities_HWK), [[0, 255, half]])
    assert slices.doubt(np.ones((2, 3, 1), np.float32)).tolist() == [[0] * 3] * 2


@given(st.integers(2, 12), st.integers(0, 99))
def test_doubt_does_not_depend_on_the_order_of_classes(classes, seed):
    rng = np.random.default_rng(seed)
    probabilities_HWK = rng.dirichlet(np.ones(classes), (3, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        slices.doubt(probabilities_HWK), slices.doubt(probabilities_HWK[..., ::-1])
    )


# Records


def test_a_record_of_raw_arrays():
    label_HW = np.array([[0, 1, 255], [2, 2, 255]], np.uint8)
    class_HW = np.array([[0, 1, 1], [2, 0, 1]], np.uint8)
    made = slices.make_record(
        "s",
        np.array([[0, 10, 20], [30, 40, 50]], np.uint16),
        class_HW,
        label_HW=label_HW,
        probabilities_HWK=np.full((2, 3, 4), 0.25, np.float32),
        z=np.int64(3),
    )
    assert (made.name, made.z, made.accuracy) == ("s", 3, 0.75)
    assert type(made.z) is int
    assert (made.low, made.high) == pytest.approx((0.05, 49.95))
    np.testing.assert_array_equal(made.image_HW, [[0, 51, 102], [153, 204, 255]])
    assert made.doubt_HW is not None
    assert (made.doubt_HW == 255).all()


def test_without_a_labelled_pixel_there_is_no_accuracy():
    pixels_HW = np.zeros((2, 2), np.uint8)
    assert slices.make_record("s", pixels_HW, pixels_HW).accuracy is None
    unlabelled_HW = np.full((2, 2), 255, np.uint8)
    assert slices.make_record("s", pixels_HW, pixels_HW, label_HW=unlabelled_HW).accuracy is None


# Smaller ones


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 7))
def test_a_smaller_slice_is_means_and_middle_pixels(H, W, factor):
    large = record((H, W))
    small = slices.shrink(large, factor)
    assert small.image_HW.shape == (-(-H // factor), -(-W // factor))
    assert (small.accuracy, small.low, small.high) == (large.accuracy, large.low, large.high)
    for y, x in np.ndindex(small.image_HW.shape):
        rows = np.minimum(np.arange(y * factor, (y + 1) * factor), H - 1)
        columns = np.minimum(np.arange(x * factor, (x + 1) * factor), W - 1)
        block_HW = large.image_HW[np.ix_(rows, columns)]
        assert abs(float(small.image_HW[y, x]) - block_HW.mean()) <= 0.5
        middle = rows[factor // 2], columns[factor // 2]
        assert small.class_HW[y, x] == large.class_HW[middle]
        assert small.label_HW is not None
        assert large.label_HW is not None
        assert small.label_HW[y, x] == large.label_HW[middle]
