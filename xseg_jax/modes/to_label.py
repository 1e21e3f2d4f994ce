"""Which planes of a scan to label, before anybody has: for a first answer, and for a test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.fingerprint import Fingerprint, Look
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place
from xseg_jax.data.resemblance import forgotten_after
from xseg_jax.data.splits import PARTS, choose_evenly, split_planes
from xseg_jax.files import counted
from xseg_jax.modes.run import Config

PLANES, IMAGES = 5, 20
"""Most planes of a scan, and images, that are asked for."""
ALIKE = 0.5
"""Correlation, within the sample, above which a tested plane is a copy of one that trained."""


@dataclass(frozen=True)
class ToLabel:
    """What to label.

    Attributes:
      first: names of the planes of a first answer; () where there is one.
      first_why: the reason.
      tested: names of the planes of a run that is tested on planes of its own; () where none are
        far enough from each other.
      tested_why: the reason, of either.
      gap: voxels between the parts of a split of `tested`; None where it does not matter.
    """

    first: tuple[str, ...]
    first_why: str
    tested: tuple[str, ...]
    tested_why: str
    gap: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return asdict(self)


def what_to_label(
    prints: Sequence[Fingerprint], config: Config, *, independent: bool, given: bool = False
) -> ToLabel:
    """What to label of scans, or of independent images; planes under suspicion are left out.

    Args:
      prints: of the scans; of independent images one.
      config: whose data.split divides what will be labelled.
      independent: whether images are no slices of a scan.
      given: whether somebody gave data.split.gap, which is not changed then.
    """
    good, suspect = zip(*map(_good, prints), strict=True)
    left_out = f"; {sum(suspect)} under suspicion left out" if any(suspect) else ""
    if independent:
        found = _of_images([look for looks in good for look in looks])
    elif len(prints) >= len(PARTS):
        found = _of_many_scans(good)
    else:
        found = _of_scans(prints, good, config, given)
    return ToLabel(
        found.first, found.first_why, found.tested, found.tested_why + left_out, found.gap
    )


def beside(
    wanted: ToLabel, prints: Sequence[Fingerprint], labelled: Sequence[LabelledPlane]
) -> ToLabel:
    """What is still to be labelled for a test, where some planes are labelled.

    A labelled plane stands for the one nearest to it of those that are wanted.

    Args:
      wanted: of `what_to_label`.
      prints: of the scans.
      labelled: the labelled planes.
    """
    number_of = {
        look.name: (one.name, _number(look))
        for one in prints for look in one.looks if look.name in wanted.tested
    }  # fmt: skip
    known = set()
    for plane in labelled:
        mine = [name for name, (scan, _) in number_of.items() if scan == plane.source.name]
        if mine and plane.place.axis == 0:
            z = plane.index if plane.place.number is None else plane.place.number
            known.add(min(mine, key=lambda name: abs(number_of[name][1] - z)))
    rest = tuple(name for name in wanted.tested if name not in known)
    return replace(wanted, first=(), first_why="", tested=rest)


def _good(found: Fingerprint) -> tuple[Sequence[Look], int]:
    """Planes that nothing is suspected of, or all, and how many are left out."""
    suspect = {one.plane for one in found.suspicions if one.plane}
    good = [look for look in found.looks if look.name not in suspect]
    return good or found.looks, len(suspect) if good else 0


def _of_images(looks: Sequence[Look]) -> ToLabel:
    """Images of their own: a split needs three at least, and more where they differ."""
    chosen = _spread(looks, IMAGES)
    count = len(looks)
    if count < len(PARTS):
        why = f"only {counted(count, 'image')}, and a test needs {len(PARTS)} at least"
        alone = "all train and nothing is tested, by --config.data.split.kind=none"
        return ToLabel(_names(chosen), alone, (), why)
    few = _spread(chosen, len(PARTS))  # So that none is labelled for the first answer alone.
    return ToLabel(
        _names(few), "one trains, one chooses the checkpoint, one tests: a look, no score",
        _names(chosen), f"{len(chosen)} of {counted(count, 'image')}, evenly from the list: seven "
        "in ten train, one in ten chooses the checkpoint, two in ten test; more where images "
        "differ",
    )  # fmt: skip


def _of_many_scans(good: Sequence[Sequence[Look]]) -> ToLabel:
    """Three scans or more: whole ones train, validate and test."""
    each = max(1, -(-PLANES // len(good)) if len(good) < PLANES else 1)
    tested = [name for looks in good for name in _names(_spread(looks, each))]
    return ToLabel(
        _names(_spread(good[0], 1)), "blocks within it train and test",
        tuple(tested), f"{counted(each, 'plane')} of each scan: whole scans train, choose the "
        "checkpoint and test, and no tested plane has a neighbour that trains",
    )  # fmt: skip


def _of_scans(
    prints: Sequence[Fingerprint], good: Sequence[Sequence[Look]], config: Config, given: bool
) -> ToLabel:
    """One scan or two: the most planes of each whose split tests no copy of what trained."""
    alone = "blocks within it train and test"
    apart = [distance for one in prints if (distance := forgotten_after(one.decay, 0.0))]
    default = config.data.split.gap
    wanted = default if given else max(apart, default=default)
    enough = min(map(len, good)) >= len(PARTS)
    for count in range(PLANES, len(PARTS) - 1, -1) if enough else ():
        chosen = [_spread(looks, count) for looks in good]
        z = [[_number(look) for look in looks] for looks in chosen]
        spacing = min(int(np.diff(one).min()) for one in z)
        gap = wanted if given else min(wanted, spacing)
        parts = _split(z, config, gap)
        if parts is None:
            continue
        # Of each scan the test's distance from what trains.
        away = [
            min(abs(test - train) for test in tested for train in trained)
            for trained, _, tested in parts
        ]
        alike = [_alike(one, distance) for one, distance in zip(prints, away, strict=True)]
        if max(alike) <= ALIKE:
            first = chosen[0]
            why = _why_tested(prints, parts, away, alike)
            return ToLabel(
                (first[len(first) // 2].name,), alone,
                tuple(look.name for looks in chosen for look in looks), why, gap,
            )  # fmt: skip
    return ToLabel(_names(_spread(good[0], 1)), alone, (), _why_not_tested(prints, good))


Parts = Sequence[Sequence[int]]
"""Numbers of the planes that train, validate and test, of a scan."""


def _split(z: Sequence[Sequence[int]], config: Config, gap: int) -> Sequence[Parts] | None:
    """How these planes of each scan would be split; None where whole planes cannot be tested."""
    places = [Place(str(scan), 0, number) for scan, one in enumerate(z) for number in one]
    split = split_planes(
        "auto", names=[""] * len(places), places=places, label_of=_nothing, classes=1,
        fractions=config.data.split.fractions, ranges=((),) * len(PARTS), gap=gap,
        group_pattern="", seed=0,
    )  # fmt: skip
    if split.kind != "z":
        return None
    return [
        [
            [places[index].number or 0 for index in part if places[index].scan == str(scan)]
            for part in split.parts().values()
        ]
        for scan in range(len(z))
    ]


def _nothing(index: int) -> np.ndarray:
    """The label of a plane that nobody has labelled."""
    del index
    return np.full((1, 1), IGNORED, np.uint8)


def _why_tested(
    prints: Sequence[Fingerprint],
    parts: Sequence[Parts],
    away: Sequence[int],
    alike: Sequence[float],
) -> str:
    worst = int(np.argmax(alike))
    train, validate, test = (len(part) for part in parts[worst])
    many = train + validate + test
    each = " of each scan" if len(prints) > 1 else ""
    near = min(prints[worst].decay, default=away[worst])
    why = (
        f"{many} of {counted(prints[worst].shape[0], 'plane')}{each}: {train} "
        f"{'trains' if train == 1 else 'train'}, {validate} chooses the checkpoint, {test} "
        f"{'tests' if test == 1 else 'test'}, {away[worst]} from those that train; planes that far "
        f"apart correlate by {alike[worst]:.2f} within the sample"
    )
    if near < away[worst]:
        why += f", planes {near} apart by {_alike(prints[worst], near):.2f}"
    return why


def _why_not_tested(prints: Sequence[Fingerprint], good: Sequence[Sequence[Look]]) -> str:
    for looks in good:
        if len(looks) < len(PARTS):
            return f"{counted(len(looks), 'plane')}; a test on whole ones needs {len(PARTS)}"
    z = [[_number(look) for look in looks] for looks in good]
    away = [(max(one) - min(one)) * 2 // 3 for one in z]
    alike = [_alike(one, distance) for one, distance in zip(prints, away, strict=True)]
    worst = int(np.argmax(alike))
    return (
        f"planes {away[worst]} apart, as three of a scan can be, still correlate by "
        f"{alike[worst]:.2f} within the sample; blocks within planes test"
    )


def _alike(found: Fingerprint, distance: int) -> float:
    """Correlation of planes so far apart, between the distances that were measured."""
    if not found.decay:
        return 0.0
    distances = sorted(found.decay)
    return float(np.interp(distance, distances, [found.decay[one] for one in distances]))


def _number(look: Look) -> int:
    return look.index if look.number is None else look.number


def _spread(looks: Sequence[Look], count: int) -> list[Look]:
    """So many, evenly spread, or all."""
    return [looks[place] for place in choose_evenly(range(len(looks)), min(count, len(looks)))]


def _names(looks: Sequence[Look]) -> tuple[str, ...]:
    return tuple(look.name for look in looks)
