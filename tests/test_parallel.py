"""A step on several devices is the step on one."""

import functools

import jax
import numpy as np
import optax
import pytest

from xseg_jax.model.augment import augment
from xseg_jax.model.losses import cross_entropy_dice
from xseg_jax.model.unet import UNet
from xseg_jax.training.parallel import AXIS, devices_for, replicate, spread
from xseg_jax.training.state import init_state
from xseg_jax.training.steps import train_step

MAGNITUDES = dict.fromkeys(
    ("brightness", "contrast", "gamma", "noise", "blur", "scale", "rotation"), 0.0
)


def one_step(devices, norm, batch_BHWC, label_BHW):
    model = UNet(classes=3, features=(4, 8), norm=norm, axis_name=AXIS)
    # Plain descent: Adam divides by the gradient, and would make rounding look like a difference.
    tx = optax.sgd(0.1)
    step = functools.partial(
        train_step, model=model, tx=tx, loss=cross_entropy_dice, seed=0, ema_decay=0.9,
        augment=functools.partial(
            augment, flip=True, rotate90=True, **MAGNITUDES | {"brightness": 0.1, "noise": 0.1}
        ),
    )  # fmt: skip
    state = init_state(model, tx, seed=0, size=16, ema_decay=0.9)
    take = spread(step, devices, batched=2, sums=True)
    return jax.device_get(take(replicate(state, devices), batch_BHWC, label_BHW))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_four_devices_take_the_step_of_one(norm):
    rng = np.random.default_rng(0)
    batch_BHWC = rng.normal(size=(4, 16, 16, 1)).astype(np.float32)
    label_BHW = rng.integers(0, 3, (4, 16, 16)).astype(np.uint8)
    label_BHW[0, :8] = 255  # Devices weigh differently.
    results = [one_step(jax.devices()[:n], norm, batch_BHWC, label_BHW) for n in (1, 4)]
    (one, sums_one), (four, sums_four) = results
    for key, value in sums_one.items():
        np.testing.assert_allclose(sums_four[key], value, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("batch_size", "count"), [(4, 4), (6, 3), (5, 1), (8, 4), (2, 2)])
def test_devices_divide_the_batch(batch_size, count):
    assert len(jax.local_devices()) == 4
    assert len(devices_for(batch_size)) == count


def test_batched_results_keep_their_order():
    double = spread(lambda scale, x: scale * x, jax.devices(), batched=1, sums=False)
    x_B3 = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    np.testing.assert_array_equal(double(np.float32(2), x_B3), 2 * x_B3)
