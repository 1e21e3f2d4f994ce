"""Batches of random crops, each a pure function of the seed and the step."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from xseg_jax.data.host_tensorflow import tf
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane
from xseg_jax.errors import InputError

READERS = 4
PREFETCHED_BATCHES = 4
CENTRES = 1024
"""Pixels remembered for each class of each plane, to draw crops around."""


class Crops:
    """Random crops of planes by example number.

    Example n comes from the plane at place n modulo the number of planes in the shuffle number
    n divided by the number of planes, so every plane is drawn equally often. All that is random
    is keyed by (seed, n): a run that resumes at step N sees what it would have seen.

    A crop may lie anywhere in a plane whose pixels are all labelled; in others it holds a labelled
    pixel, each as likely as any other, so that scribbles are not lost among empty crops.

    Args:
      planes: to learn from.
      grey_scales: grey values to float32.
      size: height and width of a crop.
      seed: of the run.
      rare_fraction: share of crops that hold a pixel of a class drawn uniformly from the classes in
        the plane, so that rare classes are seen often.
    """

    def __init__(
        self,
        planes: Sequence[Plane],
        *,
        grey_scales: GreyScales,
        size: int,
        seed: int,
        rare_fraction: float,
    ) -> None:
        self.planes, self.size, self.seed, self.rare_fraction = planes, size, seed, rare_fraction
        if not 0 <= rare_fraction <= 1:
            raise InputError(f"config.data.rare_fraction={rare_fraction}: must be within 0 and 1")
        if size < 1:
            raise InputError(f"config.data.crop={size}: must be at least 1 pixel")
        self.normalizers = []
        self.centres: list[list[np.ndarray]] = []
        self.labelled: list[np.ndarray | None] = []
        for index, item in enumerate(planes):
            if min(item.image_HW.shape) < size:
                raise InputError(
                    f"{item.name}: {item.image_HW.shape} is smaller than config.data.crop={size}; "
                    f"set it to at most {min(item.image_HW.shape)}"
                )
            self.channels = item.image_HWC.shape[-1]
            self.normalizers.append(grey_scales.of(item))
            sparse = bool((item.label_HW == IGNORED).any())
            if rare_fraction > 0:
                self.centres.append(_centres_by_class(item.label_HW, [seed, index]))
            self.labelled.append(_labelled(item.label_HW, [seed, index]) if sparse else None)
        self._order = lru_cache(maxsize=4)(self._shuffle)

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.planes))

    def __getitem__(self, example: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (size, size, C) float32 and label (size, size) uint8."""
        epoch, place = divmod(int(example), len(self.planes))
        index = self._order(epoch)[place]
        item = self.planes[index]
        rng = np.random.default_rng([self.seed, 1, example])
        room_2 = np.array(item.label_HW.shape) - self.size
        centres_M2 = self.labelled[index]
        rare = rng.random() < self.rare_fraction
        if rare:
            centres_M2 = self.centres[index][rng.integers(len(self.centres[index]))]
        if centres_M2 is None:
            corner_2 = rng.integers(room_2 + 1)
        else:
            centre_2 = centres_M2[rng.integers(len(centres_M2))]
            # Anywhere in the crop, so that the network does not learn that centres are special.
            if rare:
                corner_2 = np.clip(centre_2 - rng.integers(self.size, size=2), 0, room_2)
            else:  # Each as likely: a few ignored pixels must not draw every crop to the edges.
                first_2 = np.maximum(centre_2 - self.size + 1, 0)
                corner_2 = rng.integers(first_2, np.minimum(centre_2, room_2) + 1)
        window = tuple(slice(int(start), int(start) + self.size) for start in corner_2)
        return self.normalizers[index](item.image_HWC[window]), item.label_HW[window]


def _centres_by_class(label_HW: np.ndarray, key: list[int]) -> list[np.ndarray]:
    """For each class in the label, up to `CENTRES` (y, x) of its pixels."""
    flat = label_HW.ravel()
    order = np.random.default_rng(key).permutation(flat.size)
    classes = [c for c in np.unique(flat).tolist() if c != IGNORED]
    chosen = [order[flat[order] == c][:CENTRES] for c in classes] or [order[:CENTRES]]
    return [_coordinates(flat_M, label_HW.shape) for flat_M in chosen]


def _labelled(label_HW: np.ndarray, key: list[int]) -> np.ndarray:
    """Up to `CENTRES` for each class of the (y, x) of labelled pixels, all as likely."""
    flat_M = np.flatnonzero(label_HW != IGNORED)
    if not flat_M.size:
        flat_M = np.arange(label_HW.size)
    most = CENTRES * IGNORED
    if flat_M.size > most:
        flat_M = np.random.default_rng(key).choice(flat_M, most, replace=False)
    return _coordinates(flat_M, label_HW.shape)


def _coordinates(flat_M: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.unravel_index(flat_M, shape), axis=-1).astype(np.int32)


def batches(
    crops: Crops,
    *,
    batch_size: int,
    start: int,
    stop: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of the steps from `start` to `stop`, made ahead by tf.data.

    Args:
      crops: by example number.
      batch_size: crops in a batch of all processes.
      start: first step, from 0.
      stop: the step after the last.
      process: which of the equal parts of every batch to make.
      processes: number of parts.

    Yields:
      image_BHWC float32 and label_BHW uint8.
    """
    shape = (crops.size, crops.size)
    signature = (
        tf.TensorSpec((*shape, crops.channels), tf.float32), tf.TensorSpec(shape, tf.uint8)
    )  # fmt: skip

    def cut(example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = tf.numpy_function(
            crops.__getitem__, [example], [spec.dtype for spec in signature], stateful=False
        )
        return tf.ensure_shape(image, signature[0].shape), tf.ensure_shape(
            label, signature[1].shape
        )

    part = batch_size // processes
    firsts = tf.data.Dataset.range(start * batch_size, stop * batch_size, batch_size)
    examples = firsts.flat_map(
        lambda first: tf.data.Dataset.range(first + process * part, first + (process + 1) * part)
    )
    dataset = examples.map(cut, num_parallel_calls=READERS, deterministic=True)
    dataset = dataset.batch(part, drop_remainder=True).prefetch(PREFETCHED_BATCHES)
    # The tuner's thread takes up to half a minute to stop when a long run ends.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    iterator: Any = dataset.as_numpy_iterator()
    yield from iterator
