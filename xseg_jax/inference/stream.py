"""Reading ahead and writing behind, while something is computed."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


class Stream(Generic[Item, Read]):
    """Reads the next item in one thread, and writes the last result in another.

    As a context manager it waits for both threads; `finish` also raises what writing has raised.

    Args:
      read: of an item, makes what is computed with.
      write: takes what `put` is given.

    Attributes:
      waited_to_read: seconds in which nothing was computed, for reading had not ended.
      waited_to_write: the same of writing.
    """

    def __init__(self, read: Callable[[Item], Read], write: Callable[..., None]) -> None:
        self._read, self._write = read, write
        self._reader, self._writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self.waited_to_read = self.waited_to_write = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown(cancel_futures=True)

    def read(self, items: Iterable[Item]) -> Iterator[Read]:
        """What is read of items, in order; at most one of them is read ahead."""
        reading: Future[Read] | None = None
        for item in items:
            following = self._reader.submit(self._read, item)
            if reading:
                yield self._ready(reading)
            reading = following
        if reading:
            yield self._ready(reading)

    def put(self, *result: Any) -> None:
        """Writes a result behind; waits for the one before."""
        self.finish()
        self._writing = self._writer.submit(self._write, *result)

    def finish(self) -> None:
        """Waits until all is written."""
        if self._writing:
            since = time.perf_counter()
            self._writing.result()
            self.waited_to_write += time.perf_counter() - since

    def _ready(self, reading: Future[Read]) -> Read:
        since = time.perf_counter()
        found = reading.result()
        self.waited_to_read += time.perf_counter() - since
        return found
