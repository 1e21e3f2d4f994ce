"""Agreement with the nearest training label is 1 for copies and chance for strangers."""

import numpy as np
import pytest
from planes import plane
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.data.labels import IGNORED
from xseg_jax.evaluation.leak import measure_leak


def item(label, image=None, name="s"):
    label_HW = np.array(label, np.uint8)
    image_HW = label_HW.astype(np.float32) if image is None else np.asarray(image)
    return Slice(name, image_HW, label_HW)


def random_items(count, shares=(0.5, 0.3, 0.2), shape=(64, 64), seed=0):
    rng = np.random.default_rng(seed)
    return [item(rng.choice(len(shares), shape, p=shares)) for _ in range(count)]


def test_identical_neighbours_agree_in_every_pixel():
    items = random_items(6)
    leak = measure_leak(items[:3], items[:3], [0, 10, 20], [1, 11, 21])
    assert leak["agreement"] == 1
    assert leak["nearest"] == "z"
    assert leak["smallest_distance"] == 1
    assert leak["chance"] == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.01)


def test_independent_labels_agree_by_chance():
    items = random_items(20)
    leak = measure_leak(items[:10], items[10:], range(10), range(50, 60))
    # 40960 pixels with a chance of 0.38 each: a standard deviation of 0.0024.
    assert leak["agreement"] == pytest.approx(0.38, abs=0.01)
    assert leak["chance"] == pytest.approx(0.38, abs=0.01)
    assert leak["smallest_distance"] == 41


def test_chance_by_hand():
    test = item([[0, 0, 1, 1], [0, 2, 2, 2]])
    train = item([[0, 1, 1, 2], [1, 1, 2, 0]])
    leak = measure_leak([test], [train], [3], [9])
    # Equal: places 0, 2 and 6. Shares 3, 2, 3 and 2, 4, 2 of 8.
    assert leak["agreement"] == pytest.approx(3 / 8)
    assert leak["chance"] == pytest.approx((3 * 2 + 2 * 4 + 3 * 2) / 64)
    assert leak["smallest_distance"] == 6


def test_ignored_pixels_of_either_label_do_not_count():
    test = item([[0, 0, 1, IGNORED]])
    train = item([[0, IGNORED, 0, 1]])
    leak = measure_leak([test], [train], [0], [1])
    assert leak["agreement"] == pytest.approx(1 / 2)
    assert leak["chance"] == pytest.approx(1 / 2)


def test_nothing_to_compare():
    leak = measure_leak([item([[IGNORED, 0]])], [item([[0, IGNORED]])], [0], [1])
    assert (leak["agreement"], leak["chance"]) == (None, None)
    assert leak["smallest_distance"] == 1


def test_mean_is_over_test_slices():
    same, other = item([[0, 1]]), item([[1, 0]])
    leak = measure_leak([same, same, other, same], [same], [1, 2, 3, 4], [9])
    assert leak["agreement"] == pytest.approx(3 / 4)
    leak = measure_leak([same, item([[IGNORED] * 2])], [same], [1, 2], [9])
    assert leak["agreement"] == 1


def test_nearest_by_z():
    """Each test slice is compared with the one training slice that is nearest, not the best."""
    marks = [item([[k == z for k in range(4)]]) for z in range(4)]
    # z of training: 10, 20, 30, 40; test slices at 12 and 33 equal those at 10 and 30.
    leak = measure_leak([marks[0], marks[2]], marks, [12, 33], [10, 20, 30, 40])
    assert leak["agreement"] == 1
    assert leak["smallest_distance"] == 2
    leak = measure_leak([marks[0], marks[2]], marks, [33, 12], [10, 20, 30, 40])
    assert leak["agreement"] == pytest.approx(2 / 4)
    turned = measure_leak([marks[0], marks[2]], marks[::-1], [12, 33], [40, 30, 20, 10])
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
    leak = measure_leak([near], train, test_z, train_z)
    assert leak["nearest"] == "image"
    assert leak["agreement"] == 1
    assert "smallest_distance" not in leak


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_by_image_for_every_pixel_type_and_size(dtype):
    y, x = np.mgrid[:1:64j, :1:64j]
    ramps = [(200 * ramp).astype(dtype) for ramp in (x, y, 1 - x)]
    train = [item(np.full((64, 64), k), ramp) for k, ramp in enumerate(ramps)]
    small = item(np.full((20, 30), 1), ramps[1][::3, ::2][:20, :30])
    leak = measure_leak([small], train, [None], [None] * 3)
    assert leak["agreement"] == 1


def test_different_shapes_are_compared_at_the_size_of_the_test_label():
    quarters = np.kron([[0, 1], [2, 0]], np.ones((20, 20)))
    large = np.kron([[0, 1], [2, 0]], np.ones((35, 30)))
    leak = measure_leak([item(quarters)], [item(large)], [1], [2])
    assert leak["agreement"] == 1
    assert leak["chance"] == pytest.approx(0.5**2 + 2 * 0.25**2)


def test_ignored_stays_ignored_when_resized():
    small = np.array([[0, IGNORED], [1, 0]])
    leak = measure_leak(
        [item(np.kron(np.where(small == 1, 1, 0), np.ones((30, 30))))], [item(small)], [1], [2]
    )
    assert leak["agreement"] == 1
    assert leak["chance"] == pytest.approx(4 / 9 + 1 / 9)


def test_constant_and_one_pixel_images():
    leak = measure_leak([item([[0]])], [item([[0]]), item([[1]])], [None], [None, None])
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
    leak = measure_leak(items[: counts[0]], items[counts[0] :], z[: counts[0]], z[counts[0] :])
    assert 0 <= leak["agreement"] <= 1
    assert 0 < leak["chance"] <= 1
    assert leak["nearest"] == ("z" if numbered else "image")
