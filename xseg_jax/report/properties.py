"""What was measured of a volume: a table, and a file of comma-separated values."""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from xseg_jax.files import write_text
from xseg_jax.report import representative
from xseg_jax.report.numbers import FEWEST, count

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
    heads = ["", "phase", "value", "95% interval", "unit"]
    heads += ["doubt leaves open"] * doubted + ["truth", "error", "95% interval"] * known
    table, before = [heads], None
    for row in found["quantities"]:
        label = row["label"] + (f" along {row['axis']}" if row["axis"] else "")
        against, few = row["against"] or {}, few_parts(row)
        cells = [
            label if label != before else "",
            ", ".join(name for name in (row["phase"], row["with"]) if name),
            _number(row["value"]),
            f"parts: {_each(few)}" if few else _interval(row["low"], row["high"]),
            "" if row["unit"] == "1" else row["unit"],
        ]
        cells += [_interval(row["doubt_low"], row["doubt_high"])] * doubted
        if known:
            ends = [_percent(against.get(key)) for key in ("error_low", "error_high")]
            truth = _number(against["truth"]) if against else ""
            cells += [truth, _percent(against.get("error"))]
            cells.append(" to ".join(ends) if all(ends) and not few else "")
        table.append(cells)
        before = label
    lines = [_shape(found), "", *_aligned(table, {"value", "truth", "error"}), ""]
    lines += [f"intervals: {part}" for part in intervals_over(found)]
    if note := no_intervals(found):
        lines.append(note)
    if note := hardly_any(found["quantities"]):
        lines.append(note)
    if note := fractions_of(found):
        lines.append(note)
    if said := found.get("own_test"):  # Earlier versions did not ask.
        lines.append(said)
    lines += object_lines(found)
    if found.get("representative"):
        said = [f"  {line}" for line in representative.lines(found)]
        lines += ["spread between subvolumes:", *said] if said else []
    lines += [f"left out: {what}, for {why}" for what, why in left_out(found["left_out"]).items()]
    return "\n".join(lines)


def _shape(found: Mapping[str, Any]) -> str:
    """What was measured, and how large a voxel is."""
    flat = found["dimension"] == 2
    shape = " x ".join(map(str, found["shape"][flat:]))
    if found.get("independent"):  # Earlier versions took everything for slices of a volume.
        images = count(found["shape"][0], "image")
        return f"areas in {images}, {shape} pixels at most, that are no slices of one volume"
    sides = " x ".join(f"{side:.4g}" for side in found["voxel_size"][flat:])
    slices = f"estimated from {count(found['shape'][0], 'slice')} of {shape} pixels"
    return f"{slices if flat else f'{shape} voxels'} of {sides} {found['unit']}"


