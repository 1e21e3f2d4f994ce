import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import overlapping_balls, random_classes, random_field

from xseg_jax.errors import InputError
from xseg_jax.measure import edges, planes, surfaces
from xseg_jax.measure.planes import (
    area_fractions,
    boundary_densities,
    interface_densities,
    plane_sums,
    surface_densities,
    triple_densities,
)

SQUARE, CUBE = (1.0, 1.0), (1.0, 1.0, 1.0)


def total(class_ZYX, classes, spacing=SQUARE):
    first, *rest = (plane_sums(class_HW, classes, spacing) for class_HW in class_ZYX)
    return sum(rest, first)


def test_worked_examples_hold():
    assert doctest.testmod(planes).failed == 0


def disk_HW(radius, spacing, shift):
    side = [int(2 * radius / edge) + 8 for edge in spacing]
    y, x = (
        (np.arange(n) - n / 2 + move) * edge
        for n, move, edge in zip(side, shift, spacing, strict=True)
    )
    return (y[:, None] ** 2 + x**2 < radius**2).astype(np.uint8)


@pytest.mark.parametrize(
    ("radius", "spacing", "tolerance"),
    [(8, SQUARE, 0.02), (30, SQUARE, 0.005), (30, (2.0, 1.0), 0.01)],
)
def test_disks(radius, spacing, tolerance):
    rng = np.random.default_rng(radius)
    areas, lengths = [], []
    for _ in range(8):
        class_HW = disk_HW(radius, spacing, rng.random(2))
        sums = plane_sums(class_HW, 2, spacing)
        area = class_HW.size * np.prod(spacing)
        areas.append(area_fractions(sums)[1] * area)
        # A disk that touches no face: the pairs that faces cut off are put back.
        lines, share_D = planes.plane_direction_weights(spacing)
        cut_DKK = sums.pairs_DKK[:, 0, 1] + sums.pairs_DKK[:, 1, 0]
        lengths.append(np.pi / 2 * (share_D * cut_DKK / lines).sum() * np.prod(spacing))
    assert np.mean(areas) == pytest.approx(np.pi * radius**2, rel=tolerance)
    assert np.mean(lengths) == pytest.approx(2 * np.pi * radius, rel=tolerance)


# The largest errors of a straight line are 5.2% below and 2.6% above.
@pytest.mark.parametrize(("degrees", "ratio"), [(0, 0.948), (45, 0.948), (22.5, 1.026)])
def test_straight_lines_of_several_orientations(degrees, ratio):
    y_HW, x_HW = np.mgrid[-100:101, -100:101]
    height_HW = x_HW * np.cos(np.radians(degrees)) + y_HW * np.sin(np.radians(degrees))
    found = [
        boundary_densities(
            plane_sums((np.floor(height_HW / 14 + move) % 2).astype(np.uint8), 2, SQUARE)
        )[0, 1]
        for move in np.arange(14) / 14 + 0.01
    ]
    assert np.mean(found) == pytest.approx(ratio / 14, rel=0.006)


def test_slices_of_overlapping_balls_tell_the_volume():
    radius, number = 8, 2.5e-4
    volumes = [overlapping_balls((96,) * 3, radius, number, seed) for seed in range(6)]
    first, *rest = (total(class_ZYX[::8], 2) for class_ZYX in volumes)
    sums = sum(rest, first)
    volume, surface = 4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2
    assert area_fractions(sums)[0] == pytest.approx(np.exp(-number * volume), abs=0.02)
    exact = number * surface * np.exp(-number * volume)
    # As in a volume, 3% are lost with crossings that a pixel does not see.
    assert surface_densities(sums)[1] == pytest.approx(0.97 * exact, rel=0.03)


@pytest.mark.parametrize("width", [3, 6])
def test_slices_of_isotropic_phases_agree_with_the_volume(width):
    found = []
    for seed in range(3):
        one, other = (random_field((80,) * 3, width, 2 * seed + part) for part in (0, 1))
        class_ZYX = np.where(one > 0, 0, np.where(other > 0, 1, 2)).astype(np.uint8)
        flat = total(class_ZYX, 3)
        solid = surfaces.surface_sums(class_ZYX, 3, CUBE)
        np.testing.assert_allclose(
            interface_densities(flat), surfaces.interface_densities(solid), rtol=0.06
        )
        length = edges.triple_densities(edges.edge_sums(class_ZYX, 3, CUBE))[0]
        found.append((triple_densities(flat)[0], length, 1 / (2 * np.pi * width**2)))
    flat, solid, exact = np.mean(found, axis=0)
    assert flat == pytest.approx(exact, rel=0.06)
    assert flat == pytest.approx(solid, rel=0.06)


def test_crumbs_of_a_thin_phase_count_once():
    # A wedge of 15 degrees about the middle: pixels near its tip lie alone.
    rng = np.random.default_rng(0)
    points, met = [], []
    for _ in range(60):
        turn, shift_y, shift_x = rng.random(3)
        y_HW, x_HW = np.mgrid[-20:21, -20:21]
        angle_HW = np.degrees(np.arctan2(y_HW + shift_y, x_HW + shift_x)) + 360 * turn
        class_HW = np.digitize(angle_HW % 360, [15, 180]).astype(np.uint8)
        sums = plane_sums(class_HW, 3, SQUARE)
        points.append(sums.points_T[0] / edges.UNITS)
        met.append(edges.edge_sums(class_HW[None], 3, CUBE).found_AT[0, 0])
    assert np.mean(points) == pytest.approx(1, abs=0.1)
    assert np.mean(met) > 1.5


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.integers(2, 9))
def test_slices_add_in_any_order_and_mirror_images_are_the_same(seed, classes, count, side):
    class_ZYX = random_classes(seed, (count, side, side + 1), classes)
    sums = total(class_ZYX, classes, (2.0, 1.0))
    for other in (
        total(class_ZYX[::-1], classes, (2.0, 1.0)),
        total(class_ZYX[:, ::-1], classes, (2.0, 1.0)),
        total(class_ZYX[:, :, ::-1], classes, (2.0, 1.0)),
    ):
        assert other.unlabelled == sums.unlabelled
        np.testing.assert_array_equal(other.pixels_K, sums.pixels_K)
        np.testing.assert_array_equal(
            np.sort(other.pairs_DKK.sum(axis=(1, 2))), np.sort(sums.pairs_DKK.sum(axis=(1, 2)))
        )
        assert other.places == sums.places


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="2 dimensions here; this one is uint8 with 3"):
        plane_sums(np.zeros((2, 2, 2), np.uint8), 2, SQUARE)
    with pytest.raises(InputError, match="2 positive edge lengths"):
        plane_sums(np.zeros((2, 2), np.uint8), 2, CUBE)
    line = plane_sums(np.zeros((1, 5), np.uint8), 3, SQUARE)
    with pytest.raises(InputError, match="both diagonals"):
        boundary_densities(line)
    with pytest.raises(InputError, match="four labelled pixels"):
        triple_densities(line)
    with pytest.raises(InputError, match="2 phases; points where three meet"):
        triple_densities(plane_sums(np.zeros((5, 5), np.uint8), 2, SQUARE))
    with pytest.raises(ValueError, match="spacings"):
        line + plane_sums(np.zeros((1, 5), np.uint8), 3, (1.0, 2.0))
    assert np.isnan(area_fractions(plane_sums(np.full((2, 2), 255, np.uint8), 2, SQUARE))).all()
