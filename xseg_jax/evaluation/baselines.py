"""Multi-Otsu thresholding: what a network has to beat."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import linear_sum_assignment
from skimage.filters import threshold_multiotsu

from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane

# The search grows as bins^(classes - 1): fewer bins keep it within seconds.
BINS = {2: 256, 3: 256, 4: 256, 5: 128, 6: 64}
BINS_BEYOND = 32
MOST_CLASSES = 8


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

    def confusion(self, planes: Sequence[Plane], grey_scales: GreyScales) -> np.ndarray:
        """Pixel counts (K, K) over planes, row the true class, column the predicted."""
        classes = len(self.classes)
        total_KK = np.zeros((classes, classes), np.int64)
        for item in planes:
            prediction_HW = self(grey_scales.of(item)(item.image_HW))
            cell = item.label_HW.astype(np.int64) * classes + prediction_HW
            counts = np.bincount(cell[item.label_HW != IGNORED], minlength=classes**2)
            total_KK += counts.reshape(classes, classes)
        return total_KK

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)