def _aligned(table: Sequence[Sequence[str]], right: Collection[str]) -> list[str]:
    """Rows of cells below each other, as wide as they need; numbers end in one place."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if head in right else f"{cell:<{width}}"
            for cell, width, head in zip(row, widths, table[0], strict=True)
        ).rstrip()
        for row in table
    ]


def few_parts(row: Mapping[str, Any]) -> Sequence[float | None]:
    """The values of parts that are too few for an interval; empty where there are enough, or none.

    Args:
      row: of `measured.json`. Earlier versions gave intervals of two parts.
    """
    parts = row.get("parts") or ()
    return parts if len(parts) < FEWEST else ()


def intervals_over(found: Mapping[str, Any]) -> list[str]:
    """What the intervals of quantities are over, each once."""
    rows = [row for row in found["quantities"] if not few_parts(row)]
    return list(dict.fromkeys(row["interval"] for row in rows if row["interval"]))


def no_intervals(found: Mapping[str, Any]) -> str:
    """Why values of parts stand in place of intervals; "" where none do."""
    counts = sorted({len(few_parts(row)) for row in found["quantities"]} - {0})
    slices = found["shape"][0]
    if not counts and found["dimension"] == 2 and slices < FEWEST:
        return f"no interval of {count(slices, 'slice')}: {FEWEST} are the fewest"
    if not counts:
        return ""
    return f"no interval of {' or '.join(map(str, counts))} parts: {FEWEST} are the fewest"


def hardly_any(rows: Sequence[Mapping[str, Any]]) -> str:
    """What has no relative error, for it is next to nothing; "" where all have.

    Args:
      rows: of `measured.json`. Earlier versions did not mark them.
    """
    some = [
        f"{row['label']} of {phases_of(row)}"
        for row in rows
        if (row["against"] or {}).get("hardly_any")
    ]
    if not some:
        return ""
    return (
        "no error is told of what there is hardly any of (below 1% of the largest): "
        f"{', '.join(some)}"
    )


def phases_of(row: Mapping[str, Any]) -> str:
    """What a quantity is of, as "pore/metal along z"."""
    phases = [name for name in (row["phase"], row["with"]) if name]
    along = f" along {row['axis']}" if row["axis"] else ""
    return (", ".join(phases).replace(", ", "/") or "all") + along


def fractions_of(found: Mapping[str, Any]) -> str:
    """What fractions are shares of; "" where there are none."""
    names = {row["quantity"] for row in found["quantities"]}
    if not names & {"volume_fraction", "area_fraction"}:
        return ""
    what = "voxels" if found["dimension"] == 3 else "pixels"
    if found.get("ignore"):  # Earlier versions did not keep it.
        return (
            f"fractions are of the labelled {what} without the value {found['ignore']}, and what "
            "touches it has no surface there"
        )
    if found.get("within"):
        return f"fractions are of the labelled {what} within {Path(found['within']).name}"
    if found.get("independent"):
        return f"fractions are of all labelled {what}, background included where it is a class"
    return (
        f"fractions are of all labelled {what}, also of air around a sample where it has a class; "
        "--mode=measure --within=MASK measures within the sample, --config.data.ignore=VALUE "
        "without a class"
    )


def left_out(some: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What is left out, with the reason; what has the same reason stands together."""
    reasons: dict[str, list[str]] = {}
    for one in some:
        phase = f" of {one['phase']}" if one.get("phase") else ""
        name = one["quantity"].replace("_", " ")
        reasons.setdefault(one["reason"], []).append(f"{name}{phase}")
    return {", ".join(names): reason for reason, names in reasons.items()}


def largest_errors(measured: Mapping[str, Any], method: str, noun: str = "slice") -> str:
    """The largest errors of each method, over phases, in a line each.

    Args:
      measured: as `measured.json` holds it.
      method: that was measured.
      noun: what planes are called.
    """
    rows = measured["quantities"]
    worst: dict[str, dict[str, tuple[float, str]]] = {}
    for row in rows:
        against = row["against"]
        errors = {method: against["error"]}
        errors |= {name: one["error"] for name, one in against["baselines"].items()}
        for name, error in errors.items():
            if error is not None:
                of_method = worst.setdefault(name, {})
                found = abs(error), phases_of(row)
                of_method[row["label"]] = max(found, of_method.get(row["label"], found))
    what = "a volume" if measured["dimension"] == 3 else f"{count(measured['shape'][0], noun)}"
    if measured.get("independent"):  # Earlier versions took everything for slices of a volume.
        what += ", of areas alone, for they are no slices of one volume"
    lines = [f"largest error of a phase, from {what}:"]
    for name, errors in worst.items():
        found = (
            f"{label} {_in_words(error)} ({phases})" for label, (error, phases) in errors.items()
        )
        lines.append(f"  {'U-Net' if name == method else name}: {', '.join(found)}")
    if left := hardly_any(rows):
        lines.append(f"  {left}")
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


def _each(values: Sequence[float | None]) -> str:
    return ", ".join(map(_number, values))


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1%}"


def _in_words(error: float) -> str:
    """An absolute relative error."""
    return f"{error:.1%}" if error < 10 else f"{error:,.0%}"
