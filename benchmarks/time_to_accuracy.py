"""Seconds from the command to an accuracy on slices far away, from what little is labelled.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.time_to_accuracy --images=scan/ --labels=slice_106.tif \
        --test-images=far/images --test-labels=far/labels [--accuracy=0.98]

This project trains as main.py does, each length of training a run of its own that ends with its
checkpoint, without prepared data or compiled code from before; the shortest that reaches the
accuracy counts. The forest stands as it is beside every score. PyTorch trains the same network,
without this project's augmentation but for mirrors and turns, and as long as it needs: its scores
are looked at while the clock stands still, which favours it. All read the same slices.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.timing import machine, need_torch, print_table, save
from configs import default

CONFIG = "configs/quick.py"
FEATURES = (16, 32, 64, 128)
BATCH, CROP = 16, 128
LENGTHS = (480, 960, 1440, 1920, 2880)
"""Crops that are trained on."""
TORCH_CROPS, TORCH_LOOKS = 4096, 20 * BATCH
"""Crops after which PyTorch gives up; between two looks at its score."""


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("images", "labels", "test-images", "test-labels"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--ignore", default="", help="label values left out, as config.data.ignore")
    parser.add_argument("--accuracy", type=float, default=0.98)
    parser.add_argument("--config", default=CONFIG, help="of this project")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/time_to_accuracy.json")
    )
    options = parser.parse_args()
    need_torch()
    data = Data(
        options.images, options.labels, options.test_images, options.test_labels, options.ignore
    )
    rows = [("xseg_jax", *row) for row in ours(data, options.config, options.accuracy)]
    rows += [("forest", *row) for row in elsewhere(forest, data, options.accuracy)]
    rows += [("PyTorch", *row) for row in elsewhere(pytorch, data, options.accuracy)]
    header = ("contender", "crops", "seconds", "accuracy")
    cells = [[name, f"{crops:,}", f"{seconds:.0f}", f"{accuracy:.4f}"]
             for name, crops, seconds, accuracy in rows]  # fmt: skip
    print_table(header, cells)
    reached = {
        name: next((row[2] for row in rows if row[0] == name and row[3] >= options.accuracy), None)
        for name in dict.fromkeys(row[0] for row in rows)
    }
    for name, seconds in reached.items():
        print(
            f"{name}: {options.accuracy} "
            + (f"after {seconds:.0f} s" if seconds else "not reached")
        )
    if reached["xseg_jax"] and reached["PyTorch"]:
        print(f"xseg_jax / PyTorch: {reached['xseg_jax'] / reached['PyTorch']:.2f}")
    print(machine()["processor"])
    save(options.output, [dict(zip(header, row, strict=True)) for row in rows])


class Data(NamedTuple):
    """Images and labels, of training and of test, and the label values that are left out."""

    images: str
    labels: str
    test_images: str
    test_labels: str
    ignore: str


Rows = list[tuple[int, float, float]]
"""Crops, seconds, and accuracy on the test slices."""


def ours(data: Data, config: str, target: float) -> Rows:
    """Runs of main.py, each longer than the one before, until one reaches the target."""
    rows: Rows = []
    for crops in LENGTHS:
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}

            def call(*arguments: str, environment: dict[str, str] = environment) -> float:
                began = time.monotonic()
                command = [sys.executable, "main.py", *arguments]
                subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
                return time.monotonic() - began

            seconds = call(
                f"--config={config}", f"--config.data.images={data.images}",
                f"--config.data.labels={data.labels}", f"--config.data.ignore={data.ignore}",
                f"--config.data.crops_per_epoch={crops}",
                f"--config.data.prepared_dir={folder}/data", f"--workdir={folder}/run",
            )  # fmt: skip
            call(
                "--mode=evaluate", f"--workdir={folder}/run", f"--input={data.test_images}",
                f"--labels={data.test_labels}", f"--output={folder}/scores",
            )  # fmt: skip
            results = json.loads(Path(folder, "scores", "results.json").read_text())
        rows.append((crops, seconds, results["accuracy"]))
        if results["accuracy"] >= target:
            break
    return rows


def elsewhere(work: Callable[..., Rows], data: Data, target: float) -> Rows:
    """What a contender finds in a process of its own, whose start counts."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (time.time(), data, target))


class Labelled(NamedTuple):
    """Labelled planes, the grey scale of each scan as `normalize="scan"` has it, and classes."""

    planes: Any
    grey_scales: Any
    label_map: Any


