"""Grey values to network input: zero mean, unit variance, float32."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from xseg_jax.data.planes import Plane
from xseg_jax.errors import InputError

QUANTILES = ((0.01, 0.99), (0.001, 0.999), (0.0, 1.0))
"""Ends of the usual range; the first pair that is no single value."""

FAR = 3.0
"""Widths of the usual range beyond its ends where a grey value is far outside."""

UNLIKE = {"outside": 0.1, "shift": 1.0, "spread": 1.6}
"""Above these an image's grey scale is another than that of training: its share of pixels outside
the usual range (0.02 by definition in training), the distance of the means in standard deviations,
the ratio of the deviations."""


def usual_range(values: np.ndarray) -> tuple[float, float]:
    """Where nearly all grey values lie: the 1st and the 99th percentile, as float64.

    A least or greatest value that many pixels have, far outside the range of all others, stands
    for no data, as -3.4e38 around a sample does; it is left out.
    """
    values = np.sort(values, axis=None).astype(np.float64)
    for end in (values[0], values[-1]):
        others = values[values != end]
        if len(others) <= (1 - QUANTILES[0][0]) * len(values):
            low, high = np.quantile(others, QUANTILES[0]) if len(others) else (end, end)
            if min(abs(low - end), abs(high - end)) > FAR * (high - low) > 0:
                values = others
    ranges = [np.quantile(values, ends) for ends in QUANTILES]
    low, high = next((pair for pair in ranges if pair[1] > pair[0]), ranges[-1])
    return float(low), float(high)


def sample_of(image_HW: np.ndarray) -> np.ndarray:
    """Every fourth row and column of an image that is not small."""
    step = 4 if min(image_HW.shape) >= 64 else 1
    return image_HW[::step, ::step].ravel()


@dataclass(frozen=True)
class Normalizer:
    """One grey scale: subtracts a mean and divides by a standard deviation.

    Grey values far outside the usual range, as hot pixels and no data have them, do not count in
    either, and become the nearest value that is not far outside.

    Attributes:
      mean: grey value that becomes 0.
      std: grey values that become 1.
      low: 1st percentile of the grey values; None clips nothing.
      high: 99th percentile.
    """

    mean: float
    std: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def fit(cls, images: Iterable[np.ndarray]) -> "Normalizer":
        """Measures images, (H, W) arrays of any size, gone through twice."""
        low, high = usual_range(np.concatenate([sample_of(image_HW) for image_HW in images]))
        limits = cls(0.0, 1.0, low, high)
        count, mean, squares = 0, 0.0, 0.0
        for image_HW in images:
            values = image_HW[~limits.far(image_HW)].astype(np.float64)
            if not values.size:
                continue
            # Squares around the means (Chan, Golub and LeVeque 1979): a mean far above the
            # deviation would cancel all digits of a plain sum of squares.
            shift = values.mean() - mean
            share = values.size / (count + values.size)
            squares += values.var() * values.size + shift * shift * count * share
            mean += shift * share
            count += values.size
        if not count:
            raise ValueError("images cannot be gone through twice; give a list")
        return cls(float(mean), float(np.sqrt(squares / count)) or 1.0, low, high)

    @property
    def limits(self) -> tuple[float, float]:
        """Grey values beyond which a value is far outside."""
        if self.low is None or self.high is None:
            return -np.inf, np.inf
        margin = FAR * (self.high - self.low)
        return self.low - margin, self.high + margin

    def far(self, image: np.ndarray) -> np.ndarray:
        """Which grey values are far outside, bool."""
        least, most = self.limits
        return (image < least) | (image > most)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Grey values of any shape to float32."""
        clipped = image.astype(np.float64).clip(*self.limits)
        return ((clipped - self.mean) / self.std).astype(np.float32)

    def unlike(self, image_HW: np.ndarray) -> str:
        """How the grey scale of an image differs from that of training; "" where it does not."""
        if self.low is None or self.high is None:
            return ""
        values = sample_of(image_HW).astype(np.float64)
        outside = float(((values < self.low) | (values > self.high)).mean())
        own = Normalizer.fit([values[None]])
        shift, ratio = abs(own.mean - self.mean) / self.std, own.std / self.std
        if (
            outside <= UNLIKE["outside"]
            and shift <= UNLIKE["shift"]
            and 1 / UNLIKE["spread"] <= ratio <= UNLIKE["spread"]
        ):
            return ""
        return (
            f"grey values have mean {own.mean:.6g} and deviation {own.std:.4g}, those of training "
            f"{self.mean:.6g} and {self.std:.4g}, and {outside:.0%} lie outside the range from "
            f"{self.low:.6g} to {self.high:.6g} that held 98% of them"
        )


KINDS = ("volume", "scan", "image")


@dataclass(frozen=True)
class GreyScales:
    """With whose statistics grey values become network input.

    Attributes:
      kind: "volume" for one grey scale in all images, where a grey value is a physical quantity
        that was measured alike; "scan" for each scan's own, where exposure, reconstruction or
        pixel type differ; "image" for each image's own, as in radiographs.
      shared: of the training planes, for "volume".
      by_scan: of each scan by name, for "scan".
    """

    kind: str
    shared: Normalizer | None = None
    by_scan: Mapping[str, Normalizer] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, kind: str, planes: Iterable[Plane], by_scan: Mapping[str, Normalizer]
    ) -> "GreyScales":
        """Measures the training planes, gone through twice.

        Args:
          kind: as the attribute.
          planes: of all training scans.
          by_scan: what `of_scan` found of each.

        Raises:
          InputError: an unknown kind.
        """
        if kind not in KINDS:
            raise InputError(f"config.data.normalize={kind!r}: choose one of {', '.join(KINDS)}")
        if kind == "volume":
            return cls(kind, Normalizer.fit(_Images(planes)))
        return cls(kind, None, by_scan if kind == "scan" else {})

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "GreyScales":
        """Reads what `to_json` wrote."""
        shared = fields["shared"]
        by_scan = {scan: Normalizer(**one) for scan, one in fields["by_scan"].items()}
        return cls(fields["kind"], Normalizer(**shared) if shared else None, by_scan)

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)

    def of(self, plane: Plane) -> Normalizer:
        """What a plane is normalised with."""
        if self.shared is not None:
            return self.shared
        if self.kind == "image":
            return Normalizer.fit([plane.image_HW])
        return self.by_scan[plane.place.scan]

    def input_of(self, plane: Plane) -> np.ndarray:
        """The network's input (H, W, C) float32 of a plane."""
        return self.of(plane)(plane.image_HWC)


class _Images:
    """The images of planes, to be gone through as often as needed."""

    def __init__(self, planes: Iterable[Plane]) -> None:
        self.planes = planes

    def __iter__(self) -> Iterator[np.ndarray]:
        return (plane.image_HW for plane in self.planes)
