"""How far predicted boundaries lie from labelled ones, as sums over planes.

A boundary is the marching-squares contour of a class in a plane. Its elements lie at the corners of
pixels whose four neighbours are not all of one kind, and weigh as long as the contour is there, as
in google-deepmind/surface-distance (Nikolov et al. 2021, doi:10.2196/26151). The sums are divided
once, over all planes, so that planes, blocks and processes add up.

Where this differs from that package and from MONAI's `compute_surface_dice`: both score an image at
a time and leave means over images to their caller; both know no ignored pixels, and take the edge
of the image for the edge of every class that it cuts. Here what lies outside of the image is as
unknown as an ignored pixel. MONAI counts boundary pixels unless it is told otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from xseg_jax.data.labels import IGNORED
from xseg_jax.errors import InputError
from xseg_jax.files import replacing
from xseg_jax.training.parallel import share_of, sum_over_processes

TOLERANCE = 2.0
"""Pixels; what runs of earlier versions are scored with."""
EXACT = 8
"""Pixels up to which every distance between two corners has a bin of its own."""
GROWTH, LARGEST = 1.06, 1e5
"""Beyond, each bin is wider than the one below by this factor, up to so many pixels."""
SHARE = 0.95
ROUNDING = 1 + 1e-9
Spacing = tuple[float, float]


@dataclass(frozen=True)
class BoundarySums:
    """Lengths of boundary by how far the other one is; sums of planes or of blocks add up.

    X are any leading axes (planes, blocks), K classes, D the direction (0 from the labelled
    boundary to the predicted one, 1 back), E bins of distance.

    Attributes:
      tolerance: of the surface Dice, in units of the spacing.
      spacing: edge lengths (y, x) of a pixel.
      length_XKDE: in bins up to each of `edges`, the last of what has no counterpart.
      distance_XKD: sums of length times distance, of what has a counterpart.
      left_out_XKD: length of which nobody knows whether a counterpart is within the tolerance.
    """

    tolerance: float
    spacing: Spacing
    length_XKDE: np.ndarray
    distance_XKD: np.ndarray
    left_out_XKD: np.ndarray

    def __add__(self, other: Self) -> Self:
        if (self.tolerance, self.spacing) != (other.tolerance, other.spacing):
            raise ValueError("sums of other tolerances or spacings do not add up")
        arrays = (one + two for one, two in zip(self.arrays, other.arrays, strict=True))
        return type(self)(self.tolerance, self.spacing, *arrays)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What adds up."""
        return self.length_XKDE, self.distance_XKD, self.left_out_XKD

    @property
    def edges(self) -> np.ndarray:
        """Upper edges (E,) of the bins, each in its bin."""
        return bin_edges(self.tolerance, self.spacing)

    @property
    def total(self) -> Self:
        """The sum over the first of the leading axes."""
        return type(self)(self.tolerance, self.spacing, *(one.sum(axis=0) for one in self.arrays))

    @property
    def within_XK2(self) -> np.ndarray:
        """Length within the tolerance, and all length, of both directions: what Dice divides."""
        near_E = self.edges <= self.tolerance
        within_XK, beyond_XK = (
            self.length_XKDE[..., part_E].sum(axis=(-2, -1)) for part_E in (near_E, ~near_E)
        )
        # All of it is a sum of the two, so that rounding makes no share more than 1.
        return np.stack([within_XK, within_XK + beyond_XK], axis=-1)

    @property
    def apart_XK2(self) -> np.ndarray:
        """Length times distance, and length, of what has a counterpart: what the mean divides."""
        matched_XK = self.length_XKDE[..., :-1].sum(axis=(-2, -1))
        return np.stack([self.distance_XKD.sum(axis=-1), matched_XK], axis=-1)


def bin_edges(tolerance: float, spacing: Spacing = (1.0, 1.0)) -> np.ndarray:
    """Upper edges (E,) of the bins of distance, from 0 to infinity; the tolerance is one."""
    pixel = min(spacing)
    steps_N = np.arange(EXACT + 1)
    lattice_NN = np.hypot(steps_N[:, None] * spacing[0], steps_N * spacing[1])
    near_E = lattice_NN[lattice_NN <= EXACT * pixel * ROUNDING]
    count = int(np.ceil(np.log(LARGEST / EXACT) / np.log(GROWTH)))
    far_E = EXACT * pixel * GROWTH ** np.arange(1, count + 1)
    edges_E = np.unique(np.concatenate([near_E, far_E, [tolerance, np.inf]]))
    # What rounding tells apart is one edge; of such a pair the tolerance stays.
    same_E = np.append(edges_E[1:] <= edges_E[:-1] * ROUNDING, False)
    edges_E = edges_E[~same_E]
    edges_E[np.abs(edges_E - tolerance) <= tolerance * (ROUNDING - 1)] = tolerance
    return edges_E


