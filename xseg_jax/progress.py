"""One progress bar on a terminal, plain log lines when the output is piped."""

import logging
import os
import sys
import threading
import time
from types import TracebackType

import absl.logging
from tqdm import tqdm

from xseg_jax.files import one_line

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class _TqdmHandler(logging.Handler):
    """Prints a line above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(one_line(self.format(record)), file=sys.stderr)


def log_to_terminal() -> None:
    """Shows this package's log lines on stderr, and what ends a background thread, a line each."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:  # A name that is no UTF-8 is printed, as stderr prints it; and lines in order.
        reconfigure(errors="backslashreplace", line_buffering=True)
    package = logging.getLogger(__name__.partition(".")[0])
    package.handlers = [_TqdmHandler()]
    package.setLevel(logging.INFO)
    package.propagate = False
    absl.logging.set_verbosity(absl.logging.FATAL)  # Libraries speak through it; this one does not.
    threading.excepthook = lambda failed: package.error(
        "%s: %s", getattr(failed.thread, "name", "thread"), failed.exc_value
    )
    # What cannot be raised is debris of an error that is raised elsewhere.
    sys.unraisablehook = lambda failed: package.debug("%s: %s", failed.object, failed.exc_value)


def mute() -> None:
    """Makes this process silent but for errors, where another one speaks."""
    logging.getLogger(__name__.partition(".")[0]).setLevel(logging.ERROR)
    Progress.visible = False
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - for as long as the process lives


class Progress:
    """Counts work done and shows it with a rate and the time left.

    Args:
      task: what is being done, for example "Training".
      total: units of work in all.
      unit: name of one unit, for example "crop"; the rate is in units a second.
      done: units that an earlier run already did.
    """

    visible = True

    def __init__(self, task: str, total: int, unit: str, done: int = 0) -> None:
        self.task, self.total, self.unit = task, total, unit
        self.done = self.first = done
        self.note = ""
        self.began = self.spoke = time.monotonic()
        self.bar = None
        if sys.stderr.isatty() and self.visible and total:
            self.bar = tqdm(
                desc=task, total=total, initial=done, unit=unit, smoothing=0.05, dynamic_ncols=True
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif kind is None and self.total:
            self._log()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Adds finished units; `note` stands behind the rate, for example the loss."""
        self.done += units
        self.note = note or self.note
        if self.bar is not None:
            self.bar.set_postfix_str(self.note, refresh=False)
            self.bar.update(units)
        elif time.monotonic() - self.spoke > SECONDS_BETWEEN_LINES:
            self._log()

    def _log(self) -> None:
        self.spoke = time.monotonic()
        if self.first == self.total:
            logger.info("%s: all %d %ss are done already", self.task, self.total, self.unit)
            return
        rate = (self.done - self.first) / max(self.spoke - self.began, 1e-9)
        todo = self.total - self.done
        left = todo / rate if rate > 0 else float("inf") if todo else 0.0
        slow = 0 < rate < 0.1
        per = f"{rate * 60:.1f} {self.unit}s/min" if slow else f"{rate:.1f} {self.unit}s/s"
        logger.info(
            "%s: %d of %d %ss, %s, %.0f s left %s",
            self.task, self.done, self.total, self.unit, per, left, self.note,
        )  # fmt: skip
