import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xseg_jax.errors import InputError
from xseg_jax.model.losses import (
    LOSSES,
    cross_entropy,
    cross_entropy_dice,
    dice,
    focal,
    make_loss,
)

pytestmark = pytest.mark.rounding

CLASS_WEIGHTS = (0.5, 1.0, 3.0)
BOUND = {
    "cross_entropy": cross_entropy,
    "weighted_cross_entropy": functools.partial(cross_entropy, class_weights=CLASS_WEIGHTS),
    "dice": dice,
    "focal": functools.partial(focal, gamma=2.0),
    "cross_entropy_dice": cross_entropy_dice,
}
every_loss = pytest.mark.parametrize("name", BOUND)


def example(seed=0, batch=2) -> Any:
    """Logits (B, 3, 4, 3) and labels with ignored pixels; no class 2 in the first example."""
    rng = np.random.default_rng(seed)
    logits_BHWK = rng.normal(0, 2, (batch, 3, 4, 3)).astype(np.float32)
    label_BHW = rng.integers(0, 3, (batch, 3, 4)).astype(np.uint8)
    label_BHW[0][label_BHW[0] == 2] = 0
    label_BHW[0, 0, :2] = label_BHW[-1, 2, 1] = 255
    return logits_BHWK, label_BHW


def softmax(logits_BHWK) -> Any:
    power_BHWK = np.exp(np.float64(logits_BHWK))
    return power_BHWK / power_BHWK.sum(axis=-1, keepdims=True)


def expected(name, logits_BHWK, label_BHW) -> Any:
    """The sum and the weight of a loss, pixel by pixel as its paper has it."""
    probability_BHWK = softmax(logits_BHWK)
    loss_sum = weight = 0.0
    for probability_HWK, label_HW in zip(probability_BHWK, label_BHW, strict=True):
        pixels = [(y, x) for y, x in np.ndindex(*label_HW.shape) if label_HW[y, x] != 255]
        truths = [label_HW[pixel] for pixel in pixels]
        right = np.array([probability_HWK[p][k] for p, k in zip(pixels, truths, strict=True)])
        soft_dice = [
            2 * sum(probability_HWK[p][k] for p, t in zip(pixels, truths, strict=True) if t == k)
            / (truths.count(k) + sum(probability_HWK[p][k] for p in pixels))
            for k in sorted(set(truths))
        ]  # fmt: skip
        weights = np.ones(len(pixels))
        if name == "weighted_cross_entropy":
            weights = np.array([CLASS_WEIGHTS[k] for k in truths])
        weight += weights.sum()
        if name == "focal":
            loss_sum += ((1 - right) ** 2 * -np.log(right)).sum()
        if "cross_entropy" in name:
            loss_sum += (weights * -np.log(right)).sum()
        if "dice" in name:
            loss_sum += len(pixels) * (1 - np.mean(soft_dice))
    return loss_sum, weight


def test_every_loss_is_tested_here():
    assert BOUND.keys() == LOSSES.keys()


@every_loss
def test_sum_and_weight_equal_the_formula(name):
    np.testing.assert_allclose(BOUND[name](*example()), expected(name, *example()), rtol=1e-5)


def three_pixels() -> Any:
    """Probabilities 3/4 and 1/4; the pixels are of class 0, class 1, and ignored."""
    probability_BHWK = np.array([[[[3, 1], [3, 1], [9, 1]]]], np.float32)
    return np.log(probability_BHWK), np.array([[[0, 1, 255]]], np.uint8)


def test_cross_entropy_by_hand():
    logits_BHWK, label_BHW = three_pixels()
    loss_sum, weight = cross_entropy(logits_BHWK, label_BHW)
    assert float(loss_sum) == pytest.approx(np.log(4 / 3) + np.log(4))
    assert float(weight) == 2
    loss_sum, weight = cross_entropy(logits_BHWK, label_BHW, class_weights=(1, 3))
    assert float(loss_sum) == pytest.approx(np.log(4 / 3) + 3 * np.log(4))
    assert float(weight) == 4


def test_focal_and_dice_by_hand():
    logits_BHWK, label_BHW = three_pixels()
    loss_sum, weight = focal(logits_BHWK, label_BHW, gamma=2.0)
    assert float(loss_sum) == pytest.approx(np.log(4 / 3) / 16 + np.log(4) * 9 / 16)
    assert float(weight) == 2
    # Class 0: 2 (3/4) / (1 + 3/2); class 1: 2 (1/4) / (1 + 1/2).
    loss_sum, weight = dice(logits_BHWK, label_BHW)
    assert float(loss_sum) == pytest.approx(2 * (1 - (0.6 + 1 / 3) / 2))
    assert float(weight) == 2


@every_loss
def test_ignored_pixels_change_nothing_and_have_no_gradient(name):
    logits_BHWK, label_BHW = example()
    ignored_BHW = label_BHW == 255
    changed_BHWK = logits_BHWK.copy()
    changed_BHWK[ignored_BHW] = 50 - changed_BHWK[ignored_BHW] ** 2
    np.testing.assert_array_equal(
        BOUND[name](logits_BHWK, label_BHW), BOUND[name](changed_BHWK, label_BHW)
    )
    gradient_BHWK = jax.grad(lambda x: BOUND[name](x, label_BHW)[0])(logits_BHWK)
    np.testing.assert_array_equal(gradient_BHWK[ignored_BHW], 0)
    assert float(jnp.abs(gradient_BHWK[~ignored_BHW]).min()) > 1e-6