def labelled(images: str, labels: str, known: Any = None, ignore: str = "") -> Labelled:
    """Reads labelled planes; `known` is the label map that training has, for test slices."""
    from xseg_jax.data.annotations import Labels
    from xseg_jax.data.checks import CheckedPlanes, check
    from xseg_jax.data.intensity import GreyScales
    from xseg_jax.data.sources import open_sources

    pattern = default.get_config().data.number_pattern
    sources = open_sources(images, number_pattern=pattern, independent=None)
    found, _ = Labels(number_pattern=pattern, skip_unlabelled=True).find(sources, labels)
    checked = check(found, known, ignore, one_type=False)
    planes = CheckedPlanes(found, checked)
    scales = {source.name: source.grey_scale() for source in sources}
    return Labelled(planes, GreyScales.fit("scan", planes, scales), checked.label_map)


def accuracy_of(classify: Callable[[np.ndarray], np.ndarray], data: Data, label_map: Any) -> float:
    """Pixel accuracy on the test slices."""
    from xseg_jax.evaluation.baselines import confusions
    from xseg_jax.model.metrics import scores

    test = labelled(data.test_images, data.test_labels, label_map)
    names = label_map.names
    confusion_NKK = confusions(classify, test.planes, test.grey_scales, len(names))
    return scores(confusion_NKK.sum(axis=0), names)["accuracy"]


def forest(began: float, data: Data, target: float) -> Rows:
    """The forest that stands beside every score."""
    from xseg_jax.evaluation.forest import Forest, Sample

    del target
    train = labelled(data.images, data.labels, ignore=data.ignore)
    fitted = Forest(Sample.draw(train.planes, train.grey_scales))
    return [(0, time.time() - began, accuracy_of(fitted, data, train.label_map))]


def pytorch(began: float, data: Data, target: float) -> Rows:
    """The same network in PyTorch, eager, channels last, with Adam."""
    import torch
    from torch.nn import functional

    from benchmarks.unet_torch import DEVICE, UNet
    from xseg_jax.data.labels import IGNORED

    train = labelled(data.images, data.labels, ignore=data.ignore)
    values_NHW = [train.grey_scales.of(item)(item.image_HW) for item in train.planes]
    label_NHW = [item.label_HW for item in train.planes]
    classes = len(train.label_map.names)
    torch.manual_seed(0)
    model = UNet(classes, FEATURES).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    rng = np.random.default_rng(0)

    def crop() -> tuple[np.ndarray, np.ndarray]:
        n = rng.integers(len(values_NHW))
        y, x = (rng.integers(length - CROP + 1) for length in label_NHW[n].shape)
        turns, mirrored = int(rng.integers(4)), rng.integers(2)
        one, other = (
            np.rot90(array_HW[y : y + CROP, x : x + CROP], turns)
            for array_HW in (values_NHW[n], label_NHW[n])
        )
        return (one[::-1], other[::-1]) if mirrored else (one, other)

    @torch.inference_mode()
    def classify(values_HW: np.ndarray) -> np.ndarray:
        height, width = values_HW.shape
        multiple = 2 ** (len(FEATURES) - 1)
        padding = ((0, -height % multiple), (0, -width % multiple))
        padded_HW = np.pad(values_HW, padding, "symmetric")
        logits_BKHW = model(torch.from_numpy(padded_HW)[None, None].to(DEVICE))
        return logits_BKHW[0, :, :height, :width].argmax(dim=0).cpu().numpy()

    rows: Rows = []
    seconds, crops = 0.0, 0
    while crops < TORCH_CROPS:
        for _ in range(TORCH_LOOKS // BATCH):
            image_BHW, label_BHW = (
                np.stack(arrays) for arrays in zip(*(crop() for _ in range(BATCH)), strict=True)
            )
            image_BCHW = torch.from_numpy(image_BHW)[:, None].to(
                DEVICE, memory_format=torch.channels_last
            )
            logits_BKHW = model(image_BCHW)
            loss = functional.cross_entropy(
                logits_BKHW, torch.from_numpy(label_BHW).long().to(DEVICE), ignore_index=IGNORED
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        crops += TORCH_LOOKS
        seconds += time.time() - began
        model.eval()
        rows.append((crops, seconds, accuracy_of(classify, data, train.label_map)))
        model.train()
        began = time.time()
        if rows[-1][2] >= target:
            break
    return rows


if __name__ == "__main__":
    main()
