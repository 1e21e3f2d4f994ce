"""Scans made worse on purpose, in graded strengths: where does a method fall off?"""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xseg_jax.data.checks import CheckedPlanes
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.planes import Plane
from xseg_jax.data.sources import Source
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Classify
from xseg_jax.evaluation.evaluate import Scorer, Segment
from xseg_jax.model import artefacts
from xseg_jax.model.metrics import confusion_matrix, macro_scores
from xseg_jax.scans.scan import Geometry
from xseg_jax.training.parallel import sum_over_processes

NETWORK = "U-Net"
HANN = 0.75
"""Pixels: a Gaussian of this deviation halves half the Nyquist frequency, as a Hann window does."""
RING = 2.0
"""Pixels that a ring is wide."""


class At(NamedTuple):
    """What a degradation may depend on beside the image, all of it traced.

    Attributes:
      scan_key: random key of the whole scan.
      plane_key: random key of a plane.
      zero: where a grey value of 0 lies on the normalised scale.
      low: 1st percentile of the scan's grey values, normalised.
      high: 99th percentile.
    """

    scan_key: jax.Array
    plane_key: jax.Array
    zero: float
    low: float
    high: float


@dataclass(frozen=True)
class Degradation:
    """One way to make a scan worse.

    Attributes:
      unit: of the strengths.
      clean: the strength that changes nothing.
      strengths: from the least to the greatest.
      change: makes a normalised image (H, W, 1) worse, by a traced strength.
    """

    unit: str
    clean: float
    strengths: tuple[float, ...]
    change: Callable[[At, jax.Array, Any], jax.Array]


def _middle() -> jax.Array:
    return jnp.zeros(2, jnp.float32)


def _cupping(at: At, image_HWC: jax.Array, strength: Any) -> jax.Array:
    del at
    corner = math.hypot(*image_HWC.shape[:2]) / 2
    return artefacts.cupping(image_HWC, strength, _middle(), corner)


NOISE = (0.1, 0.3, 0.6, 1.0)
DEGRADATIONS = {
    "white_noise": Degradation(
        "spread", 0, NOISE, lambda at, x, s: artefacts.white_noise(at.plane_key, x, s)
    ),
    "coloured_noise": Degradation(
        "spread", 0, NOISE, lambda at, x, s: artefacts.coloured_noise(at.plane_key, x, s, HANN)
    ),
    "rings": Degradation(
        "spread", 0, (0.1, 0.3, 0.6),
        lambda at, x, s: artefacts.rings(at.plane_key, x, s, _middle(), RING),
    ),
    "streaks": Degradation(
        "spread", 0, (0.3, 0.6, 1.0, 2.0), lambda at, x, s: artefacts.streaks(at.plane_key, x, s)
    ),
    "blur": Degradation(
        "pixel", 0, (0.5, 1.0, 2.0, 3.0), lambda at, x, s: artefacts.blur(x, s)
    ),
    "gain": Degradation(
        "factor", 1, (0.8, 0.9, 1.1, 1.25), lambda at, x, s: artefacts.gain(x, s, at.zero)
    ),
    "offset": Degradation(
        "spread", 0, (-0.5, -0.3, 0.3, 0.5), lambda at, x, s: artefacts.offset(x, s)
    ),
    # About the mean of the scan, which is 0.
    "contrast": Degradation(
        "factor", 1, (0.6, 0.8, 1.25), lambda at, x, s: artefacts.gain(x, s, 0.0)
    ),
    "gamma": Degradation(
        "exponent", 1, (0.7, 0.85, 1.2, 1.5),
        lambda at, x, s: artefacts.gamma(x, s, at.low, at.high),
    ),
    "ramp": Degradation(
        "spread", 0, (0.5, 1.0, 2.0), lambda at, x, s: artefacts.ramp(at.scan_key, x, s)
    ),
    "cupping": Degradation("spread", 0, (0.5, 1.0), _cupping),
}  # fmt: skip
"""Names to what they do. A spread is the standard deviation of grey values on the grey scale that
the scan as it is is segmented with; factors multiply grey values (gain) or their distances from the
scan's mean (contrast)."""

COMPILED = {name: jax.jit(one.change) for name, one in DEGRADATIONS.items()}


def choose(text: str) -> list[str]:
    """Names of degradations: "all", or some with commas between.

    Raises:
      InputError: a name is unknown.
    """
    names = list(DEGRADATIONS) if text == "all" else list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in DEGRADATIONS:
            raise InputError(
                f"--degrade={text}: there is no degradation {name!r}; give all, or some of "
                f"{','.join(DEGRADATIONS)}"
            )
    return names


