"""Times contenders side by side: A B A B, so that a slow moment of the machine hits them all."""

import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata, util
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

from xseg_jax.memory import huge_pages

# JAX would take most of an accelerator's memory at once, here and in every contender.
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"

Run = Callable[[int], Any]
"""Does a piece of work so many times, and returns when all is done."""

ROUND_SECONDS = 0.5
"""A shorter piece of work is repeated within a round, so that its start and end weigh little."""

REST_SECONDS = 0.3
"""Before each turn: the threads of the contender before may still spin, waiting for work."""


class Contender:
    """A contender in a process of its own: its memory is its own, and it shares no threads.

    Args:
      make: of `arguments`, makes a `Run`; a function of a module, which the process imports.
      environment: variables of the process, beside those of this one.
      arguments: for `make`.

    Attributes:
      first_seconds: until its first run was done, which compiles.
      peak_gib: most memory that it took beyond that of Python and its libraries, once finished;
        on an accelerator that of the device.
      failure: why it could not run; "" where it could.
    """

    def __init__(
        self,
        make: Callable[..., Run],
        environment: Mapping[str, str] = MappingProxyType({}),
        **arguments: Any,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        with mock.patch.dict(os.environ, environment):
            self._process.start()
        self.peak_gib = 0.0
        self.failure, self.first_seconds = self._answer()

    def __call__(self) -> float:
        """Seconds of one piece of work."""
        self._connection.send("run")
        return self._answer()

    def finish(self) -> None:
        """Ends the process."""
        if not self.failure:
            self._connection.send("finish")
            self.peak_gib = self._answer()
        self._process.join()

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise RuntimeError(f"a contender died with exit code {code}") from None


def _serve(connection: Any, make: Callable[..., Run], arguments: Mapping[str, Any]) -> None:
    """What the process of a contender does."""
    base_gib = host_gib("VmRSS")
    began = time.perf_counter()
    try:
        run = make(**arguments)
        run(1)
    except Exception as error:
        connection.send((f"{type(error).__name__}: {error}".partition("\n")[0], 0.0))
        return
    connection.send(("", time.perf_counter() - began))
    repeats = 0
    while connection.recv() == "run":
        if not repeats:
            repeats = math.ceil(ROUND_SECONDS / _seconds(run, 1))
        time.sleep(REST_SECONDS)
        run(1)
        connection.send(_seconds(run, repeats) / repeats)
    connection.send(_device_gib() or host_gib("VmHWM") - base_gib)


def _seconds(run: Run, count: int) -> float:
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def host_gib(field: str) -> float:
    """Memory of this process, VmRSS now or VmHWM at most; nan where Linux does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(x.split()[1]) / 2**20 for x in lines if x.startswith(field)), math.nan)


def _device_gib() -> float:
    """Most memory that PyTorch or JAX ever had of an accelerator; 0 without one."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    statistics_of = sys.modules["jax"].devices()[0].memory_stats() or {}
    return statistics_of.get("peak_bytes_in_use", 0) / 2**30


def alternate(
    contenders: Mapping[Any, Callable[[], float]], *, rounds: int
) -> dict[Any, list[float]]:
    """Seconds of each call of each contender, called in turn.

    Args:
      contenders: functions that tell the seconds that their work took.
      rounds: calls of each; one more before them is not counted.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, call in contenders.items():
            seconds[name].append(call())
    return {name: times[1:] for name, times in seconds.items()}


def beside_pytorch(
    ours: Callable[..., Run], theirs: Callable[..., Run], **work: Any
) -> dict[str, Contender]:
    """The same work by this project as main.py does it, and by PyTorch's ways."""
    huge = huge_pages()
    contenders = {
        "xseg_jax": Contender(ours, huge, **work),
        "PyTorch eager": Contender(theirs, compiled=False, **work),
    }
    if huge:
        contenders["PyTorch eager, huge pages"] = Contender(theirs, huge, compiled=False, **work)
    return contenders | {"torch.compile": Contender(theirs, compiled=True, **work)}


def compete(
    contenders: Mapping[str, Contender], *, rounds: int
) -> tuple[dict[str, Contender], dict[str, list[float]]]:
    """Those that could run, and the seconds of each of their rounds; says why others could not."""
    for name, contender in contenders.items():
        if contender.failure:
            print(f"{name} could not run: {contender.failure}")
    able = {name: contender for name, contender in contenders.items() if not contender.failure}
    seconds = alternate(able, rounds=rounds)
    for contender in able.values():
        contender.finish()
    return able, seconds


def median_and_spread(seconds: Sequence[float]) -> tuple[float, float]:
    """Median, and half the range between the quartiles relative to it."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return middle, (high - low) / (2 * middle)


def machine() -> dict[str, Any]:
    """What numbers of this machine should be read with."""
    import jax

    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = models[0].partition(": ")[2] if models else processor
    packages = [name for name in ("jax", "jaxlib", "flax", "torch") if util.find_spec(name)]
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "platform": jax.default_backend(),
        "python": platform.python_version(),
    } | {name: metadata.version(name) for name in packages}


def need_torch() -> None:
    """Ends the program where PyTorch is missing."""
    if not util.find_spec("torch"):
        sys.exit("error: PyTorch is not installed: pip install -r benchmarks/requirements.txt")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns to the right, but for the first."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(len(first)), *others]))


def save(path: Path, results: Any) -> None:
    """Writes results and the machine as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
    print(f"saved in {path}")
