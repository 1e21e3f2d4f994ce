"""Whether probabilities are what they say: a temperature that mends them, and the error left."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.optimize import brentq

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane
from xseg_jax.evaluation.evaluate import Segment
from xseg_jax.training.parallel import share_of, sum_over_processes

BINS = 15
"""Of equal width, as in Guo et al. 2017."""
REACH = 2
"""Pixels, along rows and columns, within which another class makes a boundary."""
SMALLEST = np.finfo(np.float32).tiny
"""Smallest normal float32. A probability below it has lost its digits, and is taken for it."""
TEMPERATURES = (0.05, 20.0)
"""Between which a temperature is looked for."""
MOST_PIXELS = 2**20
"""Labelled pixels that a temperature is fitted to."""
UNIT = 2**24
"""Probabilities are summed as whole numbers of 1 / UNIT, so that no order of summing shows."""
PIXELS_AT_ONCE = 2**14
"""As many as stay in a core's cache, with all that is made of them."""


def calibrate(probability_HWK: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities as they are with logits divided by a temperature.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599) as softmax(log p / T). Within a tile
    log p is the logits but for a constant, which softmax does not see, so that this is the same as
    softmax(logits / T); where tiles overlap it scales their weighted mean. The class of argmax
    never changes.

    Args:
      probability_HWK: float32, of any shape whose last axis is the classes. A p below the smallest
        normal float32 (1.2e-38) is taken for that, so that 0 and 1 give numbers.
      temperature: above 0; larger is less sure.

    Returns:
      The same shape, float32; what was given, to the bit, where the temperature is 1.
    """
    if temperature == 1:
        return probability_HWK
    scaled_KHW = _scaled(np.ascontiguousarray(np.moveaxis(probability_HWK, -1, 0)), temperature)
    scaled_HWK = np.ascontiguousarray(np.moveaxis(scaled_KHW, 0, -1))
    top_HW = probability_HWK.argmax(axis=-1)
    # Two that a high temperature brings as close as float32 can tell would change places.
    moved_HW = scaled_HWK.argmax(axis=-1) != top_HW
    if moved_HW.any():
        moved_MK = scaled_HWK[moved_HW]
        moved_MK[np.arange(len(moved_MK)), top_HW[moved_HW]] = np.nextafter(
            moved_MK.max(axis=-1), np.float32(2)
        )
        scaled_HWK[moved_HW] = moved_MK
    return scaled_HWK


def _scaled(probability_KX: np.ndarray, temperature: float) -> np.ndarray:
    """As `calibrate`, with the classes first; equally probable classes may change places."""
    logit_KX = np.log(np.maximum(probability_KX, SMALLEST))
    logit_KX *= np.float32(1 / temperature)
    logit_KX -= logit_KX.max(axis=0)
    np.exp(logit_KX, out=logit_KX)
    logit_KX /= logit_KX.sum(axis=0)
    return logit_KX


def at_boundary(label_HW: np.ndarray) -> np.ndarray:
    """Labelled pixels with one of another class at most `REACH` rows and columns away: bool (H, W).

    Args:
      label_HW: class indices, uint8; 255 is ignored, and makes no boundary.
    """
    labelled_HW, window = label_HW != IGNORED, 2 * REACH + 1
    # An ignored pixel is no larger than a class where the largest counts, and no smaller there.
    largest_HW = maximum_filter(np.where(labelled_HW, label_HW, 0), window)
    return labelled_HW & (largest_HW != minimum_filter(label_HW, window))


@dataclass(frozen=True)
class Fit:
    """A temperature and what it was fitted to; `calibration.json` in the run folder.

    Attributes:
      temperature: None where there is none.
      reason: why there is none; None where there is one.
      slices: validation planes.
      labelled: their labelled pixels.
      pixels: of these the ones that it was fitted to.
      nll_before: mean negative log-likelihood of a labelled pixel, nats, as the network says.
      nll: the same with the temperature.
    """

    temperature: float | None = None
    reason: str | None = None
    slices: int = 0
    labelled: int = 0
    pixels: int = 0
    nll_before: float | None = None
    nll: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """What `results.json` says of it: temperature, reason, and what it was fitted to."""
        fitted = self.to_json()
        return {key: fitted.pop(key) for key in ("temperature", "reason")} | {"fitted": fitted}


@dataclass(frozen=True)
class _Sample:
    """Pixels of a plane: log p and class of each, and how many labelled ones each stands for."""

    log_KM: np.ndarray
    label_M: np.ndarray
    weight: float

    @classmethod
    def draw(cls, probability_HWK: np.ndarray, label_HW: np.ndarray, most: int, seed: int) -> Self:
        here_M = np.flatnonzero(label_HW != IGNORED)
        labelled = len(here_M)
        if labelled > most:
            here_M = np.random.default_rng(seed).choice(here_M, most, replace=False)
        probability_MK = probability_HWK.reshape(-1, probability_HWK.shape[-1])[here_M]
        log_KM = np.log(np.maximum(probability_MK.T, SMALLEST))
        return cls(log_KM, label_HW.ravel()[here_M], labelled / max(len(here_M), 1))

    def likelihood(self, beta: float) -> np.ndarray:
        """The negative log-likelihood with logits times beta, and its slope in beta: sums, (2,)."""
        log_KM = self.log_KM.astype(np.float64)
        true_M = np.take_along_axis(log_KM, self.label_M[None].astype(np.intp), axis=0)[0]
        largest_M = log_KM.max(axis=0)
        share_KM = np.exp(beta * (log_KM - largest_M))
        total_M = share_KM.sum(axis=0)
        loss = (np.log(total_M) + beta * (largest_M - true_M)).sum()
        slope = ((share_KM * log_KM).sum(axis=0) / total_M - true_M).sum()
        return self.weight * np.array([loss, slope])


def fit_temperature(
    segment: Segment, planes: Sequence[Plane], advance: Callable[[], None] = lambda: None
) -> Fit:
    """The temperature with which labels are most likely, after Guo et al. 2017 (arXiv:1706.04599).

    The negative log-likelihood of softmax(log p / T) is convex in 1 / T, so that its slope has one
    root. No plane gives more labelled pixels than `MOST_PIXELS` over the number of planes; they are
    drawn by its place, and stand for all of it. Every process takes a share of the planes, and all
    come to the same number.

    Args:
      segment: gives the probabilities of planes.
      planes: that the network has not learned from; not those that it is scored on.
      advance: called after each plane of this process.

    Returns:
      What was found; without a temperature where there is no plane or labelled pixel, or no root
      in `TEMPERATURES`, as where every pixel is right.
    """
    if not len(planes):
        return Fit(reason="the run has no validation slices")
    mine, most = share_of(planes), max(1, MOST_PIXELS // len(planes))
    labels_HW: list[np.ndarray] = []

    def labelled_planes() -> Iterator[Plane]:
        for place in mine:
            item = planes[place]
            labels_HW.append(item.label_HW)
            yield item

    samples = []
    for place, probability_HWK in zip(mine, segment(labelled_planes()), strict=True):
        samples.append(_Sample.draw(probability_HWK, labels_HW.pop(0), most, place))
        advance()
    pixels = sum(len(one.label_M) for one in samples)
    labelled = sum(round(one.weight * len(one.label_M)) for one in samples)
    pixels, labelled = (int(n) for n in sum_over_processes(np.array([pixels, labelled], np.int64)))
    if not labelled:
        return Fit(reason="no pixel of the validation slices is labelled", slices=len(planes))

    def likelihood(beta: float) -> np.ndarray:
        return sum_over_processes(sum((one.likelihood(beta) for one in samples), np.zeros(2)))

    def slope(log_beta: float) -> float:
        return float(likelihood(math.exp(log_beta))[1])

    found = Fit(
        slices=len(planes), labelled=labelled, pixels=pixels,
        nll_before=float(likelihood(1.0)[0]) / labelled,
    )  # fmt: skip
    lowest, highest = (-math.log(temperature) for temperature in reversed(TEMPERATURES))
    if not slope(lowest) < 0 < slope(highest):
        low, high = TEMPERATURES
        reason = f"the validation slices fix none between {low:g} and {high:g}"
        return replace(found, reason=reason)
    root: Any = brentq(slope, lowest, highest, xtol=1e-9)
    nll = float(likelihood(math.exp(root))[0]) / labelled
    return replace(found, temperature=math.exp(-root), nll=nll)


class Reliability:
    """Sums of probabilities beside how often they are right, plane by plane.

    Args:
      classes: K.
      temperature: of `calibrate`; None to look at probabilities as the network gives them alone.
    """

    def __init__(self, classes: int, temperature: float | None) -> None:
        self._temperatures = (1.0,) if temperature is None else (1.0, temperature)
        # Of each temperature T, inside or at a boundary, the top label and then each class V, bins:
        # pixels, those that are right, and the sum of probabilities.
        shape = (len(self._temperatures), 2, 1 + classes, BINS, 3)
        self._sums_TAVB3 = np.zeros(shape, np.int64)

    def __call__(self, probability_HWK: np.ndarray, label_HW: np.ndarray) -> None:
        """Adds a plane.

        Args:
          probability_HWK: of the network, float32.
          label_HW: class indices, uint8; 255 is ignored.
        """
        boundary = at_boundary(label_HW).ravel()
        label = label_HW.ravel()
        probability_PK = probability_HWK.reshape(-1, probability_HWK.shape[-1])
        for start in range(0, len(label), PIXELS_AT_ONCE):
            part = slice(start, start + PIXELS_AT_ONCE)
            labelled = label[part] != IGNORED
            here = slice(None) if labelled.all() else labelled
            self._add(probability_PK[part][here], label[part][here], boundary[part][here])

    def _add(self, probability_PK: np.ndarray, label_P: np.ndarray, boundary_P: np.ndarray) -> None:
        class_K1 = np.arange(probability_PK.shape[1])[:, None]
        kind_V1 = np.arange(1 + len(class_K1), dtype=np.int32)[:, None]
        # A temperature leaves the top label as it is.
        right_VP = np.vstack([probability_PK.argmax(axis=1) == label_P, label_P == class_K1])
        probability_KP = np.ascontiguousarray(probability_PK.T)
        first_cell_VP = BINS * (right_VP + 2 * boundary_P.astype(np.int32) + 4 * kind_V1)
        cells = len(right_VP) * 4 * BINS
        for sums_AVB3, temperature in zip(self._sums_TAVB3, self._temperatures, strict=True):
            scaled_KP = probability_KP
            if temperature != 1:
                scaled_KP = _scaled(probability_KP, temperature)
            value_VP = np.vstack([scaled_KP.max(axis=0), scaled_KP])
            # A bin has its lower edge, the last one its upper edge too.
            bin_VP = np.minimum((value_VP * np.float32(BINS)).astype(np.int32), BINS - 1)
            cell = (first_cell_VP + bin_VP).ravel().astype(np.intp)
            units = np.rint(value_VP * np.float32(UNIT)).ravel()
            pixels, total = (
                np.bincount(cell, weights, cells).astype(np.int64).reshape(-1, 2, 2, BINS)
                for weights in (None, units)
            )
            # From (V, A, right, B).
            for place, one_VAB in enumerate(
                (pixels.sum(axis=2), pixels[:, :, 1], total.sum(axis=2))
            ):
                sums_AVB3[..., place] += one_VAB.swapaxes(0, 1)

    def results(self, fit: Fit, class_names: Sequence[str]) -> dict[str, Any]:
        """Expected calibration errors before and after; every process calls it.

        The error is the mean over pixels of |accuracy - mean confidence| of a pixel's bin, of the
        probability of the top label (Naeini et al. 2015; Guo et al. 2017) and of each class, one
        against the rest (Nixon et al. 2019, arXiv:1904.01685; Kull et al. 2019, arXiv:1910.12656).

        Args:
          fit: whose temperature it is.
          class_names: K names.

        Returns:
          JSON-ready fields: temperature, reason and what it was fitted to; of all pixels, and under
          boundary of those `at_boundary`: pixels, ece_before, ece, classes (before and after by
          name) and bins (edges, and before and after: pixels, confidence, accuracy). None stands
          for "after" without a temperature, and for a mean of no pixels.
        """
        sums_TAVB3 = sum_over_processes(self._sums_TAVB3)
        return {
            **fit.summary(),
            **_summary(sums_TAVB3.sum(axis=1), class_names),
            "boundary": {"reach": REACH} | _summary(sums_TAVB3[:, 1], class_names),
        }


def _summary(sums_TVB3: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    before, *after = [_errors(sums_VB3) for sums_VB3 in sums_TVB3]
    bins = [_curve(sums_VB3[0]) for sums_VB3 in sums_TVB3]
    last = after[0] if after else [None] * len(before)
    return {
        "pixels": int(sums_TVB3[0, 0, :, 0].sum()),
        "ece_before": before[0],
        "ece": last[0],
        "classes": {
            name: {"before": before[1 + k], "after": last[1 + k]}
            for k, name in enumerate(class_names)
        },
        "bins": {
            "edges": [n / BINS for n in range(BINS + 1)],
            "before": bins[0],
            "after": bins[1] if after else None,
        },
    }


def _errors(sums_VB3: np.ndarray) -> list[float | None]:
    """Expected calibration errors, of the top label and then each class."""
    pixels_VB, right_VB, units_VB = np.moveaxis(sums_VB3, -1, 0)
    pixels_V = pixels_VB.sum(axis=-1)
    gap_V = np.abs(units_VB / UNIT - right_VB).sum(axis=-1)
    return [float(gap / n) if n else None for gap, n in zip(gap_V, pixels_V, strict=True)]


def _curve(sums_B3: np.ndarray) -> dict[str, list[Any]]:
    return {
        "pixels": sums_B3[:, 0].tolist(),
        "confidence": [units / UNIT / n if n else None for n, _, units in sums_B3.tolist()],
        "accuracy": [right / n if n else None for n, right, _ in sums_B3.tolist()],
    }
