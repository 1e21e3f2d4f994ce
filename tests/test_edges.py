import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import coordinates, random_classes, random_field, wedges

from xseg_jax.errors import InputError
from xseg_jax.measure import edges
from xseg_jax.measure.edges import (
    OVERLAP,
    active_densities,
    edge_sums,
    triple_densities,
    triple_lengths,
    triples,
)
from xseg_jax.measure.lattice import slabs

CUBE = (1.0, 1.0, 1.0)


def test_worked_examples_hold():
    assert doctest.testmod(edges).failed == 0


def same(one, other):
    for name in ("steps_AT", "active_AT", "found_AT", "edges_A"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32),
    st.sampled_from((3, 4, 5, 9)),  # The last do not fit into bits of uint8.
    st.tuples(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6)),
    st.integers(1, 9),
)
def test_sums_of_slabs_are_those_of_the_whole(seed, classes, shape, thickness):
    planes = shape[0]
    class_ZYX = random_classes(seed, shape, classes, unlabelled=0.02)
    allowed_ZYX = np.random.default_rng(seed).random(class_ZYX.shape) < 0.7
    whole = edge_sums(class_ZYX, classes, CUBE, allowed_ZYX=allowed_ZYX)
    first, *rest = (
        edge_sums(
            class_ZYX[slab.read],
            classes,
            CUBE,
            allowed_ZYX=allowed_ZYX[slab.read],
            before=slab.before,
            after=slab.after,
        )
        for slab in slabs(planes, thickness, before=OVERLAP, after=OVERLAP)
    )
    same(sum(rest, first), whole)


def test_a_slab_measured_in_pieces_is_the_same(monkeypatch):
    class_ZYX = random_classes(0, (30, 8, 9), 4)
    whole = edge_sums(class_ZYX, 4, CUBE, before=3, after=2)
    monkeypatch.setattr(edges, "PIECE_VOXELS", 1)
    monkeypatch.setattr(edges, "LEAST_PIECE", 4)
    same(edge_sums(class_ZYX, 4, CUBE, before=3, after=2), whole)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32),
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from((1, -1))] * 3),
    st.permutations(range(4)),
    st.floats(0.1, 10),
)
def test_lengths_turn_with_the_volume_and_scale_with_the_unit(seed, order, flips, names, unit):
    class_ZYX, spacing = random_classes(seed, (7, 8, 9), 4), (1.0, 2.0, 1.5)
    density_T = triple_densities(edge_sums(class_ZYX, 4, spacing))
    moved_ZYX = class_ZYX.transpose(order)[tuple(slice(None, None, step) for step in flips)]
    moved_ZYX = np.array([*names, *[255] * 252], np.uint8)[moved_ZYX]
    moved = tuple(unit * spacing[axis] for axis in order)
    moved_T = triple_densities(edge_sums(np.ascontiguousarray(moved_ZYX), 4, moved))
    place = {triple: number for number, triple in enumerate(triples(4))}
    renamed = [place[tuple(sorted(names[phase] for phase in triple))] for triple in triples(4)]
    np.testing.assert_allclose(moved_T[renamed] * unit**2, density_T, rtol=1e-4, atol=1e-5)


def measured(direction, angles, seed, spacing=CUBE, length=30.0):
    """Found length / length of a line in the middle, where no end of it is near."""
    shape = [int(length / edge) + 14 for edge in spacing]
    class_ZYX, along_ZYX = wedges(shape, direction, angles, seed, spacing)
    allowed_ZYX = np.abs(along_ZYX) < length / 2
    sums = edge_sums(class_ZYX, 3, spacing, allowed_ZYX=allowed_ZYX)
    steps = np.array(spacing) @ sums.active_AT[:, 0] / edges.UNITS
    return steps / length, np.array(spacing) @ sums.found_AT[:, 0] / length


# Mean over directions; a single line is within 6%.
@pytest.mark.parametrize(
    ("angles", "spacing", "tolerance"),
    [
        ((120, 120, 120), CUBE, 0.02),
        ((60, 150, 150), CUBE, 0.02),
        ((90, 90, 180), CUBE, 0.02),
        ((90, 90, 180), (2.0, 1.0, 1.0), 0.03),
        ((30, 165, 165), CUBE, 0.03),
    ],
)
def test_straight_lines_of_many_directions(angles, spacing, tolerance):
    rng = np.random.default_rng(3)
    found = [
        measured(rng.normal(size=3), angles, seed, spacing, length=20 + 10 * spacing[0])[0]
        for seed in range(16)
    ]
    assert np.mean(found) == pytest.approx(1, abs=tolerance)
    np.testing.assert_allclose(found, 1, atol=0.06)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_line_along_an_axis_is_exact(axis):
    class_ZYX = np.zeros((12, 12, 12), np.uint8)
    class_ZYX[:, 6:, :6], class_ZYX[:, 6:, 6:] = 1, 2
    spacing = (2.0, 3.0, 5.0)
    turned_ZYX = np.ascontiguousarray(np.moveaxis(class_ZYX, 0, axis))
    sums = edge_sums(turned_ZYX, 3, spacing)
    assert triple_lengths(sums)[0] == pytest.approx(12 * spacing[axis], rel=1e-6)
    across = np.prod(spacing) / spacing[axis]
    assert triple_densities(sums)[0] == pytest.approx(1 / (121 * across), rel=1e-6)


