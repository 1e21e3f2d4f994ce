"""The layers of the network, each beside its own definition or another library's."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xseg_jax.model.unet import BatchNorm, ConvBlock, UpConv, dropout, max_pool

pytestmark = pytest.mark.rounding

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def test_upconv_equals_the_transposed_convolutions_of_flax_and_jax():
    x_BHWC, kernel_C22F, bias_F = normal(2, 5, 3, 4), normal(4, 2, 2, 6), normal(6)

    def ours(x_BHWC, kernel_C22F) -> Any:
        return UpConv(6, jnp.float32).apply(
            {"params": {"kernel": kernel_C22F, "bias": bias_F}}, x_BHWC
        )

    def flax(x_BHWC, kernel_C22F) -> Any:
        # Flax correlates the spread-out input, so that its kernel is the mirror image.
        kernel_22CF = jnp.flip(kernel_C22F.transpose(1, 2, 0, 3), (0, 1))
        layer = nn.ConvTranspose(6, (2, 2), strides=(2, 2))
        return layer.apply({"params": {"kernel": kernel_22CF, "bias": bias_F}}, x_BHWC)

    def lax(x_BHWC, kernel_C22F):
        kernel_22FC = kernel_C22F.transpose(1, 2, 3, 0)
        return bias_F + jax.lax.conv_transpose(
            x_BHWC, kernel_22FC, (2, 2), "VALID", transpose_kernel=True
        )

    y_BHWF = ours(x_BHWC, kernel_C22F)
    assert y_BHWF.shape == (2, 10, 6, 6)
    cotangent_BHWF = normal(*y_BHWF.shape)
    grads = jax.vjp(ours, x_BHWC, kernel_C22F)[1](cotangent_BHWF)
    for other in (flax, lax):
        np.testing.assert_allclose(y_BHWF, other(x_BHWC, kernel_C22F), atol=1e-5)
        other_grads = jax.vjp(other, x_BHWC, kernel_C22F)[1](cotangent_BHWF)
        for grad, other_grad in zip(grads, other_grads, strict=True):
            np.testing.assert_allclose(grad, other_grad, atol=1e-4)


@pytest.mark.parametrize("before", [lambda x: x, nn.relu], ids=["distinct", "zeros of a relu"])
def test_max_pool_equals_flax(before):
    # Ties at the zeros of a ReLU share a gradient that the ReLU then stops.
    x_BHWC, cotangent_BHWC = normal(2, 8, 6, 3), normal(2, 4, 3, 3)
    ours, pull = jax.vjp(lambda x: max_pool(before(x)), x_BHWC)
    theirs, pull_theirs = jax.vjp(lambda x: nn.max_pool(before(x), (2, 2), (2, 2)), x_BHWC)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(pull(cotangent_BHWC)[0], pull_theirs(cotangent_BHWC)[0])


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_flax(train):
    rng = np.random.default_rng(0)
    x_BHWC = jnp.asarray(rng.normal(2.0, 3.0, (4, 6, 5, 3)), jnp.float32)
    weight_BHWC = jnp.asarray(rng.normal(size=x_BHWC.shape), jnp.float32)
    ours = BatchNorm(dtype=jnp.float32, axis_name=None, train=train)
    theirs = nn.BatchNorm(use_running_average=not train, momentum=0.9)
    params = {"scale": jnp.array([0.5, 1.0, 2.0]), "bias": jnp.array([1.0, 0.0, -1.0])}
    stats = {"mean": jnp.array([0.1, 2.0, 1.0]), "var": jnp.array([1.0, 9.0, 4.0])}

    def loss(module, x_BHWC, params):
        variables = {"params": params, "batch_stats": stats}
        y_BHWC, updated = module.apply(variables, x_BHWC, mutable=["batch_stats"])
        return jnp.sum(weight_BHWC * y_BHWC**2), updated

    results = [
        jax.value_and_grad(functools.partial(loss, module), (0, 1), has_aux=True)(x_BHWC, params)
        for module in (ours, theirs)
    ]
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_trains_as_it_predicts(frozen):
    rng = np.random.default_rng(0)
    x_BHWC = jnp.asarray(rng.normal(2.0, 3.0, (4, 6, 5, 3)), jnp.float32)
    variables = {
        "params": {"scale": jnp.array([0.5, 1.0, 2.0]), "bias": jnp.array([1.0, 0.0, -1.0])},
        "batch_stats": {"mean": jnp.array([0.1, 2.0, 1.0]), "var": jnp.array([1.3, 9.0, 4.0])},
    }
    training, predicting = (
        BatchNorm(dtype=jnp.float32, axis_name=None, train=train) for train in (True, False)
    )
    y_BHWC, updated = jax.jit(functools.partial(training.apply, mutable=["batch_stats"]))(
        variables, x_BHWC, frozen=jnp.bool_(frozen)
    )
    as_predicted = np.array_equal(y_BHWC, jax.jit(predicting.apply)(variables, x_BHWC))
    kept = [np.array_equal(a, b) for a, b in zip(
        jax.tree.leaves(updated), jax.tree.leaves(variables["batch_stats"]), strict=True
    )]  # fmt: skip
    assert (as_predicted, *kept) == (frozen,) * 3


def test_a_block_convolves_adds_a_bias_and_rectifies_twice():
    x_BHWC = normal(2, 6, 7, 3)
    params = {
        "conv0": {"kernel": normal(3, 3, 3, 4), "bias": normal(4)},
        "conv1": {"kernel": normal(3, 3, 4, 4), "bias": normal(4)},
    }
    block: Any = ConvBlock(4, norm="none", dtype=jnp.float32, axis_name=None, train=True)
    expected_BHWC: Any = x_BHWC
    for layer in params.values():
        expected_BHWC = nn.relu(nn.Conv(4, (3, 3)).apply({"params": layer}, expected_BHWC))
    np.testing.assert_allclose(block.apply({"params": params}, x_BHWC), expected_BHWC, atol=1e-4)


def test_dropout_zeroes_its_rate_and_keeps_the_mean():
    y_BHWC = dropout(jnp.ones((4, 32, 32, 8)), jax.random.split(KEY, 4), 0.25)
    values, counts = np.unique(np.asarray(y_BHWC), return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose(counts / counts.sum(), [0.25, 0.75], atol=0.015)


def test_a_dropout_mask_is_of_its_example_s_key_alone():
    key_B = jax.random.split(KEY, 4)
    x_BHWC = jnp.ones((4, 8, 8, 2))
    whole_BHWC = dropout(x_BHWC, key_B, 0.5)
    np.testing.assert_array_equal(dropout(x_BHWC[2:], key_B[2:], 0.5), whole_BHWC[2:])
    assert (whole_BHWC[0] != whole_BHWC[1]).any()
