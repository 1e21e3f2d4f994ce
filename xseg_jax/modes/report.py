"""Writes the page and the model card of a folder of results."""

import logging
from pathlib import Path

from xseg_jax.errors import InputError
from xseg_jax.modes.folders import working_in
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.report.model_card import CARD, model_card
from xseg_jax.report.page import PAGE, page_of, study_page
from xseg_jax.report.run_folder import RunFolder
from xseg_jax.report.signed import write_signed
from xseg_jax.report.study import JSON as STUDY
from xseg_jax.training.parallel import is_first_process
from xseg_jax.training.runlog import read_json

logger = logging.getLogger(__name__)

REPORTS = (PAGE, CARD)


def run(workdir: Path) -> None:
    """Writes `report.html` of a run, an evaluation or a study, and `model_card.md` of a run.

    Args:
      workdir: folder that has results.

    Raises:
      InputError: there are no results, a file cannot be read or is of another version, or the
        folder is in use.
      SaveError: the disk is full, or failed.
    """
    if (workdir / STUDY).is_file() and not (workdir / "results.json").exists():
        text = study_page(read_json(workdir / STUDY))
        first_lines(results=f"{workdir}, a study")
        with working_in(workdir, "--workdir"):
            write_unless_changed(workdir / PAGE, text)
        last_lines(page=workdir / PAGE)
        return
    found = RunFolder.read(workdir)  # Before anything is written where no results are.
    first_lines(results=f"{workdir}, {'a run' if found.is_run else 'an evaluation'}")
    with working_in(workdir, "--workdir"):
        write_reports(workdir)
    last_lines(page=workdir / PAGE, card=workdir / CARD)


def write_reports(folder: Path) -> None:
    """As `run`, where the folder is held already; in the first process alone."""
    if not is_first_process():
        return
    found = RunFolder.read(folder)
    try:
        texts = {PAGE: page_of(found)} | ({CARD: model_card(found)} if found.is_run else {})
    except KeyError as error:
        raise InputError(
            f"{folder}: its files lack {error}, and were written by another version of xseg_jax; "
            "use that version for this folder"
        ) from error
    for name, text in texts.items():
        write_unless_changed(folder / name, text)


def write_unless_changed(path: Path, text: str) -> None:
    """Writes a report, unless somebody has changed the one that is there, and says so.

    Raises:
      SaveError: the disk is full, or failed.
    """
    if not write_signed(path, text, "this report"):
        logger.warning(
            "%s: was changed by somebody and stays as it is; move it away to have it anew", path
        )
