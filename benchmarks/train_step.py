"""Training steps against PyTorch: crops a second, share of the machine's peak, memory.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.train_step [--dtype=bfloat16] [--features=16,32,64,128] [--rounds=7]

Architecture, batch, precision and optimizer are the same; first the logits that both networks
give with the same weights are compared. Each contender is a process of its own; they take turns.
main.py asks for huge pages where Linux leaves that to programs, and so does "xseg_jax"; PyTorch
is measured as it comes and with them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import (
    Contender,
    beside_pytorch,
    compete,
    median_and_spread,
    need_torch,
    print_table,
    save,
)

CLASSES = 3
BATCHES = ((16, 128), (8, 256))
FEATURES = ("16,32,64,128", "32,64,128,256,512")
MATRIX = {"float32": 2048, "bfloat16": 8192}
HEADER = (
    "contender", "crops/s", "spread", "to eager", "GFLOP/s", "of peak", "peak GiB", "first step s"
)  # fmt: skip


def main() -> None:
    """Prints a table for each batch and network, and saves them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--features", nargs="+", default=FEATURES, help="channels of each level")
    parser.add_argument("--rounds", type=int, default=7, help="times that each is timed")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/train_step.json"))
    options = parser.parse_args()
    need_torch()
    results = []
    for text in options.features:
        features = tuple(int(count) for count in text.split(","))
        print(f"same weights, largest difference of logits: {compare_logits(features):.1e}")
        for batch_size, size in BATCHES:
            rows = measure(batch_size, size, features, options.dtype, options.rounds)
            results.append({"batch": batch_size, "size": size, "features": features, "rows": rows})
    save(options.output, {"dtype": options.dtype, "tables": results})


def compare_logits(features: Sequence[int]) -> float:
    """Largest difference between the two networks' logits, relative to the largest logit.

    Raises:
      RuntimeError: they are different networks.
    """
    import jax
    import numpy as np
    import torch

    from benchmarks import unet_torch
    from xseg_jax.model.unet import UNet

    rng = np.random.default_rng(0)
    image_BHWC = rng.normal(size=(1, 64, 64, 1)).astype(np.float32)
    ours = UNet(classes=CLASSES, features=tuple(features))
    variables = jax.jit(lambda key: ours.init(key, image_BHWC, train=False))(jax.random.key(0))
    logits_BHWK = np.asarray(ours.apply(variables, image_BHWC, train=False))
    theirs = unet_torch.UNet(CLASSES, features).eval()
    theirs.take(variables)
    counts = (
        sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        sum(parameter.numel() for parameter in theirs.parameters()),
    )
    with torch.no_grad():
        logits_BKHW = theirs(torch.tensor(image_BHWC).permute(0, 3, 1, 2)).numpy()
    difference = np.abs(logits_BHWK - logits_BKHW.transpose(0, 2, 3, 1)).max()
    relative = float(difference / np.abs(logits_BHWK).max())
    # An accelerator rounds products to 10 or 8 bits; another network differs by about 1.
    if counts[0] != counts[1] or relative > 0.05:
        raise RuntimeError(f"not the same network: {counts} parameters, logits by {relative:.1e}")
    return relative


def measure(
    batch_size: int, size: int, features: Sequence[int], dtype: str, rounds: int
) -> list[dict[str, Any]]:
    """Times all contenders, prints their table and returns its rows."""
    from benchmarks import unet_jax, unet_torch

    work = {
        "batch_size": batch_size, "size": size, "features": features, "classes": CLASSES,
        "dtype": dtype,
    }  # fmt: skip
    matrix = {"size": MATRIX[dtype], "dtype": dtype}
    contenders = beside_pytorch(unet_jax.trainer, unet_torch.trainer, **work) | {
        "product, JAX": Contender(unet_jax.matmul, **matrix),
        "product, PyTorch": Contender(unet_torch.matmul, **matrix),
    }
    able, seconds = compete(contenders, rounds=rounds)
    medians = {name: median_and_spread(times) for name, times in seconds.items()}
    product_flops = 2 * MATRIX[dtype] ** 3
    peak = max(product_flops / middle for name, (middle, _) in medians.items() if "prod" in name)
    # The backward pass takes two products for each of the forward pass.
    flops = 3 * batch_size * unet_jax.forward_flops(features, size, size, CLASSES)
    eager = medians["PyTorch eager"][0]
    rows = [
        {
            "contender": name,
            "seconds": seconds[name],
            "crops_per_second": batch_size / middle,
            "spread": spread,
            "to_eager": eager / middle,
            "gflops": flops / middle / 1e9,
            "share_of_peak": flops / middle / peak,
            "peak_gib": able[name].peak_gib,
            "first_step_seconds": able[name].first_seconds,
        }
        for name, (middle, spread) in medians.items()
        if "product" not in name
    ]
    channels = ", ".join(map(str, features))
    print(f"\n{batch_size} crops of {size}x{size}, {channels} channels, {dtype}; "
          f"matrix product {peak / 1e9:.0f} GFLOP/s")  # fmt: skip
    formats = ("", ".1f", ".1%", ".2f", ".0f", ".0%", ".2f", ".1f")
    cells = [[value for key, value in row.items() if key != "seconds"] for row in rows]
    print_table(HEADER, [list(map(format, line, formats)) for line in cells])
    return rows


if __name__ == "__main__":
    main()
