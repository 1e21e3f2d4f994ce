"""How far quantities differ from place to place, over the size of a volume, for readers."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xseg_jax.colours import class_rgb
from xseg_jax.files import write_text
from xseg_jax.report.plots import Axis, Line, line_chart

Json = Mapping[str, Any]

FILE = "representative.csv"
COLUMNS = (
    "quantity", "phase", "with", "axis", "edge", "edge_unit", "z", "y", "x", "count", "mean",
    "deviation", "unit", "relative",
)  # fmt: skip


def write_csv(path: Path, measured: Json) -> None:
    """Writes a line for each quantity and size of subvolumes.

    Raises:
      SaveError: the disk is full, or failed.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for one in measured["representative"]["quantities"]:
        for n, (z, y, x) in enumerate(one["sides"]):
            columns = {
                key: one[key][n] for key in ("edge", "count", "mean", "deviation", "relative")
            }
            row = one | columns | {"z": z, "y": y, "x": x, "edge_unit": measured["unit"]}
            writer.writerow({key: "" if row[key] is None else row[key] for key in COLUMNS})
    write_text(path, text.getvalue(), "this table")


def lines(measured: Json, unit: str | None = None) -> list[str]:
    """A line a quantity that was measured in several sizes: from which on its spread is small.

    Args:
      measured: as `measured.json` holds it.
      unit: of length, as it is written; None as it stands there.
    """
    unit = unit or measured["unit"]
    level = f"{measured['representative']['level']:.0%}"
    found = []
    for label, members in _curves(measured).items():
        enough = [(name, one) for name, one in members if one["enough"] is not None]
        never = [(name, one) for name, one in members if one["enough"] is None]
        said = []
        if enough:
            edges = ", ".join(f"{one['enough']:.4g} {unit} ({name})" for name, one in enough)
            said.append(f"under {level} from an edge of {edges} on")
        if never:
            # The largest that were measured say how far it is.
            ends = ", ".join(f"{one['relative'][-1]:.1%} ({name})" for name, one in never)
            edge = f"{never[0][1]['edge'][-1]:.4g} {unit}"
            said.append(f"not under {level} up to {edge}: {ends}")
        found.append(f"{label}: {'; '.join(said)}")
    return found


def section(measured: Json, unit: str) -> dict[str, Any] | None:
    """Lines and charts for a page, as `lines`; None where nothing was measured in several sizes."""
    if not measured.get("representative") or not _curves(measured):  # Of an earlier version.
        return None
    level = measured["representative"]["level"]
    charts = []
    for label, members in _curves(measured).items():
        ours = [
            Line(
                name, one["edge"], [100 * value for value in one["relative"]], style=n,
                rgb=_rgb(one, measured["phases"]), marked=True,
            )
            for n, (name, one) in enumerate(members)
        ]  # fmt: skip
        edges = members[0][1]["edge"]
        limit = Line(
            f"{level:.0%}", [edges[0], edges[-1]], [100 * level] * 2, style=len(ours)
        )  # fmt: skip
        title = f"Spread of the {label}"
        charts.append(line_chart(
            title, [*ours, limit], Axis(f"edge of the subvolume, {unit}"),
            Axis("standard deviation / mean, %", low=0), says=f"{title} over the edge.",
        ))  # fmt: skip
    return {"lines": lines(measured, unit), "charts": charts}


def _curves(measured: Json) -> dict[str, list[tuple[str, Json]]]:
    """Quantities with several sizes, by their label, each with the phases that it is of."""
    found: dict[str, list[tuple[str, Json]]] = {}
    for one in measured["representative"]["quantities"]:
        if len(one["edge"]) > 1:
            found.setdefault(one["label"], []).append((", ".join(_of(one)), one))
    return found


def _of(one: Json) -> Iterator[str]:
    for key in ("phase", "with"):
        if one[key]:
            yield one[key]
    if one["axis"]:
        yield f"along {one['axis']}"


def _rgb(one: Json, phases: Sequence[str]) -> tuple[int, int, int] | None:
    return class_rgb(phases.index(one["phase"])) if one["phase"] and not one["with"] else None
