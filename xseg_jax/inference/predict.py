"""Class probabilities of whole images of any size."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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


_Tile = tuple[_Job, np.ndarray]
_Batch = tuple[Sequence[_Job], Callable[[], np.ndarray]]
"""The images that its tiles belong to, and what waits for their probabilities (B, h, w, K)."""


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
        waiting: deque[_Tile] = deque()
        running: deque[_Batch] = deque()
        for image_HW in images:
            normalised_HW = self.normalizer.of(image_HW)(image_HW)
            corners, tiles_Thw = tiling.cut(normalised_HW, self.tile, self.overlap)
            if waiting and waiting[0][1].shape != tiles_Thw.shape[1:]:
                running.append(self._start(variables, waiting))
            height, width = image_HW.shape
            jobs.append(_Job(height, width, corners))
            waiting.extend((jobs[-1], tile_hw) for tile_hw in tiles_Thw)
            while len(waiting) >= self.batch_size:
                running.append(self._start(variables, waiting))
                _finish(running, but=1)  # The devices have work while the host blends.
            while jobs and jobs[0].finished:
                yield _blend(jobs.popleft())
        while waiting:
            running.append(self._start(variables, waiting))
            _finish(running, but=1)
        _finish(running, but=0)
        yield from map(_blend, jobs)

    def _start(self, variables: Any, waiting: deque[_Tile]) -> _Batch:
        """Hands up to one batch of tiles to the devices, and does not wait for them."""
        count = min(self.batch_size, len(waiting))
        owners, tiles_hw = zip(*(waiting.popleft() for _ in range(count)), strict=True)
        tiles_Bhw = np.resize(np.stack(tiles_hw), (self.batch_size, *tiles_hw[0].shape))
        return owners, self._step(variables, tiles_Bhw[..., None])


def _finish(running: deque[_Batch], *, but: int) -> None:
    """Waits for all batches but the last ones, and hands each tile's result to its image."""
    while len(running) > but:
        owners, probabilities = running.popleft()
        # Behind the tiles of images are those that fill the batch.
        for job, tile_hwK in zip(owners, probabilities(), strict=False):
            job.tiles_hwK.append(tile_hwK)


def _blend(job: _Job) -> np.ndarray:
    return tiling.blend(job.corners, job.tiles_hwK, job.height, job.width)
