"""Grey values to network input: zero mean, unit variance, float32."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xseg_jax.errors import InputError


@dataclass(frozen=True)
class Normalizer:
    """Subtracts a mean and divides by a standard deviation.

    Attributes:
      mean: grey value that becomes 0; None takes each image's own.
      std: grey values that become 1; None takes each image's own.
    """

    mean: float | None = None
    std: float | None = None

    @classmethod
    def fit(cls, kind: str, images: Iterable[np.ndarray]) -> "Normalizer":
        """Measures the training images.

        Args:
          kind: "volume" for one grey scale in all images, as in a tomogram, where a grey value
            is a physical quantity; "image" for images exposed differently, as in radiographs.
          images: (H, W) arrays.
        """
        if kind == "image":
            return cls()
        if kind != "volume":
            raise InputError(f"config.data.normalize={kind!r}: choose volume or image")
        count, mean, squares = 0, 0.0, 0.0
        for image_HW in images:
            values = image_HW.astype(np.float64)
            # Squares around the means (Chan, Golub and LeVeque 1979): a mean far above the
            # deviation would cancel all digits of a plain sum of squares.
            shift = values.mean() - mean
            share = values.size / (count + values.size)
            squares += values.var() * values.size + shift * shift * count * share
            mean += shift * share
            count += values.size
        return cls(float(mean), float(np.sqrt(squares / count)))

    def of(self, image_HW: np.ndarray) -> "Normalizer":
        """The mean and deviation that this image (H, W) is normalised with."""
        if self.mean is not None:
            return self
        return Normalizer(float(image_HW.mean(dtype=np.float64)),
                          float(image_HW.std(dtype=np.float64)) or 1.0)  # fmt: skip

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Grey values of any shape to float32; for per-image statistics call `of` first."""
        if self.mean is None or self.std is None:
            raise TypeError("each image has its own statistics; call `of` with the whole image")
        return ((image.astype(np.float64) - self.mean) / self.std).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)
