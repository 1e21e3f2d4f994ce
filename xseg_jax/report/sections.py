"""Training, confusion, reliability and robustness, as data for a page: words, tables, charts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xseg_jax.colours import class_rgb
from xseg_jax.report.numbers import count, number, percent, score
from xseg_jax.report.plots import Axis, Line, line_chart
from xseg_jax.report.reliability import LEAST_SHARE, filled
from xseg_jax.report.table import calibration_line

Json = Mapping[str, Any]
Section = dict[str, Any]


def classes_of(names: Sequence[str]) -> list[Section]:
    """Name and colour of each class."""
    return [{"name": name, "rgb": class_rgb(k)} for k, name in enumerate(names)]


def history(metrics: Sequence[Json], tested: int | None) -> list[Section]:
    """Loss and scores over the steps of the training.

    Args:
      metrics: lines of `metrics.jsonl`.
      tested: step of the checkpoint that was tested; None where it is not known.

    Returns:
      Charts; none where nothing was logged.
    """
    rows = {
        part: [row for row in metrics if row["split"] == part] for part in ("train", "validation")
    }
    wanted = {
        "Loss": (("training", "train", "loss"), ("validation", "validation", "loss")),
        "Accuracy": (("training", "train", "accuracy"), ("validation", "validation", "accuracy")),
        "Mean IoU": (("training", "train", "miou"), ("validation", "validation", "miou")),
    }
    charts = []
    for title, series in wanted.items():
        lines = []
        for style, (name, part, key) in enumerate(series):
            y = [row.get(key) for row in rows[part]]
            if any(value is not None for value in y):
                x = [row["step"] for row in rows[part]]
                lines.append(Line(name, x, y, style=style, marked=part == "validation"))
        if lines:
            last = ", ".join(
                f"{line.name} {number([v for v in line.y if v is not None][-1])}" for line in lines
            )
            x_axis = Axis("step", low=0, high=metrics[-1]["step"], show=lambda v: f"{v:g}")
            y_axis = (
                Axis("loss", low=0)
                if title == "Loss"
                else Axis(f"{title[0].lower()}{title[1:]}", high=1, show=score)
            )
            charts.append(line_chart(
                title, lines, x_axis, y_axis,
                says=f"At the end: {last}.", at=tested, at_means="tested checkpoint",
            ))  # fmt: skip
    return charts


def confusion(results: Json) -> Section:
    """How many pixels of each labelled class were taken for which.

    Args:
      results: as `results.json` holds them, with `confusion` K x K, rows of truth.
    """
    names = list(results["per_class"])
    matrix_KK = np.asarray(results["confusion"])
    sums_K1 = matrix_KK.sum(axis=1, keepdims=True)
    shares_KK = np.divide(
        matrix_KK, sums_K1, out=np.full(matrix_KK.shape, np.nan), where=sums_K1 > 0
    )
    rows = [
        {
            "name": name,
            "rgb": class_rgb(k),
            "cells": [
                {
                    "share": percent(float(share)),
                    "pixels": f"{int(pixels):,}",
                    "tint": 0 if np.isnan(share) else round(100 * float(share)),
                    "own": k == other,
                }
                for other, (share, pixels) in enumerate(
                    zip(shares_KK[k], matrix_KK[k], strict=True)
                )
            ],
        }
        for k, name in enumerate(names)
    ]
    return {"names": names, "rows": rows, "worst": _worst(names, matrix_KK, shares_KK)}


def _worst(names: Sequence[str], matrix_KK: np.ndarray, shares_KK: np.ndarray) -> str:
    """The commonest mistake, in words."""
    wrong_KK = matrix_KK - np.diag(np.diag(matrix_KK))
    if not wrong_KK.any():
        return "No pixel is wrong."
    truth, taken = divmod(int(wrong_KK.argmax()), len(names))
    return (
        f"The commonest mistake: {percent(float(shares_KK[truth, taken]))} of {names[truth]}, "
        f"{count(int(wrong_KK[truth, taken]), 'pixel')}, is taken for {names[taken]}."
    )


def reliability(results: Json) -> Section | None:
    """How often probabilities are right: charts of accuracy over confidence, errors by class.

    Args:
      results: as `results.json` holds them.

    Returns:
      charts, words, and rows of each class; None where no bins are known.
    """
    found = results.get("calibration")
    if not found or "bins" not in found:
        return None
    names = {"before": "as the network says"}
    if found["temperature"] is not None:
        names["after"] = f"at temperature {found['temperature']:.2f}"
    parts = {
        "All pixels": found,
        f"Within {found['boundary']['reach']} pixels of a boundary": found["boundary"],
    }
    charts = []
    for title, part in parts.items():
        lines, left_out = [], False
        for style, (key, name) in enumerate(names.items()):
            bins = part["bins"][key]
            known = filled(bins["pixels"])
            left_out |= len(known) < sum(pixels > 0 for pixels in bins["pixels"])
            x, y = ([bins[what][n] for n in known] for what in ("confidence", "accuracy"))
            if known:
                lines.append(Line(name, x, y, style=style, marked=True))
        if lines:  # Labels may have no boundary.
            errors = [part[key] for key in ("ece_before", "ece") if part[key] is not None]
            charts.append(line_chart(
                title, lines, Axis("confidence", 0, 1, show=score),
                Axis("accuracy", 0, 1, show=score), diagonal=True,
                says=f"Expected error {', then '.join(map(score, errors))}."
                + f" Bins with less than {LEAST_SHARE:.1%} of the pixels are left out." * left_out,
            ))  # fmt: skip
    rows = [
        {"name": name, "rgb": class_rgb(k), "cells": [score(own["before"])]
         + ([score(own["after"])] if found["temperature"] is not None else [])}
        for k, (name, own) in enumerate(found["classes"].items())
    ]  # fmt: skip
    line = calibration_line(dict(found))
    return {"charts": charts, "words": f"{line[0].upper()}{line[1:]}.", "heads": [*names.values()],
            "rows": rows}  # fmt: skip


def robustness(degraded: Json) -> Section:
    """How scores fall as the scan becomes worse.

    Args:
      degraded: as `degraded.json` holds it.

    Returns:
      planes, a chart of the mean IoU for each degradation, and a table of all scores.
    """
    clean, methods = degraded["clean"], list(degraded["clean"])
    panels: dict[str, list[Json]] = {}
    for row in degraded["rows"]:
        panels.setdefault(row["degradation"], []).append(row)
    charts, worst = [], {}
    for name, rows in panels.items():
        points = [(rows[0]["clean"], clean), *((row["strength"], row["scores"]) for row in rows)]
        points.sort(key=lambda point: point[0])
        lines = [
            Line(method, [at for at, _ in points], [found[method]["miou"] for _, found in points],
                 style=style, marked=True)
            for style, method in enumerate(methods)
        ]  # fmt: skip
        worst[name] = min(found[methods[0]]["miou"] for _, found in points)
        charts.append(line_chart(
            name.replace("_", " "), lines,
            Axis(f"strength ({rows[0]['unit']})", show=lambda v: f"{v:g}"),
            Axis("mean IoU", 0, 1, show=score),
            says=f"The lowest mean IoU of the {methods[0]} is {score(worst[name])}.",
            at=rows[0]["clean"], at_means="the scan as it is",
        ))  # fmt: skip
    table = [("none", "", clean)] + [
        (row["degradation"].replace("_", " "), f"{row['strength']:g} {row['unit']}", row["scores"])
        for row in degraded["rows"]
    ]
    return {
        "planes": count(degraded["planes"], "plane"),
        "charts": charts,
        "methods": methods,
        "rows": [
            {"name": name, "strength": strength,
             "cells": [score(found[m][key]) for m in methods for key in ("accuracy", "miou")]}
            for name, strength, found in table
        ],
        "lowest": _lowest(degraded, methods),
    }  # fmt: skip


def _lowest(degraded: Json, methods: Sequence[str]) -> str:
    """In how many of the degraded rows the network has the highest mean IoU, in words."""
    network, *others = methods
    if not others:
        return ""
    rows = [row["scores"] for row in degraded["rows"]]
    lost = sum(
        scores[network]["miou"] < max(scores[other]["miou"] for other in others) for scores in rows
    )
    return (
        f"In {lost} of {len(rows)} rows the mean IoU of the {network} is below the best of "
        "the others."
    )
