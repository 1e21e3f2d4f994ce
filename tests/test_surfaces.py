import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import marching_cubes, mesh_surface_area
from solids import ball, coordinates, laminate, overlapping_balls, random_classes

from xseg_jax.errors import InputError
from xseg_jax.measure import surfaces
from xseg_jax.measure.lattice import direction_weights, slabs
from xseg_jax.measure.surfaces import (
    OVERLAP,
    interface_areas,
    interface_densities,
    surface_densities,
    surface_sums,
)

CUBE = (1.0, 1.0, 1.0)


def test_worked_examples_hold():
    assert doctest.testmod(surfaces).failed == 0


@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 9),
)
def test_sums_of_slabs_are_those_of_the_whole(seed, classes, shape, thickness):
    planes = shape[0]
    class_ZYX = random_classes(seed, shape, classes)
    whole = surface_sums(class_ZYX, classes, CUBE)
    first, *rest = (
        surface_sums(class_ZYX[slab.read], classes, CUBE, after=slab.after)
        for slab in slabs(planes, thickness, after=OVERLAP)
    )
    np.testing.assert_array_equal(sum(rest, first).pairs_DKK, whole.pairs_DKK)


@given(st.integers(0, 2**32), st.permutations(range(3)), st.floats(0.1, 10))
def test_areas_turn_with_the_volume_and_scale_with_the_unit(seed, order, unit):
    class_ZYX, spacing = random_classes(seed, (6, 7, 8), 3), (1.0, 2.0, 1.5)
    area_KK = interface_densities(surface_sums(class_ZYX, 3, spacing))
    np.testing.assert_array_equal(area_KK, area_KK.T)
    turned_ZYX = class_ZYX.transpose(order)
    turned = tuple(unit * spacing[axis] for axis in order)
    turned_KK = interface_densities(surface_sums(turned_ZYX, 3, turned))
    np.testing.assert_allclose(turned_KK * unit, area_KK, rtol=1e-6)


# Mean over places of the ball in its voxels; small balls come out too small.
@pytest.mark.parametrize(
    ("radius", "spacing", "tolerance"),
    [
        (5, CUBE, 0.015),
        (10, CUBE, 0.005),
        (20, CUBE, 0.002),
        (10, (2.0, 1.0, 1.0), 0.01),
        (20, (2.0, 1.0, 1.0), 0.005),
        (20, (1.0, 1.5, 2.5), 0.01),
    ],
)
def test_balls(radius, spacing, tolerance):
    rng = np.random.default_rng(radius)
    found = [
        interface_areas(surface_sums(ball(radius, spacing, rng.random(3)), 2, spacing))[0, 1]
        for _ in range(6)
    ]
    assert np.mean(found) == pytest.approx(4 * np.pi * radius**2, rel=tolerance)


def test_a_mesh_of_voxels_is_8_percent_too_large_where_this_is_not():
    class_ZYX = ball(20, offset=(0.3, 0.1, 0.2))
    mesh = mesh_surface_area(*marching_cubes(class_ZYX.astype(float), 0.5)[:2])
    area = interface_areas(surface_sums(class_ZYX, 2, CUBE))[0, 1]
    assert area == pytest.approx(4 * np.pi * 20**2, rel=0.004)
    assert mesh == pytest.approx(1.085 * 4 * np.pi * 20**2, rel=0.01)


# The largest errors of a plane of any orientation are 7.3% below and 2.3% above.
@pytest.mark.parametrize(
    ("normal", "ratio"),
    [((0, 0, 1), 0.927), ((0, 1, 1), 0.933), ((1, 1, 1), 0.961), ((0.3, 0.5, 1), 1.017)],
)
def test_planes_of_several_orientations(normal, ratio):
    unit = np.array(normal) / np.linalg.norm(normal)
    z, y, x = coordinates((61, 61, 61))
    height_ZYX = unit[0] * z + unit[1] * y + unit[2] * x
    # Many parallel planes, 12 apart, moved about, so that corners of the volume do not matter.
    found = [
        interface_densities(
            surface_sums((np.floor(height_ZYX / 12 + move) % 2).astype(np.uint8), 2, CUBE)
        )[0, 1]
        for move in np.arange(12) / 12 + 0.01
    ]
    assert np.mean(found) == pytest.approx(ratio / 12, rel=0.012)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_laminate_has_two_interfaces_a_period(axis):
    shape = [20, 20, 20]
    shape[axis] = 97  # Layers of 8: 12 interfaces between 97 planes, which are 96 apart.
    spacing = (2.0, 2.0, 2.0)
    density = interface_densities(surface_sums(laminate(shape, 16, axis), 2, spacing))[0, 1]
    assert density == pytest.approx(0.92662 / (8 * 2.0), rel=1e-4)


