"""Objects are split at their necks, measured one by one, and found again in a prediction."""

import doctest

import numpy as np
import pytest
from bodies import ball
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops

from xseg_jax.errors import InputError
from xseg_jax.measure import objects as module
from xseg_jax.measure.connectivity import clusters
from xseg_jax.measure.lattice import direction_weights
from xseg_jax.measure.objects import Matches, match_objects, object_table, split

UNIT = (1.0, 1.0, 1.0)
labels = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
    elements=st.integers(0, 4),
)


def packing(radius, overlap, balls=40, seed=1):
    """Balls of radii from 0.6 to 1 of the radius whose centres keep a distance."""
    rng = np.random.default_rng(seed)
    size = 8 * radius
    places = []
    while len(places) < balls:
        centre_A, own = (
            rng.random(3) * (size - 2 * radius - 4) + radius + 2,
            radius * rng.uniform(0.6, 1),
        )
        if all(np.linalg.norm(centre_A - c) > (own + r) * (1 - overlap) for c, r in places):
            places.append((centre_A, own))
    return np.any([ball(3 * (size,), centre_A, own) for centre_A, own in places], axis=0)


def test_examples():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("radius", "overlap"), [(5, 0), (5, 0.1), (8, 0.1), (8, 0.2)])
def test_balls_that_touch_are_counted(radius, overlap):
    phase_ZYX = packing(radius, overlap)
    label_ZYX, count = split(phase_ZYX, UNIT)
    assert count == 40
    assert np.array_equal(label_ZYX > 0, phase_ZYX)
    assert clusters(phase_ZYX)[1] < 40
    # Each object is one piece.
    assert [clusters(label_ZYX == k)[1] for k in range(1, 41, 8)] == 5 * [1]


def test_the_cut_lies_at_the_neck():
    phase_ZYX = ball((30, 30, 60), (15, 15, 16), 12) | ball((30, 30, 60), (15, 15, 36), 12)
    label_ZYX, count = split(phase_ZYX, UNIT)
    assert count == 2
    assert not (label_ZYX[:, :, :26] == label_ZYX[15, 15, 36]).any()
    assert not (label_ZYX[:, :, 27:] == label_ZYX[15, 15, 16]).any()


def test_a_neck_less_narrow_than_the_depth_is_no_cut():
    phase_ZYX = ball((30, 30, 60), (15, 15, 16), 12) | ball((30, 30, 60), (15, 15, 36), 12)
    # The neck is 12 - sqrt(12^2 - 10^2), 5.4 voxels narrower in radius.
    assert split(phase_ZYX, UNIT, depth=4.5)[1] == 2
    assert split(phase_ZYX, UNIT, depth=6)[1] == 1


@pytest.mark.parametrize("turn", range(3))
def test_long_flat_and_rough_bodies_are_one(turn):
    along_A = np.random.default_rng(turn).normal(size=3)
    along_A /= np.linalg.norm(along_A)
    grid_A = np.indices((48, 48, 48)) - 23.7
    along_ZYX = np.tensordot(along_A, grid_A, 1)
    across_ZYX = np.sqrt((grid_A**2).sum(axis=0) - along_ZYX**2)
    rod_ZYX = (abs(along_ZYX) < 20) & (across_ZYX < 5)
    disc_ZYX = (abs(along_ZYX) < 4) & (across_ZYX < 20)
    egg_ZYX = (along_ZYX / 20) ** 2 + (across_ZYX / 8) ** 2 < 1
    noise_ZYX = np.random.default_rng(turn).normal(size=rod_ZYX.shape)
    rough_ZYX = clusters(across_ZYX**2 + along_ZYX**2 < (15 + noise_ZYX) ** 2)[0] == 1
    assert [split(b, UNIT)[1] for b in (rod_ZYX, disc_ZYX, egg_ZYX, rough_ZYX)] == 4 * [1]


def test_long_voxels_split_alike():
    phase_ZYX = packing(8, 0.1)
    assert split(phase_ZYX[::2], (2, 1, 1))[1] == pytest.approx(40, abs=1)


