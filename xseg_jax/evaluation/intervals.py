"""Every headline score of a method: what it is made of, and its interval over blocks of planes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.boundaries import BoundarySums, dice_of, macro_dice_of, ratio
from xseg_jax.model.metrics import class_scores, macro_scores

MACRO = ("accuracy", "precision", "recall", "f1", "miou")
OF_CLASS = ("precision", "recall", "f1", "iou")

Sums = Mapping[str, np.ndarray]
"""What adds up, of each plane or block: `PIXELS`, `WITHIN`, `APART`."""
PIXELS, WITHIN, APART = "pixels", "within", "apart"


@dataclass(frozen=True)
class Headline:
    """A score that stands in `results.json`.

    Attributes:
      score: its key there.
      name: of its class; None for a score of all.
      made_of: which of the sums.
      value: of these sums.
      bounds: that it has by its nature.
    """

    score: str
    name: str | None
    made_of: str
    value: statistics.Score
    bounds: tuple[float, float] = (0.0, 1.0)


def sums_of(confusion_NKK: np.ndarray, boundaries: BoundarySums | None) -> Sums:
    """What the scores of each plane are made of; without boundaries where they are not known."""
    sums: dict[str, np.ndarray] = {PIXELS: confusion_NKK}
    if boundaries is not None:
        sums |= {WITHIN: boundaries.within_XK2, APART: boundaries.apart_XK2}
    return sums


def headlines(names: Sequence[str], sums: Sums) -> list[Headline]:
    """The scores that can be made of sums, of all classes together and then of each by name."""
    rows = [Headline(key, None, PIXELS, partial(_macro, key=key)) for key in MACRO]
    if WITHIN in sums:
        rows.append(Headline("surface_dice", None, WITHIN, macro_dice_of))
    for k, name in enumerate(names):
        rows += [Headline(key, name, PIXELS, partial(_of_class, key=key, k=k)) for key in OF_CLASS]
        if WITHIN in sums:
            rows.append(Headline("surface_dice", name, WITHIN, _at(dice_of, k)))
        if APART in sums:
            mean = _at(lambda sums_XK2: ratio(sums_XK2[..., 0], sums_XK2[..., 1]), k)
            rows.append(Headline("mean_distance", name, APART, mean, (0.0, np.inf)))
    return rows


def intervals(sums: Sums, names: Sequence[str], blocks: int) -> dict[str, Any]:
    """The 95% interval of every headline score of one run.

    Args:
      sums: of each plane, in order.
      names: of the classes.
      blocks: of neighbouring planes, that chance of place is measured by.

    Returns:
      JSON-ready: the score's key to low and high, and per_class by name the same. None where there
      is no interval: of fewer blocks than `statistics.FEWEST`, and of a class that is in fewer.
    """
    parts = {kind: statistics.blocks_of(sums_NX, blocks)[None] for kind, sums_NX in sums.items()}
    found: dict[str, Any] = {"per_class": {name: {} for name in names}}
    for row in headlines(names, sums):
        one = statistics.interval(parts[row.made_of], row.value, bounds=row.bounds)
        into = found if row.name is None else found["per_class"][row.name]
        into[row.score] = {"low": one.low, "high": one.high} if one.known else None
    return found


def _macro(confusion_XKK: np.ndarray, key: str) -> np.ndarray:
    """A macro score; NaN where no pixel is labelled."""
    labelled_X = confusion_XKK.sum(axis=(-2, -1)) > 0
    return np.where(labelled_X, macro_scores(confusion_XKK)[key], np.nan)


def _of_class(confusion_XKK: np.ndarray, key: str, k: int) -> np.ndarray:
    return class_scores(confusion_XKK)[key][..., k]


def _at(score: Callable[[np.ndarray], np.ndarray], k: int) -> statistics.Score:
    return lambda sums_XK2: score(sums_XK2)[..., k]
