from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.model import convolution
from xseg_jax.model.convolution import conv3x3

pytestmark = pytest.mark.rounding


def normal(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def library(x_BHWC, kernel_33CF) -> Any:
    return jax.lax.conv_general_dilated(
        x_BHWC, kernel_33CF, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def value_and_gradients(conv, x_BHWC, kernel_33CF, cotangent_BHWF):
    y_BHWF, pull = jax.vjp(conv, x_BHWC, kernel_33CF)
    return y_BHWF, *pull(cotangent_BHWF)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3, 16, 17]),
    features=st.sampled_from([1, 4, 16, 20]),
    band_bytes=st.sampled_from([1, 2000, 1 << 19]),
)
def test_values_and_gradients_are_those_of_xlas_own_convolution(
    batch, height, width, channels, features, band_bytes
):
    rng = np.random.default_rng(0)
    arguments = (
        normal(rng, batch, height, width, channels),
        normal(rng, 3, 3, channels, features),
        normal(rng, batch, height, width, features),
    )
    with mock.patch.object(convolution, "BAND_BYTES", band_bytes):
        ours = value_and_gradients(conv3x3, *arguments)
    for one, other in zip(ours, value_and_gradients(library, *arguments), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("lift", [jax.vmap, jax.checkpoint], ids=["vmap", "remat"])
def test_gradients_pass_through_what_lifts_a_step(lift):
    rng = np.random.default_rng(0)
    x_1BHWC, kernel_33CF = normal(rng, 1, 2, 4, 6, 3), normal(rng, 3, 3, 3, 5)
    one = x_1BHWC if lift is jax.vmap else x_1BHWC[0]

    def loss(conv, kernel_33CF):
        return jnp.sum(lift(lambda x: jnp.sin(conv(x, kernel_33CF)))(one))

    ours, theirs = (jax.grad(loss, 1)(conv, kernel_33CF) for conv in (conv3x3, library))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_kernels_gradient_in_bfloat16_is_summed_in_float32():
    # Each example adds 1, and bfloat16 has no 257.
    x_BHWC = jnp.ones((512, 1, 1, 1), jnp.bfloat16)
    kernel_33CF = jnp.zeros((3, 3, 1, 1), jnp.bfloat16)
    _, _, grad_33CF = value_and_gradients(conv3x3, x_BHWC, kernel_33CF, x_BHWC)
    assert grad_33CF.dtype == jnp.bfloat16
    assert float(grad_33CF[1, 1, 0, 0]) == 512


@pytest.mark.parametrize(
    ("shape", "features", "band"),
    [
        ((8, 128, 128, 16), 16, 16),  # 49 kB a row.
        ((1, 16, 16, 512), 512, 16),  # The sum of all bands is larger than an example's copies.
        ((1, 148, 148, 16), 16, 37),  # Not 10: bands are equal.
    ],
)
def test_copies_of_a_band_fill_half_a_megabyte(shape, features, band):
    grad_BHWF = jnp.ones((*shape[:3], features))
    text = jax.jit(convolution._kernel_gradient).lower(jnp.ones(shape), grad_BHWF).as_text()
    assert f"tensor<{band}x{shape[2]}x{3 * shape[3]}xf32>" in text


@pytest.mark.parametrize(("channels", "pairs"), [(16, True), (17, False)])
def test_narrow_convolutions_have_two_pixels_as_channels(channels, pairs):
    x_BHWC, kernel_33CF = jnp.ones((1, 4, 6, channels)), jnp.ones((3, 3, channels, 16))
    text = jax.jit(conv3x3).lower(x_BHWC, kernel_33CF).as_text()
    assert (f"3x4x{channels}x32xf32" in text) == pairs


def test_an_accelerator_has_xlas_own_convolution(monkeypatch):
    x_BHWC, kernel_33CF = jnp.ones((1, 4, 6, 8)), jnp.ones((3, 3, 8, 16))
    monkeypatch.setattr(convolution.jax, "default_backend", lambda: "gpu")
    assert str(jax.make_jaxpr(conv3x3)(x_BHWC, kernel_33CF)) == str(
        jax.make_jaxpr(library)(x_BHWC, kernel_33CF)
    )
