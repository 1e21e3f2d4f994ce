"""What may be wrong with a scan: suspicions with their numbers, none of them a verdict.

Measures of one plane, and of neighbours, are here; `fingerprint.py` says which planes are measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import median_filter
from skimage.measure import block_reduce
from skimage.registration import phase_cross_correlation
from skimage.transform import warp_polar

from xseg_jax.data.intensity import Normalizer

COMPARED_PIXELS = 256
"""Planes are compared with their neighbours at about this size, as means of blocks."""

ODD = 0.08
"""A plane is odd where its neighbours correlate with each other by so much more than with it: of
clean scans the nearer planes correlate more, and what noise changes is far less."""

MOVED_PIXELS = 1.5
"""Smallest sudden shift, in pixels of the compared planes; below it structure and noise decide."""

RING_CORRELATION = 0.2
"""Correlation of the two halves of a circle, by their rings, above which rings are suspected."""

RING_WINDOW = 9
"""Radii, in pixels, of the median that is taken from a radial profile: rings are narrower."""

SATURATED = 1e-3
"""Share of pixels at the end of the grey values from which on it is said."""

SATURATED_8_BIT = 0.05
"""The same of 8 bits: making grey values 8 bits cuts a per cent or so off at each end, and
one value in 256 has as many by itself."""

DRIFT = 0.5
"""Change of the mean grey value over the whole height, in deviations, that is called drift."""


@dataclass(frozen=True)
class Suspicion:
    """Something that may be wrong.

    Attributes:
      kind: "unreadable", "constant", "broken", "shifted", "rings", "saturated" or "drift".
      plane: name of the plane; "" where it is of the whole scan.
      value: the number that raised it.
      text: the suspicion in words, with the number and the plane.
    """

    kind: str
    plane: str
    value: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)


def compared(image_HW: np.ndarray) -> tuple[np.ndarray, int]:
    """A plane as it is compared: float32 means of blocks with mean 0, and the blocks' side.

    Grey values far outside the usual range do not decide.
    """
    block = max(1, round(max(image_HW.shape) / COMPARED_PIXELS))
    small_hw = block_reduce(Normalizer.fit([image_HW])(image_HW), block, np.mean)
    return (small_hw - small_hw.mean()).astype(np.float32), block


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two arrays of a shape; 0 where one is constant."""
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / norm if norm > 0 else 0.0


@dataclass(frozen=True)
class Step:
    """From one plane to the next.

    Attributes:
      correlation: of the two as they are.
      shift: rows and columns, in compared pixels, by which the second must be moved.
      aligned: correlation after that move, where both are.
    """

    correlation: float
    shift: tuple[float, float]
    aligned: float


