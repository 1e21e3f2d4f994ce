"""This project's network as a contender, and what it costs in operations."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.timing import Run
from xseg_jax.data.intensity import Normalizer
from xseg_jax.inference.predict import Predictor
from xseg_jax.model.losses import cross_entropy
from xseg_jax.model.unet import UNet
from xseg_jax.training.parallel import AXIS, Parallel
from xseg_jax.training.state import init_state, run_once
from xseg_jax.training.steps import train_step


def forward_flops(features: Sequence[int], height: int, width: int, classes: int) -> int:
    """Floating-point operations of the convolutions for one image; a product and a sum are two."""
    pixels = [height * width // 4**level for level in range(len(features))]
    total = 2 * pixels[0] * features[0] * classes  # The head.
    channels = 1
    for level, here in enumerate(features):
        total += 2 * 9 * pixels[level] * here * (channels + here)
        channels = here
    for level, (here, below) in enumerate(itertools.pairwise(features)):
        total += 2 * pixels[level] * below * here  # A 2x2 transposed convolution.
        total += 2 * 9 * pixels[level] * here * (2 * here + here)
    return total


def stepper(
    *,
    batch_size: int,
    size: int,
    features: Sequence[int],
    classes: int,
    dtype: str,
    mode: str = "auto",
    devices: int = 0,
) -> Callable[[np.ndarray, np.ndarray], Any]:
    """A training step that keeps its state and does not wait.

    Args:
      batch_size: images (B, H, W, 1) float32 and labels (B, H, W) uint8 of a step.
      size: height and width.
      features: channels of each level.
      classes: of the labels.
      dtype: of the computation.
      mode: as `--config.parallel.mode`.
      devices: to spread over; 0 for all.

    Returns:
      The step; it returns sums on the devices.
    """
    if devices:
        jax.config.update("jax_num_cpu_devices", devices)
        layout = Parallel(mode, tuple(jax.devices()[:devices]))
    else:
        layout = Parallel.choose(mode, batch_size)
    model = UNet(classes=classes, features=tuple(features), dtype=dtype, axis_name=AXIS)
    tx = optax.adam(1e-3)
    step = functools.partial(
        train_step, model=model, tx=tx, loss=cross_entropy, seed=0, ema_decay=0.0,
        augment=lambda key_B, image_BHWC, label_BHW: (image_BHWC, label_BHW),
    )  # fmt: skip
    take = layout.spread(step, in_axes=(None, 0, 0), sums=True, donate=True)
    init = functools.partial(init_state, model, tx, seed=0, size=size, ema_decay=0.0)
    state = layout.replicate(run_once(init))

    def step_once(image_BHWC: np.ndarray, label_BHW: np.ndarray) -> Any:
        nonlocal state
        state, sums = take(state, image_BHWC, label_BHW)
        return sums

    return step_once


def trainer(*, batch_size: int, size: int, classes: int, **others: Any) -> Run:
    """Steps of `stepper`, all with the same random batch."""
    step = stepper(batch_size=batch_size, size=size, classes=classes, **others)
    rng = np.random.default_rng(0)
    image_BHWC = rng.normal(size=(batch_size, size, size, 1)).astype(np.float32)
    label_BHW = rng.integers(0, classes, (batch_size, size, size)).astype(np.uint8)

    def run(steps: int) -> None:
        sums = [step(image_BHWC, label_BHW) for _ in range(steps)]
        jax.block_until_ready(sums)

    return run


def predictor(
    *,
    slices: int,
    size: int,
    features: Sequence[int],
    classes: int,
    dtype: str,
    batch_size: int,
) -> Run:
    """Masks of a volume by `Predictor`, as `--mode=predict` makes them."""
    layout = Parallel.choose("auto")
    model = UNet(classes=classes, features=tuple(features), dtype=dtype)
    init = functools.partial(init_state, model, optax.adam(1e-3), seed=0, size=64, ema_decay=0.0)
    variables = layout.replicate(run_once(init).variables)
    volume_ZHW = np.random.default_rng(0).normal(size=(slices, size, size)).astype(np.float32)
    normalizer = Normalizer.fit(volume_ZHW)
    segment = Predictor(model, layout, tile=512, overlap=64, batch_size=batch_size)

    def run(count: int) -> None:
        for _ in range(count):
            images = (normalizer(image_HW)[..., None] for image_HW in volume_ZHW)
            for probability_HWK in segment(variables, images):
                probability_HWK.argmax(axis=-1).astype(np.uint8)

    return run


def matmul(*, size: int, dtype: str) -> Run:
    """Products of two square matrices, each of the last."""
    product = jax.jit(lambda a, b: (a @ b) / size)
    a: Any = jnp.ones((size, size), dtype)

    def run(count: int) -> None:
        b = a
        for _ in range(count):
            b = product(a, b)
        b.block_until_ready()

    return run
