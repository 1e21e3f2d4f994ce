"""What several methods score on the same planes, and which of them differ."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.intervals import Headline, Sums, headlines

ALL, EACH = ("miou", "accuracy", "surface_dice"), ("iou",)
"""Scores that are compared: of all classes together, and of each class."""


def compared(names: Sequence[str], sums: Sums) -> list[Headline]:
    """The headline scores that are compared, those of all classes first."""
    rows = headlines(names, sums)
    of_all = {row.score: row for row in rows if row.name is None}
    return [of_all[key] for key in ALL if key in of_all] + [
        row for row in rows if row.name is not None and row.score in EACH
    ]


def compare(sides: Mapping[str, Sums], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Scores of every side, and the differences of every two of them.

    Seeds and blocks are the same ones in all sides, in the same order. The intervals of a score's
    differences are corrected for the number of pairs as by Holm; that of a side is not.

    Args:
      sides: sums (S, B, ...) of seeds and blocks, by name.
      names: of the classes.

    Returns:
      JSON-ready. scores: a row a side and score (side, score, class, value, low, high). pairs: a
      row a pair and score (base, variant, score, class, base_value, value, difference, low, high,
      p, verdict; variant minus base). None where a number is not known.
    """
    first = next(iter(sides.values()))
    scores, pairs = [], []
    for row in compared(names, first):
        parts = {side: sums[row.made_of] for side, sums in sides.items()}
        what = {"score": row.score, "class": row.name}
        found = {
            side: statistics.interval(part_SBX, row.value, bounds=row.bounds)
            for side, part_SBX in parts.items()
        }
        scores += [
            {"side": side} | what | _numbers(value=one.estimate, low=one.low, high=one.high)
            for side, one in found.items()
        ]
        couples = list(itertools.combinations(sides, 2))
        differences = statistics.holm([
            statistics.difference(parts[base], parts[variant], row.value, paired=True)
            for base, variant in couples
        ])  # fmt: skip
        for (base, variant), one in zip(couples, differences, strict=True):
            numbers = _numbers(
                base_value=found[base].estimate,
                value=found[variant].estimate,
                difference=one.estimate,
                low=one.low,
                high=one.high,
                p=one.p if one.known else np.nan,
            )
            pairs.append(
                {"base": base, "variant": variant} | what | numbers | {"verdict": one.verdict}
            )
    return {"scores": scores, "pairs": pairs}


def _numbers(**values: float) -> dict[str, float | None]:
    return {key: float(value) if np.isfinite(value) else None for key, value in values.items()}
