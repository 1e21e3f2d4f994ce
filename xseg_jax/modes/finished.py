"""A finished run, shown again: at once, where neither its config nor its data have changed.

What training needs takes seconds to import, and is not imported here.
"""

import contextlib
import hashlib
import itertools
import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xseg_jax.errors import InputError, SaveError
from xseg_jax.files import counted, user_path
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.report.run_folder import RESULTS, SLICES, TEXT
from xseg_jax.report.table import results_table
from xseg_jax.training.runlog import RUNTIME_FIELDS, flatten, read_json, refuse_other, write_json

logger = logging.getLogger(__name__)

Config = Any

INPUTS = "inputs.json"
"""What the data of a run are, in words, and what their files were when they were read."""
PAGE = "report.html"
PATHS = ("root", "images", "labels")
"""Fields of config.data that name what is read."""


def show(config: Config, workdir: Path) -> bool:
    """Prints the table of a finished run again, if it can be told at once that it is the same run.

    Args:
      config: as `configs/default.py`.
      workdir: run folder.

    Returns:
      Whether it was shown. Else `train.run` trains, goes on, or compares the data.

    Raises:
      InputError: the folder holds another run.
    """
    check_same(config, workdir)
    if not all((workdir / name).exists() for name in (RESULTS, INPUTS)):
        return False
    kept = read_json(workdir / INPUTS)
    if kept["files"] != files_of(config) or lacks_page(config, workdir):
        return False
    first_lines(data=kept["data"], run=workdir)
    print_again(config, workdir)
    where_things_are(workdir)
    return True


def lacks_page(config: Config, workdir: Path) -> bool:
    """Whether a run was interrupted between its results and its page."""
    # Runs of earlier versions have no such field, and kept no slices for a page.
    wanted = config.report.get("page", False) and (workdir / SLICES).exists()
    return wanted and not (workdir / PAGE).exists()


def print_again(config: Config, workdir: Path) -> None:
    """Prints the table of a finished run, as it was printed when it ended."""
    logger.info("%s: this run is finished", workdir)
    _say_undrawn(config, workdir)
    kept = workdir / TEXT
    if kept.exists():
        print(kept.read_text(encoding="utf-8"), end="")
    else:  # Runs of earlier versions have kept none.
        print(results_table(read_json(workdir / RESULTS)))


def _say_undrawn(config: Config, workdir: Path) -> None:
    """Says which formats a finished run's figures do not have, and how it draws them."""
    formats = config.report.get("formats", ())  # Runs of earlier versions have no such field.
    lacking = [form for form in formats if not (workdir / "figures" / f"history.{form}").exists()]
    if lacking:
        logger.warning(
            "%s: has no figures as %s; remove %s and start again: it scores anew and draws them",
            workdir, ", ".join(lacking), workdir / RESULTS,
        )  # fmt: skip


def where_things_are(workdir: Path) -> None:
    """The last lines of a run."""
    last_lines(
        results=workdir / RESULTS,
        figures=workdir / "figures",
        checkpoints=workdir / "checkpoints",
        page=workdir / PAGE,
    )


def keep_inputs(config: Config, workdir: Path, data: str, files: dict[str, Any]) -> None:
    """Writes what `show` compares, unless it stands there; a folder that is read-only stays so.

    Args:
      config: of the run.
      workdir: its folder.
      data: what its data are, in words.
      files: `files_of` before they were read.
    """
    kept = {"data": data, "files": files}
    path = workdir / INPUTS
    if files != files_of(config) or (path.exists() and read_json(path) == kept):
        return
    with contextlib.suppress(SaveError):
        write_json(path, kept)


def check_same(config: Config, workdir: Path) -> None:
    """Refuses a folder of another run; where that has fewer epochs alone, says how to go on.

    Raises:
      InputError: names the fields that differ.
    """
    path = workdir / "config.json"
    if not path.exists():
        return
    before, epochs = flatten(read_json(path)).get("epochs"), config.epochs
    if (workdir / RESULTS).exists() and isinstance(before, int) and epochs > before:
        try:
            refuse_other(path, config.to_dict(), free=RUNTIME_FIELDS | {"epochs"})
        except InputError:
            logger.debug("%s: more than the epochs differs", path)
        else:
            raise InputError(_more_epochs(workdir, before, epochs))
    refuse_other(path, config.to_dict(), free=RUNTIME_FIELDS)


def _more_epochs(workdir: Path, before: int, epochs: int) -> str:
    names = (workdir.with_name(f"{workdir.name}_{number}") for number in itertools.count(2))
    command = shlex.join([
        "python", "main.py", f"--config=configs/from_run.py:{workdir}",
        f"--config.epochs={epochs - before}", f"--config.init_from={workdir}",
        f"--workdir={next(name for name in names if not name.exists())}",
    ])  # fmt: skip
    return (
        f"config.epochs={epochs}: {workdir} is finished after {counted(before, 'epoch')}, and "
        f"stays as it is; what its network learns in more goes into another folder: {command}"
    )


def files_of(config: Config) -> dict[str, Any]:
    """What can be told at once of the files that a config's data are read from.

    Names, sizes and times of change of all files of a folder, or of those that have the stem of a
    file, as headers have.

    Returns:
      A digest by path; equal where nothing has changed.
    """
    data = config.data
    paths = [data[field] for field in PATHS if data[field]]
    return {str(user_path(path).absolute()): _digest(path) for path in paths}


def _digest(path: str) -> str:
    place = user_path(path.partition("::")[0])
    if place.is_dir():
        files = list(_files_in(place))
    else:
        stem = place.name.partition(".")[0]
        files = [one for one in place.parent.glob("*") if one.name.partition(".")[0] == stem]
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in files if file.is_file()):
        stat = file.stat()
        digest.update(repr((str(file), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()


def _files_in(folder: Path) -> Iterator[Path]:
    """Files of a folder and those below, through links; each folder once."""
    seen = {folder.resolve()}
    for top, folders, files in os.walk(folder, followlinks=True):
        real = {name: (Path(top) / name).resolve() for name in folders}
        folders[:] = [name for name in folders if real[name] not in seen]
        seen.update(real.values())
        yield from (Path(top) / name for name in files)
