"""The three functions that are compiled. They return sums and counts; hosts divide.

`train_step` runs on every device with a share of the batch and sums over the axis `AXIS`, so
that its result is that of one device with the whole batch.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from xseg_jax.model.losses import IGNORED, Loss
from xseg_jax.model.metrics import confusion_matrix
from xseg_jax.training.parallel import AXIS
from xseg_jax.training.state import TrainState

Augment = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
Sums = dict[str, jax.Array]
Part = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Images, labels, and each example's keys for augmentation and dropout."""


def train_step(
    state: TrainState,
    image_BHWC: jax.Array,
    label_BHW: jax.Array,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    loss: Loss,
    augment: Augment,
    seed: int,
    ema_decay: float,
    freeze_after: int | None = None,
    accumulate: int = 1,
) -> tuple[TrainState, Sums]:
    """One step of gradient descent.

    Args:
      state: before the step.
      image_BHWC: this device's share of the normalised crops, float32.
      label_BHW: class indices, uint8; 255 is ignored.
      model: the network.
      tx: the optimizer.
      loss: gives a sum and a weight.
      augment: of (keys, images, labels).
      seed: of the run; with the step it fixes all that is random.
      ema_decay: of the moving average of the parameters, which grows to it as (1 + t) / (10 + t)
        with the steps t; 0 for none.
      freeze_after: steps after which BatchNorm normalises by its running statistics, as it does in
        prediction, and keeps them (as Chen et al. 2017, arXiv:1706.05587); None for never.
      accumulate: parts that the share is taken in, one after another, to need less memory. The
        gradient is that of the whole batch; BatchNorm's statistics are those of a part.

    Returns:
      The state after the step, and the sums loss_sum, weight, correct and pixels over all
      devices.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    frozen = None if freeze_after is None else state.step >= freeze_after
    examples = label_BHW.shape[0]
    # An example's own keys: what is random does not depend on how a batch is shared out.
    example_B = jax.lax.axis_index(AXIS) * examples + jnp.arange(examples)
    augment_key_B, dropout_key_B = (
        jax.vmap(jax.random.fold_in, (None, 0))(stream, example_B)
        for stream in jax.random.split(key)
    )

    def loss_of(params: Any, batch_stats: Any, part: Part) -> tuple[jax.Array, tuple[Sums, Any]]:
        image_BHWC, label_BHW, augment_key_B, dropout_key_B = part
        image_BHWC, label_BHW = augment(augment_key_B, image_BHWC, label_BHW)
        logits_BHWK, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            image_BHWC,
            train=True,
            dropout_key_B=dropout_key_B,
            frozen=frozen,
            mutable=["batch_stats"],
        )
        loss_sum, weight = loss(logits_BHWK, label_BHW)
        valid_BHW = label_BHW != IGNORED
        correct_BHW = (jnp.argmax(logits_BHWK, axis=-1) == label_BHW) & valid_BHW
        sums = {
            "loss_sum": loss_sum,
            "weight": weight,
            "correct": jnp.sum(correct_BHW),
            "pixels": jnp.sum(valid_BHW),
        }
        # A batch of ignored pixels alone has no weight and teaches nothing.
        share = loss_sum / jnp.maximum(jax.lax.psum(weight, AXIS), 1e-6)
        return share, (sums, updated.get("batch_stats", {}))

    gradient = jax.value_and_grad(loss_of, has_aux=True)
    batch = (image_BHWC, label_BHW, augment_key_B, dropout_key_B)
    if accumulate == 1:
        (_, (sums, batch_stats)), grads = gradient(state.params, state.batch_stats, batch)
        grads, sums = jax.lax.psum((grads, sums), AXIS)
    else:

        def add_part(carry: tuple[Any, Any], part: Part) -> tuple[tuple[Any, Any], Sums]:
            batch_stats, total = carry
            (_, (sums, batch_stats)), grads = gradient(state.params, batch_stats, part)
            weight = jax.lax.psum(sums["weight"], AXIS)
            total = jax.tree.map(lambda old, new: old + weight * new, total, grads)
            return (batch_stats, total), sums

        parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), batch)
        start = (state.batch_stats, jax.tree.map(jnp.zeros_like, state.params))
        (batch_stats, total), sums_A = jax.lax.scan(add_part, start, parts)
        total, sums_A = jax.lax.psum((total, sums_A), AXIS)
        sums = jax.tree.map(lambda sum_A: jnp.sum(sum_A, axis=0), sums_A)
        grads = jax.tree.map(lambda g: g / jnp.maximum(sums["weight"], 1e-6), total)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if ema_decay:
        # Over fewer steps at first, so that a short run is no average with where it started.
        step = state.step.astype(jnp.float32)
        decay = jnp.minimum(ema_decay, (1 + step) / (10 + step))
        ema_params = optax.incremental_update(params, state.ema_params, 1 - decay)
    return TrainState(state.step + 1, params, batch_stats, opt_state, ema_params), sums


def predict_step(variables: Any, image_BHWC: jax.Array, *, model: nn.Module) -> jax.Array:
    """Class probabilities (B, H, W, K) float32 of normalised images (B, H, W, 1) float32."""
    logits_BHWK: Any = model.apply(variables, image_BHWC, train=False)
    return jax.nn.softmax(logits_BHWK).astype(jnp.float32)


def eval_step(probability_BHWK: jax.Array, label_BHW: jax.Array, *, loss: Loss) -> Sums:
    """The sums loss_sum (B,), weight (B,) and confusion (B, K, K) of each prediction."""
    classes = probability_BHWK.shape[-1]

    def sums(probability_HWK: jax.Array, label_HW: jax.Array) -> Sums:
        # Logarithms of probabilities are logits; far below any that float32 can tell from 0.
        logits_HWK = jnp.log(jnp.maximum(probability_HWK, 1e-30))
        loss_sum, weight = loss(logits_HWK[None], label_HW[None])
        confusion_KK = confusion_matrix(label_HW, jnp.argmax(probability_HWK, axis=-1), classes)
        return {"loss_sum": loss_sum, "weight": weight, "confusion": confusion_KK}

    return jax.vmap(sums)(probability_BHWK, label_BHW)
