"""What a run warned of, kept beside its results: a page shows it to those who saw no terminal."""

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from xseg_jax.files import one_line
from xseg_jax.training.parallel import is_first_process
from xseg_jax.training.runlog import read_json, write_json

WARNINGS = "warnings.json"

_heard: ContextVar[list[str]] = ContextVar("heard")


class _Listener(logging.Handler):
    """Keeps each warning once, in their order."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = one_line(record.getMessage())
        if message not in self.heard:
            self.heard.append(message)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Listens to what the package warns of, as a decorator as long as a function runs."""
    package, listener = logging.getLogger("xseg_jax"), _Listener()
    package.addHandler(listener)
    token = _heard.set(listener.heard)
    try:
        yield
    finally:
        _heard.reset(token)
        package.removeHandler(listener)


def heard() -> list[str]:
    """What `listening` has heard so far."""
    return list(_heard.get())


def keep_warnings(folder: Path, *, goes_on: bool) -> None:
    """Writes `warnings.json`, of what `listening` has heard so far; in the first process alone.

    Args:
      folder: of a run, or of an evaluation.
      goes_on: keep what stands there too: it is of the same run, before it was interrupted.

    Raises:
      SaveError: the disk is full, or failed.
    """
    if not is_first_process():
        return
    path = folder / WARNINGS
    before = read_json(path) if goes_on and path.exists() else []
    write_json(path, list(dict.fromkeys([*before, *heard()])))
