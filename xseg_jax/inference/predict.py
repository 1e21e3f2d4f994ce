"""Class probabilities of whole images of any size."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import numpy as np

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
    def missing(self) -> int:
        return len(self.corners) - len(self.tiles_hwK)


_Part = tuple[_Job, np.ndarray]
"""An image, and those of its tiles (B, h, w, C) that one device takes at once."""
_Call = tuple[Sequence[_Job], Callable[[], np.ndarray]]
"""The image of each device, and what waits for all probabilities (devices * B, h, w, K)."""


class Predictor:
    """Segments images tile by tile; an image's result depends on no other image.

    XLA rounds differently at different places of a batch. So a batch holds tiles of one image
    alone, each at a place that the image decides; what a device gets depends neither on what other
    devices get, nor on what came before.

    Args:
      model: the network.
      parallel: devices of this process, each with a batch of its own.
      tile: largest height and width that the network sees at once.
      overlap: pixels that neighbouring tiles share.
      batch_size: most tiles of an image that a device takes at once.
    """

    def __init__(
        self,
        model: nn.Module,
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
        self.tile, self.overlap = tile, overlap
        self.batch_size, self._devices = batch_size, len(parallel.devices)
        step = functools.partial(predict_step, model=model)
        self._step = parallel.spread(step, in_axes=(None, 0), sums=False)

    def __call__(self, variables: Any, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Probabilities (H, W, K) float32 of each image (H, W, C), in order.

        Args:
          variables: parameters and batch statistics of the network, replicated.
          images: normalised grey values, float32; taken as they are needed.
        """
        jobs: deque[_Job] = deque()
        waiting: deque[_Part] = deque()
        running: deque[_Call] = deque()
        for image_HWC in images:
            corners, tiles_ThwC = tiling.cut(image_HWC, self.tile, self.overlap)
            parts_BhwC = _equal_parts(tiles_ThwC, self.batch_size)
            if waiting and waiting[0][1].shape != parts_BhwC[0].shape:
                running.append(self._start(variables, waiting))
            height, width, _ = image_HWC.shape
            jobs.append(_Job(height, width, corners))
            waiting.extend((jobs[-1], tiles_BhwC) for tiles_BhwC in parts_BhwC)
            while len(waiting) >= self._devices:
                running.append(self._start(variables, waiting))
                self._finish(running, but=1)  # The devices have work while the host blends.
            while jobs and not jobs[0].missing:
                yield _blend(jobs.popleft())
        while waiting:
            running.append(self._start(variables, waiting))
            self._finish(running, but=1)
        self._finish(running, but=0)
        yield from map(_blend, jobs)

    def _start(self, variables: Any, waiting: deque[_Part]) -> _Call:
        """Hands each device a part, and does not wait for them; what is missing is repeated."""
        count = min(self._devices, len(waiting))
        owners, parts_BhwC = zip(*(waiting.popleft() for _ in range(count)), strict=True)
        tiles_DBhwC = np.resize(np.stack(parts_BhwC), (self._devices, *parts_BhwC[0].shape))
        return owners, self._step(variables, tiles_DBhwC.reshape(-1, *tiles_DBhwC.shape[2:]))

    def _finish(self, running: deque[_Call], *, but: int) -> None:
        """Waits for all calls but the last ones, and hands each tile's result to its image."""
        while len(running) > but:
            owners, wait = running.popleft()
            # Behind the parts of images are those that give every device work.
            for job, tiles_BhwK in zip(owners, np.split(wait(), self._devices), strict=False):
                job.tiles_hwK.extend(tiles_BhwK[: job.missing])


def _equal_parts(tiles_ThwC: np.ndarray, largest: int) -> list[np.ndarray]:
    """The tiles of an image in as few equal parts as can be; tiles are repeated in the last."""
    count = -(-len(tiles_ThwC) // largest)
    size = -(-len(tiles_ThwC) // count)
    parts = (tiles_ThwC[start : start + size] for start in range(0, len(tiles_ThwC), size))
    return [np.resize(part_BhwC, (size, *tiles_ThwC.shape[1:])) for part_BhwC in parts]


def _blend(job: _Job) -> np.ndarray:
    return tiling.blend(job.corners, job.tiles_hwK, job.height, job.width)
