"""A quantity as a row of `measured.json`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xseg_jax.evaluation.properties import TRUTH, Interval, Property
from xseg_jax.evaluation.statistics import LEVEL
from xseg_jax.measure.quantities import MEANINGS, Key, unit_of

HARDLY_ANY = 0.01
"""Of what is less than this share of the largest of its kind, relative errors mean nothing."""


def to_json(one: Property, name: str, length: str, doubt: Interval | None = None) -> dict[str, Any]:
    """A row of `measured.json`.

    Args:
      one: a quantity.
      name: of the volume that the row is about; the others stand in "against".
      length: unit of length.
      doubt: where it may be as far as the network knows, if that is known.
    """
    against: dict[str, Any] | None = None
    if TRUTH in one.of:
        against = {"truth": _finite(one.of[TRUTH].value)} | _ends("truth", one.of[TRUTH])
        against |= {"error": _finite(one.error[name].value)} | _ends("error", one.error[name])
        against["truth_parts"] = _each(one.of_parts.get(TRUTH))
        against["baselines"] = {
            other: {"value": _finite(one.of[other].value), "error": _finite(one.error[other].value)}
            | _ends("error", one.error[other])
            | {"parts": _each(one.of_parts.get(other))}
            for other in one.of
            if other not in (name, TRUTH)
        }
    found = one.of[name]
    return of_key(one.key, length) | {
        "value": _finite(found.value),
        "low": _finite(found.low),
        "high": _finite(found.high),
        "interval": f"{LEVEL:.0%}, {one.parts}" if one.parts else None,
        "doubt_low": _finite(doubt.low) if doubt else None,
        "doubt_high": _finite(doubt.high) if doubt else None,
        "parts": _each(one.of_parts.get(name)),
        "seconds": round(one.seconds, 2),
        "against": against,
    }


def without_hardly_any(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the relative errors of what there is hardly any of.

    What is labelled in a few voxels, or is the rest of a sum that should vanish, has errors of
    thousands of percent that hide all others. Of such rows "against" has "hardly_any" true, with
    the values and no error.

    Args:
      rows: all of a volume, by `to_json`.
    """
    largest: dict[str, float] = {}
    for row in rows:
        truth = abs((row["against"] or {}).get("truth") or 0.0)
        largest[row["quantity"]] = max(largest.get(row["quantity"], 0.0), truth)
    told = []
    for row in rows:
        against = row["against"]
        if against and against["truth"] is not None:
            few = 0 < abs(against["truth"]) < HARDLY_ANY * largest[row["quantity"]]
            against = against | {"hardly_any": few}
            if few:
                against = _without_error(against)
                beside = against["baselines"].items()
                against["baselines"] = {name: _without_error(one) for name, one in beside}
        told.append(row | {"against": against})
    return told


def _without_error(against: dict[str, Any]) -> dict[str, Any]:
    return against | dict.fromkeys(("error", "error_low", "error_high"))


def of_key(key: Key, length: str) -> dict[str, Any]:
    """What a row is of: its quantity, phases, axis and unit.

    Args:
      key: of the quantity.
      length: unit of length.
    """
    return {
        "quantity": key.quantity,
        "label": MEANINGS[key.quantity].label,
        "phase": key.phase,
        "with": key.other,
        "axis": key.axis,
        "unit": unit_of(key.quantity, length),
    }


def _ends(name: str, found: Interval) -> dict[str, float | None]:
    return {f"{name}_low": _finite(found.low), f"{name}_high": _finite(found.high)}


def _each(value_P: np.ndarray | None) -> list[float | None]:
    return [] if value_P is None else [_finite(float(value)) for value in value_P]


def _finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None
