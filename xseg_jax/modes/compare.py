"""Compares finished runs, or evaluations, that were scored on the same slices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.comparison import compare
from xseg_jax.evaluation.intervals import Sums, sums_of
from xseg_jax.files import one_line, paths_in, user_path
from xseg_jax.modes.evaluate import CLAIM
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.report import write_unless_changed
from xseg_jax.modes.score import BLOCKS
from xseg_jax.modes.scored import (
    Scored,
    check_group,
    check_same,
    missing_boundaries,
    notes_on,
    unit_of,
)
from xseg_jax.report import comparison as report
from xseg_jax.report.leaks import noun
from xseg_jax.report.numbers import count
from xseg_jax.report.page import PAGE, compared_page
from xseg_jax.report.paper import FORMATS, PNG
from xseg_jax.training.runlog import provenance, read_json, write_json


def run(runs: Path, output: Path) -> dict[str, list[dict[str, Any]]]:
    """Writes `compared.json`, `compared.csv`, `compared.png`, `report.html`; prints a table.

    Args:
      runs: folders with commas between; several of one side, that differ by their seed, with a
        plus between: "runs/a1+runs/a2,runs/b1+runs/b2".
      output: folder, made if missing.

    Returns:
      The scores of every side, and the differences of every two, as `compare` gives them.

    Raises:
      InputError: runs are not finished, were scored on other slices or have other classes, or
        `output` holds something else.
    """
    sides = read_sides(str(runs))
    everyone = [one for side in sides.values() for one in side]
    first, *others = everyone
    for other in others:
        check_same(first, other)
    for side in sides.values():
        check_group(side, next(iter(sides.values())))
    notes = notes_on(sides)
    if note := missing_boundaries(everyone):
        notes.append(note)
    whole = {name: sums_of_side(side, with_edges=not note) for name, side in sides.items()}
    units = statistics.blocks_of(first.confusion_NKK, BLOCKS)
    found = compare(whole, first.names)
    of = {name: [str(one.folder.resolve()) for one in side] for name, side in sides.items()}
    facts = {
        "of": of,
        "slices": len(first.slices),
        "planes": noun(first.results),
        "pixels": int(first.confusion_NKK.sum()),
        "units": len(units),
        "unit": unit_of(first.results),
        "seeds": len(next(iter(sides.values()))),
        "tolerance": None if note or first.edges is None else first.edges.tolerance,
        "notes": notes,
    }
    refuse_others(output, of)
    first_lines(
        data=f"{count(len(first.slices), noun(first.results))}, on which all were scored",
        runs=", ".join(
            name + f" ({len(side)} seeds)" * (len(side) > 1) for name, side in sides.items()
        ),
    )
    with working_in(output, "--output"):
        # First: it says whose the folder is.
        compared = facts | found | provenance()
        write_json(output / report.JSON, compared)
        report.write(output, facts, found, formats_of(everyone))
        write_unless_changed(output / PAGE, compared_page(compared))
    last_lines(
        results=output / report.JSON,
        figures=[output / name for name in report.WRITTEN if name.endswith(".png")],
        page=output / PAGE,
    )
    return found


def read_sides(text: str) -> dict[str, list[Scored]]:
    """The folders of "a1+a2,b1+b2" by the name of their side; each side's by their seed.

    Raises:
      InputError: there are fewer than two sides, a folder stands there twice, or as `Scored.read`.
    """
    parts = [_alone_or_several(path) for path in paths_in(text)]
    folders = [folder for part in parts for folder in part]
    if len(parts) < 2:
        raise InputError(f"--runs={text}: give two folders or more, as --runs=runs/a,runs/b")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError(f"--runs={text}: names a folder twice; name each once")
    sides = {
        one_line(name): [*map(Scored.read, part)]
        for name, part in zip(_names_of(parts), parts, strict=True)
    }
    return {
        name: sorted(side, key=lambda one: (one.config or {}).get("seed", 0))
        for name, side in sides.items()
    }


def _names_of(parts: Sequence[Sequence[Path]]) -> list[str]:
    """The last parts of the folders of each side, as few as tell the sides apart."""
    deepest = max(len(folder.resolve().parts) for part in parts for folder in part)
    names: list[str] = []
    for many in range(1, deepest + 1):
        names = [
            "+".join("/".join(folder.resolve().parts[-many:]) for folder in part) for part in parts
        ]
        if len(set(names)) == len(names):
            break
    return names


def formats_of(runs: Sequence[Scored]) -> list[str]:
    """PNG, and in what else the figures of any of the runs are written."""
    asked = {form for one in runs for form in (one.config or {}).get("report.formats", ())}
    return [form for form in FORMATS if form in {*asked, *PNG}]


def _alone_or_several(path: Path) -> list[Path]:
    """A folder, or those with a plus between."""
    return [path] if path.exists() else [user_path(part) for part in str(path).split("+")]


def sums_of_side(side: Sequence[Scored], *, with_edges: bool) -> Sums:
    """Sums (S, B, ...) of the seeds of a side and blocks of its planes."""
    parts = [sums_of(one.confusion_NKK, one.edges if with_edges else None) for one in side]
    return {
        kind: np.stack([statistics.blocks_of(part[kind], BLOCKS) for part in parts])
        for kind in parts[0]
    }


def refuse_others(output: Path, of: Mapping[str, Sequence[str]]) -> None:
    """Refuses a folder that holds another comparison, a run, or files that none wrote.

    Raises:
      InputError: names the file.
    """
    for name in ("config.json", CLAIM):
        if (output / name).exists():
            raise InputError(f"{output}: holds a run or an evaluation; choose another --output")
    path = output / report.JSON
    if not path.exists():
        written = (output / name for name in (*report.POSSIBLE, PAGE))
        refuse_foreign(written, "a comparison", "--output")
        return
    there = read_json(path)
    if not isinstance(there, dict) or there.get("of") != of:
        raise InputError(f"{path}: is of other runs; choose another --output, or remove it")
