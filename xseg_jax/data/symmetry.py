"""Classes that change places when an image is mirrored or turned, as left and right do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xseg_jax.data.labels import IGNORED

SIDE = 128
"""Labels are compared at about so many rows and columns."""
MOVED = 0.3
"""Share of a class that lies where another one was, from which the two change places."""
MOVES = ("horizontal", "vertical", "half turn", "quarter turn")
"""Mirrored left to right, top to bottom; turned by 180 and by 90 degrees."""


@dataclass(frozen=True)
class Swap:
    """Two classes that change places.

    Attributes:
      move: one of `MOVES`.
      classes: names of both.
      other: share of the first that lies where the second was.
      own: share of the first that lies where it was itself.
    """

    move: str
    classes: tuple[str, str]
    other: float
    own: float


class Swaps:
    """Counts which class lies where others were when labels are moved; one label at a time.

    Args:
      names: of the classes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._counts = {move: np.zeros((len(names), len(names)), np.int64) for move in MOVES}

    def add(self, label_HW: np.ndarray) -> None:
        """Takes class indices uint8, 255 where unlabelled."""
        rows, columns = (np.linspace(0, n - 1, SIDE).round().astype(int) for n in label_HW.shape)
        label_SS = label_HW[np.ix_(rows, columns)]
        moved = (label_SS[:, ::-1], label_SS[::-1], label_SS[::-1, ::-1], np.rot90(label_SS))
        for move, moved_SS in zip(MOVES, moved, strict=True):
            valid_SS = (label_SS != IGNORED) & (moved_SS != IGNORED)
            np.add.at(self._counts[move], (label_SS[valid_SS], moved_SS[valid_SS]), 1)

    def found(self) -> tuple[Swap, ...]:
        """Pairs that each lie in the other more than in themselves; what surrounds all does not."""
        swaps = []
        for move, counts_KK in self._counts.items():
            share_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
            for a in range(len(share_KK)):
                for b in range(a + 1, len(share_KK)):
                    if all(
                        share_KK[one, other] > max(MOVED, 2 * share_KK[one, one])
                        for one, other in ((a, b), (b, a))
                    ):
                        pair = (self._names[a], self._names[b])
                        swaps.append(Swap(move, pair, float(share_KK[a, b]), float(share_KK[a, a])))
        return tuple(swaps)


def moves_of(flip: str, *, rotate90: bool) -> tuple[str, ...]:
    """The moves that augmentation makes.

    Args:
      flip: "none", "horizontal", "vertical" or "both".
      rotate90: whether it turns by quarters.
    """
    mirrors = {"none": (), "both": MOVES[:2]}.get(flip, (flip,))
    if rotate90:
        # A mirror image that is turned is that of the other axis.
        return (*(MOVES[:2] if mirrors else ()), *MOVES[2:])
    return (*mirrors, *(("half turn",) if flip == "both" else ()))


def harmless(swapping: Iterable[str]) -> tuple[str, bool]:
    """The most mirrors and turns, as (flip, rotate90), without some moves."""
    without = set(swapping)
    choices = (
        ("both", True), ("both", False), ("horizontal", False), ("vertical", False), ("none", True),
    )  # fmt: skip
    for flip, rotate90 in choices:
        if not without & set(moves_of(flip, rotate90=rotate90)):
            return flip, rotate90
    return "none", False


def swaps_in(names: Sequence[str], labels: Iterable[np.ndarray]) -> tuple[Swap, ...]:
    """Classes that change places, of labels (H, W) uint8."""
    swaps = Swaps(names)
    for label_HW in labels:
        swaps.add(label_HW)
    return swaps.found()
