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
    assert Normalizer().to_json() == {"mean": None, "std": None}
