"""Normalised training images have mean 0 and deviation 1, whatever their grey scale."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planes import fit_scales, plane

from xseg_jax.data.intensity import GreyScales, Normalizer
from xseg_jax.data.planes import Plane
from xseg_jax.errors import InputError


def images(offset=0.0, spread=1.0, dtype: Any = np.float64, count=5, seed=0):
    """Images of different sizes, each with a mean and a deviation of its own."""
    rng = np.random.default_rng(seed)
    return [
        (offset + spread * (rng.normal(rng.normal(), 1 + i, (20 + i, 30 - i)))).astype(dtype)
        for i in range(count)
    ]


CASES = [
    (100, 12, np.uint8),
    (30000, 3000, np.uint16),
    (0.0, 1.0, np.float32),
    (1e-6, 1e-7, np.float32),
    (1e4, 1.0, np.float32),
    (-1e6, 3.0, np.float32),
    (1e7, 100.0, np.float32),
]


@pytest.mark.parametrize(("offset", "spread", "dtype"), CASES)
def test_volume_against_numpy(offset, spread, dtype):
    training = images(offset, spread, dtype)
    pixels = np.concatenate([image.ravel() for image in training]).astype(np.float64)
    normalizer = Normalizer.fit(training)
    assert normalizer.mean == pytest.approx(pixels.mean(), rel=1e-12)
    assert normalizer.std == pytest.approx(pixels.std(), rel=1e-9)
    normalised = np.concatenate([normalizer(image).ravel() for image in training])
    assert normalised.dtype == np.float32
    assert abs(normalised.mean(dtype=np.float64)) < 1e-5
    assert abs(normalised.std(dtype=np.float64) - 1) < 1e-5


@settings(deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(2, 9)), min_size=1, max_size=6),
    offset=st.floats(-1e6, 1e6),
    seed=st.integers(0, 99),
)
def test_fit_does_not_depend_on_how_the_pixels_are_cut_into_images(shapes, offset, seed):
    rng = np.random.default_rng(seed)
    training = [offset + rng.normal(size=shape) for shape in shapes]
    whole = np.concatenate([image.ravel() for image in training])[None]
    one, other = Normalizer.fit(training), Normalizer.fit([whole])
    assert one.mean == pytest.approx(other.mean, rel=1e-8, abs=1e-9)
    assert one.std == pytest.approx(other.std, rel=1e-8, abs=1e-9)


def planes_of(images, scan=""):
    return [
        plane(f"s{n}", image, np.zeros(image.shape, np.uint8), n, scan)
        for n, image in enumerate(images)
    ]


@pytest.mark.parametrize(("offset", "spread", "dtype"), CASES)
def test_image_takes_each_image_s_own_statistics(offset, spread, dtype):
    grey_scales = GreyScales.fit("image", planes_of(images()), {})
    assert grey_scales == GreyScales("image", None, {})
    for item in planes_of(images(offset, spread, dtype)):
        normalised = grey_scales.input_of(item)
        assert normalised.dtype == np.float32
        assert abs(normalised.mean(dtype=np.float64)) < 1e-5
        assert abs(normalised.std(dtype=np.float64) - 1) < 1e-5


def test_crop_is_normalised_with_the_whole_image():
    (item,) = planes_of(images(50, 10)[:1])
    grey_scales = GreyScales("image")
    own, image_HW = grey_scales.of(item), item.image_HW
    np.testing.assert_array_equal(own(image_HW[3:9, 4:8]), own(image_HW)[3:9, 4:8])
    np.testing.assert_array_equal(own(image_HW)[..., None], grey_scales.input_of(item))


def test_of_keeps_the_statistics_of_the_volume():
    normalizer = Normalizer(10.0, 2.0)
    (item,) = planes_of([np.array([[8, 10, 14]], np.uint8)])
    grey_scales = GreyScales("volume", normalizer)
    assert grey_scales.of(item) is normalizer
    assert grey_scales.input_of(item).tolist() == [[[-1], [0], [2]]]


def test_a_volume_is_measured_on_all_its_planes_and_an_image_on_itself_without_neighbours():
    training = images(30000, 3000, np.uint16)
    wide = [
        Plane(one.name, np.concatenate([one.image_HWC, one.image_HWC // 2], -1)[..., [1, 0, 1]],
              one.label_HW)
        for one in planes_of(training)
    ]  # fmt: skip
    shared = GreyScales.fit("volume", wide, {"": Normalizer(0.0, 1.0)})
    assert shared.shared == Normalizer.fit(training)
    assert shared.by_scan == {}
    own = GreyScales.fit("image", wide, {})
    for item in wide:
        assert own.of(item) == Normalizer.fit([item.image_HW])
        assert own.input_of(item).shape == (*item.label_HW.shape, 3)
        np.testing.assert_array_equal(
            own.input_of(item)[..., 0], own.of(item)(item.image_HWC[..., 0])
        )


def test_constant_image_becomes_0():
    (item,) = planes_of([np.full((4, 5), 7, np.uint16)])
    assert np.unique(GreyScales("image").input_of(item)).tolist() == [0.0]


def test_images_that_can_be_gone_through_once_only():
    with pytest.raises(ValueError, match="images cannot be gone through twice; give a list"):
        Normalizer.fit(iter(images()))


def test_unknown_kind():
    with pytest.raises(
        InputError, match=r"config.data.normalize='slice': choose one of volume, scan, image"
    ):
        GreyScales.fit("slice", [], {})


@pytest.mark.parametrize("kind", ["volume", "scan", "image"])
def test_json(kind):
    scans = [*planes_of(images(), "a"), *planes_of(images(30, 2), "b")]
    grey_scales = fit_scales(kind, scans)
    text = json.dumps(grey_scales.to_json())
    again = GreyScales.from_json(json.loads(text))
    assert again == grey_scales
    assert again.kind == kind
    assert (again.shared is not None) == (kind == "volume")
    assert list(again.by_scan) == (["a", "b"] if kind == "scan" else [])
    for item in scans:
        np.testing.assert_array_equal(again.input_of(item), grey_scales.input_of(item))


def test_a_scale_without_a_usual_range_clips_nothing():
    assert Normalizer(10.0, 2.0).limits == (-np.inf, np.inf)
    assert Normalizer(10.0, 2.0).unlike(images()[0]) == ""


# One grey scale a scan


def scan_of(change, name, dtype: Any = np.float32):
    """Planes of the same sample in a scan with another gain, offset or pixel type."""
    rng = np.random.default_rng(0)
    phases_ZHW = rng.choice([2200, 3500, 4100], (4, 70, 80)) + rng.integers(-300, 300, (4, 70, 80))
    return planes_of([change(image).astype(dtype) for image in phases_ZHW], name)


POWERS = [
    (lambda x: x * 4, np.uint16),
    (lambda x: x / 8, np.float32),
    (lambda x: x * 2.0**40, np.float32),
    (lambda x: x * 2.0**-30, np.float32),
    (lambda x: x, np.float32),
]


@pytest.mark.parametrize(("change", "dtype"), POWERS)
def test_scans_with_a_gain_that_is_a_power_of_two_are_the_same_input_to_the_bit(change, dtype):
    scans = [*scan_of(lambda x: x, "a", np.uint16), *scan_of(change, "b", dtype)]
    grey_scales = fit_scales("scan", scans)
    for one, other in zip(scans[:4], scans[4:], strict=True):
        np.testing.assert_array_equal(grey_scales.input_of(one), grey_scales.input_of(other))


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda x: 0.9 * x, np.float32),
        (lambda x: x + 12000, np.uint16),
        (lambda x: 3 * x - 5000, np.float32),
        (lambda x: 1e-4 * (x - 3000), np.float32),
        (lambda x: 13 * x, np.uint16),
    ],
)
def test_scans_with_any_gain_and_offset_are_nearly_the_same_input(change, dtype):
    scans = [*scan_of(lambda x: x, "a", np.uint16), *scan_of(change, "b", dtype)]
    grey_scales = fit_scales("scan", scans)
    for one, other in zip(scans[:4], scans[4:], strict=True):
        inputs = grey_scales.input_of(one), grey_scales.input_of(other)
        np.testing.assert_allclose(*inputs, atol=1e-5)
    shared = fit_scales("volume", scans)
    assert np.abs(shared.input_of(scans[0]) - shared.input_of(scans[4])).max() > 0.1


@pytest.mark.parametrize("value", [1e9, -3.4028235e38])
def test_hot_pixels_and_no_data_do_not_decide_the_grey_scale_of_a_scan(value):
    clean, hot = scan_of(lambda x: x, "a"), scan_of(lambda x: x, "b")
    outside_HW = np.indices((70, 80)).sum(axis=0) < 40
    for item in hot:
        item.image_HW[outside_HW] = value
    grey_scales = fit_scales("scan", [*clean, *hot])
    own = grey_scales.by_scan["b"]
    inside = Normalizer.fit([item.image_HW[~outside_HW][None] for item in clean])
    assert (own.mean, own.std) == (inside.mean, inside.std)
    assert (own.low, own.high) == pytest.approx((inside.low, inside.high), rel=0.005)
    np.testing.assert_allclose(
        grey_scales.input_of(hot[0])[~outside_HW],
        grey_scales.input_of(clean[0])[~outside_HW],
        atol=0.02,
    )
    assert np.abs(grey_scales.input_of(hot[0])).max() < 25


def test_a_scan_is_normalised_with_its_own_scale_and_no_other():
    scales = {"a": Normalizer(1.0, 2.0), "b": Normalizer(5.0, 10.0)}
    grey_scales = GreyScales.fit("scan", [], scales)
    for name, expected in (("a", 12.0), ("b", 2.0)):
        item = plane("s", np.full((2, 2), 25, np.uint8), np.zeros((2, 2), np.uint8), 0, name)
        assert grey_scales.of(item) is scales[name]
        assert np.unique(grey_scales.input_of(item)).tolist() == [expected]


# Grey values far from the others

FAR = [1e4, 1e7, -3.4028235e38, 3e38]


@pytest.mark.parametrize("value", FAR)
@pytest.mark.parametrize("count", [1, 3, 15])
def test_a_few_hot_pixels_change_no_statistics(value, count):
    clean = [image.astype(np.float32) for image in images(0.35, 0.01, count=3)]
    hot = [image.copy() for image in clean]
    places = np.random.default_rng(1).choice(hot[1].size, count, replace=False)
    hot[1].flat[places] = value
    one, other = Normalizer.fit(clean), Normalizer.fit(hot)
    assert other.mean == pytest.approx(one.mean, abs=0.05 * one.std)
    assert other.std == pytest.approx(one.std, rel=0.05)
    assert other.far(hot[1]).sum() == count
    # And they are among the nearest values that are not far outside.
    assert np.abs(other(hot[1])).max() < 25


@pytest.mark.parametrize("value", [-3.4028235e38, -1e6, 1e6])
@pytest.mark.parametrize("share", [0.02, 0.21, 0.5, 0.9])
def test_no_data_around_a_sample_does_not_decide(value, share):
    rng = np.random.default_rng(0)
    clean_HW = rng.normal(0.35, 0.05, (60, 60)).astype(np.float32)
    masked_HW = clean_HW.copy()
    outside_HW = rng.random(clean_HW.shape) < share
    masked_HW[outside_HW] = value
    one, other = Normalizer.fit([clean_HW[~outside_HW][None]]), Normalizer.fit([masked_HW])
    assert other == one
    assert (other.far(masked_HW) == outside_HW).all()


@pytest.mark.parametrize(
    "grey",
    [
        [0] * 80 + [20000, 30000, 40000],  # Masked with a value near the sample's.
        [0, 255],
        [10] * 99 + [200],
        [5] * 9999 + [6],
        [0, 0, 1, 100, 101],
    ],
)
def test_grey_values_that_tell_classes_apart_stay_apart(grey):
    image_HW = np.array(grey, np.uint16)[None]
    normalised = np.unique(Normalizer.fit([image_HW])(image_HW))
    assert len(normalised) == len(set(grey))
    assert np.diff(normalised).min() > 1e-3


def test_nothing_is_clipped_where_nothing_is_far():
    rng = np.random.default_rng(0)
    phases_HW = rng.choice([22000, 35000, 41000], (200, 200), p=[0.3, 0.695, 0.005])
    image_HW = (phases_HW + rng.normal(0, 2000, phases_HW.shape)).astype(np.uint16)
    normalizer = Normalizer.fit([image_HW])
    assert not normalizer.far(image_HW).any()
    assert normalizer.std == pytest.approx(image_HW.std(), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "unlike"),
    [
        (lambda x: x, False),
        (lambda x: 0.99 * x, False),
        (lambda x: x[:20], False),
        (lambda x: x / 16, True),
        (lambda x: 0.8 * x, True),
        (lambda x: x + 8000, True),
        (lambda x: 0.5 * (x - x.mean()) + x.mean(), True),
        (lambda x: 65535 - x, True),
    ],
)
def test_an_image_with_another_grey_scale_is_unlike_training(change, unlike):
    rng = np.random.default_rng(0)
    phases_NHW = rng.choice([22000, 35000, 41000], (3, 100, 100))
    image_NHW = phases_NHW + rng.normal(0, 2000, phases_NHW.shape)
    normalizer = Normalizer.fit(image_NHW[:2].astype(np.uint16))
    said = normalizer.unlike(change(image_NHW[2]).astype(np.uint16))
    assert bool(said) == unlike
    if unlike:
        assert f"those of training {normalizer.mean:.6g} and {normalizer.std:.4g}" in said
