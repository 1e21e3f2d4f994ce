"""Chord lengths: how far lines along z, y and x run within a phase."""

from dataclasses import dataclass, replace

import numpy as np

from xseg_jax.measure.lattice import AT_ONCE, checked_spacing, coded

FIELDS = ("code_N", "length_N", "low_N", "high_N")
"""Of `Runs`."""


@dataclass(frozen=True)
class Tally:
    """Chords along one axis.

    Attributes:
      counts_KL: int64 (K, L) whole chords of each phase by their length in voxels.
      cut_K: int64 (K,) chords that a face or an unlabelled voxel cuts.
      cut_voxels_K: int64 (K,) voxels in them.
      cut_ends_K: int64 (K,) their other ends, where they have one at another phase.
    """

    counts_KL: np.ndarray
    cut_K: np.ndarray
    cut_voxels_K: np.ndarray
    cut_ends_K: np.ndarray

    def __add__(self, other: "Tally") -> "Tally":
        short, long = sorted((self.counts_KL, other.counts_KL), key=lambda counts: counts.shape[1])
        counts_KL = long.copy()
        counts_KL[:, : short.shape[1]] += short
        return Tally(
            counts_KL,
            self.cut_K + other.cut_K,
            self.cut_voxels_K + other.cut_voxels_K,
            self.cut_ends_K + other.cut_ends_K,
        )


@dataclass(frozen=True)
class Runs:
    """Voxels of one class in a row.

    Attributes:
      code_N: uint8 (N,) class of each, K where unlabelled.
      length_N: int64 (N,) in voxels.
      low_N, high_N: bool (N,) whether the run ends at another phase there.
    """

    code_N: np.ndarray
    length_N: np.ndarray
    low_N: np.ndarray
    high_N: np.ndarray

    def where(self, chosen_N: np.ndarray) -> "Runs":
        """Those of a mask."""
        return Runs(
            self.code_N[chosen_N], self.length_N[chosen_N], self.low_N[chosen_N],
            self.high_N[chosen_N],
        )  # fmt: skip


@dataclass(frozen=True)
class ChordSums:
    """What chord lengths are made of; sums of slabs in order of z add to that of the whole.

    Attributes:
      tallies: along z, y and x; along z without those that reach the first or the last plane.
      first, last: runs of each column of z that reach the first plane, and the last one.
      through_N: bool, columns where both are the same run.
      spacing: (z, y, x) edge lengths of a voxel.
    """

    tallies: tuple[Tally, Tally, Tally]
    first: Runs
    last: Runs
    through_N: np.ndarray
    spacing: tuple[float, float, float]

    def __add__(self, above: "ChordSums") -> "ChordSums":
        """Joins the slab that follows: runs that meet between them become one."""
        if self.spacing != above.spacing or self.through_N.shape != above.through_N.shape:
            raise ValueError("slabs of chords have other spacings or planes of another size")
        classes = len(self.tallies[0].cut_K)
        low, high = self.last, above.first
        same_N = low.code_N == high.code_N
        # Where the classes differ both runs end, at another phase if that is one.
        low = replace(low, high_N=high.code_N < classes)
        high = replace(high, low_N=low.code_N < classes)
        joined = Runs(low.code_N, low.length_N + high.length_N, low.low_N, above.first.high_N)
        ended_low, ended_high = ~same_N & ~self.through_N, ~same_N & ~above.through_N
        z = self.tallies[0] + above.tallies[0]
        for runs, chosen_N in (
            (low, ended_low),
            (high, ended_high),
            (joined, same_N & ~self.through_N & ~above.through_N),
        ):
            z += _tally(runs.where(chosen_N), classes)
        first = _choose(self.through_N, _choose(same_N, joined, low), self.first)
        last = _choose(above.through_N, _choose(same_N, joined, high), above.last)
        _, y, x = (a + b for a, b in zip(self.tallies, above.tallies, strict=True))
        through_N = same_N & self.through_N & above.through_N
        return ChordSums((z, y, x), first, last, through_N, self.spacing)

    def along(self, axis: int) -> Tally:
        """Chords along z, y or x (0, 1, 2), those that reach the ends of z counted as cut."""
        tally = self.tallies[axis]
        if axis == 0:
            classes = len(tally.cut_K)
            unseen_N = np.zeros(self.through_N.shape, bool)
            first = replace(self.first, low_N=unseen_N, high_N=self.first.high_N & ~self.through_N)
            last = replace(self.last, high_N=unseen_N)
            tally = tally + _tally(first, classes) + _tally(last.where(~self.through_N), classes)
        return tally


