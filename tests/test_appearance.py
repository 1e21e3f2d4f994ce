"""Tests of how images look, whatever their grey scale."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from xseg_jax.data.appearance import APART, Appearance
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.planes import Place, Plane

SCALES = GreyScales("image")


def plane(image_HW):
    label_HW = np.zeros(image_HW.shape, np.uint8)
    return Plane("a", image_HW[..., None].astype(np.float32), label_HW, Place("scan", 0, 0))


def look(*images):
    return Appearance.of([plane(one) for one in images], SCALES)


def texture(seed, sigma=3.0):
    """Two phases of 35 and 65%, and a little noise."""
    rng = np.random.default_rng(seed)
    field_HW = gaussian_filter(rng.normal(size=(96, 112)), sigma, mode="wrap")
    phases_HW = (field_HW > np.quantile(field_HW, 0.35)).astype(np.float64)
    return phases_HW + rng.normal(0, 0.05, phases_HW.shape)


def test_another_image_of_the_same_kind_looks_alike():
    assert look(texture(0)).unlike(look(texture(1))) == ""


@given(st.floats(0.1, 1e3), st.floats(-100, 100))
@settings(max_examples=20)
def test_gain_and_offset_change_nothing(gain, offset):
    one, other = look(texture(0)), look((texture(0) + offset) * gain)
    np.testing.assert_allclose(one.quantiles, other.quantiles, atol=2e-2)
    assert one.roughness == pytest.approx(other.roughness, rel=2e-2)


@pytest.mark.parametrize(
    "change",
    [
        lambda image_HW: -image_HW,
        lambda image_HW: gaussian_filter(image_HW, 4.0),
        lambda image_HW: image_HW + np.random.default_rng(2).normal(0, 0.5, image_HW.shape),
    ],
    ids=["inverted", "blurred", "noisy"],
)
def test_what_training_has_not_seen_is_told_with_its_numbers(change):
    told = look(change(texture(1))).unlike(look(texture(0)))
    assert told.startswith("grey values lie 0.")
    assert "times as much" in told


def test_the_distance_is_that_of_the_quantiles():
    one, other = Appearance((0.0, 1.0), 1.0), Appearance((0.0 + 0.3, 1.0 + 0.3), 1.0)
    assert one.unlike(other).startswith("grey values lie 0.30 standard deviations")
    near = Appearance((APART, 1.0), 1.0)  # Half of it on average.
    assert near.unlike(one) == ""


def test_an_image_without_any_change_is_compared_too():
    flat = look(np.ones((80, 80)))
    assert flat.roughness == 0.0
    assert look(texture(0)).unlike(flat)
    assert Appearance.from_json(json.loads(json.dumps(asdict(flat)))) == flat
