"""Class probabilities of whole images of any size."""

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import numpy as np

from xseg_jax.data.intensity import Normalizer
from xseg_jax.errors import InputError
from xseg_jax.inference import tiling
from xseg_jax.training.parallel import Parallel
from xseg_jax.training.steps import predict_step


@dataclass
class _Job:
    """An image whose tiles are being segmented."""

    height: int
    width: int
    corners: list[tuple[int, int]]
    tiles_hwK: list[np.ndarray] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return len(self.tiles_hwK) == len(self.corners)


class Predictor:
    """Segments images tile by tile; a batch may hold tiles of several images.

    Args:
      model: the network.
      normalizer: grey values to float32.
      parallel: devices of this process, which share a batch.
      tile: largest height and width that the network sees at once.
      overlap: pixels that neighbouring tiles share.
      batch_size: tiles in one call of the network, at least; there is one for every device.
        Every call has equally many, the last ones repeated where there are fewer, so that an
        image's result depends on no other image.
    """

    def __init__(
        self,
        model: nn.Module,
        normalizer: Normalizer,
        parallel: Parallel,
        *,
        tile: int,
        overlap: int,
        batch_size: int,
    ) -> None:
        if tile % tiling.SHAPE_MULTIPLE or not 0 <= overlap < tile or batch_size < 1:
            raise InputError(
                f"config.inference: tile={tile}, overlap={overlap}, batch_size={batch_size}; the "
                f"tile must be a multiple of {tiling.SHAPE_MULTIPLE}, the overlap from 0 to below "
                "the tile, the batch at least 1"
            )
        self.normalizer, self.tile, self.overlap = normalizer, tile, overlap
        devices = len(parallel.devices)
        self.batch_size = -(-batch_size // devices) * devices
        step = functools.partial(predict_step, model=model)
        self._step = parallel.spread(step, in_axes=(None, 0), sums=False)

    def __call__(self, variables: Any, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Probabilities (H, W, K) float32 of each image (H, W), in order.

        Args:
          variables: parameters and batch statistics of the network, replicated.
          images: grey values as read from files; taken as they are needed.
        """
        jobs: deque[_Job] = deque()
        waiting: deque[tuple[_Job, np.ndarray]] = deque()
        for image_HW in images:
            normalised_HW = self.normalizer.of(image_HW)(image_HW)
            corners, tiles_Thw = tiling.cut(normalised_HW, self.tile, self.overlap)
            if waiting and waiting[0][1].shape != tiles_Thw.shape[1:]:
                self._segment(variables, waiting)
            height, width = image_HW.shape
            jobs.append(_Job(height, width, corners))
            waiting.extend((jobs[-1], tile_hw) for tile_hw in tiles_Thw)
            while len(waiting) >= self.batch_size:
                self._segment(variables, waiting)
            while jobs and jobs[0].finished:
                yield _blend(jobs.popleft())
        while waiting:
            self._segment(variables, waiting)
        yield from map(_blend, jobs)

    def _segment(self, variables: Any, waiting: deque[tuple[_Job, np.ndarray]]) -> None:
        """Takes up to one batch of tiles and hands each result to its image."""
        count = min(self.batch_size, len(waiting))
        owners, tiles_hw = zip(*(waiting.popleft() for _ in range(count)), strict=True)
        tiles_Bhw = np.resize(np.stack(tiles_hw), (self.batch_size, *tiles_hw[0].shape))
        probability_BhwK = self._step(variables, tiles_Bhw[..., None])
        for job, tile_hwK in zip(owners, probability_BhwK[:count], strict=True):
            job.tiles_hwK.append(tile_hwK)


def _blend(job: _Job) -> np.ndarray:
    return tiling.blend(job.corners, job.tiles_hwK, job.height, job.width)
