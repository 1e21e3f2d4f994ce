import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import ball, laminate, overlapping_balls, random_classes

from xseg_jax.measure import chords
from xseg_jax.measure.chords import (
    chord_distribution,
    chord_sums,
    corrected_mean_chords,
    cut_shares,
    length_weighted_chords,
    mean_chords,
)

CUBE = (1.0, 1.0, 1.0)


def test_worked_examples_hold():
    assert doctest.testmod(chords).failed == 0


def by_loop(class_ZYX, axis, phase):
    """Lengths of whole chords, and (voxels, ends) of cut ones."""
    whole, cut = [], []
    for line in np.moveaxis(class_ZYX, axis, -1).reshape(-1, class_ZYX.shape[axis]).tolist():
        groups = [(value, len(list(run))) for value, run in itertools.groupby(line)]
        around = [255, *(value for value, _ in groups), 255]
        for place, (value, length) in enumerate(groups):
            ends = (around[place] != 255) + (around[place + 2] != 255)
            if value == phase:
                whole.append(length) if ends == 2 else cut.append((length, ends))
    return sorted(whole), cut


def assert_is_by_loop(sums, class_ZYX, classes):
    for axis, phase in itertools.product(range(3), range(classes)):
        whole, cut = by_loop(class_ZYX, axis, phase)
        tally = sums.along(axis)
        lengths = np.arange(tally.counts_KL.shape[1])
        assert np.repeat(lengths, tally.counts_KL[phase]).tolist() == whole
        assert tally.cut_K[phase] == len(cut)
        assert tally.cut_voxels_K[phase] == sum(voxels for voxels, _ in cut)
        assert tally.cut_ends_K[phase] == sum(ends for _, ends in cut)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 12),
    st.lists(st.integers(1, 11), max_size=4),
    st.sampled_from((0.0, 0.1, 0.5)),
)
def test_sums_of_any_slabs_are_the_chords_of_a_loop(seed, classes, planes, cuts, unlabelled):
    class_ZYX = random_classes(seed, (planes, 3, 4), classes, unlabelled)
    ends = sorted({0, planes, *(cut for cut in cuts if cut < planes)})
    first, *rest = (
        chord_sums(class_ZYX[low:high], classes, CUBE) for low, high in itertools.pairwise(ends)
    )
    assert_is_by_loop(sum(rest, first), class_ZYX, classes)
    if len(rest) > 1:  # Those above may be joined first.
        above = sum(rest[1:], rest[0])
        assert_is_by_loop(first + above, class_ZYX, classes)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_layers_of_a_laminate(axis):
    spacing = (0.5, 2.0, 1.5)
    shape = [6, 6, 6]
    shape[axis] = 41  # 10 layers between the middles of the first voxel and the last.
    sums = chord_sums(laminate(shape, 8, axis), 2, spacing)
    length_L, share_L = chord_distribution(sums, axis, 1)
    np.testing.assert_allclose(length_L, spacing[axis] * np.arange(1, 5))
    assert share_L.tolist() == [0, 0, 0, 1]
    for mean_AK in (mean_chords(sums), length_weighted_chords(sums), corrected_mean_chords(sums)):
        np.testing.assert_allclose(mean_AK[axis], 4 * spacing[axis])
    # Within a layer no chord ends: all are cut, and no length is known.
    other = (axis + 1) % 3
    assert cut_shares(sums)[other].tolist() == [1, 1]
    assert np.isnan(mean_chords(sums)[other]).all()
    assert np.isinf(corrected_mean_chords(sums)[other]).all()
    assert all(len(part) == 0 for part in chord_distribution(sums, other, 0))


@pytest.mark.parametrize(("radius", "tolerance"), [(5, 0.03), (10, 0.01), (20, 0.004)])
def test_chords_of_a_ball(radius, tolerance):
    sums = chord_sums(ball(radius, offset=(0.3, 0.1, 0.2)), 2, CUBE)
    np.testing.assert_allclose(mean_chords(sums)[:, 1], 4 / 3 * radius, rtol=tolerance)
    np.testing.assert_allclose(length_weighted_chords(sums)[:, 1], 1.5 * radius, rtol=tolerance)
    length_L, share_L = chord_distribution(sums, 2, 1)
    # Chords up to l are a share (l / 2R)^2 of all.
    below = share_L[length_L <= radius].sum()
    assert below == pytest.approx(0.25, abs=4 * tolerance + 0.01)


def test_cut_chords_make_means_too_small_and_the_corrected_mean_not():
    radius, number = 6, 1.5e-3
    # Chords between such balls are exponential, of mean 5.9; what is shorter than a voxel is not
    # seen, which leaves 1 / (1 - chance that the next voxel is between balls too).
    beyond = 4 / 3 * np.pi * radius**3 * (0.75 / radius - 1 / (16 * radius**3))
    expected = 1 / (1 - np.exp(-number * beyond))
    assert expected == pytest.approx(1 / (number * np.pi * radius**2) + 0.5, rel=0.01)
    small = [
        chord_sums(overlapping_balls((24,) * 3, radius, number, seed), 2, CUBE)
        for seed in range(60)
    ]
    corrected, whole = (
        np.nanmean([of(sums)[:, 0] for sums in small])
        for of in (corrected_mean_chords, mean_chords)
    )
    cut = np.nanmean([cut_shares(sums)[:, 0] for sums in small])
    print(corrected, whole, expected, cut)


def test_slabs_of_other_sizes_or_spacings_do_not_add():
    sums = chord_sums(np.zeros((2, 3, 4), np.uint8), 2, CUBE)
    for other in (
        chord_sums(np.zeros((2, 3, 5), np.uint8), 2, CUBE),
        chord_sums(np.zeros((2, 3, 4), np.uint8), 2, (2.0, 1.0, 1.0)),
    ):
        with pytest.raises(ValueError, match="other spacings or planes"):
            sums + other