def chord_sums(
    class_ZYX: np.ndarray, classes: int, spacing: tuple[float, float, float]
) -> ChordSums:
    """Finds all chords in a slab; slabs need no overlap, and are added in order of z.

    Args:
      class_ZYX: uint8 with one plane or more, 0 to K-1, or 255 where unlabelled.
      classes: K.
      spacing: (z, y, x) edge lengths of a voxel.

    Raises:
      InputError: the volume is of another type, a value is no class, or a length not positive.
    """
    edges = checked_spacing(spacing)
    code_ZYX = coded(class_ZYX, classes)
    planes, rows, columns = code_ZYX.shape
    nothing = _tally(_runs(code_ZYX[:0, 0], classes)[0], classes)
    y, x = nothing, nothing
    thick = max(1, AT_ONCE // (rows * columns))
    for start in range(0, planes, thick):
        some_ZYX = code_ZYX[start : start + thick]
        x += _tally(_runs(some_ZYX.reshape(-1, columns), classes)[0], classes)
        y += _tally(_runs(some_ZYX.swapaxes(1, 2).reshape(-1, rows), classes)[0], classes)
    z, ends = nothing, []
    thick = max(1, AT_ONCE // (planes * columns))
    for start in range(0, rows, thick):
        column_NZ = np.moveaxis(code_ZYX[:, start : start + thick], 0, 2).reshape(-1, planes)
        runs, first_N, last_N = _runs(column_NZ, classes)
        z += _tally(runs.where(~first_N & ~last_N), classes)
        ends.append((runs.where(first_N), runs.where(last_N), last_N[first_N]))
    first, last = (
        Runs(*(np.concatenate([getattr(end[place], name) for end in ends]) for name in FIELDS))
        for place in (0, 1)
    )
    through_N = np.concatenate([end[2] for end in ends])
    return ChordSums((z, y, x), first, last, through_N, (edges[0], edges[1], edges[2]))


def chord_distribution(sums: ChordSums, axis: int, phase: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the whole chords of a phase along an axis, and the share of chords of each.

    A chord of n voxels has the length n h, with h the edge of a voxel along the axis. Chords that
    a face of the volume or an unlabelled voxel cuts are left out (`cut_shares` says how many):
    long ones are cut more often, so that in a small volume chords look too short. What is shorter
    than a voxel is not seen: where lengths are exponential, the mean is half a voxel too long.
    Torquato and Lu (1993), Phys. Rev. E 47:2950, doi:10.1103/PhysRevE.47.2950.

    Args:
      sums: of the volume.
      axis: 0, 1, 2 for z, y, x.
      phase: 0 to K-1.

    Returns:
      float64 (L,) lengths of 1, 2, ... voxels in the unit of spacing, to the longest chord, and
      float64 (L,) shares that sum to 1; both empty where no chord is whole.

      >>> class_ZYX = np.array([[[0, 1, 1, 0, 0, 1, 0]]], np.uint8)
      >>> length_L, share_L = chord_distribution(chord_sums(class_ZYX, 2, (1, 1, 0.5)), 2, 1)
      >>> length_L.tolist(), share_L.tolist()
      ([0.5, 1.0], [0.5, 0.5])
    """
    count_L = np.trim_zeros(sums.along(axis).counts_KL[phase], "b")[1:]
    return np.arange(1, len(count_L) + 1) * sums.spacing[axis], count_L / max(1, count_L.sum())


def mean_chords(sums: ChordSums) -> np.ndarray:
    """Mean length of the whole chords of each phase along each axis.

    Returns:
      float64 (3, K) for z, y, x in the unit of spacing; NaN where no chord is whole.

      >>> class_ZYX = np.array([[[0, 1, 1, 0, 0, 1, 0]]], np.uint8)
      >>> mean_chords(chord_sums(class_ZYX, 2, (1, 1, 1)))[2].tolist()
      [2.0, 1.5]
    """
    return _ratio(_moments(sums, 1), _moments(sums, 0), sums)


def length_weighted_chords(sums: ChordSums) -> np.ndarray:
    """Mean length of the chord through a random point of the whole chords: sum l^2 / sum l.

    Returns:
      float64 (3, K) for z, y, x in the unit of spacing; NaN where no chord is whole.

      >>> class_ZYX = np.array([[[0, 1, 1, 0, 0, 1, 0]]], np.uint8)
      >>> round(float(length_weighted_chords(chord_sums(class_ZYX, 2, (1, 1, 1)))[2, 1]), 4)
      1.6667
    """
    return _ratio(_moments(sums, 2), _moments(sums, 1), sums)


def corrected_mean_chords(sums: ChordSums) -> np.ndarray:
    """Mean chord length that does not suffer from cut chords: length of lines / half of the ends.

    Each chord has two ends; a cut one brings the length and the ends that are seen, so that
    neither is biased by the faces: the mean intercept length 4 V_V / S_V of stereology (Underwood
    1970, Quantitative Stereology) along one axis. Lines run from the middle of a first
    voxel to that of a last one: no end could be seen beyond.

    Returns:
      float64 (3, K) for z, y, x in the unit of spacing; infinite where no chord ends inside, NaN
      where there is no voxel of the phase.

      >>> class_ZYX = np.array([[[1, 1, 0, 1, 1, 0, 1, 1]]], np.uint8)
      >>> corrected_mean_chords(chord_sums(class_ZYX, 2, (1, 1, 1)))[2].tolist()
      [1.0, 2.5]
    """
    length_AK, ends_AK = _moments(sums, 1), 2 * _moments(sums, 0)
    for axis in range(3):
        tally = sums.along(axis)
        length_AK[axis] += tally.cut_voxels_K - (2 * tally.cut_K - tally.cut_ends_K) / 2
        ends_AK[axis] += tally.cut_ends_K
    return _ratio(length_AK, ends_AK / 2, sums)


def cut_shares(sums: ChordSums) -> np.ndarray:
    """Share of the chords of each phase along each axis that are cut.

    Returns:
      float64 (3, K) for z, y, x; NaN where there is no chord.

      >>> class_ZYX = np.array([[[0, 1, 1, 0, 0, 1, 0]]], np.uint8)
      >>> cut_shares(chord_sums(class_ZYX, 2, (1, 1, 1)))[2].round(3).tolist()
      [0.667, 0.0]
    """
    cut_AK = np.stack([sums.along(axis).cut_K for axis in range(3)]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return cut_AK / (cut_AK + _moments(sums, 0))


def _ratio(length_AK: np.ndarray, count_AK: np.ndarray, sums: ChordSums) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is NaN: there is no such chord.
        return length_AK / count_AK * np.array(sums.spacing)[:, None]


def _moments(sums: ChordSums, power: int) -> np.ndarray:
    """Sums (3, K) of the whole chords' lengths in voxels to a power."""
    rows = []
    for axis in range(3):
        counts_KL = sums.along(axis).counts_KL
        rows.append(counts_KL @ np.arange(counts_KL.shape[1], dtype=np.float64) ** power)
    return np.stack(rows)


def _runs(code_NL: np.ndarray, classes: int) -> tuple[Runs, np.ndarray, np.ndarray]:
    """Runs along lines, and which of them reach the first and the last voxel of their line."""
    length = code_NL.shape[1]
    starts_NL = np.ones(code_NL.shape, bool)
    np.not_equal(code_NL[:, 1:], code_NL[:, :-1], out=starts_NL[:, 1:])
    start_R = np.flatnonzero(starts_NL)
    stop_R = np.append(start_R[1:], code_NL.size) if len(start_R) else start_R
    code_R = code_NL.reshape(-1)[start_R]
    first_R, last_R = start_R % length == 0, stop_R % length == 0
    labelled_R = code_R < classes
    low_R = ~first_R & np.roll(labelled_R, 1)
    high_R = ~last_R & np.roll(labelled_R, -1)
    return Runs(code_R, stop_R - start_R, low_R, high_R), first_R, last_R


def _tally(runs: Runs, classes: int) -> Tally:
    """Counts runs of phases."""
    runs = runs.where(runs.code_N < classes)
    whole_N = runs.low_N & runs.high_N
    whole, cut = runs.where(whole_N), runs.where(~whole_N)
    longest = int(whole.length_N.max(initial=0)) + 1
    place_N = whole.code_N.astype(np.int64) * longest + whole.length_N
    counts_N = np.bincount(place_N, minlength=classes * longest)
    cut_K = np.bincount(cut.code_N, minlength=classes)
    # Lengths in voxels are exact as float64 to 2^53.
    voxels_K = np.bincount(cut.code_N, cut.length_N, minlength=classes).astype(np.int64)
    ends_K = np.bincount(cut.code_N[cut.low_N | cut.high_N], minlength=classes)
    return Tally(counts_N.reshape(classes, longest), cut_K, voxels_K, ends_K)


def _choose(chosen_N: np.ndarray, one: Runs, other: Runs) -> Runs:
    return Runs(*(np.where(chosen_N, getattr(one, name), getattr(other, name)) for name in FIELDS))
