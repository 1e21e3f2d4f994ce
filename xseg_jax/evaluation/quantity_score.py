"""The error of a measured quantity as the score of a run.

A score is the absolute relative error |value / truth - 1| of the tested volume; of several numbers,
as of all phases, it is their mean. So that chance of place can be told from the method, the parts
that intervals of quantities are over are blocks: a pair is one seed and one part. What
`evaluation.statistics` resamples is a ratio of sums over blocks; here the ratio of the whole is the
headline, and values of parts are moved by a common share of the truth so that their sums have it.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.measure.keys import ALONG_AXES, FAMILY_OF, OF_PAIRS, OF_TRIPLES, keys_of
from xseg_jax.measure.quantities import MEANINGS, OF_IMAGES, OF_PLANES

SUFFIX = "_error"
Row = Mapping[str, Any]
"""A quantity as `measured.json` holds it."""


@dataclass(frozen=True)
class QuantityScore:
    """Which error runs are compared by, as "tortuosity_error/pore/z".

    Attributes:
      quantity: a name of `MEANINGS`.
      of: phases and axis that are named; it is the mean over all others.
    """

    quantity: str
    of: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "QuantityScore":
        """Reads QUANTITY_error, or QUANTITY_error/PHASE/AXIS and the like.

        Raises:
          InputError: there is no such quantity.
        """
        first, *of = (part.strip() for part in text.split("/"))
        quantity = first.removesuffix(SUFFIX)
        if not first.endswith(SUFFIX) or quantity not in MEANINGS:
            names = [name + SUFFIX for name in MEANINGS]
            close = difflib.get_close_matches(first, names, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputError(
                f"config.score={text!r}: there is no such error; {hint}choose one of "
                f"{', '.join(names)}, of a phase and along an axis as in tortuosity_error/pore/z"
            )
        return cls(quantity, tuple(of))

    @property
    def name(self) -> str:
        """As it is written."""
        return "/".join([self.quantity + SUFFIX, *self.of])

    @property
    def label(self) -> str:
        """In words: "error of the tortuosity factor (pore, z)"."""
        of = f" ({', '.join(self.of)})" if self.of else ""
        return f"error of the {MEANINGS[self.quantity].label}{of}"

    @property
    def family(self) -> str:
        """Family that has to be measured for it."""
        return FAMILY_OF[self.quantity]

    @property
    def needs_volume(self) -> bool:
        """Whether slices that are no neighbours cannot tell it."""
        return not self.of_images and self.quantity not in OF_PLANES.get(self.family, ())

    @property
    def of_images(self) -> bool:
        """Whether images that are no slices of one volume have it, and nothing else."""
        return self.quantity in OF_IMAGES.get(self.family, ())

    def check(self, names: Sequence[str]) -> None:
        """Refuses phases and axes that there are none of.

        Args:
          names: of the phases.

        Raises:
          InputError: lists those that there are.
        """
        keys = keys_of(self.quantity, names)
        if any(self._is_of(key.phase, key.other, key.axis) for key in keys):
            return
        if not keys:
            raise InputError(
                f"config.score={self.name!r}: needs three phases, and there are {', '.join(names)}"
            )
        phases = {1: "/PHASE", 2: "/PHASE/PHASE", 3: "/PHASE/PHASE/PHASE"}[
            1 + (self.quantity in OF_PAIRS) + 2 * (self.quantity in OF_TRIPLES)
        ]
        axis, axes = ("/AXIS", " and z, y, x") if self.quantity in ALONG_AXES else ("", "")
        raise InputError(
            f"config.score={self.name!r}: there is no such number; choose "
            f"{self.quantity}{SUFFIX}{phases}{axis} among the phases {', '.join(names)}{axes}, or "
            "leave out what the mean is to be over"
        )

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """Those of `measured.json` that it is the mean of; none where this was not measured."""
        return [
            row
            for row in rows
            if row["quantity"] == self.quantity
            and self._is_of(row["phase"], row["with"], row["axis"])
        ]

    def _is_of(self, phase: str | None, other: str | None, axis: str | None) -> bool:
        others = [other, *other.split(", ")] if other else []
        return set(self.of) <= {phase, *others, axis}


def error_sums(rows: Sequence[Row], baseline: str | None = None) -> np.ndarray:
    """What adds up over parts, (P, K, 2): value and truth of K numbers, for `mean_error`.

    A number without a truth, or of which the truth is 0 or next to nothing, counts nowhere. Where
    parts are too small to have a value they add nothing. Without parts the whole is the only one.

    Args:
      rows: of `measured.json`, with what they stand against.
      baseline: whose errors; None for the network's.

    Returns:
      float64; NaN where a number that the truth has is not defined for the method, as the
      tortuosity of a phase that it has torn.
    """
    pairs = []
    for row in rows:
        against = row["against"]
        mine = row if baseline is None else against["baselines"][baseline]
        value, truth = mine["value"], against["truth"]
        if not truth or against.get("hardly_any"):
            continue
        parts = _numbers(mine.get("parts")), _numbers(against.get("truth_parts"))
        pair_P2 = np.stack(parts, axis=1) if len(parts[0]) else np.array([[value, truth]], float)
        pair_P2 = np.where(np.isfinite(pair_P2).all(axis=1, keepdims=True), pair_P2, 0.0)
        total, total_truth = pair_P2.sum(axis=0)
        if value is None:
            pair_P2 = np.full_like(pair_P2, np.nan)
        elif not total_truth:
            pair_P2 = np.zeros_like(pair_P2)
            pair_P2[0] = value, truth
        else:
            pair_P2[:, 0] += (value / truth - total / total_truth) * pair_P2[:, 1]
        pairs.append(pair_P2)
    if not pairs:
        return np.full((1, 1, 2), np.nan)
    return np.stack(pairs, axis=1)


def _numbers(values: Sequence[float | None] | None) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values or ()], float)


def mean_error(sums_XK2: np.ndarray) -> np.ndarray:
    """Mean over K of |value / truth - 1|; NaN where one is NaN, or none has a truth."""
    value_XK, truth_XK = sums_XK2[..., 0], sums_XK2[..., 1]
    has_truth_XK = truth_XK != 0
    error_XK = np.abs(value_XK / np.where(has_truth_XK, truth_XK, 1.0) - 1)
    count_X = has_truth_XK.sum(axis=-1)
    total_X = np.where(has_truth_XK, error_XK, 0.0).sum(axis=-1)
    return np.where(count_X > 0, total_X / np.maximum(count_X, 1), np.nan)
