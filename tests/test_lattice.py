import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.errors import InputError
from xseg_jax.measure import lattice
from xseg_jax.measure.lattice import (
    DIRECTIONS_D2,
    DIRECTIONS_D3,
    checked_spacing,
    coded,
    direction_weights,
    pair_counts,
    plane_direction_weights,
    slabs,
)

EDGES = st.floats(0.2, 5)


def test_worked_examples_hold():
    assert doctest.testmod(lattice).failed == 0


def test_directions_are_half_of_all_neighbours():
    for directions, count in ((DIRECTIONS_D3, 26), (DIRECTIONS_D2, 8)):
        both = {tuple(step) for step in np.concatenate([directions, -directions]).tolist()}
        assert len(both) == count
        assert (directions[:, 0] >= 0).all()


@given(EDGES, EDGES, EDGES)
def test_shares_sum_to_one_and_do_not_change_with_the_unit(z, y, x):
    length_D, share_D = direction_weights((z, y, x))
    assert share_D.sum() == pytest.approx(1)
    assert (share_D > 0).all()
    np.testing.assert_allclose(length_D[:3], (x, y, z))
    np.testing.assert_allclose(direction_weights((3 * z, 3 * y, 3 * x))[1], share_D, rtol=1e-6)
    length_D, share_D = plane_direction_weights((y, x))
    assert share_D.sum() == pytest.approx(1)
    np.testing.assert_allclose(length_D[:2], (x, y))


def test_shares_are_the_nearest_directions_of_random_ones():
    unit_N3 = np.random.default_rng(0).normal(size=(100_000, 3))
    length_D, share_D = direction_weights((2.0, 1.0, 1.5))
    step_D3 = DIRECTIONS_D3 * (2.0, 1.0, 1.5) / length_D[:, None]
    nearest_N = np.abs(unit_N3 @ step_D3.T).argmax(axis=1)
    found_D = np.bincount(nearest_N, minlength=13) / len(unit_N3)
    np.testing.assert_allclose(found_D, share_D, atol=0.004)
    angle_N = np.random.default_rng(1).random(100_000) * np.pi
    length_D, share_D = plane_direction_weights((3.0, 1.0))
    step_D2 = DIRECTIONS_D2 * (3.0, 1.0) / length_D[:, None]
    unit_N2 = np.stack([np.sin(angle_N), np.cos(angle_N)], axis=1)
    found_D = np.bincount(np.abs(unit_N2 @ step_D2.T).argmax(axis=1), minlength=4) / len(unit_N2)
    np.testing.assert_allclose(found_D, share_D, atol=0.006)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 18), st.integers(0, 12))
def test_pairs_are_those_of_a_loop(seed, planes, classes, place):
    rng = np.random.default_rng(seed)
    code_ZYX = rng.integers(0, classes + 1, (4, 3, 2), dtype=np.uint8)
    step = DIRECTIONS_D3[place]
    expected = np.zeros((classes, classes), int)
    for first in np.ndindex(4, 3, 2):
        second = np.array(first) + step
        if first[0] < planes and ((second >= 0) & (second < (4, 3, 2))).all():
            a, b = code_ZYX[first], code_ZYX[tuple(second)]
            if a < classes and b < classes:
                expected[a, b] += 1
    np.testing.assert_array_equal(pair_counts(code_ZYX, step, classes, planes), expected)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 3), st.integers(0, 3))
def test_slabs_own_each_plane_once_and_see_beyond(planes, thickness, before, after):
    found = list(slabs(planes, thickness, before=before, after=after))
    assert [z for slab in found for z in range(slab.start, slab.stop)] == list(range(planes))
    for slab in found:
        assert slab.read.start == max(0, slab.start - before)
        assert slab.read.stop == min(planes, slab.stop + after)


@pytest.mark.parametrize(
    ("class_ZYX", "classes", "words"),
    [
        (np.zeros((2, 2, 2), np.int32), 2, "this one is int32 with 3"),
        (np.zeros((2, 2), np.uint8), 2, "this one is uint8 with 2"),
        (np.full((2, 2, 2), 7, np.uint8), 3, "value 7 is in no class; classes are 0 to 2"),
        (np.full((2, 2, 2), 254, np.uint8), 3, "value 254 is in no class"),
        (np.zeros((2, 2, 2), np.uint8), 255, "255 classes; 1 to 254"),
    ],
)
def test_what_is_no_segmentation_is_refused(class_ZYX, classes, words):
    with pytest.raises(InputError, match=words):
        coded(class_ZYX, classes)


def test_unlabelled_comes_after_the_last_class():
    class_ZYX = np.array([[[0, 2, 255]]], np.uint8)
    assert coded(class_ZYX, 3).tolist() == [[[0, 2, 3]]]
    assert coded(np.array([[[253, 255]]], np.uint8), 254).tolist() == [[[253, 254]]]


@given(
    st.sampled_from((bool, np.int8, np.uint16, np.int64, np.float32)),
    st.lists(st.integers(0, 3), max_size=5),
)
def test_no_other_type_is_taken_for_classes(dtype, shape):
    with pytest.raises(InputError, match="a segmentation is uint8 with 3 dimensions"):
        coded(np.zeros(shape, dtype), 2)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1, np.nan, 1)])
def test_spacings_that_measure_nothing_are_refused(spacing):
    with pytest.raises(InputError, match="3 positive edge lengths"):
        checked_spacing(spacing)