class Degraded(Source):
    """A scan as it would be had it been measured worse.

    Each plane is made worse once, as if it were across z, and is the same as a plane and as a
    neighbour. What is random is a function of the degradation, the strength, the scan's name and
    the plane. Grey values become float32 and are not rounded to the scan's pixel type; those far
    outside the usual range, as hot pixels, become the nearest that is not.

    Args:
      source: the scan.
      name: of the degradation.
      strength: one of its strengths.
      grey_scales: of the scan as it is; they say what its spread is.
    """

    def __init__(self, source: Source, name: str, strength: float, grey_scales: GreyScales) -> None:
        self.source, self.degradation, self.strength = source, name, strength
        self.name, self.numbers = source.name, source.numbers
        self._grey_scales = grey_scales
        step = DEGRADATIONS[name].strengths.index(strength)
        self._key = jax.random.key(0)
        for number in (zlib.crc32(name.encode()), step, zlib.crc32(source.name.encode())):
            self._key = jax.random.fold_in(self._key, number)

    @property
    def geometry(self) -> Geometry:  # noqa: D102
        return self.source.geometry

    def image(self, index: int, axis: int = 0) -> np.ndarray:  # noqa: D102
        plane = self.source.plane(index, 0, axis)
        scale = self._grey_scales.of(plane)
        if scale.low is None or scale.high is None:
            raise ValueError("a grey scale of no images does not say what is usual in a scan")
        zero, low, high = (
            float((value - scale.mean) / scale.std) for value in (0, scale.low, scale.high)
        )
        scan_key = jax.random.fold_in(self._key, 0)
        plane_key = jax.random.fold_in(jax.random.fold_in(self._key, 1 + axis), index)
        changed = COMPILED[self.degradation](
            At(scan_key, plane_key, zero, low, high), scale(plane.image_HWC), self.strength
        )
        image_HW = np.asarray(changed, np.float64)[..., 0]
        return (image_HW * scale.std + scale.mean).astype(np.float32)

    def neighbour(self, index: int, distance: int, axis: int = 0) -> int:  # noqa: D102
        return self.source.neighbour(index, distance, axis)

    def where(self, index: int, axis: int = 0) -> str:  # noqa: D102
        return self.source.where(index, axis)

    def plane_name(self, index: int, axis: int = 0) -> str:  # noqa: D102
        return self.source.plane_name(index, axis)


def degrade(
    sources: Iterable[Source],
    planes: CheckedPlanes,
    grey_scales: GreyScales,
    name: str,
    strength: float,
) -> tuple[list[Degraded], CheckedPlanes]:
    """Scans and their labelled planes, made worse; planes are read and changed when asked for.

    Args:
      sources: scans of other names each.
      planes: labelled planes of these scans.
      grey_scales: of the scans as they are.
      name: of a degradation.
      strength: one of its strengths.
    """
    worse = {source.name: Degraded(source, name, strength, grey_scales) for source in sources}
    labelled = [replace(plane, source=worse[plane.source.name]) for plane in planes.planes]
    checked = replace(planes.checked, dtype=np.dtype(np.float32))
    return list(worse.values()), CheckedPlanes(labelled, checked, planes.context)


@dataclass(frozen=True)
class Segmenters:
    """What is compared, on scans whose grey scales are known.

    Attributes:
      network: gives the probabilities of planes.
      grey_scales: of the planes.
      others: other methods by name.
    """

    network: Segment
    grey_scales: GreyScales
    others: Mapping[str, Classify]


def score(
    scorer: Scorer,
    segmenters: Segmenters,
    planes: Sequence[Plane],
    classes: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Accuracy and mean IoU of each method, the network first; each plane is read once.

    Args:
      scorer: scores the network; every process takes a share of the planes.
      segmenters: what is compared.
      planes: labelled planes.
      classes: number of classes.
      advance: called after each plane of this process.
    """
    counts = {name: np.zeros((classes, classes), np.int64) for name in segmenters.others}

    def seen_by_others(items: Iterable[Plane]) -> Iterator[Plane]:
        for item in items:
            image_HW = segmenters.grey_scales.of(item)(item.image_HW)
            for name, method in segmenters.others.items():
                found_HW = jnp.asarray(method(image_HW))
                found_KK = confusion_matrix(jnp.asarray(item.label_HW), found_HW, classes)
                counts[name] += np.asarray(found_KK)
            yield item

    def segment(items: Iterable[Plane]) -> Iterator[np.ndarray]:
        return segmenters.network(seen_by_others(items))

    found = {NETWORK: scorer(segment, planes, advance).confusion_KK} | sum_over_processes(counts)
    return {
        name: {key: float(macro_scores(found_KK)[key]) for key in ("accuracy", "miou")}
        for name, found_KK in found.items()
    }


def strengths_of(names: Iterable[str]) -> list[tuple[str, float]]:
    """All strengths of degradations, in order."""
    return [(name, strength) for name in names for strength in DEGRADATIONS[name].strengths]


def score_degraded(
    names: Iterable[str],
    sources: Sequence[Source],
    planes: CheckedPlanes,
    grey_scales: GreyScales,
    segmenters_on: Callable[[Sequence[Source]], Segmenters],
    scorer: Scorer,
    classes: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Scores of every method as scans are, and in every strength of degradations.

    A grey scale that is a scan's or an image's own is measured anew on what became worse, as it
    would be on a scan that was measured so: where it is, gain, offset and contrast change nothing.

    Args:
      names: of degradations.
      sources: scans.
      planes: labelled planes of them.
      grey_scales: of the scans as they are.
      segmenters_on: what is compared, on other scans.
      scorer: scores the network.
      classes: number of classes.
      advance: called after each plane of this process; for each there is one as it is, and one in
        every strength.

    Returns:
      JSON-ready fields: planes, clean (method to scores), rows (degradation, unit, clean, strength,
      scores).
    """
    clean = score(scorer, segmenters_on(sources), planes, classes, advance)
    rows = []
    for name, strength in strengths_of(names):
        worse, degraded = degrade(sources, planes, grey_scales, name, strength)
        found = score(scorer, segmenters_on(worse), degraded, classes, advance)
        one = DEGRADATIONS[name]
        rows.append(
            {"degradation": name, "unit": one.unit, "clean": one.clean, "strength": strength,
             "scores": found}
        )  # fmt: skip
    return {"planes": len(planes), "clean": clean, "rows": rows}
