"""Which slices train, validate and test, without a leak; and what leaks all the same."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import AXES, Place
from xseg_jax.data.slabs import Slabs, cut
from xseg_jax.errors import InputError

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")


LEAST_BETWEEN = 3
"""Fewest training planes to each that is held out."""
KINDS = ("auto", "scan", "z", "tiles", "group", "random", "none")


@dataclass(frozen=True)
class Split:
    """Plane indices of each part, ascending.

    Attributes:
      train: planes to learn from.
      validation: planes to choose the best checkpoint by.
      test: planes to score.
      kind: one of `KINDS` but "auto".
      between: planes that lie between those of training and that no part has: scored to see what
        the network makes of slices that nobody labels, where only some are labelled.
      spared: training planes that `train_slices` leaves out, and that are not between.
      slabs: how planes are cut, where parts share planes; None where planes are whole.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    kind: str
    slabs: Slabs | None = None
    between: tuple[int, ...] = ()
    spared: tuple[int, ...] = ()

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Part name to indices."""
        return {part: getattr(self, part) for part in PARTS}


def split_planes(
    kind: str,
    *,
    names: Sequence[str],
    places: Sequence[Place],
    label_of: Callable[[int], np.ndarray],
    classes: int,
    fractions: Sequence[float],
    ranges: Sequence[Sequence[int]],
    gap: int,
    group_pattern: str,
    seed: int,
) -> Split:
    """Divides labelled planes into training, validation and test.

    Args:
      kind: "scan" for whole scans; "z" for contiguous blocks of each scan; "tiles" for blocks of
        voxels within the labelled planes; "group" for independent images; "random" to show how
        much neighbouring slices flatter a score; "none" trains on all; "auto" takes the first of
        scan (from three scans on), z, tiles, none that the labels allow.
      names: of the planes.
      places: of the planes.
      label_of: class indices (H, W) of a plane, 255 where unlabelled; asked for tiles alone.
      classes: number of classes.
      fractions: of the scans, of a scan's height, of the labelled voxels, of the groups, or of the
        planes.
      ranges: for "z", first and last z of each part instead of fractions, for example
        ((1, 196), (246, 271), (321, 384)).
      gap: for "z" and "tiles", smallest distance between two parts in voxels.
      group_pattern: for "group", a regular expression whose first group in the name says which
        images belong together, for example a patient; "" makes each file its own group.
      seed: orders scans, groups and random planes.

    Raises:
      InputError: the planes cannot be divided so; names the field.
    """
    check_fields(kind, fractions, gap)
    scans = [place.scan for place in places]
    if kind == "random":
        logger.warning(
            "config.data.split.kind='random' puts neighbouring slices, which are near-copies, in "
            "training and test: the scores measure memory, not skill. Use it only to show that."
        )
    if kind in ("group", "random"):
        groups = _groups(names, group_pattern if kind == "group" else "")
        return _by_group(groups, fractions, seed, kind)
    if kind == "scan" or (kind == "auto" and len(set(scans)) >= len(PARTS)):
        return _by_group(scans, fractions, seed, "scan")
    if kind == "z" or (kind == "auto" and any(len(limits) for limits in ranges)):
        return _by_z(names, places, fractions, ranges, gap)
    if kind == "auto":
        for blocks in (_blocks, _blocks_by_count):
            try:
                return _by_z(names, places, fractions, ranges, gap, blocks)
            except InputError as error:
                logger.debug("no blocks of z: %s", error)
    if kind != "none":
        slabs = cut(places, label_of, classes=classes, fractions=fractions, gap=gap)
        if slabs is not None:
            return _by_slabs(places, label_of, slabs)
        if kind == "tiles":
            raise InputError(
                "config.data.split.kind='tiles': the labelled planes cannot be cut so that each "
                "part has labelled pixels and training has every class; label more, or train "
                "without a test by --config.data.split.kind=none"
            )
    return Split(tuple(range(len(places))), (), (), "none")


def check_fields(kind: str, fractions: Sequence[float], gap: int) -> None:
    """Refuses what no planes could be divided by.

    Raises:
      InputError: names the field.
    """
    if kind not in KINDS:
        raise InputError(f"config.data.split.kind={kind!r}: choose one of {', '.join(KINDS)}")
    if len(fractions) != len(PARTS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"config.data.split.fractions={tuple(fractions)}: give three positive numbers that "
            "sum to 1, for training, validation and test"
        )
    if gap < 0:
        raise InputError(f"config.data.split.gap={gap}: give 0 or more slices")


def check_between(between: int) -> None:
    """Refuses a number of planes of which one cannot be held out.

    Raises:
      InputError: names the field.
    """
    if between != 0 and between < LEAST_BETWEEN:
        raise InputError(
            f"config.data.split.between={between}: give 0, or at least {LEAST_BETWEEN}, as every "
            "plane that is held out needs one that trains on each side"
        )


def _by_slabs(
    places: Sequence[Place], label_of: Callable[[int], np.ndarray], slabs: Slabs
) -> Split:
    """The planes that have labelled pixels in the slab of each part."""
    parts = [
        tuple(
            index
            for index, place in enumerate(places)
            if (slabs.mask(part, place, label_of(index)) != IGNORED).any()
        )
        for part in range(len(PARTS))
    ]
    return Split(*parts, kind="tiles", slabs=slabs)


def _by_z(
    names: Sequence[str],
    places: Sequence[Place],
    fractions: Sequence[float],
    ranges: Sequence[Sequence[int]],
    gap: int,
    blocks: Callable[..., list[np.ndarray]] | None = None,
) -> Split:
    """Blocks of z of each scan."""
    blocks = blocks or _blocks
    for name, place in zip(names, places, strict=True):
        if place.number is None or place.axis != 0:
            raise InputError(
                f"{name}: no whole slice number in the name, but config.data.split.kind='z' "
                "needs one; set --config.data.number_pattern, or split independent images by "
                "--config.data.split.kind=group"
                if place.number is None
                else f"{name}: is across {AXES[place.axis]}, but config.data.split.kind='z' needs "
                "planes across z; use --config.data.split.kind=tiles"
            )
    parts: list[list[int]] = [[], [], []]
    for scan in dict.fromkeys(place.scan for place in places):
        mine = [index for index, place in enumerate(places) if place.scan == scan]
        z_N = np.array([places[index].number for index in mine])
        for part, members in zip(parts, blocks(z_N, fractions, ranges, gap), strict=True):
            part.extend(mine[member] for member in members)
    return Split(*(tuple(sorted(part)) for part in parts), kind="z")


def _blocks(
    z_N: np.ndarray, fractions: Sequence[float], ranges: Sequence[Sequence[int]], gap: int
) -> list[np.ndarray]:
    """Places in `z_N` of the members of each part."""
    if len(set(z_N.tolist())) < len(z_N):
        raise InputError(
            "two images have the same slice number; set --config.data.number_pattern, or split "
            "independent images by --config.data.split.kind=group"
        )
    if not any(len(limits) for limits in ranges):
        free = np.ptp(z_N) - 2 * gap
        ends = z_N.min() + np.cumsum(fractions) * free + gap * np.arange(3)
        starts = ends - np.asarray(fractions) * free
        # A little slack at both ends keeps rounding from dropping a slice.
        blocks = [(z_N >= a - 1e-6) & (z_N <= b + 1e-6) for a, b in zip(starts, ends, strict=True)]
        for earlier, later in pairwise(blocks):
            later &= ~earlier  # Without a gap they touch.
    else:
        blocks = []
        for part, limits in zip(PARTS, ranges, strict=True):
            if len(limits) != 2 or limits[0] > limits[1]:
                raise InputError(
                    f"config.data.split.{part}={tuple(limits)}: give the first and the last z, "
                    "for all three parts"
                )
            blocks.append((z_N >= limits[0]) & (z_N <= limits[1]))
    parts = [np.flatnonzero(block) for block in blocks]
    for part, members in zip(PARTS, parts, strict=True):
        if not len(members):
            raise InputError(
                f"the {part} block holds none of the {len(z_N)} slices from z = {z_N.min()} to "
                f"{z_N.max()}; label more slices, or change config.data.split: gap={gap}, "
                f"fractions={tuple(fractions)}, ranges={[tuple(r) for r in ranges]}; independent "
                "images have no z: --config.data.split.kind=group splits them"
            )
    for a, one in enumerate(parts):
        for b, other in list(enumerate(parts))[a + 1 :]:
            distance = int(np.abs(z_N[one][:, None] - z_N[other]).min())
            if distance < max(gap, 1):
                raise InputError(
                    f"config.data.split: {PARTS[a]} and {PARTS[b]} are {distance} slices apart, "
                    f"less than gap={max(gap, 1)}; move the ranges or lower the gap"
                )
    return parts


def _blocks_by_count(
    z_N: np.ndarray, fractions: Sequence[float], ranges: Sequence[Sequence[int]], gap: int
) -> list[np.ndarray]:
    """As `_blocks`, where few planes are labelled: fractions of their number, not of the height."""
    del ranges
    order = np.argsort(z_N)
    z, best, worst = z_N[order], None, np.inf
    for train_end in range(1, len(z) - 1):
        first = int(np.searchsorted(z, z[train_end - 1] + max(gap, 1)))
        for validation_end in range(first + 1, len(z)):
            last = int(np.searchsorted(z, z[validation_end - 1] + max(gap, 1)))
            counts = (train_end, validation_end - first, len(z) - last)
            if min(counts) < 1:
                continue
            missing = max(f - c / len(z) for f, c in zip(fractions, counts, strict=True))
            if missing < worst:
                worst = missing
                best = [order[:train_end], order[first:validation_end], order[last:]]
    if best is None:
        raise InputError(f"config.data.split: {len(z)} planes are no three blocks {gap} apart")
    return best


def _groups(names: Sequence[str], pattern: str) -> list[str]:
    """What the pattern's first group finds in each name; the name itself without a pattern."""
    groups = []
    try:
        group_re = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"config.data.split.group_pattern={pattern!r}: is no regular expression ({error})"
        ) from error
    for name in names:
        found = group_re.search(name) if pattern else None
        if pattern and (found is None or not found.groups() or found[1] is None):
            raise InputError(
                f"{name}: config.data.split.group_pattern={pattern!r} finds no group in this name; "
                "its first (...) must match the part that images of one group share"
            )
        groups.append(found[1] if found else name)
    return groups