def test_what_fills_a_volume_is_one_and_nothing_is_none():
    assert split(np.ones((3, 4, 5), bool), UNIT)[1] == 1
    label_ZYX, count = split(np.zeros((3, 4, 5), bool), UNIT)
    assert count == 0
    assert object_table(label_ZYX, count, UNIT).empty


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"depth": -1}, "depth is -1"),
        ({"smoothing": -1}, "smoothing -1"),
        ({"spacing": (1, 1, 0)}, "positive"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        split(np.zeros((3, 3, 3), bool), **{"spacing": UNIT, **arguments})


@settings(deadline=None, max_examples=60)
@given(labels, st.sampled_from([UNIT, (2.0, 0.5, 1.25)]))
def test_tables_are_those_of_regionprops(label_ZYX, spacing):
    table = object_table(label_ZYX, 4, spacing)
    assert table.label.tolist() == [1, 2, 3, 4]
    for region in regionprops(label_ZYX, spacing=spacing):
        row = table.iloc[int(region.label) - 1]
        assert row.volume == pytest.approx(region.area)
        assert row[["z", "y", "x"]].tolist() == pytest.approx(list(region.centroid))
        starts, stops = region.bbox[:3], region.bbox[3:]
        assert row[["z_start", "y_start", "x_start"]].tolist() == list(starts)
        assert row[["z_stop", "y_stop", "x_stop"]].tolist() == list(stops)
        at_face = 0 in starts or any(a == b for a, b in zip(stops, label_ZYX.shape, strict=True))
        assert row.at_face == at_face
        assert np.isnan(row.sphericity) == at_face


@settings(deadline=None, max_examples=40)
@given(labels)
def test_surfaces_are_those_of_pairs_of_neighbours(label_ZYX):
    """One object at a time, by the formula on all 26 neighbours of each of its voxels."""
    table = object_table(label_ZYX, 4, UNIT)
    length_D, share_D = direction_weights(UNIT)
    weights = dict(zip(length_D.round(9), share_D / length_D, strict=True))
    padded_ZYX = np.pad(label_ZYX, 1, constant_values=-1)
    expected = np.zeros(5)
    for place in np.argwhere(label_ZYX > 0):
        for step in np.ndindex(3, 3, 3):
            other = padded_ZYX[tuple(place + step)]
            length = round(float(np.linalg.norm(np.subtract(step, 1))), 9)
            if length and other not in (-1, label_ZYX[tuple(place)]):
                expected[label_ZYX[tuple(place)]] += 2 * weights[length]
    assert table.surface.tolist() == pytest.approx(expected[1:].tolist())


def test_slabs_give_the_table_of_the_whole(monkeypatch):
    label_ZYX, count = split(packing(5, 0.1), UNIT)
    whole = object_table(label_ZYX, count, UNIT)
    monkeypatch.setattr(module, "PLANES", 7)
    assert np.allclose(
        object_table(label_ZYX, count, UNIT).astype(float), whole.astype(float), equal_nan=True
    )


@pytest.mark.parametrize(
    ("radius", "surface", "sphericity"), [(2, 0.1, 0.06), (4, 0.03, 0.015), (8, 0.01, 0.007)]
)
def test_balls_have_their_surface_and_sphericity(radius, surface, sphericity):
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(5):
        size = 3 * (2 * radius + 7,)
        body_ZYX = ball(size, radius + 3 + rng.random(3), radius).astype(np.int32)
        rows.append(object_table(body_ZYX, 1, UNIT).iloc[0])
    assert np.mean([r.surface for r in rows]) == pytest.approx(4 * np.pi * radius**2, rel=surface)
    assert np.mean([r.sphericity for r in rows]) == pytest.approx(1, abs=sphericity)
    assert np.mean([r.equivalent_diameter for r in rows]) == pytest.approx(2 * radius, rel=0.02)


def test_a_cube_is_as_round_as_it_is():
    body_ZYX = np.zeros((30, 30, 30), np.int32)
    body_ZYX[5:25, 5:25, 5:25] = 1
    found = object_table(body_ZYX, 1, UNIT).iloc[0].sphericity
    # Directions along the grid see planes of the grid with 7% less area.
    assert found == pytest.approx((np.pi / 6) ** (1 / 3) / 0.93, abs=0.04)


def test_objects_of_a_prediction_are_matched():
    labelled_ZYX = np.zeros((4, 10, 30), np.int32)
    for k, x in enumerate((0, 10, 20)):
        labelled_ZYX[:, :, x : x + 8] = k + 1
    predicted_ZYX = np.zeros_like(labelled_ZYX)
    predicted_ZYX[:, :, 0:6] = 5  # 6 of 8 columns.
    predicted_ZYX[:, :, 10:14] = 2  # 4 of 8: a half is not enough,
    predicted_ZYX[:, :, 14:18] = 7  # nor is the other.
    predicted_ZYX[:, :, 19:30] = 9  # 8 of 11.
    found = match_objects(predicted_ZYX, labelled_ZYX)
    assert (found.predicted, found.labelled, found.matched) == (4, 3, 2)
    assert (found.split, found.merged, found.missed, found.false) == (1, 0, 0, 0)
    back = match_objects(labelled_ZYX, predicted_ZYX)
    assert (back.labelled, back.matched, back.split, back.merged) == (4, 2, 0, 2)
    assert match_objects(predicted_ZYX, labelled_ZYX, overlap=0.74).matched == 1
    with pytest.raises(InputError, match=r"overlap is 0\.4"):
        match_objects(predicted_ZYX, labelled_ZYX, overlap=0.4)


@settings(deadline=None, max_examples=60)
@given(labels, st.integers(0, 1000))
def test_matches_are_those_of_each_pair(labelled_ZYX, seed):
    predicted_ZYX = np.random.default_rng(seed).permuted(labelled_ZYX[::-1], axis=0)
    names = [set(np.unique(label)) - {0} for label in (predicted_ZYX, labelled_ZYX)]
    matched = 0
    for a in names[0]:
        for b in names[1]:
            one_ZYX, other_ZYX = predicted_ZYX == a, labelled_ZYX == b
            matched += 2 * (one_ZYX & other_ZYX).sum() > (one_ZYX | other_ZYX).sum()
    found = match_objects(predicted_ZYX, labelled_ZYX)
    assert (found.predicted, found.labelled, found.matched) == (
        len(names[0]),
        len(names[1]),
        matched,
    )
    assert match_objects(labelled_ZYX, labelled_ZYX).matched == len(names[1])
    assert found.labelled == found.matched + found.split + found.merged + found.missed
    assert found.false <= found.predicted - found.matched
    back = match_objects(labelled_ZYX, predicted_ZYX)
    assert back.matched == found.matched
    # What no other object explains is missed by one side and false of the other.
    assert back.false <= found.missed


def test_counts_add_up():
    one = Matches(3, 4, 2, 1, 0, 1, 1)
    assert one + one == Matches(6, 8, 4, 2, 0, 2, 2)
