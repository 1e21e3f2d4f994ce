"""Class probabilities of whole images of any size."""

import functools
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from xseg_jax.data.intensity import Normalizer
from xseg_jax.errors import InputError
from xseg_jax.inference import tiling
from xseg_jax.training.steps import predict_step


class Predictor:
    """Segments images tile by tile.

    Args:
      model: the network.
      normalizer: grey values to float32.
      tile: largest height and width that the network sees at once.
      overlap: pixels that neighbouring tiles share.
      batch_size: tiles in one call of the network.
    """

    def __init__(
        self,
        model: nn.Module,
        normalizer: Normalizer,
        *,
        tile: int,
        overlap: int,
        batch_size: int,
    ) -> None:
        if tile % tiling.SHAPE_MULTIPLE or not 0 <= overlap < tile or batch_size < 1:
            raise InputError(
                f"config.inference: tile={tile}, overlap={overlap}, batch_size={batch_size}; the "
                f"tile must be a multiple of {tiling.SHAPE_MULTIPLE} and larger than the overlap"
            )
        self.normalizer, self.tile, self.overlap = normalizer, tile, overlap
        self.batch_size = batch_size
        self._step = jax.jit(functools.partial(predict_step, model=model))

    def __call__(self, variables: Any, image_HW: np.ndarray) -> np.ndarray:
        """Probabilities (H, W, K) float32 of grey values (H, W).

        Args:
          variables: parameters and batch statistics of the network.
          image_HW: as read from a file.
        """
        image_HW = self.normalizer.of(image_HW)(image_HW)
        corners, tiles_Thw = tiling.cut(image_HW, self.tile, self.overlap)
        # Every call has the same shape: the last one repeats its last tile.
        batch_size = min(self.batch_size, len(corners))
        batches = [
            np.resize(tiles_Thw[start : start + batch_size], (batch_size, *tiles_Thw.shape[1:]))
            for start in range(0, len(corners), batch_size)
        ]
        tiles_hwK = (
            tile_hwK
            for batch_Bhw in batches
            for tile_hwK in np.asarray(self._step(variables, batch_Bhw[..., None]))
        )
        first = (tile_hwK for _, tile_hwK in zip(corners, tiles_hwK, strict=False))
        return tiling.blend(corners, first, *image_HW.shape)
