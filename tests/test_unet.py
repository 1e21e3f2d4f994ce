import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, zoom

from xseg_jax.errors import InputError
from xseg_jax.model.unet import (
    UNet,
    check_model,
    from_patches,
    to_patches,
)

pytestmark = pytest.mark.rounding

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def shapes(model, size=32) -> Any:
    """Shapes of the variables, at no cost of compilation."""
    image_BHWC = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    return jax.eval_shape(functools.partial(model.init, train=False), KEY, image_BHWC)


def filled(model, seed=0) -> Any:
    """Variables from numpy: quicker than an initialisation that XLA has to compile."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        positive = path[-1] in ("scale", "var")
        values = rng.uniform(0.5, 1.5, leaf.shape) if positive else rng.normal(0, 0.2, leaf.shape)
        return values.astype(np.float32)

    return traverse_util.path_aware_map(fill, shapes(model))


def applied(model, variables, image_BHWC, **kwargs):
    options = {"train": False} | kwargs
    return np.asarray(jax.jit(functools.partial(model.apply, **options))(variables, image_BHWC))


SMALL = UNet(classes=3, features=(2, 4, 4))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2), st.integers(17, 300), st.integers(17, 300))
@example(1, 1, 3)
@example(1, 501, 501)
def test_any_size_gives_logits_of_that_size(batch, height, width):
    image_BHWC = jax.ShapeDtypeStruct((batch, height, width, 1), jnp.float32)
    for patch, variables in shapes_of_small().items():
        apply = functools.partial(SMALL.clone(patch=patch).apply, train=False)
        logits_BHWK = jax.eval_shape(apply, variables, image_BHWC)
        assert logits_BHWK.shape == (batch, height, width, 3)
        assert logits_BHWK.dtype == jnp.float32


@functools.cache
def shapes_of_small():
    return {patch: shapes(SMALL.clone(patch=patch)) for patch in (1, 2, 3)}


@pytest.mark.parametrize(("height", "width"), [(501, 501), (17, 30), (3, 1)])
def test_an_odd_size_is_mirrored_to_the_next_multiple_and_cropped(height, width):
    variables = filled(SMALL)
    image_BHWC = normal(1, height, width, 1)
    mirrored_BHWC = np.pad(
        image_BHWC, ((0, 0), (0, -height % 4), (0, -width % 4), (0, 0)), mode="symmetric"
    )
    logits_BHWK = applied(SMALL, variables, image_BHWC)
    expected_BHWK = applied(SMALL, variables, mirrored_BHWC)[:, :height, :width]
    assert logits_BHWK.shape == (1, height, width, 3)
    np.testing.assert_allclose(logits_BHWK, expected_BHWK, atol=1e-4)


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_patches_are_squares_of_pixels_and_come_back(patch):
    image_BHWC = normal(2, 2 * patch, 3 * patch, 2)
    patches_BHWC = np.asarray(to_patches(image_BHWC, patch))
    assert patches_BHWC.shape == (2, 2, 3, 2 * patch**2)
    last_C = image_BHWC[1, patch : 2 * patch, 2 * patch : 3 * patch].reshape(-1)
    np.testing.assert_array_equal(patches_BHWC[1, 1, 2], last_C)
    np.testing.assert_array_equal(from_patches(patches_BHWC, patch), image_BHWC)


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_a_patch_is_seen_as_one_pixel_by_the_same_network(upsample):
    # A shift by whole pixels of the lowest level shifts the logits; one within a patch does not.
    model = UNet(classes=3, features=(4, 8), patch=2, norm="none", upsample=upsample)
    variables = traverse_util.path_aware_map(
        lambda path, leaf: 0 * leaf if path[-1] == "bias" else leaf, filled(model)
    )
    image_BHWC = np.zeros((1, 96, 96, 1), np.float32)
    image_BHWC[0, 44:52, 44:52] = normal(8, 8, 1)
    logits_BHWK = applied(model, variables, image_BHWC)
    assert logits_BHWK.shape == (1, 96, 96, 3)
    by_four = applied(model, variables, np.roll(image_BHWC, 4, axis=2))
    np.testing.assert_allclose(by_four, np.roll(logits_BHWK, 4, axis=2), atol=1e-5)
    by_one = applied(model, variables, np.roll(image_BHWC, 1, axis=2))
    assert np.abs(by_one - np.roll(logits_BHWK, 1, axis=2)).max() > 0.1


def test_parameter_count_of_the_default():
    params = shapes(UNet(classes=3))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 482_483


@pytest.mark.parametrize("norm", ["none", "batch", "group", "instance"])
def test_norms_take_the_scale_of_an_image_away(norm):
    model = UNet(classes=2, features=(8, 16), norm=norm)
    variables = filled(model)
    names = set(traverse_util.flatten_dict(variables["params"], sep="/"))
    assert ("down0/conv0/bias" in names) == (norm == "none")
    assert ("down0/norm1/bias" in names) == (norm != "none")
    assert ("batch_stats" in variables) == (norm == "batch")
    if norm == "none":  # Without biases a network of convolutions and ReLUs is homogeneous.
        variables["params"] = traverse_util.path_aware_map(
            lambda path, leaf: 0 * leaf if path[-1] == "bias" else leaf, variables["params"]
        )

    @jax.jit
    def logits(image_BHWC):
        return model.apply(variables, image_BHWC, train=True, mutable=["batch_stats"])[0]

    image_BHWC = normal(2, 8, 8, 1)
    other_BHWC = np.concatenate([image_BHWC[:1], normal(1, 8, 8, 1)])
    factor = 5 if norm == "none" else 1
    logits_BHWK = logits(100 * image_BHWC)
    scale = float(jnp.abs(logits_BHWK).max())
    np.testing.assert_allclose(
        logits(500 * image_BHWC), factor * logits_BHWK, atol=1e-4 * factor * scale
    )
    # Only BatchNorm lets the examples of a batch see each other.
    change = float(jnp.abs(logits(other_BHWC)[0] - logits(image_BHWC)[0]).max())
    assert (change > 1e-3) == (norm == "batch")


def identity(model):
    """Variables that pass one positive channel through unchanged."""

    def fill(path, leaf):
        if path[-1] == "bias":
            return np.zeros(leaf.shape, np.float32)
        kernel = np.ones(leaf.shape, np.float32)
        if leaf.shape[:2] == (3, 3):
            kernel *= np.outer([0, 1, 0], [0, 1, 0])[..., None, None]
        return kernel

    return traverse_util.path_aware_map(fill, shapes(model))


def image_and_block_maxima():
    image_HW = RNG.uniform(0.1, 1, (8, 12)).astype(np.float32)
    return image_HW, image_HW.reshape(2, 4, 3, 4).max(axis=(1, 3))


def passed(image_HW, **fields):
    model = UNet(classes=1, features=(1, 1, 1), norm="none", **fields)
    return applied(model, identity(model), image_HW[None, ..., None])[0, ..., 0]


def test_without_skips_only_block_maxima_reach_the_output():
    image_HW, maxima_hw = image_and_block_maxima()
    params = shapes(UNet(classes=1, skip=False))["params"]
    assert not [p for p in traverse_util.flatten_dict(params, sep="/") if "skip" in p]
    expected_HW = np.kron(maxima_hw, np.ones((4, 4)))
    np.testing.assert_allclose(passed(image_HW, skip=False), expected_HW, rtol=1e-6)


def test_with_skips_the_output_holds_the_image_itself():
    image_HW, maxima_hw = image_and_block_maxima()
    halves_hw = image_HW.reshape(4, 2, 6, 2).max(axis=(1, 3))
    expected_HW = image_HW + np.kron(
        halves_hw + np.kron(maxima_hw, np.ones((2, 2))), np.ones((2, 2))
    )
    np.testing.assert_allclose(passed(image_HW), expected_HW, rtol=1e-6)


def test_resize_interpolates_bilinearly():
    image_HW, maxima_hw = image_and_block_maxima()
    expected_HW: Any = maxima_hw
    for _ in range(2):
        expected_HW = zoom(expected_HW, 2, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(
        passed(image_HW, skip=False, upsample="resize"), expected_HW, rtol=1e-5
    )
    params = shapes(UNet(classes=3, upsample="resize"))["params"]
    assert params["up0_sample"]["kernel"].shape == (1, 1, 32, 16)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_outside():
    image_BHWC = normal(1, 16, 16, 1)
    whole, half = (UNet(classes=3, features=(4, 8), dtype=d) for d in ("float32", "bfloat16"))
    variables = filled(whole)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes(half))} == {jnp.dtype("float32")}
    program = jax.make_jaxpr(functools.partial(half.apply, train=False))(variables, image_BHWC)
    convolutions = [
        equation.outvars[0].aval
        for equation in program.eqns
        if equation.primitive.name in ("custom_vjp_call", "dot_general")
    ]
    assert len(convolutions) == 8
    assert {one.dtype for one in convolutions} == {jnp.dtype("bfloat16")}  # pyright: ignore[reportAttributeAccessIssue]
    logits_BHWK = applied(half, variables, image_BHWC)
    assert logits_BHWK.dtype == np.float32
    expected_BHWK = applied(whole, variables, image_BHWC)
    error = np.abs(logits_BHWK - expected_BHWK).max() / np.abs(expected_BHWK).max()
    assert 1e-5 < error < 0.05


def test_remat_gives_the_same_gradients():
    image_BHWC, cotangent_BHWK = normal(2, 8, 8, 1), normal(2, 8, 8, 2)
    variables = filled(UNet(classes=2, features=(2, 4)))

    def grads(remat):
        model = UNet(classes=2, features=(2, 4), remat=remat)

        def loss(params):
            logits_BHWK, _ = model.apply(
                variables | {"params": params}, image_BHWC, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(cotangent_BHWK * logits_BHWK)

        assert ("remat" in str(jax.make_jaxpr(jax.grad(loss))(variables["params"]))) == remat
        return jax.jit(jax.grad(loss))(variables["params"])

    plain = grads(False)
    assert float(optax.tree.norm(plain)) > 1
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4), grads(True), plain)


def test_dropout_acts_in_training_only_and_by_key():
    model = UNet(classes=2, features=(8, 4), norm="none", dropout=0.5)
    variables, image_BHWC = filled(model), normal(1, 8, 8, 1)
    np.testing.assert_array_equal(
        applied(model, variables, image_BHWC),
        applied(UNet(classes=2, features=(8, 4), norm="none"), variables, image_BHWC),
    )
    draw = jax.jit(lambda k: model.apply(variables, image_BHWC, train=True, dropout_key_B=k))
    first, again, other = (np.asarray(draw(jax.random.key(k)[None])) for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_no_batch_norm_sees_what_dropout_adds():
    model = UNet(classes=2, features=(8, 4), dropout=0.5)
    variables, image_BHWC = filled(model), normal(2, 8, 8, 1)

    def statistics(model):
        return model.apply(
            variables, image_BHWC, train=True, mutable=["batch_stats"],
            dropout_key_B=jax.random.split(KEY, 2),
        )[1]  # fmt: skip

    with_dropout, without = statistics(model), statistics(model.clone(dropout=0.0))
    jax.tree.map(np.testing.assert_array_equal, with_dropout, without)


def test_dropout_needs_keys_in_training():
    model = UNet(classes=2, features=(2, 4), norm="none", dropout=0.5)
    with pytest.raises(ValueError, match="dropout_key_B"):
        model.apply(filled(model), normal(1, 8, 8, 1), train=True)


def test_initial_kernels_have_he_variance():
    model = UNet(classes=4, features=(16, 32))
    image_BHWC = jnp.zeros((1, 4, 4, 1))
    params = jax.jit(functools.partial(model.init, train=False))(KEY, image_BHWC)["params"]
    kernels = {
        name.removesuffix("/kernel"): np.asarray(leaf)
        for name, leaf in traverse_util.flatten_dict(params, sep="/").items()
        if name.endswith("kernel")
    }
    fan_in = {
        "down0/conv0": 9, "down0/conv1": 9 * 16, "bottom/conv0": 9 * 16, "bottom/conv1": 9 * 32,
        "up0_sample": 32, "up0/conv0": 9 * 32, "up0/conv1": 9 * 16, "head": 2 * 16,
    }  # fmt: skip
    assert kernels.keys() == fan_in.keys()
    for name, kernel in kernels.items():
        ratio = kernel.var() * fan_in[name] / 2
        assert abs(ratio - 1) < 5 * np.sqrt(2 / kernel.size), name
        assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size), name


VALID = {
    "features": (8, 16),
    "norm": "batch",
    "patch": 1,
    "upsample": "transposed",
    "dtype": "float32",
    "dropout": 0.0,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "layer"}, r"model\.norm='layer': choose one of none, batch, group, instance$"),
        ({"upsample": "up"}, r"model\.upsample='up': choose one of transposed, resize$"),
        (
            {"dtype": "float16"},
            r"model\.dtype='float16': choose one of auto, float32, bfloat16, float64$",
        ),
        (
            {"dtype": "float64"},
            r"model\.dtype='float64': needs JAX_ENABLE_X64=1 in the environment$",
        ),
        ({"features": ()}, r"model\.features=\(\): give channels, as in \(16, 32, 64\)$"),
        ({"features": (4, 0)}, r"model\.features=\(4, 0\): give channels"),
        (
            {"norm": "group", "features": (8, 12)},
            r"model\.features=\(8, 12\): norm='group' needs multiples of 8$",
        ),
        ({"patch": 0}, r"model\.patch=0: must be at least 1 pixel$"),
        ({"dropout": 1.0}, r"model\.dropout=1\.0: must be from 0 to below 1$"),
        ({"dropout": -0.1}, r"model\.dropout=-0\.1: must be from 0"),
    ],
)
def test_check_model_names_the_field(change, message):
    check_model(**VALID, skip=True, remat=False)
    with pytest.raises(InputError, match=message):
        check_model(**VALID | change)


def test_overfits_one_crop():
    smooth_HW = gaussian_filter(np.random.default_rng(1).standard_normal((32, 32)), 3)
    label_HW = np.digitize(smooth_HW, np.quantile(smooth_HW, (0.3, 0.7)))
    noise_HW = np.random.default_rng(2).standard_normal((32, 32))
    image_BHWC = (label_HW - 1 + 0.5 * noise_HW).astype(np.float32)[None, ..., None]
    model = UNet(classes=3, features=(8, 16))
    tx = optax.adam(1e-2)
    variables = filled(model)

    def loss_of(params, stats):
        logits_BHWK, updated = model.apply(
            {"params": params, "batch_stats": stats}, image_BHWC, train=True, mutable="batch_stats"
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(logits_BHWK, label_HW[None]).mean()
        return loss, updated["batch_stats"]

    @jax.jit
    def step(params, stats, opt_state):
        grads, stats = jax.grad(loss_of, has_aux=True)(params, stats)
        updates, opt_state = tx.update(grads, opt_state)
        return optax.apply_updates(params, updates), stats, opt_state

    opt_state = jax.jit(tx.init)(variables["params"])
    carry = variables["params"], variables["batch_stats"], opt_state
    for _ in range(120):
        carry = step(*carry)
    logits_BHWK = applied(model, {"params": carry[0], "batch_stats": carry[1]}, image_BHWC)
    assert (logits_BHWK.argmax(axis=-1)[0] == label_HW).mean() > 0.99