def boundary_sums(
    label_HW: np.ndarray,
    prediction_HW: np.ndarray,
    classes: int,
    *,
    tolerance: float = TOLERANCE,
    spacing: Spacing = (1.0, 1.0),
) -> BoundarySums:
    """Boundary lengths of a plane by distance, for each class.

    A corner that touches an ignored pixel, or the outside of the image, holds no boundary. An
    element without a counterpart within the tolerance counts nowhere where such a corner is within
    the tolerance, for the counterpart may be there.

    A class without a boundary in label and prediction counts nowhere. Where one of them alone has a
    boundary it is infinitely far from the other: outside any tolerance.

        >>> label_HW, prediction_HW = np.zeros((2, 20, 20), np.uint8)
        >>> label_HW[:, :9], prediction_HW[:, :12] = 1, 1
        >>> sums = boundary_sums(label_HW, prediction_HW, 2)
        >>> mean_distance(sums).tolist(), hausdorff(sums).tolist()
        ([3.0, 3.0], [3.0, 3.0])
        >>> surface_dice(sums).tolist()
        [0.0, 0.0]

    Args:
      label_HW: class indices, uint8; 255 is ignored.
      prediction_HW: class indices, uint8.
      classes: K.
      tolerance: in units of the spacing.
      spacing: edge lengths (y, x) of a pixel.

    Returns:
      Sums without leading axes.
    """
    padded_hw = np.pad(label_HW, 1, constant_values=IGNORED)
    guessed_hw = np.pad(prediction_HW, 1)
    unknown_cc = _any_of_four(padded_hw == IGNORED)
    near_cc = _near(unknown_cc, tolerance, spacing, frame_only=bool((label_HW != IGNORED).all()))
    edges_E = bin_edges(tolerance, spacing)
    table_16 = _lengths(spacing)
    length_KDE = np.zeros((classes, 2, len(edges_E)))
    distance_KD, left_out_KD = np.zeros((2, classes, 2))
    for k in range(classes):
        codes_cc = [_codes(mask_hw == k) for mask_hw in (padded_hw, guessed_hw)]
        both_cc = [(code_cc > 0) & (code_cc < 15) & ~unknown_cc for code_cc in codes_cc]
        for d, (code_cc, mine_cc) in enumerate(zip(codes_cc, both_cc, strict=True)):
            length_P = table_16[code_cc[mine_cc]]
            distance_P = _distances(mine_cc, both_cc[1 - d], spacing)
            open_P = (distance_P > tolerance * ROUNDING) & near_cc[mine_cc]
            left_out_KD[k, d] = length_P[open_P].sum()
            length_P, distance_P = length_P[~open_P], distance_P[~open_P]
            bin_P = np.searchsorted(edges_E * ROUNDING, distance_P)
            length_KDE[k, d] = np.bincount(bin_P, length_P, len(edges_E))
            found_P = np.isfinite(distance_P)
            distance_KD[k, d] = (length_P[found_P] * distance_P[found_P]).sum()
    return BoundarySums(tolerance, spacing, length_KDE, distance_KD, left_out_KD)


def surface_dice(sums: BoundarySums) -> np.ndarray:
    """Share of both boundaries that is within the tolerance of the other (..., K).

    S = (|D_label <= t| + |D_prediction <= t|) / (|D_label| + |D_prediction|), in lengths (Nikolov
    et al. 2021, doi:10.2196/26151). NaN for a class without a boundary.
    """
    return dice_of(sums.within_XK2)


def dice_of(within_XK2: np.ndarray) -> np.ndarray:
    """The surface Dice (..., K) of `BoundarySums.within_XK2`."""
    return ratio(within_XK2[..., 0], within_XK2[..., 1])


def macro_dice_of(within_XK2: np.ndarray) -> np.ndarray:
    """The mean surface Dice (...) of the classes that have a boundary; NaN where none has."""
    known_XK = within_XK2[..., 1] > 0
    dice_XK = np.where(known_XK, dice_of(within_XK2), 0.0)
    return ratio(dice_XK.sum(axis=-1), known_XK.sum(axis=-1))


