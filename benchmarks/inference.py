"""Prediction of a whole volume against PyTorch: voxels a second.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.inference [--dtype=bfloat16] [--features=16,32,64,128] [--slices=64]

Each contender makes masks on the host of slices on the host, and is a process of its own; they
take turns.
"""

import argparse
from pathlib import Path

from benchmarks.timing import (
    beside_pytorch,
    compete,
    median_and_spread,
    need_torch,
    print_table,
    save,
)

CLASSES = 3
HEADER = ("contender", "Mvoxels/s", "spread", "to eager", "peak GiB", "first volume s")


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--features", default="16,32,64,128", help="channels of each level")
    parser.add_argument("--slices", type=int, default=64, help="of the volume")
    parser.add_argument("--size", type=int, default=501, help="height and width of a slice")
    parser.add_argument(
        "--batch", type=int, default=2, help="slices that PyTorch's network sees at once"
    )
    parser.add_argument("--rounds", type=int, default=5, help="times that each is timed")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/inference.json"))
    options = parser.parse_args()
    need_torch()
    from benchmarks import unet_jax, unet_torch

    work = {
        "slices": options.slices, "size": options.size, "batch_size": options.batch,
        "features": tuple(int(count) for count in options.features.split(",")),
        "classes": CLASSES, "dtype": options.dtype,
    }  # fmt: skip
    contenders = beside_pytorch(unet_jax.predictor, unet_torch.predictor, **work)
    able, seconds = compete(contenders, rounds=options.rounds)
    eager, _ = median_and_spread(seconds["PyTorch eager"])
    voxels = options.slices * options.size**2
    print(f"{options.slices} slices of {options.size}x{options.size}, "
          f"{options.features} channels, {options.dtype}\n")  # fmt: skip
    rows, cells = [], []
    for name, times in seconds.items():
        middle, spread = median_and_spread(times)
        peak, first = able[name].peak_gib, able[name].first_seconds
        cells.append([
            name, f"{voxels / middle / 1e6:.2f}", f"{spread:.1%}", f"{eager / middle:.2f}",
            f"{peak:.2f}", f"{first:.1f}",
        ])  # fmt: skip
        rows.append({
            "contender": name, "seconds": times, "voxels_per_second": voxels / middle,
            "to_eager": eager / middle, "peak_gib": peak, "first_seconds": first,
        })  # fmt: skip
    print_table(HEADER, cells)
    save(options.output, {"work": work, "rows": rows})


if __name__ == "__main__":
    main()
