import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import ball, laminate, overlapping_balls, random_classes, random_field

from xseg_jax.errors import InputError
from xseg_jax.measure import correlation
from xseg_jax.measure.correlation import axis_correlation, radial_correlation
from xseg_jax.measure.fractions import fraction_sums, volume_fractions
from xseg_jax.measure.surfaces import surface_densities, surface_sums

CUBE = (1.0, 1.0, 1.0)


def test_worked_examples_hold():
    assert doctest.testmod(correlation).failed == 0


def pairs_by_loop(class_ZYX, spacing):
    """(distance, lag, class of both or None) of all pairs of labelled voxels."""
    places = [place for place in np.ndindex(class_ZYX.shape) if class_ZYX[place] != 255]
    for one, other in itertools.combinations_with_replacement(places, 2):
        lag = np.array(other) - one
        same = class_ZYX[one] if class_ZYX[one] == class_ZYX[other] else None
        yield np.linalg.norm(lag * spacing), lag, same


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 3), st.tuples(*[st.integers(1, 5)] * 3))
def test_shares_are_those_of_a_loop(seed, classes, shape):
    class_ZYX, spacing = random_classes(seed, shape, classes, 0.2), (2.0, 1.0, 1.5)
    pairs = list(pairs_by_loop(class_ZYX, spacing))
    for axis in range(3):
        r_R, s_KR = axis_correlation(class_ZYX, classes, spacing, axis, reach=4)
        assert len(r_R) == 1 + min(int(4 / spacing[axis]), shape[axis] - 1)
        others = [other for other in range(3) if other != axis]
        for lag, found_K in enumerate(s_KR.T):
            along = [same for _, d, same in pairs if abs(d[axis]) == lag and not d[others].any()]
            expected = [along.count(k) / len(along) if along else np.nan for k in range(classes)]
            np.testing.assert_allclose(found_K, expected)
    r_R, s_KR = radial_correlation(class_ZYX, classes, spacing, reach=4)
    bins = {}
    for distance, _, same in pairs:
        number = max(round(distance / 2), int(distance > 0))
        if number <= 2:
            bins.setdefault(number, []).append((distance, same))
    assert len(r_R) == len(bins)
    for found, found_K, number in zip(r_R, s_KR.T, sorted(bins), strict=True):
        distances, same = zip(*bins[number], strict=True)
        assert found == pytest.approx(np.mean(distances))
        expected_K = [same.count(phase) / len(same) for phase in range(classes)]
        np.testing.assert_allclose(found_K, expected_K)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_at_no_distance_it_is_the_volume_fraction(seed, classes):
    class_ZYX = random_classes(seed, (4, 5, 6), classes)
    share_K = volume_fractions(fraction_sums(class_ZYX, classes))
    for _, s_KR in (
        axis_correlation(class_ZYX, classes, CUBE, 1, 2),
        radial_correlation(class_ZYX, classes, CUBE, 2),
    ):
        np.testing.assert_allclose(s_KR[:, 0], share_K)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_laminate_goes_up_and_down(axis):
    shape = [5, 5, 5]
    shape[axis] = 4000
    class_ZYX = laminate(shape, 16, axis)
    r_R, s_KR = axis_correlation(class_ZYX, 2, (0.5, 0.5, 0.5), axis, reach=16)
    wave_R = 0.5 - 0.5 * np.abs((r_R / 4 + 1) % 2 - 1)  # A period of 16 voxels is 8 long.
    np.testing.assert_allclose(s_KR[1], wave_R, atol=0.005)
    _, within_KR = axis_correlation(class_ZYX, 2, (0.5, 0.5, 0.5), (axis + 1) % 3, reach=2)
    np.testing.assert_allclose(within_KR, 0.5, atol=1e-12)


def test_a_ball_alone():
    radius = 12
    class_ZYX = ball(radius, offset=(0.2, 0.1, 0.4))
    r_R, s_KR = radial_correlation(class_ZYX, 2, CUBE, reach=10)
    # Pairs of the ball are known; those of the box are what they are divided by.
    _, whole_KR = radial_correlation(np.ones_like(class_ZYX), 2, CUBE, reach=10)
    assert (whole_KR[1] == 1).all()
    share_R = s_KR[1] / s_KR[1, 0]
    box_R = np.array([np.prod([n - r / 2 for n in class_ZYX.shape]) for r in r_R])
    expected_R = (1 - 0.75 * r_R / radius + (r_R / radius) ** 3 / 16) * class_ZYX.size / box_R
    np.testing.assert_allclose(share_R, expected_R, rtol=0.02)


def test_overlapping_balls_have_the_correlation_of_the_boolean_model():
    radius, number = 6, 6e-4
    found = [
        radial_correlation(overlapping_balls((56,) * 3, radius, number, seed), 2, CUBE, 15)
        for seed in range(8)
    ]
    r_R, s_R = found[0][0], np.mean([s_KR[0] for _, s_KR in found], axis=0)
    near_R = np.minimum(r_R, 2 * radius)
    union_R = 4 / 3 * np.pi * radius**3 * (1 + 0.75 * near_R / radius - (near_R / radius) ** 3 / 16)
    np.testing.assert_allclose(s_R, np.exp(-number * union_R), atol=0.015)


@pytest.mark.parametrize(("width", "tolerance"), [(3, 0.02), (6, 0.01)])
def test_its_slope_is_the_specific_surface(width, tolerance):
    class_ZYX = (random_field((64,) * 3, width, 1) > 0.01).astype(np.uint8)
    surface = surface_densities(surface_sums(class_ZYX, 2, CUBE))[1]
    r_R, s_KR = radial_correlation(class_ZYX, 2, CUBE, reach=1)
    # Both phases fall by S_V / 4 r; their sum does not depend on what the faces show.
    assert (1 - s_KR[:, 1].sum()) * 2 / r_R[1] == pytest.approx(surface, rel=tolerance)


def test_what_is_not_labelled_counts_nowhere():
    class_ZYX = np.kron(np.indices((4, 4, 4)).sum(axis=0) % 2, np.ones((4, 4, 4))).astype(np.uint8)
    class_ZYX[:, :, 8:] = 255
    for measure in (
        lambda array: axis_correlation(array, 2, CUBE, 2, 7),
        lambda array: radial_correlation(array, 2, CUBE, 5),
    ):
        r_R, s_KR = measure(class_ZYX)
        near_R, near_KR = measure(np.ascontiguousarray(class_ZYX[:, :, :8]))
        np.testing.assert_allclose(r_R, near_R)
        np.testing.assert_allclose(s_KR, near_KR)


def test_a_distance_that_is_none_is_refused():
    for reach in (-1.0, float("nan")):
        with pytest.raises(InputError, match="the longest distance"):
            axis_correlation(np.zeros((2, 2, 2), np.uint8), 1, CUBE, 0, reach)
