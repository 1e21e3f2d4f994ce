"""Signals that ask a run to stop: Ctrl-C, a preemption, the end of a job's time."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Never, Self

from xseg_jax.errors import StoppedError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def obey_signals() -> None:
    """From now on a signal raises StoppedError, for work that continues when started again."""
    for one in SIGNALS:
        signal.signal(one, _stop)


def _stop(number: int, frame: FrameType | None) -> Never:
    del frame
    raise StoppedError(f"stopped by {signal.Signals(number).name}; the same command goes on")


def unbroken(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives, as of an import, which bears no signal halfway; one is obeyed after it.

    Raises:
      StoppedError: a signal came.
    """
    with StopRequest() as request:
        found = call(*arguments)
    if request.asked is not None:
        _stop(request.asked, None)
    return found


class StopRequest:
    """Notes a signal instead of obeying it, so that a step ends and is saved.

    A second signal is obeyed at once.

    Attributes:
      asked: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for one in SIGNALS:
            self._before[one] = signal.signal(one, self._note)
        return self

    def __exit__(self, *reason: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            _stop(number, frame)
        self.asked = signal.Signals(number)
