"""What labels say before anybody has trained on them: classes, and how far labels are alike."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_opening
from skimage.morphology import disk

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import AXES, Place
from xseg_jax.data.resemblance import forgotten_after, touching_border
from xseg_jax.data.symmetry import Swap, Swaps
from xseg_jax.progress import Progress

COMPARED_PIXELS = 256
"""Labels are compared at about this size, every so many pixels."""
DISTANCES = 40
PAIRS = 16
"""Pairs of planes that are compared at a distance."""
THICK = 8
"""Radius, in the pixels that are compared, of the disk that fits everywhere into a frame."""
LEAST_PLANES = 8
"""Planes in which a pixel has to have one class so that it is taken for the frame of a scan."""


@dataclass(frozen=True)
class LabelFacts:
    """What was measured of the labelled planes of a data set.

    Attributes:
      names: of the classes.
      shares: of the labelled pixels, for each class.
      labelled: share of the pixels of the labelled planes.
      planes: names of the labelled planes.
      places: numbers of the labelled planes by scan and axis, as in "scan, z"; None has no number.
      shape: least rows and columns of a labelled plane.
      frame: share of the pixels whose class is the same in all planes, as that of the air around a
        core; they are left out of all that follows.
      across: distance in planes to the share of pixels that agree.
      within: distance in pixels, within planes, to the same.
      chance: agreement of pixels that have nothing in common.
      across_forgotten: planes after which labels agree no more than any do; None where these
        labels do not tell.
      within_forgotten: the same in pixels, within planes.
      swaps: pairs of classes that change places when mirrored or turned, as left and right do.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    labelled: float
    planes: tuple[str, ...]
    places: dict[str, tuple[int | None, ...]]
    shape: tuple[int, int]
    frame: float
    across: dict[int, float]
    within: dict[int, float]
    chance: float
    across_forgotten: int | None
    within_forgotten: int | None
    swaps: tuple[Swap, ...]

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return {
            "classes": dict(zip(self.names, self.shares, strict=True)),
            "labelled_share": self.labelled,
            "labelled_planes": self.planes,
            "numbers": self.places,
            "smallest_plane": self.shape,
            "frame": self.frame,
            "agreement_by_planes": self.across,
            "agreement_by_pixels": self.within,
            "chance": self.chance,
            "independent_after_planes": self.across_forgotten,
            "independent_after_pixels": self.within_forgotten,
            "swaps": [asdict(swap) for swap in self.swaps],
        }


