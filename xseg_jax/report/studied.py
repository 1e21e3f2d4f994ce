"""A study, as data for a page: what was asked, each score over the variants, and the runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from xseg_jax.report.numbers import MINUS, NONE, count
from xseg_jax.report.plots import Axis, Dot, Line, dot_chart, line_chart

Json = Mapping[str, Any]
Section = dict[str, Any]

NETWORK = "U-Net"
LOG_FROM = 20.0  # An axis whose values span this factor is logarithmic.
NUMERIC_FROM = 3  # So many values make a curve.


def studied(study: Json) -> Section:
    """What the template `study.html` shows.

    Args:
      study: what `study.json` holds.
    """
    asked = list(study["scores"])
    return {
        "name": study["question"],
        "note": study["note"],
        "words": f"{count(len(study['runs']), 'run')} of "
        f"{count(len(asked[0]['variants']), 'variant')}, by {count(len(asked), 'score')}.",
        "verdicts": [_in_words(one) for one in asked],
        "scores": [_score(one, study) for one in asked],
        "runs": {
            "heads": [one["label"] for one in asked],
            "rows": [_run(one, asked) for one in study["runs"]],
        },
    }


def _in_words(one: Json) -> str:
    """Which variants differ from the base by a score."""
    said: dict[str, list[str]] = {}
    for row in one["variants"][1:]:
        said.setdefault(row["verdict"], []).append(row["variant"])
    found = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in said.items())
    return f"By {one['label']}, against the base: {found or 'nothing to compare'}."


def _score(one: Json, study: Json) -> Section:
    return {
        "label": one["label"],
        "baselines": [
            {"name": name, "value": _range(one, [row[name] for row in one["variants"]])}
            for name in one["baselines"]
        ],
        "rows": [
            {
                "variant": row["variant"],
                "runs": row["runs"],
                "mean": _number(one, row["mean"]) if row["runs"] else "",
                "std": "" if row["std"] is None else f"± {_number(one, row['std'])}",
                "difference": "" if row["difference"] is None else _signed(one, row["difference"]),
                "interval": ""
                if row["low"] is None or row["high"] is None
                else f"{_signed(one, row['low'])} to {_signed(one, row['high'])}",
                "p": "" if row["p"] is None else f"{row['p']:.3f}",
                "verdict": row["verdict"],
            }
            for row in one["variants"]
        ],
        "charts": _charts(one, study),
        "note": one["note"],
    }  # fmt: skip


def _charts(one: Json, study: Json) -> list[Section]:
    """A curve over the numeric field that varies, or rows of variants; and the differences."""
    percent = 100.0 if one["lower_is_better"] else 1.0
    # The title says of what; an error is never below 0.
    y = Axis("relative error, %", low=0) if one["lower_is_better"] else Axis(one["label"])
    charts = []
    places = [run.get(study["axis"]) for run in study["runs"]]
    numeric = all(isinstance(p, int | float) and not isinstance(p, bool) for p in places)
    known = [row for row in one["variants"] if row["mean"] is not None]
    if numeric and len(set(places)) >= NUMERIC_FROM and known:
        charts.append(_curve(one, study, y, percent))
    elif known:
        rows = [
            (row["variant"], [Dot(0, percent * row["mean"], *_spread(row, one))])
            for row in known
        ]  # fmt: skip
        charts.append(dot_chart(
            f"{one['label']}: mean and standard deviation of seeds", [NETWORK], rows, y,
            says=f"{one['label']} of {count(len(rows), 'variant')}.",
        ))  # fmt: skip
    rows = [
        (row["variant"], [Dot(0, *(percent * row[key] for key in ("difference", "low", "high")))])
        for row in one["variants"]
        if None not in (row["difference"], row["low"], row["high"])
    ]
    if rows:
        charts.append(dot_chart(
            f"{one['label']}: difference to the base", ["difference"], rows,
            Axis("percentage points" if one["lower_is_better"] else "difference"),
            says=f"Differences of {count(len(rows), 'variant')}, with their intervals.", zero=True,
        ))  # fmt: skip
    return charts


def _spread(row: Json, one: Json) -> tuple[float | None, float | None]:
    """A standard deviation below and above the mean."""
    if row["std"] is None:
        return None, None
    percent = 100.0 if one["lower_is_better"] else 1.0
    low, high = row["mean"] - row["std"], row["mean"] + row["std"]
    return percent * _clipped(low, one), percent * high


def _clipped(value: float, one: Json) -> float:
    """What a chart of the score has room for."""
    return max(0.0, value) if one["lower_is_better"] else value


def _curve(one: Json, study: Json, y: Axis, percent: float) -> Section:
    axis = study["axis"]
    places = sorted({run[axis] for run in study["runs"]})
    lines = []
    for style, (name, column) in enumerate(
        [(NETWORK, one["score"]), *((name, f"{name}_{one['score']}") for name in one["baselines"])]
    ):
        groups = [
            [run[column] for run in study["runs"] if run[axis] == place and _known(run, column)]
            for place in places
        ]
        means = [sum(group) / len(group) if group else None for group in groups]
        if any(mean is not None for mean in means):
            ends = [_ends(group) for group in groups]
            lines.append(Line(
                name, places, [None if m is None else percent * m for m in means],
                [None if e is None else percent * _clipped(e[0], one) for e in ends],
                [None if e is None else percent * e[1] for e in ends], style=style, marked=True,
            ))  # fmt: skip
    log = min(places) > 0 and max(places) / min(places) >= LOG_FROM
    x = Axis(axis.rpartition(".")[2].replace("_", " "), log=log)
    title = f"{one['label']} over {x.label}"
    return line_chart(title, lines, x, y, says=f"{title}; bands: a standard deviation.")


def _known(run: Json, column: str) -> bool:
    return run.get(column) is not None


def _ends(group: Sequence[float]) -> tuple[float, float] | None:
    """Mean minus and plus a standard deviation; None of one value."""
    if len(group) < 2:
        return None
    mean = sum(group) / len(group)
    std = math.sqrt(sum((value - mean) ** 2 for value in group) / (len(group) - 1))
    return mean - std, mean + std


def _run(one: Json, asked: Sequence[Json]) -> Section:
    return {
        "variant": one["variant"],
        "seed": one["seed"],
        "scores": [_number(score, one.get(score["score"])) for score in asked],
        "minutes": f"{one['seconds'] / 60:.1f}",
        "folder": one["folder"],
        # Beside the study's own page; a link loads nothing until somebody follows it.
        "link": quote(f"{one['folder']}/report.html") if one["page"] else None,
    }


def _number(one: Json, value: float | None) -> str:
    if value is None:
        return NONE
    text = f"{value:.2%}" if one["lower_is_better"] else f"{value:.4f}"
    return text.replace("-", MINUS)


def _signed(one: Json, value: float) -> str:
    text = _number(one, value)
    return text if text.startswith(MINUS) else f"+{text}"


def _range(one: Json, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NONE
    low, high = _number(one, min(known)), _number(one, max(known))
    return low if low == high else f"{low} to {high}"
