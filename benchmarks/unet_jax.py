"""This project's training step as a contender, and what it costs in operations."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.timing import Run
from xseg_jax.model.losses import cross_entropy
from xseg_jax.model.unet import UNet
from xseg_jax.training.parallel import AXIS, Parallel
from xseg_jax.training.state import init_state
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


def trainer(
    *,
    batch_size: int,
    size: int,
    features: Sequence[int],
    classes: int,
    dtype: str,
    mode: str = "auto",
    devices: int = 0,
) -> Run:
    """Training steps, spread over devices as `--config.parallel.mode` says; 0 devices are all."""
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
    state = layout.replicate(init_state(model, tx, seed=0, size=size, ema_decay=0.0))
    rng = np.random.default_rng(0)
    image_BHWC = rng.normal(size=(batch_size, size, size, 1)).astype(np.float32)
    label_BHW = rng.integers(0, classes, (batch_size, size, size)).astype(np.uint8)

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = take(state, image_BHWC, label_BHW)
        jax.block_until_ready(state)

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
