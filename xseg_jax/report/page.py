"""report.html: what a folder of results holds, as one page that loads nothing."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xseg_jax.report import scores, sections
from xseg_jax.report.compared import comparison
from xseg_jax.report.leaks import noun
from xseg_jax.report.measured import quantities
from xseg_jax.report.methods import citation, methods_text
from xseg_jax.report.numbers import count, duration
from xseg_jax.report.recipe_words import data_name, last_part
from xseg_jax.report.run_folder import SLICES, RunFolder
from xseg_jax.report.slices import read_slices
from xseg_jax.report.sources import SOURCES, of_quantities
from xseg_jax.report.studied import studied
from xseg_jax.report.viewer import viewer_html

EVALUATED = {"run": "run", "images": "input"}
"""Rows of an evaluation's provenance, and what `evaluation.json` calls them."""
PAGE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
FIGURES = {
    "comparison.png": "Test slices: the image, what is labelled, and what each method predicts",
    "errors.png": "The worst test slices: image, labelled, predicted, and what is wrong",
    "collage.png": "Test slices: image, predicted, and one class over the image",
}
"""Drawings of slices that a folder has which keeps no slices itself, with what they show."""


def environment() -> Environment:
    """Templates of all pages; every value is escaped, and a missing one is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["asset"] = _asset
    return found


def run_page(folder: Path) -> str:
    """The page of a run, or of an evaluation.

    Args:
      folder: with `results.json` and what else the run or the evaluation has written.

    Returns:
      HTML that loads nothing.

    Raises:
      InputError: the folder has no results, or a file there cannot be read.
    """
    return page_of(RunFolder.read(folder))


def page_of(folder: RunFolder) -> str:
    """As `run_page`, of a folder that was read."""
    return environment().get_template("run.html").render(run_data(folder))


def measured_page(measured: Mapping[str, Any]) -> str:
    """The page of a measurement.

    Args:
      measured: what `measured.json` holds, with the input, the labels and where it was made.

    Returns:
      HTML that loads nothing.
    """
    rows = [
        ("input", data_name(measured["input"])),
        *([("labels", data_name(measured["labels"]))] if measured["labels"] else []),
        ("commit", measured["git_commit"] or "not known"),
        ("device", measured["device"]),
        ("time", duration(measured["seconds"])),
        *measured["packages"].items(),
    ]
    maker = measured.get("prediction")  # Earlier versions did not say.
    data = {
        "name": data_name(measured["input"]),
        "summary": made_by(maker) if maker else [],
        "classes": sections.classes_of(measured["phases"]),
        "quantities": quantities(measured, "segmented"),
        "warnings": measured["warnings"],
        "provenance": rows,
        "config": None,
        "cite": citation(measured, [SOURCES[key] for key in of_quantities(measured)]),
    }
    return environment().get_template("measured.html").render(data)


def made_by(maker: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who has segmented what was measured: what, and its value."""
    runs = ", ".join(f"{one['run']} (step {one['step']})" for one in maker["runs"])
    return [("scan", maker["scan"]), ("segmented by", maker["network"]), ("run", runs)]


def compared_page(compared: Mapping[str, Any]) -> str:
    """The page of a comparison.

    Args:
      compared: what `compared.json` holds.

    Returns:
      HTML that loads nothing.
    """
    sides = [(side, ", ".join(map(last_part, of))) for side, of in compared["of"].items()]
    return _of_several("compared.html", comparison(compared), compared, sides)


def study_page(study: Mapping[str, Any]) -> str:
    """The page of a study.

    Args:
      study: what `study.json` holds.

    Returns:
      HTML that loads nothing; links lead to the pages of the runs beside it.
    """
    return _of_several("study.html", studied(study), study)


def _of_several(
    template: str,
    data: Mapping[str, Any],
    found: Mapping[str, Any],
    sides: Sequence[tuple[str, str]] = (),
) -> str:
    """The page of several runs, with what they were compared by and with."""
    rows = [*sides, ("commit", found["git_commit"] or "not known"), *found["packages"].items()]
    pairs = found.get("pairs") or [row for one in found["scores"] for row in one["variants"]]
    used = COMPARED_BY if any(row["low"] is not None for row in pairs) else ()
    more = {"provenance": rows, "config": None, "cite": citation(found, used)}
    return environment().get_template(template).render({**data, **more})


