"""Quantities of a segmented volume with their errors, as data for a page."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xseg_jax.colours import class_rgb
from xseg_jax.report import representative
from xseg_jax.report.numbers import MINUS, NONE, TIMES, count, interval, number, percent
from xseg_jax.report.plots import Axis, Dot, Line, dot_chart, line_chart
from xseg_jax.report.properties import (
    few_parts,
    fractions_of,
    hardly_any,
    intervals_over,
    left_out,
    no_intervals,
)

Json = Mapping[str, Any]
Section = dict[str, Any]

UNITS = {"um": "µm", "1": ""}
ERROR = ("error", "error_low", "error_high")
MOST_CHARTS = 24
"""Curves drawn; `measured.json` has all."""


def unit_words(unit: str) -> str:
    """A unit as it is printed: "1/um^2" is "µm⁻²"."""
    if unit in UNITS:
        return UNITS[unit]
    above, _, below = unit.partition("/")
    name, _, power = below.partition("^")
    raised = (power or "1").translate(str.maketrans("123", "¹²³"))
    shown = f"{UNITS.get(name, name)}⁻{raised}" if below else above.replace("um", "µm")
    if not below:
        return shown.replace("^2", "²").replace("^3", "³")
    return shown if above == "1" else f"{UNITS.get(above, above)} {shown}"


def quantities(measured: Json, method: str = "U-Net") -> Section:
    """A table of quantities, small charts of their errors and of curves, and what was left out.

    Args:
      measured: as `measured.json` holds it.
      method: what the volume that was measured is called.

    Returns:
      words, method, baselines (names), hints (over what intervals are, of what fractions), rows,
      errors (charts), curves (charts), objects (rows), representative (lines and charts, or None),
      left_out.
    """
    found = measured["quantities"]
    baselines = list(
        dict.fromkeys(name for one in found for name in (one["against"] or {}).get("baselines", {}))
    )
    drawn = [one for one in measured["curves"] if _has_values(one)]
    empty = [
        one | {"reason": "its curve has no finite value"}
        for one in measured["curves"]
        if not _has_values(one)
    ]
    has_truth = any(one["against"] for one in found)
    return {
        "words": _words(measured),
        "method": method,
        "has_truth": has_truth,
        "columns": 2 + 2 * has_truth + len(baselines),
        "baselines": baselines,
        "hints": _hints(measured),
        "rows": [_row(one, baselines, measured["phases"]) for one in found],
        "errors": _errors(found, [method, *baselines]) if has_truth else [],
        "curves": _curves(drawn, measured["phases"]),
        "objects": [
            one | {"rgb": _rgb(one["phase"], measured["phases"])}
            for one in measured.get("objects") or []  # Of an earlier version there are none.
        ],
        "representative": representative.section(measured, unit_words(measured["unit"])),
        "more_curves": max(0, len(drawn) - MOST_CHARTS),
        "left_out": [
            {"name": name, "reason": reason}
            for name, reason in left_out([*measured["left_out"], *empty]).items()
        ],
    }


def _hints(measured: Json) -> list[str]:
    """What is to be known of the table, a sentence each."""
    over, fractions = intervals_over(measured), fractions_of(measured)
    said = [f"small: interval, {'; '.join(over)}"] if over else []
    if few := no_intervals(measured):
        said.append(f"small: values of the parts; {few}")
    if none := hardly_any(measured["quantities"]):
        said.append(none)
    if fractions:
        said.append(fractions)
    if tested := measured.get("own_test"):  # Earlier versions did not ask.
        said.append(tested)
    return [f"{one[0].upper()}{one[1:]}." for one in said]


def _words(measured: Json) -> str:
    flat = measured["dimension"] == 2
    if measured.get("independent"):  # Earlier versions took everything for slices of a volume.
        images = count(measured["shape"][0], "image")
        return (
            f"Areas in {images} that are no slices of one volume: shares of the labelled pixels of "
            "all of them together. Nothing else can be told of a volume."
        )
    first = int(flat)  # Of slices: how many there are, and their sides.
    size = f" {TIMES} ".join(str(n) for n in measured["shape"][first:])
    axes, voxels = ("y, x", "pixels") if flat else ("z, y, x", "voxels")
    unit = measured["unit"]
    if unit in ("voxel", "pixel"):
        known = f"no voxel size is known, and lengths are in {voxels}"
    else:
        edges = f" {TIMES} ".join(f"{edge:.4g}" for edge in measured["voxel_size"][first:])
        known = f"{voxels} of {edges} {unit_words(unit)} ({axes})"
    # Earlier versions knew no masks.
    within = f", within {Path(mask).name}" if (mask := measured.get("within")) else ""
    if flat:
        slices = count(measured["shape"][0], "slice")
        said = f"Estimated for the volume from {slices} of {size} {voxels}{within}"
        return f"{said}, as if it were the same in all directions; {known}."
    return f"Measured in three dimensions on {size} voxels ({axes}){within}; {known}."


def _of(one: Json) -> list[str]:
    """What a quantity is of: phase, the phase it touches, and direction."""
    said = [f"of {one['phase']}"] if one.get("phase") else []
    said += [f"with {one['with']}"] if one.get("with") else []
    return said + ([f"along {one['axis']}"] if one.get("axis") else [])


def _rgb(phase: str | None, phases: Sequence[str]) -> tuple[int, int, int] | None:
    return class_rgb(phases.index(phase)) if phase in phases else None


def _row(one: Json, baselines: Sequence[str], phases: Sequence[str]) -> Section:
    against, few = one["against"] or {}, few_parts(one)
    beside = against.get("baselines", {})
    return {
        "name": one["label"][:1].upper() + one["label"][1:],
        "of": " ".join(_of(one)),
        "rgb": _rgb(one.get("phase"), phases),
        "unit": unit_words(one["unit"]),
        "value": number(one["value"]),
        "interval": _each(few) if few else interval(one["low"], one["high"]),
        "truth": number(against.get("truth")),
        "truth_interval": _each(against.get("truth_parts") or ())
        if few
        else interval(against.get("truth_low"), against.get("truth_high")),
        "error": _relative(against.get("error")),
        "error_interval": "" if few else _relative_interval(against),
        "beside": [
            {
                "error": _relative(other.get("error")),
                "interval": "" if few else _relative_interval(other),
            }
            for other in (beside.get(name, {}) for name in baselines)
        ],
    }


def _each(values: Sequence[float | None]) -> str:
    return ", ".join(map(number, values))


def _relative(error: float | None) -> str:
    """A relative error as percent, with its sign."""
    text = percent(error).replace("-", MINUS)
    return text if error is None or error < 0 or text == NONE else f"+{text}"


def _relative_interval(against: Json) -> str:
    ends = against.get("error_low"), against.get("error_high")
    return "" if None in ends else " to ".join(map(_relative, ends))


def _errors(found: Sequence[Json], methods: Sequence[str]) -> list[Section]:
    """A chart of relative errors for each quantity that has a truth, of a method and baselines."""
    kinds: dict[str, list[Json]] = {}
    for one in found:
        if one["against"] and one["against"].get("error") is not None:
            kinds.setdefault(one["label"], []).append(one)
    charts = []
    for label, members in kinds.items():
        rows = []
        for one in members:
            against = one["against"]
            beside = against.get("baselines", {})
            sides = [against, *(beside.get(name, {}) for name in methods[1:])]
            keys = ERROR[:1] if few_parts(one) else ERROR
            dots = [
                Dot(n, *(_hundredfold(side.get(key)) for key in keys))
                for n, side in enumerate(sides)
            ]
            rows.append((" ".join(_of(one)) or label, dots))
        charts.append(dot_chart(
            label, methods, rows, Axis("relative error, %"),
            says=f"Relative errors against the labels, of {count(len(rows), 'row')}.", zero=True,
        ))  # fmt: skip
    return charts


def _hundredfold(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _has_values(curve: Json) -> bool:
    return any(y is not None and math.isfinite(y) for y in curve["y"])


def _curves(curves: Sequence[Json], phases: Sequence[str]) -> list[Section]:
    charts = []
    for one in curves[:MOST_CHARTS]:
        lines = [Line("predicted", one["x"], one["y"], rgb=_rgb(one.get("phase"), phases))]
        if one.get("truth_y"):
            lines.append(Line("labelled", one.get("truth_x") or one["x"], one["truth_y"], style=1))
        unit = unit_words(one["x_unit"])
        x = Axis(f"{one['x_label']}, {unit}" if unit else one["x_label"])
        title = " ".join([one["label"], *_of(one)])
        charts.append(
            line_chart(
                title, lines, x, Axis(one["y_label"]), says=f"{one['y_label']} over {x.label}."
            )
        )
    return charts