@every_loss
def test_parts_of_a_batch_add_up(name):
    logits_BHWK, label_BHW = example(batch=4)
    label_BHW[2] = 255
    whole = np.array(BOUND[name](logits_BHWK, label_BHW))
    parts = [BOUND[name](logits_BHWK[s], label_BHW[s]) for s in np.s_[:1, 1:3, 3:]]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-5)


@every_loss
def test_the_gradient_equals_finite_differences(name):
    logits_BHWK, label_BHW = example()
    gradient_BHWK = jax.grad(lambda x: BOUND[name](x, label_BHW)[0])(logits_BHWK)
    direction_BHWK = np.random.default_rng(1).standard_normal(logits_BHWK.shape)
    above, below = (
        expected(name, logits_BHWK + step * direction_BHWK, label_BHW)[0] for step in (1e-5, -1e-5)
    )
    slope = float(np.sum(np.float64(gradient_BHWK) * direction_BHWK))
    assert slope == pytest.approx((above - below) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_focal_weighs_by_the_miss(gamma):
    logits_BHWK, label_BHW = example()
    loss_sum, weight = focal(logits_BHWK, label_BHW, gamma=gamma)
    entropy_sum, entropy_weight = cross_entropy(logits_BHWK, label_BHW)
    assert float(weight) == float(entropy_weight)
    if gamma == 0:
        assert float(loss_sum) == float(entropy_sum)
    else:
        assert float(loss_sum) < float(entropy_sum)
    # A power below 1 has no derivative at a miss of 0, where perfect logits are.
    right_BHWK = 200 * jax.nn.one_hot(label_BHW, 3)
    gradient_BHWK = jax.grad(lambda x: focal(x, label_BHW, gamma=gamma)[0])(right_BHWK)
    np.testing.assert_allclose(gradient_BHWK, 0, atol=1e-6)


@every_loss
def test_extreme_logits_keep_loss_and_gradient_bounded(name):
    logits_BHWK, label_BHW = example()
    extreme_BHWK = 1e4 * np.sign(logits_BHWK)
    (loss_sum, weight), pull = jax.vjp(lambda x: BOUND[name](x, label_BHW), extreme_BHWK)
    assert 0 <= float(loss_sum) <= 2.0001e4 * float(weight)
    (gradient_BHWK,) = pull((jnp.float32(1), jnp.float32(0)))
    assert float(jnp.abs(gradient_BHWK).max()) <= max(CLASS_WEIGHTS) * 2


@every_loss
def test_nothing_but_ignored_pixels_is_zero_with_no_gradient(name):
    logits_BHWK, label_BHW = example()
    label_BHW[:] = 255
    (loss_sum, weight), pull = jax.vjp(lambda x: BOUND[name](x, label_BHW), logits_BHWK)
    assert (float(loss_sum), float(weight)) == (0, 0)
    np.testing.assert_array_equal(pull((jnp.float32(1), jnp.float32(0)))[0], 0)


def test_perfect_logits_have_no_loss_and_dice_of_a_wrong_answer_is_one():
    _, label_BHW = example()
    right_BHWK = 100 * jax.nn.one_hot(label_BHW, 3)
    for loss in BOUND.values():
        loss_sum, weight = loss(right_BHWK, label_BHW)
        assert float(loss_sum) / float(weight) == pytest.approx(0, abs=1e-5)
    wrong_BHWK = 100 * jax.nn.one_hot((label_BHW + 1) % 3, 3)
    loss_sum, weight = dice(wrong_BHWK, label_BHW)
    assert float(loss_sum) / float(weight) == pytest.approx(1, abs=1e-5)


def made(name, class_weights=(), pixels_K=(60, 30, 10)):
    loss = make_loss(name, class_weights=class_weights, focal_gamma=2.0, pixels_K=pixels_K)
    return np.array(loss(*example()))


@every_loss
def test_make_loss_binds_its_options(name):
    np.testing.assert_array_equal(
        made(name, class_weights=CLASS_WEIGHTS), np.array(BOUND[name](*example()))
    )


@pytest.mark.parametrize(
    ("pixels_K", "weights"),
    [
        ((60, 30, 10), (1 / 3, 2 / 3, 2)),
        ((50, 0, 50), (1, 0, 1)),
        ((30, 0, 10), (0.5, 0, 1.5)),
    ],
)
def test_no_weights_are_inverse_frequencies_of_mean_one(pixels_K, weights):
    np.testing.assert_allclose(
        made("weighted_cross_entropy", pixels_K=pixels_K),
        np.array(cross_entropy(*example(), class_weights=weights)),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("name", "class_weights", "message"),
    [
        (
            "hinge",
            (),
            r"config\.loss\.name='hinge': choose one of cross_entropy, weighted_cross_entropy, "
            r"dice, focal, cross_entropy_dice$",
        ),
        (
            "weighted_cross_entropy",
            (1.0, 2.0),
            r"config\.loss\.class_weights=\(1\.0, 2\.0\): give 3 weights from 0, not all of them "
            r"0, one a class, or none$",
        ),
        (
            "weighted_cross_entropy",
            (1.0, -1.0, 2.0),
            r"class_weights=\(1\.0, -1\.0, 2\.0\): give 3",
        ),
        ("weighted_cross_entropy", (0.0, 0.0, 0.0), r"class_weights=\(0\.0, 0\.0, 0\.0\): give 3"),
    ],
)
def test_make_loss_names_the_field(name, class_weights, message):
    with pytest.raises(InputError, match=message):
        made(name, class_weights)


def test_training_without_a_labelled_pixel_has_no_inverse_frequencies():
    with pytest.raises(InputError, match=r"class_weights=\(0\.0, 0\.0, 0\.0\): give 3 weights"):
        made("weighted_cross_entropy", pixels_K=(0, 0, 0))