COMPARED_BY = (
    "Intervals over blocks and seeds: Owen 2007, doi:10.1214/07-AOAS122; Rao and Wu 1988, "
    "doi:10.1080/01621459.1988.10478591.",
    "Several comparisons: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.",
)
"""What intervals of a comparison, or a study, stand on."""


def run_data(folder: RunFolder) -> dict[str, Any]:
    """All that the template `run.html` shows; sections without data are None."""
    results = folder.results
    tested = bool(results["slices"])
    text, sources = methods_text(folder)
    slices = folder.path / SLICES
    kept = read_slices(slices) if slices.is_file() else None
    step = (folder.calibration or {}).get("step")
    return {
        "name": folder.name,
        "kind": "Training run" if folder.is_run else "Evaluation",
        "verdict": scores.verdict(results),
        "classes": sections.classes_of(folder.class_names),
        "summary": summary(folder),
        "methods": text,
        "scores": scores.score_table(results),
        "boundaries": scores.boundary_table(results) if tested else None,
        "dots": scores.score_dots(results) if tested else None,
        "history": sections.history(folder.metrics, step),
        "confusion": sections.confusion(results) if tested else None,
        "reliability": sections.reliability(results),
        "quantities": quantities(folder.measured, "U-Net") if folder.measured else None,
        "robustness": sections.robustness(folder.degraded) if folder.degraded else None,
        "viewer": viewer_html(kept) if kept else None,
        "kept": len(kept.records) if kept else 0,
        "tested": results["slices"],
        "tested_words": folder.tested,
        "figures": [] if kept else figures(folder.path / "figures"),
        "warnings": folder.warnings,
        "provenance": provenance(folder),
        "config": None if folder.config is None else json.dumps(folder.config, indent=2),
        "cite": citation(results, sources),
    }


def summary(folder: RunFolder) -> list[tuple[str, str]]:
    """A few facts for the head of a page: what, and its value."""
    results = folder.results
    facts = [(f"{noun(results)}s tested", str(results["slices"]))]
    if results["slices"]:
        facts = [
            ("pixel accuracy", f"{results['accuracy']:.4f}"),
            ("mean IoU", f"{results['miou']:.4f}"),
            ("tested", f"{count(results['slices'], noun(results))}, {results['pixels']:,} pixels"),
        ]
    return [
        *facts,
        ("parameters", f"{results['parameters']:,}"),
        ("time", duration(results["seconds"])),
    ]


def provenance(folder: RunFolder) -> list[tuple[str, str]]:
    """Where the results came from: what, and its value."""
    results = folder.results
    rows = [
        ("commit", results["git_commit"] or "not known"),
        ("device", results["device"]),
        ("time", duration(results["seconds"])),
    ]
    if folder.data is not None:
        rows.append(
            ("data", f"content {folder.data['fingerprint']}, pixels {folder.data['dtype']}")
        )
    if folder.evaluation is not None:
        rows += [(what, data_name(folder.evaluation[key])) for what, key in EVALUATED.items()]
    label_map = results["label_map"]
    values = zip(label_map["values"], label_map["classes"], strict=True)
    rows.append(("label values", ", ".join(f"{value}: {name}" for value, name in values)))
    if label_map["ignore"]:
        rows.append(("ignored values", label_map["ignore"]))
    return rows + [(name, version) for name, version in results["packages"].items()]


def figures(folder: Path) -> list[dict[str, str]]:
    """Drawings of slices as data, with what they show."""
    return [
        {"means": means, "data": base64.b64encode((folder / name).read_bytes()).decode()}
        for name, means in FIGURES.items()
        if (folder / name).is_file()
    ]


def _asset(name: str) -> Markup:
    """A style sheet or a script of ours, which stands in the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))