@pytest.mark.parametrize(("radius", "tolerance"), [(4, 0.07), (8, 0.055), (16, 0.045), (30, 0.035)])
def test_a_ball_cut_by_a_plane(radius, tolerance):
    rng = np.random.default_rng(radius)
    found = []
    for _ in range(8 if radius < 30 else 2):
        z, y, x = coordinates([2 * radius + 10] * 3, offset=rng.random(3))
        normal = rng.normal(size=3)
        side_ZYX = normal[0] * z + normal[1] * y + normal[2] * x > 0
        class_ZYX = np.where(z**2 + y**2 + x**2 < radius**2, 2, side_ZYX).astype(np.uint8)
        found.append(triple_lengths(edge_sums(class_ZYX, 3, CUBE))[0] / (2 * np.pi * radius))
    assert np.mean(found) == pytest.approx(1, abs=tolerance)


# Where two independent fields are zero: L_V = 1 / (2 pi width^2), from E|grad f x grad g|.
@pytest.mark.parametrize(("width", "tolerance"), [(3, 0.05), (5, 0.05)])
def test_lines_of_random_fields(width, tolerance):
    found, naive = [], []
    for seed in range(4):
        one, other = (random_field((100,) * 3, width, 2 * seed + part) for part in (0, 1))
        class_ZYX = np.where(one > 0, 0, np.where(other > 0, 1, 2)).astype(np.uint8)
        sums = edge_sums(class_ZYX, 3, CUBE)
        found.append(triple_densities(sums)[0] * 2 * np.pi * width**2)
        naive.append((sums.found_AT[:, 0] / sums.edges_A).sum() * 2 * np.pi * width**2)
    assert np.mean(found) == pytest.approx(1, abs=tolerance)
    assert np.mean(naive) > 1.65  # What counting edges says.


def test_thin_phases_near_a_line_do_not_count_double():
    found = [measured((0.3, 0.5, seed / 4), (20, 170, 170), seed) for seed in range(8)]
    lengths, counts = np.mean(found, axis=0)
    assert lengths == pytest.approx(1, abs=0.07)
    assert counts > 2.2


def test_where_four_phases_meet_each_triple_counts_half():
    class_ZYX = np.zeros((10, 10, 10), np.uint8)
    class_ZYX[:, :5, 5:], class_ZYX[:, 5:, :5], class_ZYX[:, 5:, 5:] = 1, 2, 3
    lengths_T = triple_lengths(edge_sums(class_ZYX, 4, CUBE))
    np.testing.assert_allclose(lengths_T, [5.0] * 4, rtol=1e-5)


def test_opposite_corners_of_one_phase_hold_no_line():
    class_ZYX = np.zeros((10, 10, 10), np.uint8)
    class_ZYX[:, :5, 5:], class_ZYX[:, 5:, :5] = 1, 2
    sums = edge_sums(class_ZYX, 3, CUBE)
    assert sums.found_AT[:, 0].tolist() == [10, 0, 0]
    assert triple_lengths(sums)[0] == 0


def test_active_where_all_three_phases_have_an_allowed_voxel():
    class_ZYX, _ = wedges((24, 20, 20), (1, 0.2, 0.3), (100, 120, 140), 0)
    everything = edge_sums(class_ZYX, 3, CUBE, allowed_ZYX=np.ones(class_ZYX.shape, bool))
    np.testing.assert_array_equal(everything.active_AT, everything.steps_AT)
    without = edge_sums(class_ZYX, 3, CUBE, allowed_ZYX=class_ZYX != 1)
    assert active_densities(without).tolist() == [0.0]
    assert triple_densities(without)[0] > 0
    lower_ZYX = np.broadcast_to(np.arange(24)[:, None, None] < 12, class_ZYX.shape)
    half = edge_sums(class_ZYX, 3, CUBE, allowed_ZYX=lower_ZYX)
    assert active_densities(half)[0] == pytest.approx(triple_densities(half)[0] / 2, rel=0.1)


def test_edges_at_unlabelled_voxels_count_nowhere():
    class_ZYX, _ = wedges((20, 20, 20), (1, 0.1, 0.2), (100, 120, 140), 0)
    whole = edge_sums(class_ZYX, 3, CUBE)
    class_ZYX[:10] = 255
    half = edge_sums(class_ZYX, 3, CUBE)
    assert half.edges_A.tolist() == [10 * 19 * 19, 9 * 20 * 19, 9 * 20 * 19]
    assert triple_densities(half)[0] == pytest.approx(triple_densities(whole)[0], rel=0.1)


def test_what_cannot_be_measured_is_refused():
    flat_ZYX = np.zeros((1, 5, 5), np.uint8)
    with pytest.raises(InputError, match="measure single slices as planes"):
        triple_densities(edge_sums(flat_ZYX, 3, CUBE))
    with pytest.raises(InputError, match="2 phases; lines where three meet need 3"):
        edge_sums(flat_ZYX, 2, CUBE)
    with pytest.raises(InputError, match="allowed voxels have shape"):
        edge_sums(flat_ZYX, 3, CUBE, allowed_ZYX=np.ones((1, 5, 4), bool))
    sums = edge_sums(flat_ZYX, 3, CUBE)
    with pytest.raises(ValueError, match="no allowed voxels"):
        active_densities(sums)
    with pytest.raises(ValueError, match="of one slab only"):
        sums + edge_sums(flat_ZYX, 3, CUBE, allowed_ZYX=flat_ZYX == 0)
    with pytest.raises(ValueError, match="spacings"):
        sums + edge_sums(flat_ZYX, 3, (1.0, 1.0, 2.0))
