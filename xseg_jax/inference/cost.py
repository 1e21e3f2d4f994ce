"""What a network costs on this machine before it is trained: estimates, from some timed steps."""

import os
import statistics
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
LEAST_STEPS, MOST_STEPS, TIMED_SECONDS = 5, 50, 4.0
"""On a busy machine steps differ: as many are timed as this time has."""
PROCESS_GIB = 1.4
"""JAX, TensorFlow and what else a process holds."""


@dataclass(frozen=True)
class Pace:
    """How long a training step takes for a pixel of its crops, seconds.

    Attributes:
      usual: the median of some steps, on the machine as busy as it is.
      free: on a free machine. Of CPUs it is the time that the process had them, shared out to the
        devices: within a quarter the same at any load (0.19 to 0.22 s where clocks say 0.2 to 0.8).
      load: processes that want to run, the mean of the last minute, where they are more than the
        cores; None where the machine is free enough.
    """

    usual: float
    free: float
    load: float | None = None


def load_above_cores() -> float | None:
    """The load average of the last minute where it is above the number of cores, or None."""
    load, _, _ = os.getloadavg()
    return load if load > (os.cpu_count() or 1) else None


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of training and of segmenting all planes.

    Attributes:
      device: that it is estimated for.
      load: of the machine while it was timed, where it is above the number of cores.
      training_minutes: without reading the data, on the machine as busy as it is.
      free_minutes: the same, on a free machine.
      training_gib: memory of the process.
      prediction_minutes: of every plane of every scan.
      prediction_gib: memory of the process.
    """

    device: str
    load: float | None
    training_minutes: float
    free_minutes: float
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


def pace_of(
    model: nn.Module, parallel: Parallel, augment: Augment, *, crop: int, channels: int
) -> Pace:
    """Times some training steps with one crop a device, after one that compiles.

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
        return jax.lax.psum(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(grads)), AXIS)

    take = parallel.spread(step, in_axes=(None, 0, 0), sums=True)
    placed = parallel.replicate(variables)
    jax.block_until_ready(take(placed, image_BHWC, label_BHW))
    times, worked = [], []
    while len(times) < LEAST_STEPS or (len(times) < MOST_STEPS and sum(times) < TIMED_SECONDS):
        began, had = time.perf_counter(), time.process_time()
        jax.block_until_ready(take(placed, image_BHWC, label_BHW))
        times.append(time.perf_counter() - began)
        worked.append(time.process_time() - had)
    pixels = label_BHW.size
    usual = statistics.median(times)
    if parallel.devices[0].platform != "cpu":  # How long it works, its process does not know.
        return Pace(usual / pixels, min(times) / pixels)
    cores = max(len(parallel.devices), os.cpu_count() or 1)
    free = min(usual, statistics.median(worked) / cores)
    return Pace(usual / pixels, free / pixels, load_above_cores())


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
    pace: Pace,
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
      pace: of `pace_of`.
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
    trained = crops * crop**2 + FORWARD * validation_pixels
    predicted = FORWARD * planes * tiles * tile_shape[0] * tile_shape[1]
    predicting = prediction_bytes(
        shape, features=features, patch=patch, tile=tile, overlap=overlap,
        batch_size=inference_batch, devices=len(parallel.devices),
    ) / 2**30  # fmt: skip
    return Estimate(
        device=f"{len(parallel.devices)} x {parallel.devices[0].device_kind}",
        load=pace.load,
        training_minutes=pace.usual * trained / 60,
        free_minutes=pace.free * trained / 60,
        training_gib=data_bytes / 2**30
        + max(PROCESS_GIB + held * TRAINING_COPIES * batch_size * crop**2, predicting),
        prediction_minutes=pace.usual * predicted / 60,
        prediction_gib=predicting,
    )  # fmt: skip
