"""Which slices train, validate and test, without a leak; and what leaks all the same."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xseg_jax.errors import InputError

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Slice indices of each part, ascending."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Part name to indices."""
        return {part: getattr(self, part) for part in PARTS}


def split_slices(
    kind: str,
    *,
    names: Sequence[str],
    numbers: Sequence[int | None],
    fractions: Sequence[float],
    ranges: Sequence[Sequence[int]],
    gap: int,
    group_pattern: str,
    seed: int,
) -> Split:
    """Divides slices into training, validation and test.

    Args:
      kind: "z" for contiguous blocks of one volume, "group" for independent images, or "random"
        to show how much neighbouring slices flatter a score.
      names: image stems.
      numbers: z of each slice.
      fractions: of the volume's height, of the groups, or of the slices.
      ranges: for "z", first and last z of each part instead of fractions, for example
        ((1, 196), (246, 271), (321, 384)).
      gap: for "z", smallest distance in z between two parts.
      group_pattern: for "group", a regular expression whose first group in the name says which
        images belong together, for example a patient; "" makes each file its own group.
      seed: orders groups and random slices.

    Raises:
      InputError: the slices cannot be divided so; names the field.
    """
    if kind not in ("z", "group", "random"):
        raise InputError(f"config.data.split.kind={kind!r}: choose z, group or random")
    if len(fractions) != len(PARTS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"config.data.split.fractions={tuple(fractions)}: give three positive numbers that "
            "sum to 1, for training, validation and test"
        )
    if kind == "z":
        return _by_z(names, numbers, fractions, ranges, gap)
    if kind == "random":
        logger.warning(
            "config.data.split.kind='random' puts neighbouring slices, which are near-copies, in "
            "training and test: the scores measure memory, not skill. Use it only to show that."
        )
        return _by_group(names, "", fractions, seed)
    return _by_group(names, group_pattern, fractions, seed)


def _by_z(
    names: Sequence[str],
    numbers: Sequence[int | None],
    fractions: Sequence[float],
    ranges: Sequence[Sequence[int]],
    gap: int,
) -> Split:
    for name, number in zip(names, numbers, strict=True):
        if number is None:
            raise InputError(
                f"{name}: no whole slice number in the name, but config.data.split.kind='z' "
                "needs one; set config.data.number_pattern, or split independent images by group"
            )
    z_N = np.array(numbers)
    if len(set(z_N.tolist())) < len(z_N):
        raise InputError(
            "two images have the same slice number; set config.data.number_pattern, or use "
            "config.data.split.kind='group' if they are independent images"
        )
    if gap < 0:
        raise InputError(f"config.data.split.gap={gap}: give 0 or more slices")
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
                f"fractions={tuple(fractions)}, ranges={[tuple(r) for r in ranges]}"
            )
    for a, one in enumerate(parts):
        for b, other in list(enumerate(parts))[a + 1 :]:
            distance = int(np.abs(z_N[one][:, None] - z_N[other]).min())
            if distance < max(gap, 1):
                raise InputError(
                    f"config.data.split: {PARTS[a]} and {PARTS[b]} are {distance} slices apart, "
                    f"less than gap={max(gap, 1)}; move the ranges or lower the gap"
                )
    return Split(*(tuple(members.tolist()) for members in parts))


def _by_group(names: Sequence[str], pattern: str, fractions: Sequence[float], seed: int) -> Split:
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
    distinct = np.array(sorted(set(groups)))
    if len(distinct) < len(PARTS):
        raise InputError(
            f"{len(distinct)} groups of images cannot be split in three; label more, or change "
            "config.data.split.group_pattern"
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
    return Split(*(
        tuple(i for i, group in enumerate(groups) if part_of[group] == part) for part in range(3)
    ))  # fmt: skip


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
