"""Losses as sums and weights over pixels, so that any grouping of examples adds up.

Every loss maps logits_BHWK, float32 or float64, and label_BHW uint8 to (sum, weight) of the same
type; the loss is their ratio. Pixels with the label 255 count nowhere.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import optax

from xseg_jax.errors import InputError

Loss = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
IGNORED = 255


def _valid_and_safe(logits_BHWK: jax.Array, label_BHW: jax.Array) -> tuple[jax.Array, jax.Array]:
    valid_BHW = label_BHW != IGNORED
    safe_BHW = jnp.where(valid_BHW, label_BHW, 0).astype(jnp.int32)
    return valid_BHW.astype(logits_BHWK.dtype), safe_BHW


def _pixel_cross_entropy(logits_BHWK: jax.Array, label_BHW: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits_BHWK, label_BHW)


def cross_entropy(
    logits_BHWK: jax.Array, label_BHW: jax.Array, *, class_weights: Sequence[float] = ()
) -> tuple[jax.Array, jax.Array]:
    """Negative log likelihood; with class weights as in Ronneberger et al. 2015, eq. 2.

    The weight of a pixel is that of its true class, in the sum and in the denominator.
    """
    weight_BHW, label_BHW = _valid_and_safe(logits_BHWK, label_BHW)
    if len(class_weights):
        weight_BHW = weight_BHW * jnp.asarray(class_weights, logits_BHWK.dtype)[label_BHW]
    loss_BHW = _pixel_cross_entropy(logits_BHWK, label_BHW)
    return jnp.sum(weight_BHW * loss_BHW), jnp.sum(weight_BHW)


def focal(
    logits_BHWK: jax.Array, label_BHW: jax.Array, *, gamma: float
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy times (1 - p)^gamma, p the probability of the true class.

    Lin et al. 2017, arXiv:1708.02002, eq. 4.
    """
    weight_BHW, label_BHW = _valid_and_safe(logits_BHWK, label_BHW)
    loss_BHW = _pixel_cross_entropy(logits_BHWK, label_BHW)
    # 1 - exp(-x) by expm1, and away from 0, where a power below 1 has no gradient.
    miss_BHW = jnp.maximum(-jnp.expm1(-loss_BHW), 1e-7)
    return jnp.sum(weight_BHW * miss_BHW**gamma * loss_BHW), jnp.sum(weight_BHW)


def dice(logits_BHWK: jax.Array, label_BHW: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One minus soft Dice, the mean over the classes present in an example.

    Milletari et al. 2016, arXiv:1606.04797, with the plain sum in the denominator. An example
    weighs as many pixels as it has labelled, so that sums add up over any grouping.
    """
    valid_BHW, label_BHW = _valid_and_safe(logits_BHWK, label_BHW)
    truth_BHWK = jax.nn.one_hot(label_BHW, logits_BHWK.shape[-1]) * valid_BHW[..., None]
    probability_BHWK = jax.nn.softmax(logits_BHWK) * valid_BHW[..., None]
    overlap_BK = jnp.sum(truth_BHWK * probability_BHWK, axis=(1, 2))
    truth_BK = jnp.sum(truth_BHWK, axis=(1, 2))
    total_BK = truth_BK + jnp.sum(probability_BHWK, axis=(1, 2))
    present_BK = truth_BK > 0
    dice_BK = jnp.where(present_BK, 2 * overlap_BK / jnp.maximum(total_BK, 1e-6), 0.0)
    dice_B = jnp.sum(dice_BK, axis=-1) / jnp.maximum(jnp.sum(present_BK, axis=-1), 1)
    pixels_B = jnp.sum(valid_BHW, axis=(1, 2))
    return jnp.sum(pixels_B * (1 - dice_B)), jnp.sum(pixels_B)


def cross_entropy_dice(logits_BHWK: jax.Array, label_BHW: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy plus soft Dice, as in nnU-Net (Isensee et al. 2021)."""
    entropy_sum, weight = cross_entropy(logits_BHWK, label_BHW)
    dice_sum, _ = dice(logits_BHWK, label_BHW)
    return entropy_sum + dice_sum, weight


LOSSES: dict[str, Callable[..., tuple[jax.Array, jax.Array]]] = {
    "cross_entropy": cross_entropy,
    "weighted_cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "cross_entropy_dice": cross_entropy_dice,
}


def make_loss(
    name: str, *, class_weights: Sequence[float], focal_gamma: float, pixels_K: Sequence[int]
) -> Loss:
    """The loss called `name`, its options bound.

    Args:
      name: a key of `LOSSES`.
      class_weights: for weighted_cross_entropy; () weighs each class by the inverse of its
        frequency in training, scaled to a mean of 1 over the classes present.
      focal_gamma: for focal.
      pixels_K: training pixels of each class.

    Raises:
      InputError: an unknown name, or weights that are not one a class or that weigh nothing.
    """
    if name not in LOSSES:
        raise InputError(f"config.loss.name={name!r}: choose one of {', '.join(LOSSES)}")
    if name == "focal":
        return partial(focal, gamma=focal_gamma)
    if name == "weighted_cross_entropy":
        if not len(class_weights):
            inverse = [1 / count if count else 0.0 for count in pixels_K]
            # With no labelled pixel at all every weight is 0, which is refused below.
            scale = sum(count > 0 for count in pixels_K) / (sum(inverse) or 1)
            class_weights = [scale * value for value in inverse]
        if len(class_weights) != len(pixels_K) or min(class_weights) < 0 or not any(class_weights):
            raise InputError(
                f"config.loss.class_weights={tuple(class_weights)}: give {len(pixels_K)} weights "
                "from 0, not all of them 0, one a class, or none"
            )
        return partial(cross_entropy, class_weights=tuple(class_weights))
    return LOSSES[name]