def hausdorff(sums: BoundarySums, share: float = SHARE) -> np.ndarray:
    """Distance (..., K) that the share of each boundary is within of the other.

    The larger of the two directions, each over the boundaries of all planes together, as weighted
    by length. Exact up to 8 pixels, beyond up to 6 per cent too large. Infinite where too much has
    no counterpart; NaN for a class without a boundary.
    """
    upto_XKDE = sums.length_XKDE.cumsum(axis=-1)
    total_XKD1 = upto_XKDE[..., -1:]
    # The first bin that holds so much; rounding of the sum may lose a last digit.
    place_XKD = (upto_XKDE >= share * total_XKD1 / ROUNDING).argmax(axis=-1)
    distance_XKD = np.where(total_XKD1[..., 0] > 0, sums.edges[place_XKD], -np.inf)
    largest_XK = distance_XKD.max(axis=-1)
    return np.where(largest_XK < 0, np.nan, largest_XK)


def mean_distance(sums: BoundarySums) -> np.ndarray:
    """Mean distance (..., K) to the other boundary, both directions together by length.

    The average symmetric surface distance, of what has a counterpart in its plane; NaN where
    nothing has. Read it beside `unmatched`.
    """
    apart_XK2 = sums.apart_XK2
    return ratio(apart_XK2[..., 0], apart_XK2[..., 1])


def unmatched(sums: BoundarySums) -> np.ndarray:
    """Share (..., K) of both boundaries in planes where the other has none; NaN for no boundary."""
    total_XK = sums.length_XKDE.sum(axis=(-2, -1))
    return ratio(sums.length_XKDE[..., -1].sum(axis=-1), total_XK)


def boundary_scores(sums: BoundarySums, class_names: Sequence[str]) -> dict[str, Any]:
    """JSON-ready scores of sums without leading axes.

    Returns:
      tolerance, spacing, surface_dice (the mean over classes), left_out (share of the length that
      counts nowhere) and per_class by name: surface_dice, hd95, mean_distance, unmatched, length
      (of the labelled boundary that counts), reason (why hd95 is None, else None).
    """
    columns = {
        "surface_dice": surface_dice(sums),
        "hd95": hausdorff(sums),
        "mean_distance": mean_distance(sums),
        "unmatched": unmatched(sums),
    }
    per_class = {}
    for k, name in enumerate(class_names):
        row: dict[str, Any] = {key: _finite(column_K[k]) for key, column_K in columns.items()}
        row["length"] = float(sums.length_XKDE[k, 0].sum())
        row["reason"] = None
        if row["unmatched"] is None:
            row["reason"] = "no boundary in label and prediction"
        elif row["hd95"] is None:
            shares_D = ratio(sums.length_XKDE[k, :, -1], sums.length_XKDE[k].sum(axis=-1))
            row["reason"] = (
                f"{np.nanmax(shares_D):.1%} of a boundary is in planes where the other has none"
            )
        per_class[name] = row
    left_out = sums.left_out_XKD.sum()
    return {
        "tolerance": sums.tolerance,
        "spacing": list(sums.spacing),
        "surface_dice": _finite(macro_dice_of(sums.within_XK2)),
        "left_out": _finite(ratio(left_out, left_out + sums.length_XKDE.sum())),
        "per_class": per_class,
    }


