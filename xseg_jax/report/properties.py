"""What was measured of a volume: a table, and a file of comma-separated values."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xseg_jax.files import write_text
from xseg_jax.report import representative

COLUMNS = (
    "quantity", "phase", "with", "axis", "unit", "value", "low", "high", "interval", "doubt_low",
    "doubt_high", "truth", "error", "error_low", "error_high",
)  # fmt: skip


def measured_table(found: Mapping[str, Any]) -> str:
    """A line a quantity: value with its interval, and its error where the truth is known.

    Args:
      found: as `measured.json` holds it.
    """
    known = any(row["against"] for row in found["quantities"])
    doubted = any(row["doubt_low"] is not None for row in found["quantities"])
    flat = found["dimension"] == 2
    shape = " x ".join(map(str, found["shape"][flat:]))
    sides = " x ".join(f"{side:.4g}" for side in found["voxel_size"][flat:])
    slices = f"estimated from {found['shape'][0]} slices of {shape} pixels"
    lines = [
        f"{slices if flat else f'{shape} voxels'} of {sides} {found['unit']}",
        "",
        f"{'':<44}{'phase':<16}{'value':>12}  {'95% interval':<24}{'unit':<8}"
        + (f"{'doubt leaves open':<24}" if doubted else "")
        + (f"{'truth':>12}{'error':>9}  {'95% interval':<18}" if known else ""),
    ]
    before = None
    for row in found["quantities"]:
        label = row["label"] + (f" along {row['axis']}" if row["axis"] else "")
        phases = ", ".join(name for name in (row["phase"], row["with"]) if name)
        line = f"{label if label != before else '':<44}{phases:<16}{_number(row['value']):>12}  "
        unit = "" if row["unit"] == "1" else row["unit"]
        line += f"{_interval(row['low'], row['high']):<24}{unit:<8}"
        if doubted:
            line += f"{_interval(row['doubt_low'], row['doubt_high']):<24}"
        if against := row["against"]:
            line += f"{_number(against['truth']):>12}{_percent(against['error']):>9}  "
            ends = against["error_low"], against["error_high"]
            line += "" if None in ends else f"{_percent(ends[0])} to {_percent(ends[1])}"
        lines.append(line.rstrip())
        before = label
    parts = dict.fromkeys(row["interval"] for row in found["quantities"] if row["interval"])
    lines += ["", *(f"intervals: {part}" for part in parts)]
    lines += object_lines(found)
    if found.get("representative"):
        said = [f"  {line}" for line in representative.lines(found)]
        lines += ["spread between subvolumes:", *said] if said else []
    lines += [f"left out: {one['quantity']}, for {one['reason']}" for one in found["left_out"]]
    return "\n".join(lines)


def object_lines(found: Mapping[str, Any]) -> list[str]:
    """Which objects were found, a line a phase; none where this was not measured."""
    rows = found.get("objects") or []  # Of an earlier version there are none.
    if not rows:
        return []
    of = f" in {rows[0]['of']}" if rows[0]["of"] else ""
    return [
        f"objects against the labels{of}:",
        *(
            f"  {row['phase']}: of {row['labelled']} labelled {row['matched']} found, "
            f"{row['split']} split, {row['merged']} merged, {row['missed']} missed; of "
            f"{row['predicted']} predicted {row['false']} false"
            for row in rows
        ),
    ]


def write_csv(path: Path, found: Mapping[str, Any]) -> None:
    """Writes a line a quantity.

    Raises:
      SaveError: the disk is full, or failed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in found["quantities"]:
        fields = row | (row["against"] or {})
        writer.writerow("" if fields.get(name) is None else fields[name] for name in COLUMNS)
    write_text(path, text.getvalue(), "this table")


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1%}"
