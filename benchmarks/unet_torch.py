"""The same U-Net in PyTorch, trained as PyTorch's own guide to speed says.

https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html: channels last, fused Adam,
cuDNN's search for the fastest convolution.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.timing import Run

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Block(nn.Sequential):
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__(
            nn.Conv2d(channels, features, 3, padding=1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """Logits (B, K, H, W) of images (B, 1, H, W) whose sides the levels halve without a rest."""

    def __init__(self, classes: int, features: Sequence[int]) -> None:
        super().__init__()
        channels = (1, *features)
        self.down = nn.ModuleList(
            Block(channels[level], features[level]) for level in range(len(features))
        )
        above = list(zip(features[1:], features[:-1], strict=True))
        self.up_sample = nn.ModuleList(
            nn.ConvTranspose2d(below, here, 2, stride=2) for below, here in above
        )
        self.up = nn.ModuleList(Block(2 * here, here) for _, here in above)
        self.head = nn.Conv2d(features[0], classes, 1)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        skips_BCHW = []
        for block in self.down[:-1]:
            x_BCHW = block(x_BCHW)
            skips_BCHW.append(x_BCHW)
            x_BCHW = functional.max_pool2d(x_BCHW, 2)
        x_BCHW = self.down[-1](x_BCHW)
        for level in reversed(range(len(skips_BCHW))):
            x_BCHW = self.up_sample[level](x_BCHW)
            x_BCHW = self.up[level](torch.cat([x_BCHW, skips_BCHW[level]], dim=1))
        return self.head(x_BCHW)

    def take(self, variables: Any) -> None:
        """Weights of this project's U-Net."""
        params, stats = variables["params"], variables["batch_stats"]

        def put(parameter: torch.Tensor, value: Any, axes: tuple[int, ...]) -> None:
            with torch.no_grad():
                parameter.copy_(torch.tensor(np.transpose(np.asarray(value), axes)))

        blocks = [(f"down{level}", block) for level, block in enumerate(self.down[:-1])]
        blocks += [("bottom", self.down[-1])]
        blocks += [(f"up{level}", block) for level, block in enumerate(self.up)]
        for name, block in blocks:
            for layer in range(2):
                put(block[3 * layer].weight, params[name][f"conv{layer}"]["kernel"], (3, 2, 0, 1))
                norm = block[3 * layer + 1]
                put(norm.weight, params[name][f"norm{layer}"]["scale"], (0,))
                put(norm.bias, params[name][f"norm{layer}"]["bias"], (0,))
                put(norm.running_mean, stats[name][f"norm{layer}"]["mean"], (0,))
                put(norm.running_var, stats[name][f"norm{layer}"]["var"], (0,))
        for level, layer in enumerate(self.up_sample):
            put(layer.weight, params[f"up{level}_sample"]["kernel"], (0, 3, 1, 2))
            put(layer.bias, params[f"up{level}_sample"]["bias"], (0,))
        put(self.head.weight, params["head"]["kernel"][None, None], (3, 2, 0, 1))
        put(self.head.bias, params["head"]["bias"], (0,))


def _set_up() -> None:
    torch.backends.cudnn.benchmark = True
    if DEVICE == "cuda":  # TensorFloat-32, as JAX has it by default there, and nowhere else.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


def _finish() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def trainer(
    *, batch_size: int, size: int, features: Sequence[int], classes: int, dtype: str, compiled: bool
) -> Run:
    """Training steps in eager mode or by `torch.compile`; bfloat16 by autocast."""
    _set_up()
    model = UNet(classes, features).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    image_BCHW = torch.randn(batch_size, 1, size, size, generator=generator)
    image_BCHW = image_BCHW.to(DEVICE, memory_format=torch.channels_last)
    label_BHW = torch.randint(classes, (batch_size, size, size), generator=generator).to(DEVICE)

    def loss_of(image_BCHW: torch.Tensor, label_BHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits_BKHW = model(image_BCHW)
        return functional.cross_entropy(logits_BKHW.float(), label_BHW, ignore_index=255)

    if compiled:
        loss_of = torch.compile(loss_of)

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss_of(image_BCHW, label_BHW).backward()
            optimizer.step()
        _finish()

    return run


def predictor(
    *,
    slices: int,
    size: int,
    features: Sequence[int],
    classes: int,
    dtype: str,
    batch_size: int,
    compiled: bool,
) -> Run:
    """Masks of a volume, a batch of whole slices at a time."""
    _set_up()
    model = UNet(classes, features).to(DEVICE, memory_format=torch.channels_last).eval()
    volume_ZHW = np.random.default_rng(0).normal(size=(slices, size, size)).astype(np.float32)
    mean, std = float(volume_ZHW.mean()), float(volume_ZHW.std())
    rest = -size % 2 ** (len(features) - 1)

    def classes_of(image_BCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits_BKHW = model(image_BCHW)
        return logits_BKHW.float().softmax(dim=1)[..., :size, :size].argmax(dim=1)

    if compiled:
        classes_of = torch.compile(classes_of)

    @torch.inference_mode()
    def run(count: int) -> None:
        for start in [z for _ in range(count) for z in range(0, slices, batch_size)]:
            image_BHW = (volume_ZHW[start : start + batch_size] - mean) / std
            image_BCHW = torch.from_numpy(image_BHW)[:, None]
            image_BCHW = functional.pad(image_BCHW, (0, rest, 0, rest), mode="reflect")
            image_BCHW = image_BCHW.to(DEVICE, memory_format=torch.channels_last)
            classes_of(image_BCHW).to(torch.uint8).cpu().numpy()

    return run


def matmul(*, size: int, dtype: str) -> Run:
    """Products of two square matrices."""
    _set_up()
    a = torch.randn(size, size, device=DEVICE, dtype=getattr(torch, dtype))

    def run(count: int) -> None:
        for _ in range(count):
            a @ a
        _finish()

    return run
