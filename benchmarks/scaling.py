"""Training steps a second on 1, 2, 4, ... devices, with jit, pmap and shard_map.

    python -m benchmarks.scaling [--batch=16] [--size=128] [--features=16,32,64,128] [--rounds=7]

Strong scaling: the batch is the same whatever the number of devices. On a machine without an
accelerator up to four CPU devices share the cores.
"""

import argparse
from pathlib import Path

import jax

from benchmarks.timing import Contender, alternate, median_and_spread, print_table, save
from benchmarks.unet_jax import trainer

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
            contenders[mode, count] = Contender(
                trainer, batch_size=options.batch, size=options.size, features=features,
                classes=CLASSES, dtype="float32", mode=mode, devices=count,
            )  # fmt: skip
        count *= 2
    seconds = alternate(contenders, rounds=options.rounds)
    for contender in contenders.values():
        contender.finish()

    base, _ = median_and_spread(seconds["jit", 1])
    kind = jax.devices()[0].device_kind
    print(f"{options.batch} crops of {options.size}x{options.size}, features {features}, {kind}\n")
    rows, cells = [], []
    for (mode, count), times in seconds.items():
        middle, spread = median_and_spread(times)
        cells.append([
            mode, str(count), f"{1 / middle:.2f}", f"{options.batch / middle:.1f}",
            f"{spread:.1%}", f"{base / middle:.2f}",
        ])  # fmt: skip
        rows.append({"mode": mode, "devices": count, "seconds": times, "to_jit": base / middle})
    print_table(("mode", "devices", "steps/s", "crops/s", "spread", "to jit"), cells)
    save(options.output, {"options": vars(options) | {"output": None}, "rows": rows})


if __name__ == "__main__":
    main()