def _by_group(groups: Sequence[str], fractions: Sequence[float], seed: int, kind: str) -> Split:
    """Whole groups: images of one patient, or planes of one scan."""
    distinct = np.array(sorted(set(groups)))
    if len(distinct) < len(PARTS):
        what = "scans" if kind == "scan" else "groups of images"
        raise InputError(
            f"{len(distinct)} {what} cannot be split in three; label more, or change "
            "config.data.split: kind and group_pattern"
        )
    np.random.default_rng(seed).shuffle(distinct)
    # Every part gets at least one group, however small its fraction.
    train_end, validation_end = np.rint(np.cumsum(fractions)[:2] * len(distinct)).astype(int)
    train_end = min(max(train_end, 1), len(distinct) - 2)
    validation_end = min(max(validation_end, train_end + 1), len(distinct) - 1)
    part_of = {
        group: int(rank >= train_end) + int(rank >= validation_end)
        for rank, group in enumerate(distinct.tolist())
    }
    parts = [
        tuple(i for i, group in enumerate(groups) if part_of[group] == part) for part in range(3)
    ]
    return Split(*parts, kind=kind)


def choose_evenly(indices: Sequence[int], count: int) -> tuple[int, ...]:
    """`count` of the indices, evenly spread, the middle one for a count of 1; all for 0.

    Raises:
      InputError: fewer indices than `count`.
    """
    if not 0 <= count <= len(indices):
        raise InputError(
            f"config.data.train_slices={count}: the training block has {len(indices)} slices; "
            "choose 1 to that many, or 0 for all"
        )
    if count == 0:
        return tuple(indices)
    places = (np.arange(count) + 0.5) * len(indices) / count
    return tuple(indices[int(place)] for place in places)


