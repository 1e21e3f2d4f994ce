"""Training steps a second on 1, 2, 4, ... devices, with jit, pmap and shard_map.

    python -m benchmarks.scaling [--batch=16] [--size=128] [--features=16,32,64,128] [--rounds=7]

Strong scaling: the batch is the same whatever the number of devices. On a machine without an
accelerator four CPU devices share the cores.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from benchmarks.timing import alternate, median_and_spread, save
from xseg_jax.model.losses import cross_entropy
from xseg_jax.model.unet import UNet
from xseg_jax.training.parallel import AXIS, Parallel
from xseg_jax.training.state import init_state
from xseg_jax.training.steps import train_step

CPU_DEVICES = 4
CLASSES = 3


def main() -> None:
    """Prints a line for each layout, and saves them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16, help="crops in a step")
    parser.add_argument("--size", type=int, default=128, help="height and width of a crop")
    parser.add_argument("--features", default="16,32,64,128", help="channels of each level")
    parser.add_argument("--rounds", type=int, default=7, help="steps timed")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/scaling.json"))
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", CPU_DEVICES)
    features = tuple(int(count) for count in options.features.split(","))

    contenders = {}
    count = 1
    while count <= len(jax.devices()) and options.batch % count == 0:
        for mode in ("jit", "pmap", "shard_map")[count > 1 :]:
            layout = Parallel(mode, tuple(jax.devices()[:count]))
            contenders[mode, count] = stepper(layout, options.batch, options.size, features)
        count *= 2
    seconds = alternate(contenders, rounds=options.rounds, warm_up=2)

    base, _ = median_and_spread(seconds["jit", 1])
    kind = jax.devices()[0].device_kind
    print(f"{options.batch} crops of {options.size}x{options.size}, features {features}, {kind}\n")
    print(f"{'mode':<12}{'devices':>8}{'steps/s':>10}{'crops/s':>10}{'spread':>9}{'to jit':>9}")
    rows = []
    for (mode, count), times in seconds.items():
        middle, spread = median_and_spread(times)
        print(
            f"{mode:<12}{count:>8}{1 / middle:>10.2f}{options.batch / middle:>10.1f}"
            f"{spread:>9.1%}{base / middle:>9.2f}"
        )
        rows.append({"mode": mode, "devices": count, "seconds": times, "to_jit": base / middle})
    save(options.output, {"options": vars(options) | {"output": None}, "rows": rows})


def stepper(
    layout: Parallel, batch_size: int, size: int, features: tuple[int, ...]
) -> Callable[[], Any]:
    """A function that takes one step, as training does, and waits for its loss."""
    model = UNet(classes=CLASSES, features=features, axis_name=AXIS)
    tx = optax.adam(1e-3)
    step = functools.partial(
        train_step, model=model, tx=tx, loss=cross_entropy, seed=0, ema_decay=0.0,
        augment=lambda key_B, image_BHWC, label_BHW: (image_BHWC, label_BHW),
    )  # fmt: skip
    take = layout.spread(step, in_axes=(None, 0, 0), sums=True, donate=True)
    state = layout.replicate(init_state(model, tx, seed=0, size=size, ema_decay=0.0))
    rng = np.random.default_rng(0)
    image_BHWC = rng.normal(size=(batch_size, size, size, 1)).astype(np.float32)
    label_BHW = rng.integers(0, CLASSES, (batch_size, size, size)).astype(np.uint8)

    def call() -> float:
        nonlocal state
        state, sums = take(state, image_BHWC, label_BHW)
        return float(sums["loss_sum"])

    return call


if __name__ == "__main__":
    main()
