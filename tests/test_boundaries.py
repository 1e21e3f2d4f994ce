"""Boundary scores: known distances, absent classes, ignored pixels, and sums that add up."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from xseg_jax.errors import InputError
from xseg_jax.evaluation import boundaries
from xseg_jax.evaluation.boundaries import (
    BoundaryTally,
    bin_edges,
    boundary_scores,
    boundary_sums,
    hausdorff,
    macro_dice_of,
    mean_distance,
    read_sums,
    surface_dice,
    unmatched,
    write_sums,
)

NAMES = ("matrix", "object")


def square(top, left, side, shape=(60, 60)):
    label_HW = np.zeros(shape, np.uint8)
    label_HW[top : top + side, left : left + side] = 1
    return label_HW


def disc(radius, shape=(128, 128)):
    y, x = np.indices(shape) - (np.array(shape)[:, None, None] - 1) / 2
    return (np.hypot(y, x) <= radius).astype(np.uint8)


def test_the_example_is_right():
    assert doctest.testmod(boundaries, extraglobs={"np": np}).failed == 0


@pytest.mark.parametrize("shift", [1, 2, 3, 7])
def test_a_shifted_square_has_known_distances(shift):
    side = 20
    sums = boundary_sums(square(20, 20, side), square(20, 20 + shift, side), 2, tolerance=2.0)
    # Of each outline the far side is `shift` from the other, and so is the near one; along top and
    # bottom the last corners beyond the other square are 1, 2, ... from it.
    assert hausdorff(sums).tolist() == [shift, shift]
    near = min(shift, 2)
    corner = np.hypot(1, 1) / 2
    length = 4 * (side - 1) + 4 * corner
    # Corners of the outline at distance 0: all of top and bottom that both share.
    ends = [(1.0, d) for d in range(1, shift)] * 2 + [(corner, shift)] * 2
    sides = (side - 1) * 1.0 * shift
    # The near side of one is inside of the other, whose top and bottom may be nearer.
    rows = np.arange(1, side)
    inside = np.minimum(shift, np.minimum(rows, side - rows)).sum()
    total = sum(w * d for w, d in ends) + sides + inside
    assert mean_distance(sums)[1] == pytest.approx(total / length)
    outside = sum(w for w, d in ends if d > near) + (side - 1) * (shift > near)
    outside += np.count_nonzero(np.minimum(shift, np.minimum(rows, side - rows)) > near)
    assert surface_dice(sums)[1] == pytest.approx(1 - outside / length)


@pytest.mark.parametrize("further", [1, 2, 5])
def test_discs_lie_apart_by_the_difference_of_their_radii(further):
    sums = boundary_sums(disc(30), disc(30 + further), 2, tolerance=further + 1.0)
    # Corners of pixels stand up to half a diagonal off the circle.
    np.testing.assert_allclose(mean_distance(sums), further, atol=0.4)
    np.testing.assert_allclose(hausdorff(sums), further, atol=1.0)
    assert surface_dice(sums).tolist() == [1.0, 1.0]
    apart = boundary_sums(disc(30), disc(30 + further), 2, tolerance=further / 3)
    assert surface_dice(apart)[0] < 0.2
    # The marching-squares contour of a disc is some per cent longer than the circle.
    assert sums.length_XKDE[1, 0].sum() == pytest.approx(2 * np.pi * 30, rel=0.07)


def by_hand(label_HW, prediction_HW, k, spacing):
    """Places and lengths of both boundaries, corner by corner."""
    y, x = spacing
    found = []
    for image_HW in (label_HW, prediction_HW):
        places, lengths = [], []
        for r in range(1, image_HW.shape[0]):
            for c in range(1, image_HW.shape[1]):
                if (label_HW[r - 1 : r + 1, c - 1 : c + 1] == 255).any():
                    continue
                (p, q), (s, t) = image_HW[r - 1 : r + 1, c - 1 : c + 1] == k
                if p == q == s == t:
                    continue
                if p == q and s == t:
                    length = x
                elif p == s and q == t:
                    length = y
                else:
                    length = np.hypot(y, x) * (1 if p == t and q == s else 0.5)
                places.append((r * y, c * x))
                lengths.append(length)
        found.append((np.array(places).reshape(-1, 2), np.array(lengths)))
    return found


def unknown_corners(label_HW, spacing):
    padded_HW = np.pad(label_HW, 1, constant_values=255)
    h, w = label_HW.shape
    return np.array([
        (r * spacing[0], c * spacing[1])
        for r in range(h + 1) for c in range(w + 1)
        if (padded_HW[r : r + 2, c : c + 2] == 255).any()
    ])  # fmt: skip


SMALL = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=60, deadline=None)
@given(
    shape=SMALL,
    seed=st.integers(0, 10**6),
    ignored=st.sampled_from([0.0, 0.05, 1.0]),
    spacing=st.sampled_from([(1.0, 1.0), (0.5, 0.5), (2.0, 1.0), (0.3, 0.7)]),
    tolerance=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    coarse=st.booleans(),
)
def test_sums_are_those_of_corners_taken_one_by_one(
    shape, seed, ignored, spacing, tolerance, coarse
):
    rng = np.random.default_rng(seed)
    label_HW, prediction_HW = rng.integers(0, 3, (2, *shape)).astype(np.uint8)
    if coarse:
        label_HW[:, : shape[1] // 2] = label_HW[0, 0]
        prediction_HW = np.where(rng.random(shape) < 0.1, prediction_HW, label_HW)
    label_HW[rng.random(shape) < ignored] = 255
    sums = boundary_sums(label_HW, prediction_HW, 3, tolerance=tolerance, spacing=spacing)
    open_places = unknown_corners(label_HW, spacing)
    for k in range(3):
        both = by_hand(label_HW, prediction_HW, k, spacing)
        for d, (places, lengths) in enumerate(both):
            other = both[1 - d][0]
            if not len(places):
                assert sums.length_XKDE[k, d].sum() == 0
                continue
            far = np.full(len(places), np.inf)
            if len(other):
                far = cdist(places, other).min(axis=1)
            near = cdist(places, open_places).min(axis=1) <= tolerance + 1e-6
            left_out = near & (far > tolerance + 1e-6)
            assert sums.left_out_XKD[k, d] == pytest.approx(lengths[left_out].sum())
            far, lengths = far[~left_out], lengths[~left_out]
            found = np.isfinite(far)
            assert sums.distance_XKD[k, d] == pytest.approx((lengths * far)[found].sum())
            within = lengths[far <= tolerance + 1e-6].sum()
            upto = sums.edges <= tolerance
            assert sums.length_XKDE[k, d, upto].sum() == pytest.approx(within)
            assert sums.length_XKDE[k, d].sum() == pytest.approx(lengths.sum())
            assert sums.length_XKDE[k, d, -1] == pytest.approx(lengths[~found].sum())


def test_a_tree_and_a_map_of_distances_say_the_same():
    rng = np.random.default_rng(0)
    mine_cc = np.zeros((200, 200), bool)
    mine_cc[rng.integers(0, 200, 900), rng.integers(0, 200, 900)] = True
    other_cc = np.zeros((200, 200), bool)
    other_cc[rng.integers(0, 200, 90), rng.integers(0, 200, 90)] = True
    assert np.count_nonzero(mine_cc) < mine_cc.size // 16 < np.count_nonzero(~other_cc)
    for spacing in ((1.0, 1.0), (0.4, 1.1)):
        by_tree = boundaries._distances(mine_cc, other_cc, spacing)
        every = boundaries._distances(np.ones_like(mine_cc), other_cc, spacing)
        np.testing.assert_allclose(by_tree, every.reshape(200, 200)[mine_cc], rtol=1e-12)


def test_equal_segmentations_are_at_no_distance():
    label_HW = square(5, 5, 20)
    sums = boundary_sums(label_HW, label_HW, 2)
    assert surface_dice(sums).tolist() == [1, 1]
    assert hausdorff(sums).tolist() == mean_distance(sums).tolist() == [0, 0]
    assert unmatched(sums).tolist() == [0, 0]


def test_a_class_absent_in_both_counts_nowhere():
    sums = boundary_sums(square(5, 5, 20), square(5, 6, 20), 3)
    assert np.isnan(surface_dice(sums)[2])
    assert np.isnan(hausdorff(sums)[2])
    assert macro_dice_of(sums.within_XK2) == pytest.approx(surface_dice(sums)[:2].mean())
    found = boundary_scores(sums, (*NAMES, "none"))
    assert found["surface_dice"] == pytest.approx(surface_dice(sums)[0])
    row = found["per_class"]["none"]
    assert (row["surface_dice"], row["hd95"], row["length"]) == (None, None, 0)
    assert row["reason"] == "no boundary in label and prediction"


@pytest.mark.parametrize("swapped", [False, True])
def test_a_class_absent_in_one_is_infinitely_far(swapped):
    pair = [square(20, 20, 20), np.zeros((60, 60), np.uint8)]
    missed = boundary_sums(pair[swapped], pair[not swapped], 2)
    assert surface_dice(missed).tolist() == [0, 0]
    assert hausdorff(missed).tolist() == [np.inf, np.inf]
    assert unmatched(missed).tolist() == [1, 1]
    assert np.isnan(mean_distance(missed)).all()
    row = boundary_scores(missed, NAMES)["per_class"]["object"]
    assert (row["surface_dice"], row["hd95"], row["mean_distance"]) == (0, None, None)
    assert row["reason"] == "100.0% of a boundary is in planes where the other has none"
    # Beside planes where it was found it weighs as its length; 95% may still be at a distance.
    seen = boundary_sums(pair[0], pair[0], 2)
    both = missed + seen
    assert surface_dice(both)[1] == pytest.approx(2 / 3)
    assert hausdorff(both)[1] == np.inf
    many = both
    for _ in range(20):
        many = many + seen
    assert hausdorff(many)[1] == 0
    assert mean_distance(many)[1] == 0
    assert unmatched(many)[1] == pytest.approx(1 / 43)


def test_boundaries_beside_ignored_pixels_do_not_count():
    label_HW, prediction_HW = square(20, 0, 20), square(20, 0, 20)
    whole = boundary_sums(label_HW, prediction_HW, 2)
    label_HW[:, 10:] = 255
    half = boundary_sums(label_HW, prediction_HW, 2)
    # Two edges from the image's edge to the ignored part: the corners 1 to 9 of each.
    assert half.length_XKDE[1, 0].sum() == 18
    assert whole.length_XKDE[1, 0].sum() == 38 + 19 + 2 * np.hypot(1, 1) / 2
    # What is predicted there does not matter.
    prediction_HW[:, 11:] = 1 - prediction_HW[:, 11:]
    again = boundary_sums(label_HW, prediction_HW, 2)
    np.testing.assert_array_equal(again.length_XKDE, half.length_XKDE)


def test_where_the_counterpart_may_be_in_the_ignored_part_nothing_is_said():
    label_HW, prediction_HW = np.zeros((2, 40, 40), np.uint8)
    label_HW[20:] = 255
    # A boundary is predicted a pixel above the part that nobody labelled, and another far above.
    prediction_HW[18:] = 1
    prediction_HW[8:10] = 1
    found = boundary_scores(boundary_sums(label_HW, prediction_HW, 2, tolerance=2.0), NAMES)
    # Also left out are two corners at each end of the other two, within 2 pixels of the edges.
    assert found["left_out"] == pytest.approx((39 + 2 * 4) / (3 * 39))
    assert found["surface_dice"] == 0
    # With labels there, it is known to be wrong.
    label_HW[20:] = 0
    known = boundary_sums(label_HW, prediction_HW, 2, tolerance=2.0)
    assert known.left_out_XKD[1].tolist() == [0, 3 * 4]


@pytest.mark.parametrize("spacing", [(2.0, 1.0), (0.5, 3.0), (0.3, 0.3)])
def test_distances_are_in_units_of_the_spacing(spacing):
    y, x = spacing
    label_HW, along_y, along_x = np.zeros((3, 60, 60), np.uint8)
    label_HW[:30], along_y[:33] = 1, 1
    sums = boundary_sums(label_HW, along_y, 2, tolerance=3 * y, spacing=spacing)
    np.testing.assert_allclose(hausdorff(sums), 3 * y)
    np.testing.assert_allclose(mean_distance(sums), 3 * y)
    assert surface_dice(sums).tolist() == [1, 1]  # 3 * 0.3 is more than 0.9 by rounding.
    assert sums.length_XKDE[1, 0].sum() == pytest.approx(59 * x)
    label_HW[:], along_x[:, :33] = 0, 1
    label_HW[:, :30] = 1
    sums = boundary_sums(label_HW, along_x, 2, tolerance=2.9 * x, spacing=spacing)
    # Exact up to 8 of the shorter edges, and else in the bin above.
    assert (
        3 * x - 1e-9
        <= hausdorff(sums)[0]
        <= 3 * x * (1.06 if 3 * x > 8 * min(spacing) else 1) + 1e-9
    )
    assert surface_dice(sums).tolist() == [0, 0]


def test_bins_hold_every_distance_up_to_eight_pixels_and_the_tolerance():
    for tolerance, spacing in ((2.0, (1.0, 1.0)), (1.5, (0.5, 0.7)), (0.9, (0.3, 0.3))):
        edges_E = bin_edges(tolerance, spacing)
        assert edges_E[0] == 0
        assert edges_E[-1] == np.inf
        assert tolerance in edges_E
        assert (np.diff(edges_E) > 1e-9).all()
        y, x = np.indices((9, 9))
        lattice = np.hypot(y * spacing[0], x * spacing[1]).ravel()
        for distance in lattice[lattice <= 8 * min(spacing)]:
            assert np.abs(edges_E - distance).min() < 1e-8
    assert len(bin_edges(2.0)) < 200


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), planes=st.integers(1, 5))
def test_planes_add_up_in_any_order_and_grouping(seed, planes):
    rng = np.random.default_rng(seed)
    labels, predictions = rng.integers(0, 3, (2, planes, 16, 18)).astype(np.uint8)
    tally = BoundaryTally(range(planes), 3, 1.0)
    one = None
    for label_HW, prediction_HW in zip(labels, predictions, strict=True):
        tally(label_HW, prediction_HW)
        found = boundary_sums(label_HW, prediction_HW, 3, tolerance=1.0)
        one = found if one is None else one + found
    assert one is not None
    together = tally.sums().total
    np.testing.assert_allclose(together.length_XKDE, one.length_XKDE)
    np.testing.assert_allclose(together.distance_XKD, one.distance_XKD)
    np.testing.assert_allclose(hausdorff(together), hausdorff(one))
    within_K2 = tally.sums().within_XK2.sum(axis=0)
    np.testing.assert_allclose(boundaries.dice_of(within_K2), surface_dice(one))


def test_processes_that_share_the_planes_add_up(monkeypatch):
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, (2, 5, 16, 18)).astype(np.uint8)

    def seen(process, processes):
        mine = range(process, 5, processes)
        monkeypatch.setattr(boundaries, "share_of", lambda planes: mine)
        tally = BoundaryTally(range(5), 3, 1.0)
        for place in mine:
            tally(labels[place], predictions[place])
        return tally.sums()

    alone, together = seen(0, 1), seen(0, 2) + seen(1, 2)
    for one, other in zip(alone.arrays, together.arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sums_of_another_tolerance_do_not_add_up():
    blank_HW = np.zeros((9, 9), np.uint8)
    one = boundary_sums(blank_HW, blank_HW, 2, tolerance=1.0)
    with pytest.raises(ValueError, match="other tolerances"):
        _ = one + boundary_sums(blank_HW, blank_HW, 2, tolerance=2.0)


def test_what_is_written_is_read(tmp_path):
    labels = [disc(20), disc(25)]
    methods = {}
    for name, radius in (("network", 21), ("forest", 24)):
        tally = BoundaryTally(labels, 2, 1.5)
        for label_HW in labels:
            tally(label_HW, disc(radius))
        methods[name] = tally.sums()
    path = tmp_path / "boundaries.npz"
    write_sums(path, methods)
    for name, sums in methods.items():
        back = read_sums(path, name)
        assert (back.tolerance, back.spacing) == (1.5, (1.0, 1.0))
        for one, two in zip(back.arrays, sums.arrays, strict=True):
            np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match=r"boundaries\.npz: cannot be read .*bring back"):
        read_sums(path, "other")
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"boundaries\.npz: cannot be read"):
        read_sums(path, "network")
