"""Which planes of a label volume are labelled, where most of it is not."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from xseg_jax.data.images import COLOUR, Convention, label_values
from xseg_jax.data.labels import text_of, unify
from xseg_jax.data.planes import AXES
from xseg_jax.errors import InputError
from xseg_jax.scans.scan import Scan

SLAB_VOXELS = 1 << 24
"""Label voxels in memory at once."""

MOSTLY_EMPTY = 0.5
"""Largest share of planes across an axis that are labelled, where labels are said to be planes
across it; more are a margin around the sample."""

CROSSED = 4.0
"""A plane is labelled itself, and not crossed by labelled planes alone, where it has so many times
the labelled voxels of the median plane across its axis."""

COVERED = 0.999
"""Share of the labelled voxels that the labelled planes found must hold."""


@dataclass(frozen=True)
class Planes:
    """Labelled planes of a label volume.

    Attributes:
      indices: of the planes across z, y and x.
      why: how they were found, for a person.
    """

    indices: tuple[tuple[int, ...], ...]
    why: str

    def __str__(self) -> str:
        parts = [
            f"{AXES[axis]} = {_ranges(indices)}"
            for axis, indices in enumerate(self.indices)
            if indices
        ]
        return "; ".join(parts)


def parse_planes(text: str, shape: tuple[int, ...]) -> Planes:
    """Planes that somebody names, as in "z=10,50; y=30" or "z=0-63".

    Raises:
      InputError: the text is none, or names a plane that is not there.
    """
    indices: list[list[int]] = [[], [], []]
    for part in filter(None, (part.strip() for part in text.split(";"))):
        found = re.fullmatch(r"([xyz])\s*=\s*([\d\s,-]+)", part)
        ranges = [re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", one) for one in
                  (found[2].split(",") if found else ())]  # fmt: skip
        if not found or None in ranges:
            raise InputError(
                f"config.data.labelled={text!r}: {part!r} must be an axis and numbers of planes, "
                "as in z=10,50; y=30 or z=0-63"
            )
        axis = AXES.index(found[1])
        for one in ranges:
            assert one is not None
            first, last = int(one[1]), int(one[2] or one[1])
            if last >= shape[axis] or first > last:
                raise InputError(
                    f"config.data.labelled={text!r}: the labels have planes {AXES[axis]} = 0 to "
                    f"{shape[axis] - 1}"
                )
            indices[axis].extend(range(first, last + 1))
    if not any(indices):
        raise InputError(f"config.data.labelled={text!r}: names no plane, as z=10,50 does")
    return Planes(tuple(tuple(sorted(set(one))) for one in indices), "as config.data.labelled says")


def find_planes(labels: Scan, ignored: Collection[int]) -> Planes:
    """The planes that somebody labelled in a volume of which the rest is one value.

    With ignored values, planes that have others are labelled. Without, the unlabelled value is the
    most frequent one: where planes across an axis hold it alone and others hold several, these are
    labelled. Labelled planes across several axes cross all planes; they stand out by the number of
    voxels that have another value. Where no plane stands out, every plane across z is labelled.

    Args:
      labels: label values (Z, Y, X) or what shows them, gone through once to three times, plane by
        plane.
      ignored: values that say that a voxel is not labelled; colours as `images.COLOUR` says.

    Raises:
      InputError: nothing is labelled.
    """
    unlabelled = set(unify([*ignored], colour=False).tolist()) or {_most_frequent(labels)}
    counts = _counts(labels, ignored, unlabelled)
    if not counts[0].any():
        values = ", ".join(map(text_of, sorted(unlabelled)))
        raise InputError(
            f"{labels.source}: every voxel is {values}, which is no label; label some planes"
        )
    shares = [np.count_nonzero(count) / len(count) for count in counts]
    axis = int(np.argmin(shares))
    if shares[axis] <= MOSTLY_EMPTY:
        return _across(axis, np.flatnonzero(counts[axis]), "the other planes hold one value")
    crossing = [
        np.flatnonzero(count > CROSSED * np.median(count))
        if len(count) > 2 else np.array([], int)
        for count in counts
    ]  # fmt: skip
    found = Planes(
        tuple(tuple(one.tolist()) for one in crossing), "they stand out by what is labelled in them"
    )
    if (
        sum(len(one) > 0 for one in crossing) > 1
        and _share(labels, ignored, unlabelled, found) > COVERED
    ):
        return found
    why = "all are labelled" if shares[0] == 1 else "the other planes hold one value"
    return _across(0, np.flatnonzero(counts[0]), why)


def _across(axis: int, indices: np.ndarray, why: str) -> Planes:
    found: list[tuple[int, ...]] = [(), (), ()]
    found[axis] = tuple(indices.tolist())
    return Planes(tuple(found), why)


def _slabs(labels: Scan) -> list[tuple[int, int]]:
    depth = max(1, SLAB_VOXELS // (labels.shape[1] * labels.shape[2]))
    starts = range(0, labels.shape[0], depth)
    return [(start, min(start + depth, labels.shape[0])) for start in starts]


def _values(labels: Scan, ignored: Collection[int]) -> Iterator[np.ndarray]:
    """Numbers (Y, X) of each plane along z that differ where its label does.

    Labels are not yet known to be meant by index or by colour. Ignored values say it; else it is
    the colour, for pages may have palettes of their own, as long as indices differ in it.
    """
    by_colour = any(value >= COLOUR for value in ignored)
    for start, stop in _slabs(labels):
        for picture in labels.pictures(start, stop):
            if picture.kind == "gray":
                yield picture.pixels
                continue
            colours = by_colour
            if picture.palette_N3 is not None and not ignored:
                shown_N3 = picture.palette_N3[np.unique(picture.pixels)]
                colours = len(np.unique(shown_N3, axis=0)) == len(shown_N3)
            values = label_values(picture, Convention(colours=colours))
            yield unify(values, colour=False)


def _most_frequent(labels: Scan) -> int:
    total: dict[int, int] = {}
    for values_YX in _values(labels, ()):
        values, counts = values_YX[0, :1], np.array([values_YX.size])
        if not _is_one_value(values_YX):
            values, counts = np.unique(values_YX, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            total[value] = total.get(value, 0) + count
    return max(total, key=lambda value: (total[value], -value))


def _labelled(
    labels: Scan, ignored: Collection[int], unlabelled: Collection[int]
) -> Iterator[np.ndarray]:
    """Which voxels (Y, X) of each plane along z have another value than the unlabelled ones."""
    for values_YX in _values(labels, ignored):
        one_YX = values_YX[:1, :1] if _is_one_value(values_YX) else values_YX
        yield np.broadcast_to(~np.isin(one_YX, list(unlabelled)), values_YX.shape)


def _is_one_value(values_YX: np.ndarray) -> bool:
    """Most planes of a large volume are; to see that is far cheaper than to sort or to compare."""
    return values_YX.min() == values_YX.max()


def _counts(
    labels: Scan, ignored: Collection[int], unlabelled: Collection[int]
) -> list[np.ndarray]:
    """Labelled voxels of each plane across z, y and x."""
    counts = [np.zeros(length, np.int64) for length in labels.shape]
    for z, labelled_YX in enumerate(_labelled(labels, ignored, unlabelled)):
        counts[0][z] = labelled_YX.sum()
        counts[1] += labelled_YX.sum(axis=1)
        counts[2] += labelled_YX.sum(axis=0)
    return counts


def _share(
    labels: Scan, ignored: Collection[int], unlabelled: Collection[int], planes: Planes
) -> float:
    """Share of the labelled voxels that lie in planes."""
    across_z, across_y, across_x = planes.indices
    inside = total = 0
    for z, labelled_YX in enumerate(_labelled(labels, ignored, unlabelled)):
        total += int(labelled_YX.sum())
        mine_YX = np.full(labelled_YX.shape, z in across_z)
        mine_YX[list(across_y)] = True
        mine_YX[:, list(across_x)] = True
        inside += int((labelled_YX & mine_YX).sum())
    return inside / max(total, 1)


def _ranges(indices: tuple[int, ...]) -> str:
    """Numbers as "10, 50" or "0-63"."""
    parts, first = [], indices[0]
    for here, following in zip(indices, (*indices[1:], None), strict=True):
        if following != here + 1:
            parts.append(str(first) if first == here else f"{first}-{here}")
            first = following if following is not None else here
    most = 8
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more
