"""Distances are those of scipy, and balls cover what they should, at any size and spacing."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt

from xseg_jax.measure import distance as module
from xseg_jax.measure.distance import covered, distance

volumes = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8))
edges = st.sampled_from([0.5, 1.0, 1.3, 2.0])
spacings = st.tuples(edges, edges, edges)


def test_examples():
    assert doctest.testmod(module).failed == 0


@settings(deadline=None, max_examples=60)
@given(volumes, spacings)
def test_distances_are_those_of_scipy(phase_ZYX, spacing):
    found_ZYX = distance(phase_ZYX, spacing)
    if phase_ZYX.all():
        assert np.isinf(found_ZYX).all()
    else:
        expected_ZYX = distance_transform_edt(phase_ZYX, sampling=spacing)
        assert found_ZYX == pytest.approx(expected_ZYX, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(volumes, spacings, st.integers(0, 1000))
def test_balls_cover_what_is_nearer_than_their_radius(centre_ZYX, spacing, seed):
    radius_ZYX = (
        centre_ZYX
        * np.random.default_rng(seed).choice([0.4, 1, 1.5, 2, 4.2], 9)[
            np.indices(centre_ZYX.shape).sum(axis=0) % 9
        ]
    )
    place_VA = np.argwhere(np.ones_like(centre_ZYX)) * spacing
    apart_VV = np.linalg.norm(place_VA[:, None] - place_VA[None], axis=2)
    # A distance of the radius itself is outside, however it is rounded.
    expected_V = (apart_VV < radius_ZYX.ravel() * (1 - 1e-6)).any(axis=1)
    assert np.array_equal(covered(radius_ZYX, spacing).ravel(), expected_V)
