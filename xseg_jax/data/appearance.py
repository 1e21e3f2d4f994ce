"""How network input looks, whatever its grey scale: what training has seen, and what it has not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.planes import Plane

SHARES = tuple(np.linspace(0.01, 0.99, 50).tolist())
"""Of the pixels that lie below a quantile."""
STEP = 4
"""One row and column in so many is looked at."""
APART, ROUGHER = 0.25, 2.0
"""Above these, images are not what training has seen. Measured: parts of one scan, and a single
slice beside its scan, lie apart by up to 0.21 and are as rough to 10%; other samples, and a scan
inverted, by 0.2 to 0.45; noise of 0.3 of the spread makes a clean scan 3.3 times as rough."""


@dataclass(frozen=True)
class Appearance:
    """Measures of normalised images.

    Attributes:
      quantiles: of the values, at `SHARES`.
      roughness: root mean square of the difference of neighbouring pixels.
    """

    quantiles: tuple[float, ...]
    roughness: float

    @classmethod
    def of(cls, planes: Iterable[Plane], scales: GreyScales) -> "Appearance":
        """Measures the images of planes, one at least, normalised by their grey scales."""
        values, squares, count = [], 0.0, 0
        for plane in planes:
            image_HW = scales.of(plane)(plane.image_HW)
            values.append(image_HW[::STEP, ::STEP].ravel())
            for lines in (image_HW[::STEP], image_HW[:, ::STEP].T):
                squares += float(np.square(np.diff(lines, axis=1), dtype=np.float64).sum())
                count += lines.shape[0] * (lines.shape[1] - 1)
        quantiles = np.quantile(np.concatenate(values), SHARES)
        return cls(tuple(quantiles.tolist()), float(np.sqrt(squares / max(count, 1))))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Appearance":
        """Reads fields as JSON keeps them."""
        return cls(tuple(fields["quantiles"]), fields["roughness"])

    def unlike(self, trained_on: "Appearance") -> str:
        """How it differs from what a network was trained on; "" where it hardly does.

        The distance of two distributions is the mean difference of their quantiles (Wasserstein-1).
        """
        apart = float(np.abs(np.subtract(self.quantiles, trained_on.quantiles)).mean())
        ratio = (self.roughness or 1.0) / (trained_on.roughness or 1.0)
        if apart <= APART and 1 / ROUGHER <= ratio <= ROUGHER:
            return ""
        return (
            f"grey values lie {apart:.2f} standard deviations from those of training on average "
            f"(above {APART} they are others), and change from pixel to pixel {ratio:.2g} times as "
            f"much (beyond {1 / ROUGHER:g} to {ROUGHER:g} they are smoother, or noisier)"
        )