def hold_out(split: Split, places: Sequence[Place], *, between: int, train_slices: int) -> Split:
    """The split with training planes taken out that lie between others, and are scored too.

    Args:
      split: as `split_planes` gives it.
      places: of the planes.
      between: for "scan" and "z", of so many training planes of a scan one is held out, evenly
        spread; 0 holds none out.
      train_slices: trains on so many of the training planes, as `choose_evenly`, 0 for all; the
        others are between them, and none more are held out.

    Raises:
      InputError: a number cannot be used; names the field.
    """
    check_between(between)
    if train_slices:
        return _choose_train(split, train_slices, places)
    return _hold_out(split, between, places)


def _choose_train(split: Split, count: int, places: Sequence[Place]) -> Split:
    """The split with `count` of its training planes, as `choose_evenly`; the others are between."""
    train = choose_evenly(split.train, count)
    left = [index for index in split.train if index not in set(train)]
    others = [places[index] for index in train]
    between = tuple(
        index for index in left if split.slabs is None and _is_between(places[index], others)
    )
    spared = tuple(index for index in left if index not in set(between))
    return replace(split, train=train, between=between, spared=spared)


def _hold_out(split: Split, every: int, places: Sequence[Place]) -> Split:
    """The split with one training plane in `every` of each scan held out as between.

    They are evenly spread, and each has a training plane on both sides. Of a scan with planes
    across several axes, which cross each other, none is held out, nor where two planes have the
    same number, for its copy would train.
    """
    if not every or split.kind not in ("scan", "z"):
        return split
    between: list[int] = []
    for scan in dict.fromkeys(places[index].scan for index in split.train):
        mine = [index for index in split.train if places[index].scan == scan]
        number_of = {index: places[index].number for index in mine}
        known = sorted(number for number in number_of.values() if number is not None)
        alone = len({places[index].axis for index in mine}) == 1
        if not alone or len(set(known)) < len(mine) or len(mine) < every:
            continue
        # At least three planes to each: never the first or the last, and no two beside each other.
        held = set(choose_evenly(known, len(mine) // every))
        between.extend(index for index in mine if number_of[index] in held)
    train = tuple(index for index in split.train if index not in set(between))
    return replace(split, train=train, between=tuple(sorted(between)))


def _is_between(place: Place, others: Sequence[Place]) -> bool:
    """Whether planes of the same scan and axis lie on both sides."""
    numbers = [
        other.number
        for other in others
        if (other.scan, other.axis) == (place.scan, place.axis) and other.number is not None
    ]
    return place.number is not None and bool(numbers) and min(numbers) < place.number < max(numbers)