def step_between(one_hw: np.ndarray, other_hw: np.ndarray) -> Step:
    """Compares two planes of `compared`, by the peak of their cross-correlation.

    Guizar-Sicairos, Thurman and Fienup 2008, Optics Letters 33, 156-158, as scikit-image has it.
    """
    # Whitened, as it is by default, noise would decide; its stub knows no None.
    plain_peak: Any = None
    shift_2, _, _ = phase_cross_correlation(
        one_hw, other_hw, upsample_factor=4, normalization=plain_peak
    )
    dy, dx = (int(value) for value in np.rint(shift_2))
    height, width = one_hw.shape
    a = one_hw[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    b = other_hw[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
    plain = correlation(one_hw, other_hw)
    # The overlap of a large shift is too small to say anything.
    aligned = correlation(a, b) if a.size >= one_hw.size / 4 else plain
    return Step(plain, (float(shift_2[0]), float(shift_2[1])), aligned)


def odd_planes(
    steps: Mapping[int, Step], skips: Mapping[int, float], names: Mapping[int, str], block: int
) -> list[Suspicion]:
    """Planes that are unlike both neighbours, though these are like each other; and sudden shifts.

    Args:
      steps: from plane i to plane i + 1.
      skips: correlation of the planes i and i + 2.
      names: of planes.
      block: pixels of the scan in a compared pixel.
    """
    found: dict[int, Suspicion] = {}
    moved = _moved(steps)
    for i, skip in skips.items():
        middle = i + 1
        if not (i in steps and middle in steps):
            continue
        nearer = max(steps[i].correlation, steps[middle].correlation)
        if skip - nearer <= ODD:
            continue
        if i in moved and middle in moved:
            dy, dx = _pixels(steps[i], block)
            found[middle] = Suspicion(
                "shifted", names[middle], float(np.hypot(dy, dx)),
                f"{names[middle]}: may be shifted by {dy} rows and {dx} columns against its "
                "neighbours",
            )  # fmt: skip
        else:
            found[middle] = Suspicion(
                "broken", names[middle], nearer,
                f"{names[middle]}: may be broken: it correlates with its neighbours by {nearer:.2f}"
                f", and they with each other by {skip:.2f}",
            )  # fmt: skip
    for end, inner in ((min(steps, default=0), 1), (max(steps, default=0), -1)):
        # The first and the last plane have one neighbour, whose own next ones are like it.
        following = end + inner if inner > 0 else end - 2
        odd = end if inner > 0 else end + 1
        neighbour = end + 1 if inner > 0 else end
        if following in skips and end in steps and neighbour not in found:
            gone = skips[following] - steps[end].correlation
            if gone > ODD and end not in moved:
                found[odd] = Suspicion(
                    "broken", names[odd], steps[end].correlation,
                    f"{names[odd]}: may be broken: it correlates with its neighbour by "
                    f"{steps[end].correlation:.2f}, and planes two apart by {skips[following]:.2f}",
                )  # fmt: skip
    for i in moved:
        if i not in found and i + 1 not in found:
            dy, dx = _pixels(steps[i], block)
            found[i + 1] = Suspicion(
                "shifted", names[i + 1], float(np.hypot(dy, dx)),
                f"{names[i + 1]}: from here on the planes may be shifted by {dy} rows and {dx} "
                "columns",
            )  # fmt: skip
    return [found[index] for index in sorted(found)]


def _pixels(step: Step, block: int) -> tuple[int, int]:
    """Rows and columns by which the second plane was moved, in pixels of the scan."""
    return round(-step.shift[0] * block), round(-step.shift[1] * block)


def _moved(steps: Mapping[int, Step]) -> set[int]:
    """Steps that are sudden: slanted structure moves too, by as much from plane to plane."""
    if not steps:
        return set()
    shift_N2 = np.array([step.shift for step in steps.values()])
    usual_2 = np.median(shift_N2, axis=0)
    distance_N = np.hypot(*(shift_N2 - usual_2).T)
    limit = max(MOVED_PIXELS, 6 * float(np.median(distance_N)))
    return {
        i
        for (i, step), distance in zip(steps.items(), distance_N, strict=True)
        if distance > limit and step.aligned - step.correlation > ODD
    }


def ring_profiles(image_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is left of each radius around the middle of a plane, of one and of the other half.

    Polar coordinates turn rings into lines (Sijbers and Postnov 2004, Phys. Med. Biol. 49,
    N247-N253): the median over the angles of two opposite quarters of the circle, in deviations
    of the plane, less its median over neighbouring radii. Rings are in both halves, structure and
    noise are not. Rings around another point than the middle are not found.

    Returns:
      Two arrays (R,), of radii from a quarter of the largest whole circle on.
    """
    radius = min(image_HW.shape) // 2
    standard_HW = Normalizer.fit([image_HW])(image_HW)
    angles = 4 * round(np.pi * radius / 2)
    polar_AR = warp_polar(standard_HW, radius=radius, output_shape=(angles, radius))
    quarters_4AR = polar_AR.reshape(4, angles // 4, radius)
    halves = []
    for half in range(2):
        profile_R = np.median(quarters_4AR[half::2].reshape(-1, radius), axis=0)
        halves.append((profile_R - median_filter(profile_R, RING_WINDOW))[radius // 4 :])
    return halves[0], halves[1]


def find_rings(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Correlation of the rings of both halves over planes, and their amplitude in deviations.

    An edge that is a circle is one large step; so values are clipped at three deviations.
    """
    pairs = [ring_profiles(image_HW) for image_HW in images]
    one, other = (np.concatenate([pair[half] for pair in pairs]) for half in range(2))
    limit = 3 * 1.4826 * float(np.median(np.abs(np.concatenate([one, other]))))
    if limit == 0:
        return 0.0, 0.0
    one, other = one.clip(-limit, limit), other.clip(-limit, limit)
    shared = float(np.mean((one - one.mean()) * (other - other.mean())))
    return correlation(one, other), float(np.sqrt(max(shared, 0.0)))
