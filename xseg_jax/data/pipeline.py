"""Batches of random crops, each a pure function of the seed and the step."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from xseg_jax.data.folder import Slice
from xseg_jax.data.host_tensorflow import tf
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.errors import InputError

READERS = 4
PREFETCHED_BATCHES = 4
RARE_CENTRES = 1024
"""Pixels remembered for each class of each slice, to centre crops on."""


class Crops:
    """Random crops of slices by example number.

    Example n comes from the slice at place n modulo the number of slices in the shuffle number
    n divided by the number of slices, so every slice is drawn equally often. All that is random
    is keyed by (seed, n): a run that resumes at step N sees what it would have seen.

    Args:
      slices: training slices.
      normalizer: grey values to float32.
      size: height and width of a crop.
      seed: of the run.
      rare_fraction: share of crops that are centred on a pixel of a class drawn uniformly from
        the classes in the slice, so that rare classes are seen often.
    """

    def __init__(
        self,
        slices: Sequence[Slice],
        *,
        normalizer: Normalizer,
        size: int,
        seed: int,
        rare_fraction: float,
    ) -> None:
        self.slices, self.size, self.seed, self.rare_fraction = slices, size, seed, rare_fraction
        if not 0 <= rare_fraction <= 1:
            raise InputError(f"config.data.rare_fraction={rare_fraction}: must be within 0 and 1")
        if size < 1:
            raise InputError(f"config.data.crop={size}: must be at least 1 pixel")
        self.normalizers = []
        self.centres: list[list[np.ndarray]] = []
        for index, item in enumerate(slices):
            if min(item.image_HW.shape) < size:
                raise InputError(
                    f"{item.name}: {item.image_HW.shape} is smaller than config.data.crop={size}; "
                    f"set it to at most {min(item.image_HW.shape)}"
                )
            self.normalizers.append(normalizer.of(item.image_HW))
            if rare_fraction > 0:
                self.centres.append(_centres_by_class(item.label_HW, [seed, index]))
        self._order = lru_cache(maxsize=4)(self._shuffle)

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.slices))

    def __getitem__(self, example: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (size, size, 1) float32 and label (size, size) uint8."""
        epoch, place = divmod(int(example), len(self.slices))
        index = self._order(epoch)[place]
        item = self.slices[index]
        rng = np.random.default_rng([self.seed, 1, example])
        room_2 = np.array(item.image_HW.shape) - self.size
        if rng.random() < self.rare_fraction:
            centres_M2 = self.centres[index][rng.integers(len(self.centres[index]))]
            centre_2 = centres_M2[rng.integers(len(centres_M2))]
            # Anywhere in the crop, so that the network does not learn that centres are rare.
            corner_2 = np.clip(centre_2 - rng.integers(self.size, size=2), 0, room_2)
        else:
            corner_2 = rng.integers(room_2 + 1)
        window = tuple(slice(int(start), int(start) + self.size) for start in corner_2)
        image_HW = self.normalizers[index](item.image_HW[window])
        return image_HW[..., None], item.label_HW[window]


def _centres_by_class(label_HW: np.ndarray, key: list[int]) -> list[np.ndarray]:
    """For each class in the label, up to `RARE_CENTRES` (y, x) of its pixels."""
    rng = np.random.default_rng(key)
    flat = label_HW.ravel()
    order = rng.permutation(flat.size)
    classes = [c for c in np.unique(flat).tolist() if c != IGNORED]
    chosen = [order[flat[order] == c][:RARE_CENTRES] for c in classes]
    if not chosen:
        chosen = [order[:RARE_CENTRES]]
    return [np.stack(np.unravel_index(flat_M, label_HW.shape), axis=-1) for flat_M in chosen]


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
    size = crops.size
    signature = (tf.TensorSpec((size, size, 1), tf.float32), tf.TensorSpec((size, size), tf.uint8))

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
