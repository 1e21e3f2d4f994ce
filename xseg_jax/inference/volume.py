"""Segments a block of a volume: along one axis or all three, by one network or several.

Probabilities are running sums. Where planes across z alone are segmented there are none but those
of the plane at hand; else there is one array of sums for the block.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from xseg_jax.inference.blocks import Block

SegmentImages = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
"""Class probabilities (M, H, W, K) float32 by M networks, of images (H, W, C) of gray values."""

LABEL, PROBABILITIES, UNCERTAINTY = "label", "probabilities", "uncertainty"
BETWEEN_AXES, BETWEEN_RUNS = "disagreement_of_axes", "disagreement_of_runs"
FULL = 255
"""What stands for a probability of 1, and for the largest entropy that there can be."""


def segment_block(
    gray_ZYX: np.ndarray,
    inner: tuple[slice, slice, slice],
    segment: SegmentImages,
    *,
    axes: Sequence[int],
    context: int,
    maps: Iterable[str],
    classes: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, np.ndarray]:
    """Labels and maps of a block.

    Args:
      gray_ZYX: gray values of the block and its margins, which are cut where the volume ends.
      inner: the block without margins.
      segment: of the networks.
      axes: that planes are taken across, 0 for z, the last one 0.
      context: neighbouring planes on each side that an image holds; beyond the ends of what is
        given the last one is repeated.
      maps: what is wanted: `LABEL`, class indices uint8 (Z, Y, X); `PROBABILITIES`, uint8
        (K, Z, Y, X); `UNCERTAINTY`, the entropy of the mean probabilities; `BETWEEN_AXES` and
        `BETWEEN_RUNS`, the entropy of the mean less the mean entropy of axes, or of runs within an
        axis (the mutual information of Houlsby et al. 2011, arXiv:1112.5745). Entropies are uint8
        (Z, Y, X), 255 for log K, where all classes are alike.
      classes: K.
      advance: called after each plane that was segmented.
    """
    maps = set(maps)
    shape = tuple(part.stop - part.start for part in inner)
    found = {
        name: np.empty((classes, *shape) if name == PROBABILITIES else shape, np.uint8)
        for name in maps
    }
    several = len(axes) > 1
    total_ZYXK = np.zeros((*shape, classes), np.float32) if several else None
    of_axes_ZYX = np.zeros(shape, np.float32) if BETWEEN_AXES in maps else None
    of_runs_ZYX = np.zeros(shape, np.float32) if BETWEEN_RUNS in maps else None
    for axis in axes:
        # The image of each plane, and where it lies in the block.
        crop = tuple(part for a, part in enumerate(inner) if a != axis)
        images = images_across(gray_ZYX, axis, inner[axis], context)
        for place, probability_MHWK in enumerate(segment(images)):
            at = (slice(None),) * axis + (place,)
            probability_MHWK = probability_MHWK[(slice(None), *crop)]
            mean_HWK = probability_MHWK.mean(axis=0)
            if of_runs_ZYX is not None:
                of_runs_ZYX[at] += disagreement(probability_MHWK)
            if of_axes_ZYX is not None:
                of_axes_ZYX[at] += entropy(mean_HWK)
            if total_ZYXK is not None:
                total_ZYXK[at] += mean_HWK
                mean_HWK = total_ZYXK[at] / np.float32(len(axes))
            if axis == axes[-1]:
                found[LABEL][at] = mean_HWK.argmax(axis=-1)
                if PROBABILITIES in maps:
                    scaled_HWK = np.rint(mean_HWK * FULL).astype(np.uint8)
                    found[PROBABILITIES][(slice(None), *at)] = scaled_HWK.transpose(2, 0, 1)
                if maps & {UNCERTAINTY, BETWEEN_AXES}:
                    entropy_HW = entropy(mean_HWK)
                    if UNCERTAINTY in maps:
                        found[UNCERTAINTY][at] = scaled(entropy_HW)
                    if of_axes_ZYX is not None:
                        between_HW = entropy_HW - of_axes_ZYX[at] / len(axes)
                        found[BETWEEN_AXES][at] = scaled(between_HW)
                if of_runs_ZYX is not None:
                    found[BETWEEN_RUNS][at] = scaled(of_runs_ZYX[at] / len(axes))
            advance()
    return found


def images_across(
    gray_ZYX: np.ndarray, axis: int, places: slice, context: int
) -> Iterator[np.ndarray]:
    """Images (H, W, 2 * context + 1) of planes across an axis, with their neighbours."""
    last = gray_ZYX.shape[axis] - 1
    planes_NHW = np.moveaxis(gray_ZYX, axis, 0)
    for place in range(places.start, places.stop):
        around = np.clip(np.arange(place - context, place + context + 1), 0, last)
        yield np.stack([planes_NHW[n] for n in around], axis=-1)


def entropy(probability_xK: np.ndarray) -> np.ndarray:
    """Entropy of class probabilities, float32 (...), in units of log K: 1 where all are alike."""
    floor = np.finfo(np.float32).tiny  # 0 log 0 is 0.
    total = -np.sum(probability_xK * np.log(np.maximum(probability_xK, floor)), axis=-1)
    return (total / np.log(probability_xK.shape[-1])).astype(np.float32)


def disagreement(probability_MxK: np.ndarray) -> np.ndarray:
    """Entropy of the mean of M networks less their mean entropy, as `entropy`."""
    return entropy(probability_MxK.mean(axis=0)) - entropy(probability_MxK).mean(axis=0)


def scaled(unit_HW: np.ndarray) -> np.ndarray:
    """Numbers within 0 and 1 as uint8, 255 for 1."""
    return np.rint(np.clip(unit_HW, 0, 1) * FULL).astype(np.uint8)


def margins_of(axes: Sequence[int], context: int, overlap: int) -> tuple[int, int, int]:
    """Voxels around a block that its planes should see, along z, y, x.

    Along z a plane needs its neighbours. Planes across other axes end at the block: as at the edge
    of a tile the network sees too little there, and as much is cut off as tiles overlap by.
    """
    if tuple(axes) == (0,):
        return context, 0, 0
    margin = max(context, overlap)
    return margin, margin, margin


def planes_to_segment(blocks: Iterable[Block], axes: Sequence[int]) -> int:
    """How often `segment_block` calls `advance`."""
    return sum(block.shape[axis] for block in blocks for axis in axes)
