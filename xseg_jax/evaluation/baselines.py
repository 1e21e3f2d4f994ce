"""What a network has to beat: multi-Otsu thresholding, and how any baseline is scored."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import linear_sum_assignment
from skimage.filters import threshold_multiotsu

from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane
from xseg_jax.training.parallel import share_of, sum_over_processes

# The search grows as bins^(classes - 1): fewer bins keep it within seconds.
BINS = {2: 256, 3: 256, 4: 256, 5: 128, 6: 64}
BINS_BEYOND = 32
MOST_CLASSES = 8

Classify = Callable[[np.ndarray], np.ndarray]
"""Class index uint8 (H, W) of normalised grey values (H, W) float32."""


@dataclass(frozen=True)
class Thresholds:
    """A class for each interval of normalised grey values.

    Attributes:
      thresholds: K - 1 normalised grey values, ascending; each is in the interval above.
      classes: class index of each of the K intervals.
    """

    thresholds: tuple[float, ...]
    classes: tuple[int, ...]

    @classmethod
    def fit(cls, planes: Sequence[Plane], grey_scales: GreyScales, classes: int) -> Self | None:
        """Multi-Otsu (Liao, Chen and Chung 2001) on the histogram of the training planes.

        Otsu chooses the intervals without labels. Which interval is which class is the one
        assignment of all classes that labels the most training pixels right.

        Returns:
          None where thresholding is not defined: fewer than 2 or more than `MOST_CLASSES`
          classes, a class without training pixels, or fewer grey values than classes in the
          labelled pixels.
        """
        if not 2 <= classes <= MOST_CLASSES:
            return None
        bins = BINS.get(classes, BINS_BEYOND)
        sample = np.concatenate(
            [grey_scales.of(item)(item.image_HW[::4, ::4]).ravel() for item in planes]
        )
        # Outliers, as hot pixels, would leave all else in one bin.
        low, high = np.percentile(sample, (0.1, 99.9))
        if len(np.unique(sample)) < classes or low == high:
            return None
        edges = np.linspace(low, high, bins + 1)
        counts_KB = np.zeros((classes, bins), np.int64)
        for item in planes:
            values_HW = grey_scales.of(item)(item.image_HW).clip(low, high)
            for k in range(classes):
                counts_KB[k] += np.histogram(values_HW[item.label_HW == k], edges)[0]
        centres = (edges[:-1] + edges[1:]) / 2
        if not counts_KB.any(axis=1).all() or np.count_nonzero(counts_KB.any(axis=0)) < classes:
            return None
        last_bins = threshold_multiotsu(classes=classes, hist=(counts_KB.sum(axis=0), centres))
        # At the upper edge of its bin, for a bin may hold many pixels of one grey value.
        thresholds = edges[1:][np.searchsorted(centres, last_bins)]
        interval_B = np.digitize(edges[:-1], thresholds)
        pixels_KI = np.stack(
            [counts_KB[:, interval_B == i].sum(axis=1) for i in range(classes)], axis=1
        )
        class_K, interval_K = linear_sum_assignment(pixels_KI, maximize=True)
        return cls(
            tuple(float(t) for t in thresholds), tuple(class_K[np.argsort(interval_K)].tolist())
        )

    def __call__(self, values_HW: np.ndarray) -> np.ndarray:
        """Class index uint8 of normalised grey values (H, W)."""
        interval_HW = np.digitize(values_HW, self.thresholds)
        return np.array(self.classes, np.uint8)[interval_HW]

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)


def confusions(
    classify: Classify,
    planes: Sequence[Plane],
    grey_scales: GreyScales,
    classes: int,
    advance: Callable[[], None] = lambda: None,
    look: Callable[[np.ndarray, np.ndarray], None] = lambda label_HW, prediction_HW: None,
) -> np.ndarray:
    """Pixel counts (N, K, K) of each plane, row the true class, column the predicted.

    Every process takes a share of the planes.

    Args:
      classify: sees the plane itself, without its neighbours.
      planes: what to score.
      grey_scales: grey values to what `classify` takes.
      classes: K.
      advance: called after each plane of this process.
      look: sees the label and the classes of each plane of this process.
    """
    total_NKK = np.zeros((len(planes), classes, classes), np.int32)
    for place in share_of(planes):
        item = planes[place]
        prediction_HW = classify(grey_scales.of(item)(item.image_HW))
        cell = item.label_HW.astype(np.int64) * classes + prediction_HW
        counts = np.bincount(cell[item.label_HW != IGNORED], minlength=classes**2)
        total_NKK[place] = counts.reshape(classes, classes)
        look(item.label_HW, prediction_HW)
        advance()
    # A plane is in one process alone: the sums are exact, and the same for any number.
    return sum_over_processes(total_NKK).astype(np.int64)
