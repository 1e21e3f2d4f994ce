"""Copies leak, whatever else planes share; what all of them share is no leak."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place, Plane
from xseg_jax.data.slabs import Slabs
from xseg_jax.evaluation.leak import measure_leak, measure_leak_within


def item(label, image=None, place=None):
    label_HW = np.array(label, np.uint8)
    image_HW = label_HW.astype(np.float32) if image is None else np.asarray(image)
    return Plane("s", image_HW[..., None], label_HW, place or Place())


def at(items, numbers, scan="scan", axis=0):
    """The same planes elsewhere."""
    return [
        Plane(one.name, one.image_HWC, one.label_HW, Place(scan, axis, number))
        for one, number in zip(items, numbers, strict=True)
    ]


def leak_of(test, train, test_numbers, train_numbers):
    return measure_leak(at(test, test_numbers), at(train, train_numbers))


def random_items(count, shares=(0.5, 0.3, 0.2), shape=(64, 64), seed=0):
    rng = np.random.default_rng(seed)
    return [item(rng.choice(len(shares), shape, p=shares)) for _ in range(count)]


def test_identical_neighbours_agree_in_every_pixel():
    items = random_items(6)
    leak = leak_of(items[:3], items[:3], [0, 10, 20], [1, 11, 21])
    assert leak["agreement"] == 1
    assert leak["nearest"] == "z"
    assert leak["smallest_distance"] == 1
    assert leak["chance"] == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.01)


def test_independent_labels_agree_by_chance():
    items = random_items(20)
    leak = leak_of(items[:10], items[10:], range(10), range(50, 60))
    # 40960 pixels with a chance of 0.38 each: a standard deviation of 0.0024.
    assert leak["agreement"] == pytest.approx(0.38, abs=0.01)
    assert leak["chance"] == pytest.approx(0.38, abs=0.01)
    assert leak["smallest_distance"] == 41


def test_chance_by_hand():
    test = item([[0, 0, 1, 1], [0, 2, 2, 2]])
    train = item([[0, 1, 1, 2], [1, 1, 2, 0]])
    leak = leak_of([test], [train], [3], [9])
    # Equal: places 0, 2 and 6. Shares 3, 2, 3 and 2, 4, 2 of 8.
    assert leak["agreement"] == pytest.approx(3 / 8)
    assert leak["chance"] == pytest.approx((3 * 2 + 2 * 4 + 3 * 2) / 64)
    assert leak["smallest_distance"] == 6


def test_ignored_pixels_of_either_label_do_not_count():
    test = item([[0, 0, 1, IGNORED]])
    train = item([[0, IGNORED, 0, 1]])
    leak = leak_of([test], [train], [0], [1])
    assert leak["agreement"] == pytest.approx(1 / 2)
    assert leak["chance"] == pytest.approx(1 / 2)


def test_nothing_to_compare():
    leak = leak_of([item([[IGNORED, 0]])], [item([[0, IGNORED]])], [0], [1])
    assert (leak["agreement"], leak["chance"]) == (None, None)
    assert leak["smallest_distance"] == 1


def test_mean_is_over_test_slices():
    same, other = item([[0, 1]]), item([[1, 0]])
    leak = leak_of([same, same, other, same], [same], [1, 2, 3, 4], [9])
    assert leak["agreement"] == pytest.approx(3 / 4)
    leak = leak_of([same, item([[IGNORED] * 2])], [same], [1, 2], [9])
    assert leak["agreement"] == 1


def test_nearest_by_z():
    """Each test slice is compared with the one training slice that is nearest, not the best."""
    marks = [item([[k == z for k in range(4)]]) for z in range(4)]
    # z of training: 10, 20, 30, 40; test slices at 12 and 33 equal those at 10 and 30.
    leak = leak_of([marks[0], marks[2]], marks, [12, 33], [10, 20, 30, 40])
    assert leak["agreement"] == 1
    assert leak["smallest_distance"] == 2
    leak = leak_of([marks[0], marks[2]], marks, [33, 12], [10, 20, 30, 40])
    assert leak["agreement"] == pytest.approx(2 / 4)
    turned = leak_of([marks[0], marks[2]], marks[::-1], [12, 33], [40, 30, 20, 10])
    assert turned["agreement"] == 1


@pytest.mark.parametrize(
    ("test_z", "train_z"), [([None], [None] * 3), ([None], [1, 2, 3]), ([2], [1, 2, 3])]
)
def test_by_image_where_slices_have_no_number_of_their_own(test_z, train_z):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 64, 64))
    labels = rng.integers(0, 2, (3, 64, 64))
    train = [item(label, image) for label, image in zip(labels, images, strict=True)]
    # The same scene, exposed differently and with some noise.
    near = item(labels[2], 900 + 40 * (images[2] + 0.2 * rng.normal(size=(64, 64))))
    leak = leak_of([near], train, test_z, train_z)
    assert leak["nearest"] == "image"
    assert leak["agreement"] == 1
    assert "smallest_distance" not in leak


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_by_image_for_every_pixel_type_and_size(dtype):
    y, x = np.mgrid[:1:64j, :1:64j]
    ramps = [(200 * ramp).astype(dtype) for ramp in (x, y, 1 - x)]
    train = [item(np.full((64, 64), k), ramp) for k, ramp in enumerate(ramps)]
    small = item(np.full((20, 30), 1), ramps[1][::3, ::2][:20, :30])
    leak = leak_of([small], train, [None], [None] * 3)
    assert leak["agreement"] == 1


def test_different_shapes_are_compared_at_the_size_of_the_test_label():
    quarters = np.kron([[0, 1], [2, 0]], np.ones((20, 20)))
    large = np.kron([[0, 1], [2, 0]], np.ones((35, 30)))
    leak = leak_of([item(quarters)], [item(large)], [1], [2])
    assert leak["agreement"] == 1
    assert leak["chance"] == pytest.approx(0.5**2 + 2 * 0.25**2)


def test_ignored_stays_ignored_when_resized():
    small = np.array([[0, IGNORED], [1, 0]])
    leak = leak_of(
        [item(np.kron(np.where(small == 1, 1, 0), np.ones((30, 30))))], [item(small)], [1], [2]
    )
    assert leak["agreement"] == 1
    assert leak["chance"] == pytest.approx(4 / 9 + 1 / 9)


def test_constant_and_one_pixel_images():
    leak = leak_of([item([[0]])], [item([[0]]), item([[1]])], [None], [None, None])
    assert leak["agreement"] in (0, 1)
    assert leak["nearest"] == "image"


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 999),
    counts=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    numbered=st.booleans(),
)
def test_agreement_and_chance_are_shares(seed, counts, numbered):
    items = random_items(sum(counts), shape=(5, 6), seed=seed)
    z = list(range(len(items))) if numbered else [None] * len(items)
    leak = leak_of(items[: counts[0]], items[counts[0] :], z[: counts[0]], z[counts[0] :])
    assert 0 <= leak["agreement"] <= 1
    assert 0 < leak["chance"] <= 1
    assert leak["nearest"] == ("z" if numbered else "image")


# What planes share, and what the nearest one has beyond it.


def worry(leak):
    return leak["leak"] > leak["worry_from"]


def framed(labels):
    """Labels whose outer half is class 0 in all of them, as the air around a core is."""
    frame = np.ones((64, 64), bool)
    frame[10:54, 10:54] = False
    return [np.where(frame, 0, one) for one in labels]


def strangers(count, seed=0, shares=(0.5, 0.3, 0.2)):
    rng = np.random.default_rng(seed)
    return [rng.choice(len(shares), (64, 64), p=shares) for _ in range(count)]


@pytest.mark.parametrize("numbered", [True, False])
def test_a_frame_that_all_share_is_no_leak(numbered):
    labels = framed(strangers(24))
    rng = np.random.default_rng(1)
    items = [item(label, rng.normal(size=(64, 64))) for label in labels]
    numbers = list(range(24)) if numbered else [None] * 24
    leak = leak_of(items[:8], items[8:], numbers[:8], numbers[8:])
    # Of 4096 pixels 1936 are no frame, and agree by 0.38.
    assert leak["agreement"] == pytest.approx(1 - 0.62 * 1936 / 4096, abs=0.01)
    assert leak["leak"] == pytest.approx(0, abs=0.01)
    assert not worry(leak)
    assert leak["leak"] == leak["agreement"] - leak["typical"]


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("numbered", [True, False])
def test_planted_copies_are_a_leak(numbered, copies):
    """Up to five copies of a test image do not pass for the usual."""
    rng = np.random.default_rng(1)
    labels = framed(strangers(24))
    images = [label + 0.1 * rng.normal(size=(64, 64)) for label in labels]
    items = [item(*pair) for pair in zip(labels, images, strict=True)]
    near = [item(one.label_HW, one.image_HW + 0.1) for one in items[:6] for _ in range(copies)]
    train = [*near, *items[6:]]
    test_numbers = range(0, 60, 10) if numbered else [None] * 6
    train_numbers = (
        [10 * k + 1 for k in range(6) for _ in range(copies)] + list(range(1000, 1018))
        if numbered
        else [None] * len(train)
    )
    leak = leak_of(items[:6], train, test_numbers, train_numbers)
    assert leak["agreement"] == 1
    assert leak["leak"] == pytest.approx(0.62 * 1936 / 4096, abs=0.03)
    assert worry(leak)


def test_typical_by_hand():
    """Of four training slices the farther half is typical: at 30 and 40 for a test slice at 9."""
    test = item([[0, 0, 0, 0]])
    train = [item([[0] * n + [1] * (4 - n)]) for n in (4, 3, 2, 1)]
    leak = leak_of([test], train, [9], [10, 20, 30, 40])
    assert (leak["agreement"], leak["typical"], leak["leak"]) == (1, 3 / 8, 5 / 8)
    assert worry(leak)
    # From the other end the nearest is the strange one: less than nothing leaks.
    leak = leak_of([test], train, [41], [10, 20, 30, 40])
    assert (leak["agreement"], leak["typical"], leak["leak"]) == (1 / 4, 7 / 8, -5 / 8)
    assert not worry(leak)


def test_worry_begins_at_two_fifths_of_what_typical_ones_get_wrong():
    for more, worried in ((1, False), (2, True)):
        # Typical ones agree in 4 of 8 pixels; the nearest in 4 and `more`, of 4 that are left.
        train = [item([[0] * (4 + more) + [1] * (4 - more)]), item([[0] * 4 + [1] * 4])]
        leak = leak_of([item([[0] * 8])], train, [0], [1, 50])
        assert leak["leak"] == more / 8
        assert worry(leak) is worried


def test_one_training_slice_alone_has_nothing_beside_it():
    for numbers in ([4], [None]):
        leak = leak_of(random_items(1), random_items(1), numbers, [9])
        assert leak["agreement"] == 1
        assert (leak["typical"], leak["leak"], leak["worry_from"]) == (None, None, None)


def test_large_slices_take_no_minutes():
    """Two slices of 2048 x 2048 pixels, of forty; 40 take seconds."""
    labels = [np.random.default_rng(k).integers(0, 3, (2048, 2048), np.uint8) for k in range(4)]
    items = [item(labels[k % 4], np.zeros((1, 1))) for k in range(22)]
    began = time.process_time()
    leak = leak_of(items[:2], items[2:], range(2), range(50, 70))
    assert time.process_time() - began < 2
    assert leak["smallest_distance"] == 49


def test_within_planes_typical_are_halves_of_the_plane():
    """Stripes as wide as the gap, of a period that halves of the plane share."""
    rows = np.indices((48, 48))[0] // 6 % 2
    planes = at([item(rows)], [0])
    leak = measure_leak_within(planes, slabs(1, 6))
    # 6 apart the stripes never agree, 24 apart always.
    assert (leak["agreement"], leak["typical"], leak["leak"]) == (0, 1, -1)
    leak = measure_leak_within(planes, slabs(1, 12))
    assert (leak["agreement"], leak["leak"]) == (1, 0)
    # A gap of half the plane leaves nothing that is farther.
    assert measure_leak_within(planes, slabs(1, 24))["leak"] is None


def test_within_planes_across_the_axis_typical_are_half_of_the_planes_apart():
    marks = [item([[k == z for k in range(4)]]) for z in (0, 0, 1, 1)]
    planes = at(marks, [0, 10, 20, 30])
    leak = measure_leak_within(planes, slabs(0, 5))
    # The next: equal, half, equal. 15 away: from 0 to 20, from 10 to 30, half each.
    assert leak["agreement"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert leak["typical"] == pytest.approx(1 / 2)


# Scans, axes, and parts that share planes.


def test_the_nearest_plane_is_one_of_the_same_scan_and_axis():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (4, 9, 9))
    test = at([item(labels[0])], [5])
    train = [
        *at([item(labels[1])], [8]),
        *at([item(labels[0])], [5], scan="other"),
        *at([item(labels[0])], [6], axis=1),
        *at([item(labels[0])], [None]),
    ]
    leak = measure_leak(test, train)
    assert leak["nearest"] == "z"
    assert leak["smallest_distance"] == 3
    assert leak["agreement"] == pytest.approx((labels[0] == labels[1]).mean())
    assert measure_leak(test, train[1:2])["nearest"] == "image"


def test_one_test_plane_of_another_scan_makes_all_nearest_by_image():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(3, 40, 40)), rng.integers(0, 2, (3, 40, 40))
    one, two, three = (item(*pair) for pair in zip(labels, images, strict=True))
    train = [*at([one, two], [1, 20], scan="a"), *at([three], [1], scan="b")]
    # By number the first would be compared with the plane at 1; its image is the one at 20.
    leak = measure_leak([*at([two], [2], scan="a"), *at([three], [7], scan="c")], train)
    assert (leak["agreement"], leak["nearest"]) == (1, "image")
    assert leak["chance"] == pytest.approx(0.5, abs=0.01)
    alone = measure_leak(at([two], [2], scan="a"), train)
    assert (alone["nearest"], alone["smallest_distance"]) == ("z", 1)
    assert alone["agreement"] == pytest.approx((labels[1] == labels[0]).mean())


def test_nothing_is_tested():
    leak = measure_leak([], random_items(2))
    assert leak.pop("nearest") == "none"
    assert set(leak) == {"agreement", "typical", "leak", "worry_from", "chance"}
    assert set(leak.values()) == {None}


@pytest.mark.parametrize("value", [-3.4028235e38, 3e38, 1e9])
def test_no_data_and_hot_pixels_do_not_decide_which_image_is_nearest(value):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 64, 64)).astype(np.float32)
    train = [item(np.full((64, 64), k), image.copy()) for k, image in enumerate(images)]
    near_HW = images[2] + 0.1 * rng.normal(size=(64, 64)).astype(np.float32)
    near_HW[:9], train[0].image_HW[:9] = value, value
    leak = measure_leak([item(np.full((64, 64), 2), near_HW)], train)
    assert leak["agreement"] == 1


def slabs(axis, gap, *scans):
    """Only the axis and the gap tell how far apart labels are compared."""
    return Slabs(dict.fromkeys(scans or ("scan",), axis), {}, gap)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("across", [0, 1, 2])
def test_stripes_of_a_known_period_agree_at_multiples_of_it(axis, across):
    if axis == across:
        return
    half = 6
    stripes_ZYX = np.indices((48, 48, 48))[axis] // half % 2
    planes = at([item(stripes_ZYX.take(3, across))], [3], axis=across)
    for gap, agreement in ((half, 0), (2 * half, 1), (half // 2, 0.5), (4 * half, 1)):
        leak = measure_leak_within(planes, slabs(axis, gap))
        # Of 8 stripes the last ones have no partner.
        assert leak["agreement"] == pytest.approx(agreement, abs=0.04)
        assert leak["chance"] == pytest.approx(0.5, abs=0.02)
        assert (leak["nearest"], leak["smallest_distance"]) == ("within", gap)


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    gap=st.integers(1, 9),
    axis=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_leak_within_planes_against_a_direct_count(shape, gap, axis, seed):
    rng = np.random.default_rng(seed)
    across = [other for other in range(3) if other != axis]
    planes = [
        *at([item(rng.choice([0, 1, 2, IGNORED], shape))], [4], axis=across[0]),
        *at([item(rng.choice([0, 1, 2, IGNORED], shape))], [2], axis=across[1]),
    ]
    agreements, chances = [], []
    for one in planes:
        # Along the rows where the axis is the first of the two that the plane has.
        along_rows = axis < min({0, 1, 2} - {axis, one.place.axis})
        down, right = (gap, 0) if along_rows else (0, gap)
        pairs = [
            (int(one.label_HW[y, x]), int(one.label_HW[y + down, x + right]))
            for y in range(shape[0] - down)
            for x in range(shape[1] - right)
        ]
        pairs = [pair for pair in pairs if IGNORED not in pair]
        if pairs:
            agreements.append(sum(a == b for a, b in pairs) / len(pairs))
            chances.append(sum(a == d for a, _ in pairs for _, d in pairs) / len(pairs) ** 2)
    leak = measure_leak_within(planes, slabs(axis, gap))
    if not agreements:
        assert (leak["agreement"], leak["chance"]) == (None, None)
    else:
        assert leak["agreement"] == pytest.approx(np.mean(agreements))
        assert leak["chance"] == pytest.approx(np.mean(chances))


def test_each_scan_is_compared_along_its_own_axis():
    rows = np.indices((24, 24))[0] // 6 % 2
    planes = [*at([item(rows)], [0], "a"), *at([item(rows)], [0], "b")]
    along = Slabs({"a": 1, "b": 2}, {}, 6)
    # Along its rows the one never agrees, along its columns the other always.
    assert measure_leak_within(planes, along)["agreement"] == pytest.approx(1 / 2)
    assert measure_leak_within(planes[:1], along)["agreement"] == 0
    assert measure_leak_within(planes[1:], along)["agreement"] == 1


def test_whole_planes_are_compared_with_the_next_one_that_is_a_gap_away():
    marks = [item([[k == z for k in range(4)]]) for z in (0, 1, 0, 3)]
    planes = at(marks, [10, 12, 15, 30])
    # 10 with 15: equal; 12 with 30 and 15 with 30: two of four pixels; none is beyond 30.
    leak = measure_leak_within(planes, slabs(0, 4))
    assert leak["agreement"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert leak["smallest_distance"] == 4
    # With a gap of 2 the plane at 10 is compared with that at 12, and that with the one at 15.
    assert measure_leak_within(planes, slabs(0, 2))["agreement"] == pytest.approx(1 / 2)
    assert measure_leak_within(planes, slabs(0, 40))["agreement"] is None
