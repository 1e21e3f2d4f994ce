"""Scores of a run beside its baselines, as data for a page: a verdict, a table, a chart."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xseg_jax.colours import class_rgb
from xseg_jax.report.leaks import leak_line, noun
from xseg_jax.report.measured import unit_words
from xseg_jax.report.numbers import DASH, MINUS, count, number, score, signed
from xseg_jax.report.plots import Axis, Dot, dot_chart
from xseg_jax.report.table import MACRO, THE, in_each, of_parts, of_too_few, too_few, verdict_line

Json = Mapping[str, Any]
Section = dict[str, Any]

NETWORK = "U-Net"
HEADS = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
BOUNDARY_HEADS = {
    "surface_dice": "Dice",
    "hd95": "HD95",
    "mean_distance": "mean",
}
BASELINE_COLUMNS = ("f1", "iou")
"""Columns of a baseline: all of them would be wider than a page. `results.json` has them."""


def methods_of(results: Json) -> dict[str, Json]:
    """Scores of the network and of each baseline that is defined, by name."""
    defined = {name: found for name, found in results["baselines"].items() if found}
    return {NETWORK: results, **defined}


def seen_in_training(results: Json) -> Sequence[str]:
    """Names of scored images that had trained the network; none of a run's own test."""
    return (results.get("leak") or {}).get("trained_on") or ()


def verdict(results: Json) -> dict[str, str]:
    """The result in a sentence, and with its numbers.

    Args:
      results: as `results.json` holds them.

    Returns:
      words: for a title; detail: the numbers behind it; line: both, as a terminal has them.
    """
    if not results["slices"]:
        return {
            "words": "Not tested: the network was trained on every label",
            "detail": "Score it on other labels with --mode=evaluate.",
            "line": "",
        }
    found = results.get("verdict")
    if not found:
        return {
            "words": f"The U-Net has a mean IoU of {score(results['miou'])}; nothing stands "
            "beside it",
            "detail": "It was scored without a baseline.",
            "line": "",
        }
    against = THE.get(found["against"], found["against"])
    low, high = found["low"], found["high"]
    detail = f"The difference in mean IoU is {signed(found['difference'], places=4)}"
    if low is None or too_few(found):
        n, what = found["units"], noun(results)
        beside = score(results["baselines"][found["against"]]["miou"])
        words = (
            f"The U-Net has a mean IoU of {score(results['miou'])}, {against} {beside}: "
            f"{in_each(found)}{count(n, what)}, too few for an interval"
        )
        detail += of_parts(found).replace("-", MINUS)
        low = None
    elif low <= 0 <= high:
        words = f"No difference between the U-Net and {against} is shown"
    else:
        words = f"The U-Net is {'better' if found['difference'] > 0 else 'worse'} than {against}"
    if low is not None:
        ends = " to ".join(signed(end, places=4) for end in (low, high))
        detail += f" (95% interval {ends}, over {found['units']} {found['unit']})"
    if seen := len(seen_in_training(results)):
        words += f"; {seen} of {count(results['slices'], noun(results))} had trained the network"
    line = verdict_line(dict(found), noun(results))
    return {"words": words, "detail": f"{detail}.", "line": f"{line[0].upper()}{line[1:]}."}


def score_table(results: Json) -> Section | None:
    """Scores of each class, of the network beside each baseline.

    Args:
      results: as `results.json` holds them.

    Returns:
      groups (method and how many columns), heads, and rows of cells with text, interval ("" where
      none is known) and whether the method is the best of the row; None for an untested run.
    """
    if not results["slices"]:
        return None
    methods = methods_of(results)
    columns = [
        (method, column)
        for method in methods
        for column in (HEADS if method == NETWORK else BASELINE_COLUMNS)
    ]

    def row(
        name: str, pixels: int | None, k: int | None, value: Callable[[str, str], Any]
    ) -> Section:
        cells, values = [], {c: {m: value(m, c) for m in methods} for c in HEADS}
        for method, column in columns:
            found, least = values[column][method], [v for v in values[column].values() if v]
            best = len(least) > 1 and column in BASELINE_COLUMNS and found == max(least)
            cells.append({
                "text": score(found),
                # Of precision and recall the table has no room for them.
                "interval": interval_of(methods[method], column, name if k is not None else None)
                if column in BASELINE_COLUMNS
                else "",
                "best": best,
            })  # fmt: skip
        return {"name": name, "rgb": None if k is None else class_rgb(k), "pixels": pixels,
                "cells": cells}  # fmt: skip

    rows = []
    for k, (name, own) in enumerate(results["per_class"].items()):
        rows.append(
            row(name, own["pixels"], k, lambda m, c, name=name: methods[m]["per_class"][name][c])
        )
    rows.append(row("mean of classes", None, None, lambda m, c: methods[m][MACRO.get(c, c)]))
    known = dict(results.get("intervals") or {})
    shown = any(cell["interval"] for one in rows for cell in one["cells"])
    return {
        "has_intervals": shown,
        "over": f"{known['units']} {known['unit']}" if shown else "",
        "no_intervals": of_too_few(known) if too_few(known) else "",
        "groups": [{"name": m, "span": sum(one == m for one, _ in columns)} for m in methods],
        "heads": [HEADS[column] for _, column in columns],
        "firsts": [n == 0 or columns[n - 1][0] != m for n, (m, _) in enumerate(columns)],
        "rows": rows,
        "accuracy": [
            {"name": m, "text": score(found["accuracy"]),
             "interval": interval_of(found, "accuracy", None)}
            for m, found in methods.items()
        ],
        "notes": _score_notes(results, methods),
    }  # fmt: skip


