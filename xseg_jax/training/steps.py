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
) -> tuple[TrainState, Sums]:
    """One step of gradient descent.

    Args:
      state: before the step.
      image_BHWC: this device's share of the normalised crops, float32.
      label_BHW: class indices, uint8; 255 is ignored.
      model: the network.
      tx: the optimizer.
      loss: gives a sum and a weight.
      augment: of (key, images, labels).
      seed: of the run; with the step it fixes all that is random.
      ema_decay: of the moving average of the parameters; 0 for none.

    Returns:
      The state after the step, and the sums loss_sum, weight, correct and pixels over all
      devices.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    augment_key, dropout_key = jax.random.split(key)
    device, examples = jax.lax.axis_index(AXIS), label_BHW.shape[0]
    dropout_key = jax.random.fold_in(dropout_key, device)
    # An example's own key: what is random does not depend on how a batch is shared out.
    example_B = device * examples + jnp.arange(examples)
    key_B = jax.vmap(jax.random.fold_in, (None, 0))(augment_key, example_B)
    image_BHWC, label_BHW = augment(key_B, image_BHWC, label_BHW)

    def loss_of(params: Any) -> tuple[jax.Array, tuple[Sums, Any]]:
        logits_BHWK, updated = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            image_BHWC,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        loss_sum, weight = loss(logits_BHWK, label_BHW)
        # A batch of ignored pixels alone has no weight and teaches nothing.
        share = loss_sum / jnp.maximum(jax.lax.psum(weight, AXIS), 1e-6)
        valid_BHW = label_BHW != IGNORED
        correct_BHW = (jnp.argmax(logits_BHWK, axis=-1) == label_BHW) & valid_BHW
        sums = {
            "loss_sum": loss_sum,
            "weight": weight,
            "correct": jnp.sum(correct_BHW),
            "pixels": jnp.sum(valid_BHW),
        }
        return share, (sums, updated.get("batch_stats", {}))

    (_, (sums, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    grads, sums = jax.lax.psum((grads, sums), AXIS)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if ema_decay:
        ema_params = optax.incremental_update(params, state.ema_params, 1 - ema_decay)
    return TrainState(state.step + 1, params, batch_stats, opt_state, ema_params), sums


def predict_step(variables: Any, image_BHWC: jax.Array, *, model: nn.Module) -> jax.Array:
    """Class probabilities (B, H, W, K) float32 of normalised images (B, H, W, 1) float32."""
    logits_BHWK: Any = model.apply(variables, image_BHWC, train=False)
    return jax.nn.softmax(logits_BHWK)


def eval_step(probability_BHWK: jax.Array, label_BHW: jax.Array, *, loss: Loss) -> Sums:
    """The sums loss_sum, weight and confusion (K, K) of predicted probabilities."""
    classes = probability_BHWK.shape[-1]
    # Logarithms of probabilities are logits; far below any probability float32 can tell from 0.
    loss_sum, weight = loss(jnp.log(jnp.maximum(probability_BHWK, 1e-30)), label_BHW)
    prediction_BHW = jnp.argmax(probability_BHWK, axis=-1)
    confusion_KK = confusion_matrix(label_BHW, prediction_BHW, classes)
    return {"loss_sum": loss_sum, "weight": weight, "confusion": confusion_KK}
