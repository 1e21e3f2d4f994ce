"""Scores of a segmentation on whole slices, as sums over pixels."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from xseg_jax.data.folder import Slice
from xseg_jax.data.labels import IGNORED
from xseg_jax.inference.tiling import SHAPE_MULTIPLE
from xseg_jax.training.steps import Sums

Segment = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
"""Class probabilities (H, W, K) float32 of each image (H, W), in order."""


@dataclass(frozen=True)
class Evaluation:
    """Sums over slices.

    Attributes:
      loss: sum of the loss over all pixels, divided by their weight.
      confusion_NKK: pixel counts of each slice, row the true class, column the predicted.
    """

    loss: float
    confusion_NKK: np.ndarray

    @property
    def confusion_KK(self) -> np.ndarray:
        """Pixel counts of all slices."""
        return self.confusion_NKK.sum(axis=0)

    def worst(self, count: int) -> list[int]:
        """Places of the slices with the largest share of wrong pixels, the worst first."""
        pixels_N = self.confusion_NKK.sum(axis=(1, 2))
        wrong_N = pixels_N - np.trace(self.confusion_NKK, axis1=1, axis2=2)
        order = np.argsort(-wrong_N / np.maximum(pixels_N, 1), kind="stable")
        return order[:count].tolist()


def evaluate(
    segment: Segment,
    eval_step: Callable[[np.ndarray, np.ndarray], Sums],
    slices: Sequence[Slice],
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Segments and scores whole slices; no pixel but ignored ones is left out.

    Args:
      segment: gives the probabilities of images.
      eval_step: compiled, of probabilities (1, H, W, K) and labels (1, H, W).
      slices: what to score.
      advance: called after each slice.
    """
    sums, labels_HW = [], deque()

    def images() -> Iterator[np.ndarray]:
        for item in slices:
            labels_HW.append(item.label_HW)
            yield item.image_HW

    for probability_HWK in segment(images()):
        label_HW = labels_HW.popleft()
        padding = [(0, -n % SHAPE_MULTIPLE) for n in label_HW.shape]
        # Few shapes compile when sizes vary; the padding is ignored.
        label_HW = np.pad(label_HW, padding, constant_values=IGNORED)
        probability_HWK = np.pad(probability_HWK, [*padding, (0, 0)])
        sums.append(jax.device_get(eval_step(probability_HWK[None], label_HW[None])))
        advance()
    weight = sum(float(one["weight"]) for one in sums)
    return Evaluation(
        loss=sum(float(one["loss_sum"]) for one in sums) / max(weight, 1e-6),
        confusion_NKK=np.stack([one["confusion"] for one in sums]).astype(np.int64),
    )
