"""Multi-Otsu as others compute it, with the classes that fit the labels best."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planes import AS_IS, fit_scales, plane
from skimage.filters import threshold_multiotsu
from sklearn.metrics import confusion_matrix

from xseg_jax.data.intensity import GreyScales, Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place, Plane
from xseg_jax.evaluation import baselines
from xseg_jax.evaluation.baselines import Thresholds, confusions


def slices_of(
    levels: Any = (60, 130, 190), *, noise=12.0, dtype: Any = np.uint8, count=4, shape=(80, 96)
):
    """Class k is grey `levels[k]` with noise."""
    rng = np.random.default_rng(0)
    slices = []
    for z in range(count):
        label_HW = rng.integers(0, len(levels), shape).astype(np.uint8)
        grey_HW = np.array(levels)[label_HW] + noise * rng.normal(size=shape)
        if dtype != np.float32:
            grey_HW = np.rint(grey_HW).clip(0, np.iinfo(dtype).max)
        slices.append(plane(f"s{z}", grey_HW.astype(dtype), label_HW))
    return slices


def confusion(classify, slices, grey_scales):
    """Pixel counts (K, K) of all slices."""
    return confusions(classify, slices, grey_scales, len(classify.classes)).sum(axis=0)


def fit(slices, classes=3, kind="volume", grey_scales: Any = None) -> tuple[Any, Any]:
    grey_scales = grey_scales or fit_scales(kind, slices)
    return Thresholds.fit(slices, grey_scales, classes), grey_scales


@pytest.mark.parametrize(
    ("levels", "noise", "dtype"),
    [
        ((60, 190), 25, np.uint8),
        ((60, 130, 190), 12, np.uint8),
        ((9000, 30000, 42000), 2500, np.uint16),
        ((-3.0, 0.5, 2.0), 0.4, np.float32),
        ((10, 80, 150, 220), 8, np.uint8),
    ],
)
def test_thresholds_are_those_of_skimage_within_a_bin(levels, noise, dtype):
    slices = slices_of(levels, noise=noise, dtype=dtype)
    found, grey_scales = fit(slices, len(levels))
    pixels = np.concatenate([item.image_HW.ravel() for item in slices])
    bins = baselines.BINS[len(levels)]
    # In uint8 a bin is a grey value.
    pixels = pixels if dtype == np.uint8 else pixels.astype(np.float64)
    expected = threshold_multiotsu(pixels, classes=len(levels), nbins=bins)
    raw = np.array(found.thresholds) * grey_scales.shared.std + grey_scales.shared.mean
    assert (np.diff(raw) > 0).all()
    ours = [pixels[pixels < t].max() for t in raw]
    theirs = [pixels[pixels <= t].max() for t in expected]
    one_bin = 1 if dtype == np.uint8 else np.ptp(pixels) / bins
    np.testing.assert_allclose(np.subtract(ours, theirs, dtype=float), 0, atol=one_bin)
    assert found.classes == tuple(range(len(levels)))


def test_thresholds_do_not_depend_on_the_grey_scale():
    slices = slices_of(noise=15, dtype=np.float32)
    scaled = [plane(s.name, 30 * s.image_HW - 700, s.label_HW) for s in slices]
    one, other = fit(slices)[0], fit(scaled)[0]
    np.testing.assert_allclose(one.thresholds, other.thresholds, atol=0.02)


def test_hot_pixels_do_not_change_the_thresholds():
    slices = slices_of(dtype=np.float32)
    clean, grey_scales = fit(slices)
    slices[0].image_HW[0, 0] = 1e6
    for item in slices:
        item.image_HW[13, 1:5] = 1e6
    hot, _ = fit(slices, grey_scales=grey_scales)
    np.testing.assert_allclose(hot.thresholds, clean.thresholds, atol=0.05)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_classes_are_assigned_by_the_labels_not_by_brightness(order):
    levels = np.array((60, 130, 190))[list(order)]
    slices = slices_of(levels)
    found, grey_scales = fit(slices)
    assert found.classes == tuple(np.argsort(levels).tolist())
    confusion_KK = confusion(found, slices, grey_scales)
    assert np.trace(confusion_KK) / confusion_KK.sum() > 0.98


def test_each_class_is_assigned_once_even_where_one_is_most_of_every_interval():
    rng = np.random.default_rng(0)
    image_HW = rng.integers(0, 256, (64, 64), np.uint8)
    label_HW = np.zeros((64, 64), np.uint8)
    label_HW[image_HW > 240], label_HW[image_HW < 5] = 1, 2
    found, _ = fit([plane("s", image_HW, label_HW)])
    assert found.classes == (2, 0, 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2)), min_size=20, max_size=60))
def test_assignment_labels_the_most_training_pixels_right(pixels):
    image_HW, label_HW = np.array(pixels, np.uint8).T[:, None].repeat(4, 1).repeat(4, 2)
    slices = [plane("s", image_HW, label_HW)]
    found = Thresholds.fit(slices, AS_IS, 3)
    if found is None:
        assert len(np.unique(image_HW)) < 3
        return
    right = {
        classes: np.trace(confusion(Thresholds(found.thresholds, classes), slices, AS_IS))
        for classes in itertools.permutations(range(3))
    }
    assert right[found.classes] == max(right.values())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 65535), min_size=2, max_size=5, unique=True))
def test_image_without_noise_is_labelled_without_error(levels):
    slices = slices_of(levels, noise=0, dtype=np.uint16, count=1, shape=(40, 40))
    found, grey_scales = fit(slices, len(levels))
    if found is None:  # Two levels in one bin.
        assert np.diff(sorted(levels)).min() < np.ptp(levels) / baselines.BINS[len(levels)]
        return
    confusion_KK = confusion(found, slices, grey_scales)
    assert np.trace(confusion_KK) == confusion_KK.sum() == 1600


def test_prediction_of_single_values():
    thresholds = Thresholds((-1.0, 2.0), (2, 0, 1))
    values_HW = np.array([[-9, -1, -0.5, 2, 2.5, 99]], np.float32)
    assert thresholds(values_HW).tolist() == [[2, 0, 0, 1, 1, 1]]
    assert thresholds(values_HW).dtype == np.uint8


@settings(deadline=None)
@given(
    seed=st.integers(0, 999), classes=st.integers(2, 6), shape=st.tuples(*[st.integers(1, 9)] * 2)
)
def test_confusion_against_sklearn(seed, classes, shape):
    rng = np.random.default_rng(seed)
    slices = [
        plane("s", rng.normal(size=shape), rng.integers(0, classes, shape).astype(np.uint8))
        for _ in range(3)
    ]
    for item in slices:
        item.label_HW[rng.random(shape) < 0.2] = IGNORED
    normalizer = Normalizer(0.1, 2.0)
    thresholds = Thresholds(
        tuple(np.sort(rng.normal(size=classes - 1)).tolist()),
        tuple(rng.permutation(classes).tolist()),
    )
    truth = np.concatenate([item.label_HW.ravel() for item in slices])
    predicted = np.concatenate([thresholds(normalizer(item.image_HW)).ravel() for item in slices])
    valid = truth != IGNORED
    found_KK = confusion(thresholds, slices, GreyScales("volume", normalizer))
    assert found_KK.sum() == valid.sum()
    if valid.any():
        expected_KK = confusion_matrix(truth[valid], predicted[valid], labels=range(classes))
        np.testing.assert_array_equal(found_KK, expected_KK)


def test_ignored_pixels_do_not_count():
    slices = slices_of()
    marked = []
    for item in slices:
        image_HW, label_HW = item.image_HW.copy(), item.label_HW.copy()
        image_HW[:30], label_HW[:30] = 250, IGNORED
        marked.append(plane(item.name, image_HW, label_HW))
    kept = [plane(s.name, s.image_HW[30:], s.label_HW[30:]) for s in slices]
    all_marked, all_kept = (fit(items, grey_scales=AS_IS)[0] for items in (marked, kept))
    np.testing.assert_allclose(all_marked.thresholds, all_kept.thresholds, atol=2)
    assert all_marked.classes == all_kept.classes
    np.testing.assert_array_equal(
        confusion(all_kept, marked, AS_IS), confusion(all_kept, kept, AS_IS)
    )
    assert confusion(all_kept, marked, AS_IS).sum() == 4 * 50 * 96


def test_each_image_s_own_statistics():
    slices = slices_of(dtype=np.float32, count=2)
    exposed = [slices[0], plane("s1", slices[1].image_HW * 5 + 1000, slices[1].label_HW)]
    by_image, own = fit(exposed, kind="image")
    confusion_KK = confusion(by_image, exposed, own)
    assert np.trace(confusion_KK) / confusion_KK.sum() > 0.98
    by_volume, shared = fit(exposed)
    assert np.trace(confusion(by_volume, exposed, shared)) / confusion_KK.sum() < 0.8


def test_each_scan_s_own_statistics():
    slices = slices_of(dtype=np.float32)
    places = [Place("a", 0, 0), Place("a", 0, 1), Place("b", 0, 0), Place("b", 0, 1)]
    exposed = [
        Plane(
            s.name,
            (s.image_HWC * 5 + 1000 if place.scan == "b" else s.image_HWC),
            s.label_HW,
            place,
        )
        for s, place in zip(slices, places, strict=True)
    ]
    by_scan, own = fit(exposed, kind="scan")
    confusion_KK = confusion(by_scan, exposed, own)
    assert np.trace(confusion_KK) / confusion_KK.sum() > 0.98
    by_volume, shared = fit(exposed)
    assert np.trace(confusion(by_volume, exposed, shared)) / confusion_KK.sum() < 0.8


def test_neighbours_of_a_plane_do_not_count():
    slices = slices_of()
    around = [np.full_like(s.image_HW, 250) for s in slices]
    wide = [
        Plane(s.name, np.stack([out, s.image_HW, out], -1), s.label_HW)
        for s, out in zip(slices, around, strict=True)
    ]
    (alone, _), (among, grey_scales) = fit(slices), fit(wide)
    assert among == alone
    np.testing.assert_array_equal(
        confusion(among, wide, grey_scales), confusion(alone, slices, grey_scales)
    )


@pytest.mark.parametrize("classes", [0, 1, baselines.MOST_CLASSES + 1])
def test_not_defined_for_so_many_classes(classes):
    assert fit(slices_of(), classes)[0] is None


def test_not_defined_for_fewer_grey_values_than_classes():
    label_HW = np.arange(64 * 64).reshape(64, 64) % 3
    image_HW = (label_HW > 0).astype(np.uint8) * 200
    item = plane("s", image_HW, label_HW.astype(np.uint8))
    assert fit([item], 3)[0] is None
    assert fit([item], 2)[0].classes == (0, 1)


def test_not_defined_where_grey_values_fall_in_fewer_bins_than_classes():
    image_HW = np.tile(np.array([0, 1e-5, 1, 0], np.float32).repeat(4), (64, 4))
    label_HW = np.tile(np.array([0, 1, 2, 0], np.uint8).repeat(4), (64, 4))
    assert Thresholds.fit([plane("s", image_HW, label_HW)], AS_IS, 3) is None


def test_not_defined_without_labelled_pixels():
    items = [plane(s.name, s.image_HW, np.full_like(s.label_HW, IGNORED)) for s in slices_of()]
    assert fit(items)[0] is None


def test_not_defined_where_nearly_all_pixels_are_equal():
    image_HW = np.zeros((200, 200), np.uint8)
    image_HW[0, 0], image_HW[4, 4] = 10, 20
    assert fit([plane("s", image_HW, (image_HW // 10).astype(np.uint8))])[0] is None


@pytest.mark.parametrize("classes", [5, 6])
def test_many_classes(classes):
    levels = tuple(np.linspace(20, 235, classes))
    slices = slices_of(levels, noise=4)
    found, grey_scales = fit(slices, classes)
    confusion_KK = confusion(found, slices, grey_scales)
    assert found.classes == tuple(range(classes))
    assert np.trace(confusion_KK) / confusion_KK.sum() > 0.98


def test_json():
    found, _ = fit(slices_of())
    assert Thresholds(**found.to_json()) == found


def test_processes_share_the_slices_and_sum_to_the_same(monkeypatch):
    slices = slices_of(count=5)
    found, grey_scales = fit(slices)
    whole_NKK = confusions(found, slices, grey_scales, 3)
    assert whole_NKK.shape == (5, 3, 3)
    assert (whole_NKK.sum(axis=(1, 2)) == 80 * 96).all()
    parts, advanced = [], []
    for process in (0, 1):
        monkeypatch.setattr(baselines, "share_of", lambda all_, p=process: range(p, len(all_), 2))
        parts.append(confusions(found, slices, grey_scales, 3, lambda: advanced.append(1)))
    assert len(advanced) == 5
    assert not parts[0][1].any()
    np.testing.assert_array_equal(parts[0] + parts[1], whole_NKK)
