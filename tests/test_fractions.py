import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solids import ball, laminate, overlapping_balls, random_classes

from xseg_jax.measure import fractions
from xseg_jax.measure.fractions import fraction_sums, volume_fractions


def test_worked_examples_hold():
    assert doctest.testmod(fractions).failed == 0


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 9), st.integers(0, 9))
def test_sums_of_slabs_are_those_of_the_whole(seed, classes, planes, cut):
    class_ZYX = random_classes(seed, (planes, 5, 4), classes)
    whole = fraction_sums(class_ZYX, classes)
    parts = fraction_sums(class_ZYX[:cut], classes) + fraction_sums(class_ZYX[cut:], classes)
    np.testing.assert_array_equal(parts.voxels_K, whole.voxels_K)
    assert parts.unlabelled == whole.unlabelled == (class_ZYX == 255).sum()
    assert whole.voxels_K.sum() + whole.unlabelled == class_ZYX.size


@given(st.permutations(range(4)))
def test_names_of_phases_do_not_matter(order):
    class_ZYX = random_classes(0, (4, 5, 6), 4)
    share_K = volume_fractions(fraction_sums(class_ZYX, 4))
    renamed_ZYX = np.array([*order, *[255] * 252], np.uint8)[class_ZYX]
    np.testing.assert_allclose(volume_fractions(fraction_sums(renamed_ZYX, 4))[order], share_K)
    assert share_K.sum() == pytest.approx(1)


def test_known_solids():
    assert volume_fractions(fraction_sums(laminate((8, 8, 16), 8, 2), 2)).tolist() == [0.5, 0.5]
    for radius, tolerance in ((5, 0.03), (10, 0.01), (20, 0.002)):
        class_ZYX = ball(radius, offset=(0.2, 0.4, 0.1))
        share = volume_fractions(fraction_sums(class_ZYX, 2))[1]
        volume = 4 / 3 * np.pi * radius**3
        assert share * class_ZYX.size == pytest.approx(volume, rel=tolerance)


def test_overlapping_balls_fill_what_the_boolean_model_says():
    shares = [
        volume_fractions(fraction_sums(overlapping_balls((96, 96, 96), 6, 5e-4, seed), 2))[1]
        for seed in range(6)
    ]
    expected = 1 - np.exp(-5e-4 * 4 / 3 * np.pi * 6**3)
    assert np.mean(shares) == pytest.approx(expected, abs=0.012)


def test_without_a_labelled_voxel_no_fraction_is_known():
    sums = fraction_sums(np.full((2, 2, 2), 255, np.uint8), 3)
    assert sums.unlabelled == 8
    assert np.isnan(volume_fractions(sums)).all()