def test_a_cylinder():
    _, y, x = coordinates((40, 64, 64), offset=(0.0, 0.3, 0.1))
    class_ZYX = np.broadcast_to(y**2 + x**2 < 24**2, (40, 64, 64)).astype(np.uint8)
    area = interface_areas(surface_sums(class_ZYX, 2, CUBE))[0, 1]
    # Of 40 planes: those along z lie between 40, those along a diagonal between 39.
    assert area == pytest.approx(2 * np.pi * 24 * 39.4, rel=0.02)


def test_a_checkerboard_of_blocks_loses_its_edges():
    lost = []
    for side in (8, 16):
        block_ZYX = np.indices((6, 6, 6)).sum(axis=0) % 2
        class_ZYX = np.kron(block_ZYX, np.ones((side,) * 3)).astype(np.uint8)
        density = interface_densities(surface_sums(class_ZYX, 2, CUBE))[0, 1]
        between = 5 / (6 * side - 1)  # Faces along each axis, a length.
        lost.append(1 - density / (3 * 0.92662 * between))
    # A diagonal that passes an edge of a block meets the same class again.
    assert lost[0] == pytest.approx(0.117, abs=0.01)
    assert lost[1] == pytest.approx(lost[0] / 2, abs=0.01)


@pytest.mark.parametrize(("radius", "number", "side"), [(4, 2e-3, 80), (8, 2.5e-4, 112)])
def test_overlapping_balls_have_the_surface_of_the_boolean_model(radius, number, side):
    found = [
        surface_densities(
            surface_sums(overlapping_balls((side,) * 3, radius, number, seed), 2, CUBE)
        )[1]
        for seed in range(8)
    ]
    volume, surface = 4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2
    exact = number * surface * np.exp(-number * volume)
    # Two points at a distance lie in different phases less often than lines cross the surface;
    # how much less is known, as both lie outside of all balls with exp(-number x their union).
    length_D, share_D = direction_weights(CUBE)
    union_D = volume * (1 + 0.75 * length_D / radius - (length_D / radius) ** 3 / 16)
    differ_D = 2 * (np.exp(-number * volume) - np.exp(-number * union_D))
    expected = 2 * (share_D * differ_D / length_D).sum()
    assert np.mean(found) == pytest.approx(expected, rel=0.02)
    assert 1 - expected / exact == pytest.approx(0.29 / radius, rel=0.1)


def test_what_is_not_labelled_has_no_surface_and_no_volume():
    shape = (30, 40, 40)
    z, y, x = coordinates(shape)
    class_ZYX = (np.floor((z + y + x) / 9) % 3).astype(np.uint8)
    whole_KK = interface_densities(surface_sums(class_ZYX, 3, CUBE))
    class_ZYX[(y**2 + x**2 > 18**2) & (z < 100)] = 255
    masked_KK = interface_densities(surface_sums(class_ZYX, 3, CUBE))
    np.testing.assert_allclose(masked_KK.sum(), whole_KK.sum(), rtol=0.01)
    class_ZYX[class_ZYX == 2] = 255
    assert interface_densities(surface_sums(class_ZYX, 3, CUBE))[2].tolist() == [0, 0, 0]


def test_the_surface_of_a_phase_is_the_sum_of_its_interfaces():
    sums = surface_sums(random_classes(0, (9, 9, 9), 4), 4, (1.0, 2.0, 3.0))
    merged_ZYX = (random_classes(0, (9, 9, 9), 4) != 1).astype(np.uint8)
    merged_ZYX[random_classes(0, (9, 9, 9), 4) == 255] = 255
    alone = surface_densities(surface_sums(merged_ZYX, 2, (1.0, 2.0, 3.0)))
    assert surface_densities(sums)[1] == pytest.approx(alone[0])


def test_one_plane_alone_and_slabs_of_other_spacings_are_refused():
    sums = surface_sums(np.zeros((1, 5, 5), np.uint8), 2, CUBE)
    with pytest.raises(InputError, match="measure single slices as planes"):
        interface_densities(sums)
    with pytest.raises(ValueError, match="spacings"):
        sums + surface_sums(np.zeros((1, 5, 5), np.uint8), 2, (2.0, 1.0, 1.0))
