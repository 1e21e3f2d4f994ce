"""Parts of a scan as slabs across an axis, where labelled planes are too few to be parts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import AXES, Place

CUTS = 48
"""Places along an axis where a cut is tried."""
LEAST_EXTENT = 10
"""A gap takes at most this part of the labelled extent: one tenth."""


@dataclass(frozen=True)
class Slabs:
    """The voxels of each part of each scan: those between two numbers along one axis.

    Attributes:
      axis: of each scan.
      bounds: first and last voxel, both inside, of training, validation and test of each scan.
      gap: distance of neighbouring parts in voxels, the smallest.
    """

    axis: dict[str, int]
    bounds: dict[str, tuple[tuple[int, int], ...]]
    gap: int

    def window(self, part: int, place: Place, shape: tuple[int, int]) -> tuple[slice, slice] | None:
        """Rows and columns of a plane that are in a part; None where there are none.

        Args:
          part: 0 for training, 1 for validation, 2 for test.
          place: of the plane.
          shape: of the plane, in pixels.
        """
        first, last = self.bounds[place.scan][part]
        axis = self.axis[place.scan]
        if axis == place.axis:
            inside = place.number is not None and first <= place.number <= last
            return (slice(0, shape[0]), slice(0, shape[1])) if inside else None
        window = [slice(0, length) for length in shape]
        side = side_of(place.axis, axis)
        window[side] = slice(first, min(last + 1, shape[side]))
        return window[0], window[1]

    def mask(self, part: int, place: Place, label_HW: np.ndarray) -> np.ndarray:
        """The label (H, W) uint8 with all that is not in a part ignored."""
        window = self.window(part, place, label_HW.shape)
        masked_HW = np.full_like(label_HW, IGNORED)
        if window is not None:
            masked_HW[window] = label_HW[window]
        return masked_HW

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "; ".join(
            f"{scan or 'scan'}: "
            + ", ".join(f"{AXES[self.axis[scan]]} = {a} to {b}" for a, b in bounds)
            for scan, bounds in self.bounds.items()
        )


def cut(
    places: Sequence[Place],
    label_of: Callable[[int], np.ndarray],
    *,
    classes: int,
    fractions: Sequence[float],
    gap: int,
) -> Slabs | None:
    """The slabs in which every class is shared out most nearly as the fractions ask.

    Each scan is cut across the one of its axes that does best, in the order training, validation,
    test or the reverse.

    Args:
      places: of the labelled planes.
      label_of: class indices (H, W) uint8 of the plane at a place, 255 where unlabelled.
      classes: number of classes.
      fractions: of the labelled voxels, for training, validation and test.
      gap: distance of neighbouring parts in voxels; a tenth of the labelled extent where that is
        less.

    Returns:
      None where some part of a scan would have no labelled voxel, or training lack a class that
      the scan has.
    """
    axis_of, bounds, gaps = {}, {}, []
    for scan in dict.fromkeys(place.scan for place in places):
        mine = [(place, label_of(n)) for n, place in enumerate(places) if place.scan == scan]
        best = max(
            (_cut_across(axis, mine, classes, fractions, gap) for axis in range(3)),
            key=lambda found: found[0],
        )
        if best[0] <= 0:
            return None
        _, axis_of[scan], bounds[scan], used = best
        gaps.append(used)
    return Slabs(axis_of, bounds, min(gaps))


Cut = tuple[float, int, tuple[tuple[int, int], ...], int]
"""How good it is, its axis, the bounds of the parts, and the gap between them."""


def _cut_across(
    axis: int,
    planes: Sequence[tuple[Place, np.ndarray]],
    classes: int,
    fractions: Sequence[float],
    gap: int,
) -> Cut:
    counts_LK = _counts_along(axis, planes, classes)
    labelled = np.flatnonzero(counts_LK.any(axis=1))
    none: Cut = (0.0, axis, (), 0)
    if len(labelled) < 3:
        return none
    first, last = int(labelled[0]), int(labelled[-1])
    gap = max(1, min(gap, (last - first + 1) // LEAST_EXTENT))
    # Counts before each voxel, of the classes that there are.
    before_LK = np.zeros((len(counts_LK) + 1, classes), np.int64)
    np.cumsum(counts_LK, axis=0, out=before_LK[1:])
    before_LK = before_LK[:, before_LK[-1] > 0]
    cuts = np.unique(np.linspace(first, last, CUTS).round().astype(int)).tolist()
    best = none
    for one, two in combinations(cuts, 2):
        slabs = ((first, one), (one + gap, two), (two + gap, last))
        if slabs[1][0] > slabs[1][1] or slabs[2][0] > last:
            continue
        share_3K = np.stack([before_LK[b + 1] - before_LK[a] for a, b in slabs]) / before_LK[-1]
        for order in ((0, 1, 2), (2, 1, 0)):
            wanted_3 = np.asarray(fractions)[np.argsort(order)]
            reached_3K = np.minimum(share_3K / wanted_3[:, None], 1)
            training = reached_3K[order[0]]
            if not training.all() or not share_3K.any(axis=1).all():
                continue
            # The class that is served worst decides, then the others.
            good = float(reached_3K.min() + reached_3K.mean())
            if good > best[0]:
                best = (good, axis, tuple(slabs[place] for place in order), gap)
    return best


def _counts_along(
    axis: int, planes: Sequence[tuple[Place, np.ndarray]], classes: int
) -> np.ndarray:
    """Labelled voxels of each class at each number along an axis, (L, K) int64."""
    counts: dict[int, np.ndarray] = {}
    for place, label_HW in planes:
        if place.axis == axis:
            if place.number is None:
                continue
            rows = [(place.number, label_HW)]
        else:
            rows = enumerate(np.moveaxis(label_HW, side_of(place.axis, axis), 0))
        for number, values in rows:
            found = np.bincount(values.ravel(), minlength=IGNORED + 1)[:classes]
            counts[number] = counts.get(number, 0) + found
    counts_LK = np.zeros((max(counts, default=-1) + 1, classes), np.int64)
    for number, found in counts.items():
        counts_LK[number] += found
    return counts_LK


def side_of(across: int, axis: int) -> int:
    """Whether an axis runs along the rows (0) or the columns (1) of planes across another one."""
    return [other for other in range(3) if other != across].index(axis)
