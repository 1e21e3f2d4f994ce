"""Scores of a segmentation on whole planes, as sums over pixels."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane
from xseg_jax.inference.tiling import SHAPE_MULTIPLE
from xseg_jax.model.losses import Loss
from xseg_jax.training.parallel import Parallel, share_of, sum_over_processes
from xseg_jax.training.steps import eval_step

Segment = Callable[[Iterable[Plane]], Iterator[np.ndarray]]
"""Class probabilities (H, W, K) float32 of each plane, in order."""


@dataclass(frozen=True)
class Evaluation:
    """Sums over planes.

    Attributes:
      loss: sum of the loss over all pixels, divided by their weight.
      confusion_NKK: pixel counts of each plane, row the true class, column the predicted.
    """

    loss: float
    confusion_NKK: np.ndarray

    @property
    def confusion_KK(self) -> np.ndarray:
        """Pixel counts of all planes."""
        return self.confusion_NKK.sum(axis=0)

    def worst(self, count: int) -> list[int]:
        """Places of the planes with the largest share of wrong pixels, the worst first."""
        pixels_N = self.confusion_NKK.sum(axis=(1, 2))
        wrong_N = pixels_N - np.trace(self.confusion_NKK, axis1=1, axis2=2)
        order = np.argsort(-wrong_N / np.maximum(pixels_N, 1), kind="stable")
        return order[:count].tolist()


class Scorer:
    """Segments and scores whole planes; no pixel but ignored ones is left out.

    Every process takes a share of the planes, and every device a plane at a time.

    Args:
      parallel: devices of this process.
      loss: gives a sum and a weight.
      classes: number of classes.
    """

    def __init__(self, parallel: Parallel, loss: Loss, classes: int) -> None:
        self._count, self._classes = len(parallel.devices), classes
        step = functools.partial(eval_step, loss=loss)
        self._step = parallel.spread(step, in_axes=(0, 0), sums=False)

    def __call__(
        self,
        segment: Segment,
        planes: Sequence[Plane],
        advance: Callable[[], None] = lambda: None,
        look: Callable[[np.ndarray, np.ndarray], None] = lambda probability_HWK, label_HW: None,
    ) -> Evaluation:
        """Sums over planes.

        Args:
          segment: gives the probabilities of planes.
          planes: what to score.
          advance: called after each plane of this process.
          look: sees the probabilities and the label of each plane of this process.
        """
        mine = share_of(planes)
        labels_HW: deque[np.ndarray] = deque()
        confusion_NKK = np.zeros((len(planes), self._classes, self._classes), np.int32)
        loss_sum_N, weight_N = np.zeros((2, len(planes)), np.float32)
        waiting: list[tuple[int, np.ndarray, np.ndarray]] = []

        def labelled() -> Iterator[Plane]:
            for place in mine:
                item = planes[place]
                labels_HW.append(item.label_HW)
                yield item

        def score() -> None:
            places, probabilities_HWK, labels_HW = zip(*waiting, strict=True)
            missing = [(0, self._count - len(waiting)), (0, 0), (0, 0)]
            sums = self._step(
                np.pad(np.stack(probabilities_HWK), [*missing, (0, 0)]),
                np.pad(np.stack(labels_HW), missing, constant_values=IGNORED),
            )()
            for row, place in enumerate(places):
                confusion_NKK[place] = sums["confusion"][row]
                loss_sum_N[place], weight_N[place] = sums["loss_sum"][row], sums["weight"][row]
                advance()
            waiting.clear()

        for place, probability_HWK in zip(mine, segment(labelled()), strict=True):
            label_HW = labels_HW.popleft()
            look(probability_HWK, label_HW)
            padding = [(0, -n % SHAPE_MULTIPLE) for n in label_HW.shape]
            # Few shapes compile when sizes vary; the padding is ignored.
            label_HW = np.pad(label_HW, padding, constant_values=IGNORED)
            if waiting and waiting[0][2].shape != label_HW.shape:
                score()
            waiting.append((place, np.pad(probability_HWK, [*padding, (0, 0)]), label_HW))
            if len(waiting) == self._count:
                score()
        if waiting:
            score()
        # A plane is in one process alone: the sums are exact, and the same for any number.
        confusion_NKK, loss_sum_N, weight_N = sum_over_processes(
            (confusion_NKK, loss_sum_N, weight_N)
        )
        return Evaluation(
            loss=sum(loss_sum_N.tolist()) / max(sum(weight_N.tolist()), 1e-6),
            confusion_NKK=confusion_NKK.astype(np.int64),
        )
