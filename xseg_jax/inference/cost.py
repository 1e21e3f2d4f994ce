"""What a network costs on this machine before it is trained: estimates, from one timed step."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from xseg_jax.inference.tiling import tile_count, tile_length
from xseg_jax.training.parallel import AXIS, Parallel
from xseg_jax.training.steps import Augment

TRAINING_COPIES = 12.0
"""Float32 numbers that XLA holds in training, in units of the channels of all levels (11 to 12.5
measured with `memory_analysis`, 4 to 6 levels)."""
PREDICTION_COPIES = 2.2
"""The same in prediction (2.0 to 2.1 measured)."""
FORWARD = 1 / 3
"""Share of a training step that its forward pass takes: the backward pass multiplies twice."""
TIMED_STEPS, TIMED_SECONDS = 5, 1.0
PROCESS_GIB = 1.4
"""JAX, TensorFlow and what else a process holds."""


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of training and of segmenting all planes.

    Attributes:
      device: that it is estimated for.
      training_minutes: without reading the data.
      training_gib: memory of the process.
      prediction_minutes: of every plane of every scan.
      prediction_gib: memory of the process.
    """

    device: str
    training_minutes: float
    training_gib: float
    prediction_minutes: float
    prediction_gib: float

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)


def floats_per_pixel(features: Sequence[int], patch: int) -> float:
    """Channels of all levels in a pixel of the input.

    Each level has a quarter of the pixels of the one above; the first has one for each patch.
    """
    return sum(channels / 4**level for level, channels in enumerate(features)) / patch**2


def seconds_per_pixel(
    model: nn.Module, parallel: Parallel, augment: Augment, *, crop: int, channels: int
) -> float:
    """Times training steps with one crop a device, after one that compiles: the fastest of a few.

    Args:
      model: whose gradient is taken; without optimizer, which costs nothing in pixels.
      parallel: devices.
      augment: of (keys, images, labels).
      crop: height and width.
      channels: of the input.
    """
    image_BHWC = np.random.default_rng(0).standard_normal(
        (len(parallel.devices), crop, crop, channels), np.float32
    )
    label_BHW = (image_BHWC[..., 0] > 0).astype(np.uint8)
    variables = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, crop, crop, channels)), train=False)
    )
    # What is multiplied does not change how long it takes, and 0 is no denormal number.
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), variables)

    def step(variables: Any, image_BHWC: jax.Array, label_BHW: jax.Array) -> jax.Array:
        key_B = jax.random.split(jax.random.key(0), len(label_BHW))
        image_BHWC, label_BHW = augment(key_B, image_BHWC, label_BHW)
        label_BHW = label_BHW.clip(max=1)  # Augmentation ignores some pixels.

        def loss_of(params: Any) -> jax.Array:
            logits_BHWK, _ = model.apply(
                variables | {"params": params},
                image_BHWC,
                train=True,
                dropout_key_B=key_B,
                mutable=["batch_stats"],
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits_BHWK, label_BHW).mean()

        grads = jax.grad(loss_of)(variables["params"])
        return jax.lax.psum(optax.global_norm(grads), AXIS)

    take = parallel.spread(step, in_axes=(None, 0, 0), sums=True)
    placed = parallel.replicate(variables)
    jax.block_until_ready(take(placed, image_BHWC, label_BHW))
    times = []
    while len(times) < TIMED_STEPS and sum(times) < TIMED_SECONDS:
        began = time.perf_counter()
        jax.block_until_ready(take(placed, image_BHWC, label_BHW))
        times.append(time.perf_counter() - began)
    return min(times) / label_BHW.size


def prediction_bytes(
    shape: Sequence[int],
    *,
    features: Sequence[int],
    patch: int,
    tile: int,
    overlap: int,
    batch_size: int,
    devices: int,
) -> float:
    """Memory of a process that segments planes, bytes.

    Args:
      shape: rows and columns of a plane.
      features, patch: of the network.
      tile, overlap, batch_size: of prediction.
      devices: that work at the same time.
    """
    tile_shape = [tile_length(length, tile, overlap) for length in shape]
    tiles = tile_count(shape[0], tile, overlap) * tile_count(shape[1], tile, overlap)
    at_once = min(tiles, batch_size) * devices * tile_shape[0] * tile_shape[1]
    held = 4 * floats_per_pixel(features, patch) * PREDICTION_COPIES * at_once
    return PROCESS_GIB * 2**30 + held


def estimate(
    seconds: float,
    parallel: Parallel,
    *,
    features: Sequence[int],
    patch: int,
    crops: int,
    crop: int,
    batch_size: int,
    validation_pixels: int,
    data_bytes: int,
    planes: int,
    shape: tuple[int, int],
    tile: int,
    overlap: int,
    inference_batch: int,
) -> Estimate:
    """From the time of a pixel to minutes and memory.

    Args:
      seconds: of `seconds_per_pixel`.
      parallel: devices.
      features, patch: of the network.
      crops: drawn in the whole training.
      crop: height and width.
      batch_size: of training.
      validation_pixels: segmented in the whole training.
      data_bytes: of the labelled planes that stay in memory.
      planes: that are segmented in prediction.
      shape: rows and columns of a plane.
      tile, overlap: of prediction.
      inference_batch: tiles that a device takes at once.
    """
    held = 4 * floats_per_pixel(features, patch) / 2**30
    tile_shape = [tile_length(length, tile, overlap) for length in shape]
    tiles = tile_count(shape[0], tile, overlap) * tile_count(shape[1], tile, overlap)
    training = seconds * (crops * crop**2 + FORWARD * validation_pixels)
    prediction = seconds * FORWARD * planes * tiles * tile_shape[0] * tile_shape[1]
    predicting = prediction_bytes(
        shape, features=features, patch=patch, tile=tile, overlap=overlap,
        batch_size=inference_batch, devices=len(parallel.devices),
    ) / 2**30  # fmt: skip
    return Estimate(
        device=f"{len(parallel.devices)} x {parallel.devices[0].device_kind}",
        training_minutes=training / 60,
        training_gib=data_bytes / 2**30
        + max(PROCESS_GIB + held * TRAINING_COPIES * batch_size * crop**2, predicting),
        prediction_minutes=prediction / 60,
        prediction_gib=predicting,
    )  # fmt: skip
