"""The input pipeline: batches a second alone, and how long a training step waits for it.

    python -m benchmarks.input [--batch=16] [--size=128] [--features=16,32,64,128] [--steps=60]

Needs TensorFlow, which makes the batches.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from benchmarks.timing import print_table, save
from benchmarks.unet_jax import stepper
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.pipeline import Crops, batches
from xseg_jax.data.planes import Plane

CLASSES = 3
WARM_UP = 5
"""Steps that are not counted: the first one compiles, while batches are made ahead."""


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16, help="crops in a step")
    parser.add_argument("--size", type=int, default=128, help="height and width of a crop")
    parser.add_argument("--features", default="16,32,64,128", help="channels of each level")
    parser.add_argument("--steps", type=int, default=60, help="steps timed")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/input.json"))
    options = parser.parse_args()
    features = tuple(int(count) for count in options.features.split(","))
    found = measure(options.batch, options.size, features, options.steps)
    print_table(("", "batches/s"), [
        ["pipeline alone", f"{found['alone']:.1f}"],
        ["training", f"{found['training']:.2f}"],
        ["alone / training", f"{found['alone'] / found['training']:.1f}"],
    ])  # fmt: skip
    print(f"waiting for data: {found['waiting']:.2%} of a training step")
    save(options.output, {"options": vars(options) | {"output": None}} | found)


def measure(batch_size: int, size: int, features: Sequence[int], steps: int) -> dict[str, float]:
    """Times the pipeline alone, then training fed by it.

    Returns:
      Batches a second "alone" and in "training", and the share of the latter's time spent
      "waiting" for a batch.
    """
    crops = _crops(size)
    step = stepper(
        batch_size=batch_size, size=size, features=features, classes=CLASSES, dtype="float32"
    )
    ten = 10 * steps
    alone = batches(crops, batch_size=batch_size, start=0, stop=ten + WARM_UP)
    for _ in itertools.islice(alone, WARM_UP):
        pass
    began = time.perf_counter()
    count = sum(1 for _ in alone)
    alone_seconds = (time.perf_counter() - began) / count

    waiting, before = 0.0, None
    feed = batches(crops, batch_size=batch_size, start=0, stop=steps + WARM_UP)
    for number in range(steps + WARM_UP):
        if number == WARM_UP:
            jax.block_until_ready(before)
            began, waiting = time.perf_counter(), 0.0
        asked = time.perf_counter()
        image_BHWC, label_BHW = next(feed)
        waiting += time.perf_counter() - asked
        now = step(image_BHWC, label_BHW)
        jax.block_until_ready(before)  # As in training: the device always has work.
        before = now
    jax.block_until_ready(before)
    seconds = time.perf_counter() - began
    return {"alone": 1 / alone_seconds, "training": steps / seconds, "waiting": waiting / seconds}


def _crops(size: int) -> Crops:
    rng = np.random.default_rng(0)
    planes = [
        Plane(
            name=f"slice {z}",
            image_HWC=rng.integers(0, 2**16, (501, 501, 1), np.uint16),
            label_HW=rng.integers(0, CLASSES, (501, 501), np.uint8),
        )
        for z in range(40)
    ]
    grey_scales = GreyScales.fit("volume", planes, {})
    return Crops(planes, grey_scales=grey_scales, size=size, seed=0, rare_fraction=0.0)


if __name__ == "__main__":
    main()
