"""Local thickness of sheets, balls and rods, and of anything by its definition."""

import doctest

import numpy as np
import pytest
from bodies import ball
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt
from solids import overlapping_balls

from xseg_jax.errors import InputError
from xseg_jax.measure import thickness as module
from xseg_jax.measure.thickness import local_thickness, thickness

UNIT = (1.0, 1.0, 1.0)
volumes = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=7))
edges = st.sampled_from([0.5, 1.0, 1.3, 2.0])


def blobs(size=40, share=0.5):
    """A random phase with walls of many thicknesses."""
    noise_ZYX = np.random.default_rng(3).normal(size=(size, size, size))
    wave_F = np.fft.fftfreq(size)
    square_F = sum(w**2 for w in np.meshgrid(wave_F, wave_F, wave_F, indexing="ij"))
    smooth_ZYX = np.fft.ifftn(np.fft.fftn(noise_ZYX) * np.exp(-300 * square_F)).real
    return smooth_ZYX > np.quantile(smooth_ZYX, 1 - share)


def by_definition(phase_ZYX, spacing):
    """The largest ball over each voxel, ball by ball."""
    radius_ZYX = distance_transform_edt(phase_ZYX, sampling=spacing)
    place_VA = np.argwhere(phase_ZYX) * spacing
    radius_V = radius_ZYX[phase_ZYX]
    apart_VV = np.linalg.norm(place_VA[:, None] - place_VA[None], axis=2)
    holds_VV = apart_VV < radius_V[None] * (1 - 1e-6)
    return 2 * np.where(holds_VV, radius_V[None], 0).max(axis=1, initial=0)


def test_examples():
    assert doctest.testmod(module).failed == 0


@settings(deadline=None, max_examples=60)
@given(volumes, st.tuples(edges, edges, edges))
def test_it_is_the_largest_ball_over_each_voxel(phase_ZYX, spacing):
    phase_ZYX[0, 0, 0] = False
    found_ZYX, bound = local_thickness(phase_ZYX, spacing, radii=1000)
    assert found_ZYX[phase_ZYX] == pytest.approx(by_definition(phase_ZYX, spacing), rel=1e-5)
    assert not found_ZYX[~phase_ZYX].any()
    assert bound == 0 or not phase_ZYX.any()


@pytest.mark.parametrize("voxels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sheet_is_as_thick_as_it_is_to_a_voxel(voxels, axis):
    phase_ZYX = np.zeros((14, 14, 14), bool)
    phase_ZYX[3 : 3 + voxels] = True
    spacing = np.roll([0.5, 2, 2], axis)
    found = thickness(np.moveaxis(phase_ZYX, 0, axis), tuple(spacing))
    # Between centres outside, as far as a centre within is from the nearer.
    assert found.mean == 0.5 * 2 * ((voxels + 1) // 2)
    assert (found.deviation, found.bound) == (0, 0)
    assert found.share_B.sum() == 1


@pytest.mark.parametrize("radius", [3, 6, 12])
def test_balls_are_too_thin_by_less_than_a_voxel_or_so(radius):
    size = 2 * radius + 7
    errors = [
        thickness(
            ball((size, size, size), (radius + 3 + s, radius + 3.2, radius + 2.9), radius), UNIT
        ).mean
        - 2 * radius
        for s in (0, 0.25, 0.5)
    ]
    assert min(errors) > -1.5
    assert max(errors) < 0


def test_the_error_falls_with_the_size_of_a_voxel():
    errors = []
    for edge in (1, 1 / 2, 1 / 4):
        size = int(18 / edge)
        phase_ZYX = ball(3 * (size,), 3 * (8.6,), 6, spacing=3 * (edge,))
        errors.append(abs(thickness(phase_ZYX, 3 * (edge,)).mean - 12))
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.04 * 12


def test_voxels_of_any_shape_give_the_same():
    phase_ZYX = ball((16, 32, 64), (16, 16, 16), 11, spacing=(2, 1, 0.5))
    found = thickness(phase_ZYX, (2, 1, 0.5))
    assert found.mean == pytest.approx(22, abs=2)  # The longest edge of a voxel.


def test_two_balls_have_a_diameter_each():
    phase_ZYX = ball((30, 30, 60), (15, 15, 16), 12) | ball((30, 30, 60), (15, 15, 45), 6)
    found = thickness(phase_ZYX, UNIT)
    small = found.share_B[found.edge_B[:-1] < 15].sum()
    # The rims of the large one, which smaller balls hold, are 2%.
    assert small == pytest.approx(6**3 / (6**3 + 12**3), abs=0.03)
    assert found.largest == pytest.approx(24, abs=1)


def test_balls_that_overlap_a_little_keep_their_diameter():
    phase_ZYX = overlapping_balls(3 * (72,), 6, 0.1 / (4 / 3 * np.pi * 6**3), seed=2) == 1
    found = thickness(phase_ZYX, UNIT)
    # Balls are 0.9 voxels too thin, and more so where their middle lies past a face.
    assert found.mean == pytest.approx(11, abs=0.4)
    # Two that nearly cover each other are thicker than one.
    assert found.share_B[found.edge_B[:-1] > 13.5].sum() < 0.02


def test_a_rod_is_as_thick_as_it_is():
    grid_A = np.indices((40, 40, 40)) - 19.7
    along = np.array([0.6, 0.48, 0.64])
    square_ZYX = (grid_A**2).sum(axis=0) - np.tensordot(along, grid_A, 1) ** 2
    found = thickness(square_ZYX < 6**2, UNIT)
    assert found.mean == pytest.approx(12, abs=0.5)


def test_few_radii_are_within_their_bound():
    phase_ZYX = blobs()
    exact = thickness(phase_ZYX, UNIT, radii=1000)
    assert exact.bound == 0
    for radii in (4, 8, 16):
        found = thickness(phase_ZYX, UNIT, radii=radii)
        assert abs(found.mean - exact.mean) <= found.bound
    assert found.mean == pytest.approx(exact.mean, rel=0.01)


def test_a_face_and_what_is_not_labelled_are_no_wall():
    phase_ZYX = np.zeros((12, 20, 20), bool)
    phase_ZYX[:6] = True
    whole = thickness(phase_ZYX, UNIT)
    assert whole.mean == 12  # From the wall to the face, both ways.
    labelled_ZYX = np.ones_like(phase_ZYX)
    labelled_ZYX[:, :, :5] = False
    inside = thickness(phase_ZYX & labelled_ZYX, UNIT, labelled_ZYX=labelled_ZYX)
    assert inside.mean == 12


def test_what_has_no_wall_is_refused_and_nothing_is_nothing():
    with pytest.raises(InputError, match="no end"):
        thickness(np.ones((3, 3, 3), bool), UNIT)
    with pytest.raises(InputError, match="positive edge lengths"):
        thickness(np.zeros((3, 3, 3), bool), (1, 1, -1))
    found = thickness(np.zeros((3, 3, 3), bool), UNIT)
    assert np.isnan(found.mean)
    assert found.share_B.sum() == 0