def interval_of(scores: Json, column: str, name: str | None) -> str:
    """The interval of a score, of one class or of all; "" where none is known."""
    known = scores.get("intervals") or {}
    if too_few(known):
        return ""
    if name is not None:
        known = (known.get("per_class") or {}).get(name) or {}
        found = known.get(column)
    else:
        found = known.get(MACRO.get(column, column))
    if not found or found.get("low") is None or found.get("high") is None:
        return ""
    return f"{score(found['low'])}{DASH}{score(found['high'])}"


def _score_notes(results: Json, methods: Mapping[str, Json]) -> list[str]:
    notes = []
    for method, found in methods.items():
        if found["absent_classes"]:
            notes.append(
                f"{method}: absent in truth and prediction, and not in the mean: "
                f"{', '.join(found['absent_classes'])}."
            )
    notes += [
        f"{name} is not defined for these data."
        for name, found in results["baselines"].items()
        if not found
    ]
    if between := results.get("between"):
        notes.append(
            f"Between the training {noun(results)}s, on {count(between['slices'], 'other')}: pixel "
            f"accuracy {score(between['accuracy'])}, mean IoU {score(between['miou'])}."
        )
    if leak := leak_line(results.get("leak"), noun(results)):
        notes.append(f"Leak: {leak}.")
    return notes


def boundary_table(results: Json) -> Section | None:
    """How far predicted boundaries lie from labelled ones, of each class and method.

    Args:
      results: as `results.json` holds them.

    Returns:
      As `score_table`, with words on tolerance and unit; None where boundaries were not scored.
    """
    methods = {
        name: found for name, found in methods_of(results).items() if found.get("boundaries")
    }
    if not methods:
        return None
    own = results["boundaries"]
    heads, unit, tolerance = dict(BOUNDARY_HEADS), own.get("unit"), f"{own['tolerance']:g} pixels"
    words = unit_words(unit or "")
    if unit:
        heads |= {f"{key}_length": f"{heads[key]}, {words}" for key in ("hd95", "mean_distance")}
        tolerance += f" ({own['tolerance_length']:.4g} {words})"
    rows = []
    for k, name in enumerate(own["per_class"]):
        values = {m: found["boundaries"]["per_class"][name] for m, found in methods.items()}
        dice = [value["surface_dice"] for value in values.values()]
        best = max((one for one in dice if one is not None), default=None)
        cells = [
            {
                "text": (score if column == "surface_dice" else number)(value[column]),
                "interval": interval_of(methods[method], column, name),
                "best": len(set(dice)) > 1 and column == "surface_dice" and value[column] == best,
            }
            for method, value in values.items()
            for column in heads
        ]
        rows.append({"name": name, "rgb": class_rgb(k), "cells": cells})
    return {
        "words": "Boundaries of label and prediction, slice by slice: the share that lies within "
        f"{tolerance} of the other one (surface Dice), the 95th percentile of the distances (HD95) "
        f"and their mean, in pixels{f' and in {words}' if unit else ''}.",
        "groups": list(methods),
        "heads": list(heads.values()),
        "rows": rows,
        "notes": [
            f"{name}: no HD95, for {found['reason']}."
            for name, found in own["per_class"].items()
            if found.get("reason")
        ],
    }


def score_dots(results: Json) -> Section:
    """The IoU of each class, of every method, with intervals where they are known."""
    methods = methods_of(results)

    def ends(found: Json, name: str | None) -> Json:
        known = found.get("intervals") or {}
        if too_few(known):
            return {}
        if name is None:
            return known.get("miou") or {}
        return ((known.get("per_class") or {}).get(name) or {}).get("iou") or {}

    def dots(name: str | None) -> list[Dot]:
        row = []
        for series, found in enumerate(methods.values()):
            value = found["miou"] if name is None else found["per_class"][name]["iou"]
            interval = ends(found, name)
            row.append(Dot(series, value, interval.get("low"), interval.get("high")))
        return row

    rows = [(name, dots(name)) for name in results["per_class"]]
    means = ", ".join(f"{method} {score(found['miou'])}" for method, found in methods.items())
    return dot_chart(
        "IoU of each class", list(methods), [*rows, ("mean of classes", dots(None))], Axis("IoU"),
        says=f"Mean IoU: {means}.",
    )  # fmt: skip
