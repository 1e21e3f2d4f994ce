"""Normalised training images have mean 0 and deviation 1, whatever their grey scale."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.data.intensity import Normalizer
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
    normalizer = Normalizer.fit("volume", training)
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
    one, other = Normalizer.fit("volume", training), Normalizer.fit("volume", [whole])
    assert one.mean == pytest.approx(other.mean, rel=1e-8, abs=1e-9)
    assert one.std == pytest.approx(other.std, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(("offset", "spread", "dtype"), CASES)
def test_image_takes_each_image_s_own_statistics(offset, spread, dtype):
    normalizer = Normalizer.fit("image", images())
    assert normalizer == Normalizer(None, None)
    for image in images(offset, spread, dtype):
        own = normalizer.of(image)
        normalised = own(image)
        assert abs(normalised.mean(dtype=np.float64)) < 1e-5
        assert abs(normalised.std(dtype=np.float64) - 1) < 1e-5


def test_crop_is_normalised_with_the_whole_image():
    image = images(50, 10)[0]
    own = Normalizer().of(image)
    np.testing.assert_array_equal(own(image[3:9, 4:8]), own(image)[3:9, 4:8])


def test_of_keeps_the_statistics_of_the_volume():
    normalizer = Normalizer(10.0, 2.0)
    assert normalizer.of(np.zeros((3, 3))) is normalizer
    assert normalizer(np.array([[8, 10, 14]], np.uint8)).tolist() == [[-1, 0, 2]]


def test_constant_image_becomes_0():
    image = np.full((4, 5), 7, np.uint16)
    assert np.unique(Normalizer().of(image)(image)).tolist() == [0.0]


def test_without_statistics():
    with pytest.raises(TypeError, match=r"own statistics; call `of` with the whole image"):
        Normalizer()(np.zeros((3, 3)))


def test_unknown_kind():
    with pytest.raises(InputError, match=r"config.data.normalize='slice': choose volume or image"):
        Normalizer.fit("slice", [])


def test_json():
    normalizer = Normalizer.fit("volume", images())
    assert Normalizer(**normalizer.to_json()) == normalizer
    assert set(Normalizer().to_json().values()) == {None}
    assert Normalizer(10.0, 2.0).limits == (-np.inf, np.inf)  # Of a run that clipped nothing.


# Grey values far from the others

FAR = [1e4, 1e7, -3.4028235e38, 3e38]


@pytest.mark.parametrize("value", FAR)
@pytest.mark.parametrize("count", [1, 3, 15])
def test_a_few_hot_pixels_change_no_statistics(value, count):
    clean = [image.astype(np.float32) for image in images(0.35, 0.01, count=3)]
    hot = [image.copy() for image in clean]
    places = np.random.default_rng(1).choice(hot[1].size, count, replace=False)
    hot[1].flat[places] = value
    one, other = Normalizer.fit("volume", clean), Normalizer.fit("volume", hot)
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
    one, other = Normalizer().of(clean_HW[~outside_HW][None]), Normalizer().of(masked_HW)
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
    normalised = np.unique(Normalizer().of(image_HW)(image_HW))
    assert len(normalised) == len(set(grey))
    assert np.diff(normalised).min() > 1e-3


def test_nothing_is_clipped_where_nothing_is_far():
    rng = np.random.default_rng(0)
    phases_HW = rng.choice([22000, 35000, 41000], (200, 200), p=[0.3, 0.695, 0.005])
    image_HW = (phases_HW + rng.normal(0, 2000, phases_HW.shape)).astype(np.uint16)
    normalizer = Normalizer.fit("volume", [image_HW])
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
    normalizer = Normalizer.fit("volume", image_NHW[:2].astype(np.uint16))
    said = normalizer.unlike(change(image_NHW[2]).astype(np.uint16))
    assert bool(said) == unlike
    if unlike:
        assert f"those of training {normalizer.mean:.6g} and {normalizer.std:.4g}" in said
    assert Normalizer().unlike(image_NHW[2]) == ""  # Each image has its own scale.
