"""Whose a folder is: one command at a time writes there, and over no file of somebody else."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from xseg_jax import locks
from xseg_jax.errors import InputError, RunError
from xseg_jax.training.parallel import any_process, is_first_process, wait_for_processes


@contextlib.contextmanager
def working_in(folder: Path, flag: str) -> Iterator[None]:
    """Keeps other commands out of a folder; all processes of a run call it together.

    Args:
      folder: made if missing.
      flag: that names it.

    Raises:
      InputError: another process is at work there; names it.
      SaveError: the folder cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        agree(lambda: stack.enter_context(locks.hold(folder, flag)))
        yield
        wait_for_processes("work in a folder is done")


def agree(check: Callable[[], None]) -> None:
    """Runs a check in the first process, before any goes on; where it refuses, all processes end.

    Raises:
      RunError: as the check.
    """
    refusal = None
    if is_first_process():
        try:
            check()
        except RunError as error:
            refusal = error
    (refused,) = any_process(refusal is not None)
    if refused:
        raise refusal or InputError("process 0 cannot go on, and says why")


def refuse_foreign(paths: Iterable[Path], writer: str, flag: str) -> None:
    """Refuses to overwrite files, or to take them for its own.

    Args:
      paths: of which none may be there.
      writer: who did not write them.
      flag: that names their folder.

    Raises:
      InputError: names the first.
    """
    # A link that leads nowhere is somebody's, too.
    foreign = [path for path in paths if path.exists() or path.is_symlink()]
    if foreign:
        raise InputError(
            f"{foreign[0]}: is there already and was not written by {writer} ({len(foreign)} such "
            f"file{'s' * (len(foreign) > 1)}); choose another {flag}"
        )