def label_facts(
    names: Sequence[str],
    planes: Sequence[str],
    places: Sequence[Place],
    label_of: Callable[[int], np.ndarray],
) -> LabelFacts:
    """Measures labelled planes, one in memory at a time, and small ones of all.

    Args:
      names: of the classes.
      planes: names of the planes.
      places: of the planes.
      label_of: class indices (H, W) uint8 of a plane, 255 where it is not labelled.
    """
    counts_V = np.zeros(IGNORED + 1, np.int64)
    swaps = Swaps(names)
    small: list[np.ndarray] = []
    steps: list[int] = []
    shapes, within = [], {}
    with Progress("Comparing labels", len(planes), "image") as progress:
        for index in range(len(planes)):
            label_HW = label_of(index)
            shapes.append(label_HW.shape)
            counts_V += np.bincount(label_HW.ravel(), minlength=IGNORED + 1)
            steps.append(max(1, max(label_HW.shape) // COMPARED_PIXELS))
            small.append(label_HW[:: steps[-1], :: steps[-1]].copy())
            swaps.add(label_HW)
            progress.advance()
    counts_K = counts_V[: len(names)]
    shares_K = counts_K / max(int(counts_K.sum()), 1)
    frame = _leave_out_frame(places, small)
    for label_hw, step in zip(small, steps, strict=True):
        _add_shifted(within, label_hw, step)
    compared_V = sum(np.bincount(one.ravel(), minlength=IGNORED + 1) for one in small)
    compared_K = np.asarray(compared_V)[: len(names)]
    chance = float(((compared_K / max(int(compared_K.sum()), 1)) ** 2).sum())
    across = _across(places, small)
    inside = {d: agree / total for d, (agree, total) in sorted(within.items()) if total}
    numbers: dict[str, list[int | None]] = {}
    for place in places:
        numbers.setdefault(f"{place.scan}, {AXES[place.axis]}", []).append(place.number)
    return LabelFacts(
        names=tuple(names),
        shares=tuple(shares_K.tolist()),
        labelled=float(counts_K.sum() / counts_V.sum()),
        planes=tuple(planes),
        places={scan: tuple(one) for scan, one in numbers.items()},
        shape=(min(shape[0] for shape in shapes), min(shape[1] for shape in shapes)),
        frame=frame,
        across=across,
        within=inside,
        chance=chance,
        across_forgotten=forgotten_after(across, chance),
        within_forgotten=forgotten_after(inside, chance),
        swaps=swaps.found(),
    )


def _leave_out_frame(places: Sequence[Place], small: Sequence[np.ndarray]) -> float:
    """Takes the labels off pixels that have one class in all planes of a scan: its outline would
    make planes agree at any distance. Returns their share of all labelled pixels."""
    groups: dict[tuple[object, ...], list[np.ndarray]] = {}
    for place, label_hw in zip(places, small, strict=True):
        groups.setdefault((place.scan, place.axis, label_hw.shape), []).append(label_hw)
    labelled = sum(int((label_hw != IGNORED).sum()) for label_hw in small)
    frame = 0
    for planes in groups.values():
        count_hw = sum((label_hw != IGNORED).astype(int) for label_hw in planes)
        least_hw = functools.reduce(np.minimum, planes)  # What is not labelled is the largest.
        most_hw = functools.reduce(
            np.maximum, (np.where(one == IGNORED, least_hw, one) for one in planes)
        )
        same_hw = (least_hw == most_hw) & (np.asarray(count_hw) >= LEAST_PLANES)
        # Beyond the border it goes on. What is thin is a grain that is as long as the planes.
        pad = 2 * THICK
        thick_hw = binary_opening(np.pad(same_hw, pad, mode="edge"), disk(THICK))
        same_hw = touching_border(thick_hw[pad:-pad, pad:-pad])
        for label_hw in planes:
            frame += int((same_hw & (label_hw != IGNORED)).sum())
            label_hw[same_hw] = IGNORED
    return frame / max(labelled, 1)


def _add_shifted(within: dict[int, tuple[int, int]], label_hw: np.ndarray, step: int) -> None:
    """Adds pixels that agree, and that were compared, by distance along rows and columns."""
    for moved_hw in (label_hw, label_hw.T):
        reach = len(moved_hw) * 3 // 4
        for distance in _spaced(reach):
            agree, total = _agreement(moved_hw[:-distance], moved_hw[distance:])
            before = within.get(distance * step, (0, 0))
            within[distance * step] = (before[0] + agree, before[1] + total)


def _spaced(most: int) -> list[int]:
    """Distances from 1 to `most`, closer where they are small."""
    if most < 1:
        return []
    return np.unique(np.geomspace(1, most, DISTANCES).round().astype(int)).tolist()


def _agreement(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    valid = (one != IGNORED) & (other != IGNORED)
    return int(((one == other) & valid).sum()), int(valid.sum())


def _across(places: Sequence[Place], small: Sequence[np.ndarray]) -> dict[int, float]:
    """Agreement of planes of a scan and axis, by the difference of their numbers."""
    pairs: dict[int, list[tuple[int, int]]] = {}
    for a, one in enumerate(places):
        for b in range(a + 1, len(places)):
            other = places[b]
            alike = (one.scan, one.axis) == (other.scan, other.axis)
            if alike and one.number is not None and other.number is not None:
                distance = abs(other.number - one.number)
                if distance and small[a].shape == small[b].shape:
                    pairs.setdefault(distance, []).append((a, b))
    distances = sorted(pairs)
    agreement = {}
    for place in _spaced(len(distances)):
        distance = distances[place - 1]
        chosen = pairs[distance][:: -(-len(pairs[distance]) // PAIRS)]
        counts = [_agreement(small[a], small[b]) for a, b in chosen]
        if total := sum(count for _, count in counts):
            agreement[distance] = sum(agree for agree, _ in counts) / total
    return agreement