class BoundaryTally:
    """Collects the boundaries of planes that this process looks at, in their order.

    Args:
      planes: that all processes look at together.
      classes: K.
      tolerance: pixels.
    """

    def __init__(self, planes: Sequence[Any], classes: int, tolerance: float) -> None:
        self._mine = iter(share_of(planes))
        self._tolerance, self._classes = tolerance, classes
        count, bins = len(planes), len(bin_edges(tolerance))
        self._length_NKDE = np.zeros((count, classes, 2, bins))
        self._distance_NKD, self._left_out_NKD = np.zeros((2, count, classes, 2))

    def __call__(self, label_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
        """Adds the next plane: class indices; 255 in the label is ignored."""
        found = boundary_sums(label_HW, prediction_HW, self._classes, tolerance=self._tolerance)
        place = next(self._mine)
        self._length_NKDE[place] = found.length_XKDE
        self._distance_NKD[place] = found.distance_XKD
        self._left_out_NKD[place] = found.left_out_XKD

    def sums(self) -> BoundarySums:
        """Of each plane, (N, ...); every process calls it."""
        # A plane is in one process alone: the sums are exact, and the same for any number.
        arrays = sum_over_processes((self._length_NKDE, self._distance_NKD, self._left_out_NKD))
        return BoundarySums(self._tolerance, (1.0, 1.0), *arrays)


def write_sums(path: Path, methods: Mapping[str, BoundarySums]) -> None:
    """Writes sums of the same planes, by name of the method; a whole file or none.

    Raises:
      SaveError: the disk is full, or failed.
    """
    arrays: Any = {
        f"{name}.{kind}": array
        for name, sums in methods.items()
        for kind, array in zip(("length", "distance", "left_out"), sums.arrays, strict=True)
    }
    first = next(iter(methods.values()))
    with replacing(path, "the boundaries") as draft, draft.open("wb") as file:
        np.savez_compressed(file, tolerance=first.tolerance, spacing=first.spacing, **arrays)


def read_sums(path: Path, name: str) -> BoundarySums:
    """Reads the sums of a method that `write_sums` wrote.

    Raises:
      InputError: the file cannot be read, or is another one.
    """
    try:
        with np.load(path) as file:
            tolerance, (y, x) = float(file["tolerance"]), file["spacing"].tolist()
            arrays = (file[f"{name}.{kind}"] for kind in ("length", "distance", "left_out"))
            return BoundarySums(tolerance, (y, x), *arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); bring back the file that the run wrote"
        ) from error


def _codes(mask_hw: np.ndarray) -> np.ndarray:
    """Which of the four pixels of each inner corner are in a mask: 1, 2, 4 and 8, added."""
    one_hw = mask_hw.view(np.uint8)
    return one_hw[:-1, :-1] + 2 * one_hw[:-1, 1:] + 4 * one_hw[1:, :-1] + 8 * one_hw[1:, 1:]


def _any_of_four(mask_hw: np.ndarray) -> np.ndarray:
    return mask_hw[:-1, :-1] | mask_hw[:-1, 1:] | mask_hw[1:, :-1] | mask_hw[1:, 1:]


def _lengths(spacing: Spacing) -> np.ndarray:
    """Length (16,) of the contour at a corner of each code."""
    y, x = spacing
    slope = float(np.hypot(y, x))
    table_16 = np.full(16, slope / 2)  # One pixel of another kind than the three others.
    table_16[[0, 15]] = 0.0
    table_16[[3, 12]] = x  # Rows of two pixels each.
    table_16[[5, 10]] = y
    table_16[[6, 9]] = slope  # Pixels that touch at the corner alone.
    return table_16


def _distances(mine_cc: np.ndarray, other_cc: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Distance of each corner in a mask, in order, to the nearest in another one."""
    if not other_cc.any():
        return np.full(np.count_nonzero(mine_cc), np.inf)
    apart_P = ~other_cc[mine_cc]
    distance_P = np.zeros(len(apart_P))
    alone_cc = mine_cc & ~other_cc
    # Most corners are shared. Of few others a tree finds the nearest three times as fast as the
    # distance of every corner in the plane; of very many, as in noise, three times as slowly.
    if np.count_nonzero(apart_P) < mine_cc.size // 16:
        tree = KDTree(np.argwhere(other_cc) * spacing, balanced_tree=False, compact_nodes=False)
        distance_P[apart_P] = tree.query(np.argwhere(alone_cc) * spacing)[0]
    else:
        every_cc: Any = distance_transform_edt(~other_cc, sampling=spacing)
        distance_P[apart_P] = every_cc[alone_cc]
    return distance_P


def _near(
    unknown_cc: np.ndarray, tolerance: float, spacing: Spacing, *, frame_only: bool
) -> np.ndarray:
    """Whether a corner without a boundary is within the tolerance of each corner."""
    if not frame_only:
        distance_cc: Any = distance_transform_edt(~unknown_cc, sampling=spacing)
        return distance_cc <= tolerance * ROUNDING
    near_cc = np.zeros(unknown_cc.shape, bool)
    for axis, edge in enumerate(spacing):
        strip = int(tolerance * ROUNDING / edge) + 1
        along_c = np.arange(near_cc.shape[axis])
        at_edge_c = (along_c < strip) | (along_c >= len(along_c) - strip)
        near_cc |= np.expand_dims(at_edge_c, 1 - axis)
    return near_cc


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A quotient of sums; NaN where there is nothing to divide by."""
    below = np.asarray(below, float)
    return np.where(below > 0, above, np.nan) / np.where(below > 0, below, 1.0)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
