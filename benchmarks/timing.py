"""Times contenders side by side: A B A B, so that a slow moment of the machine hits them all."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax


def alternate(
    contenders: Mapping[str, Callable[[], Any]], *, rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call of each contender.

    Args:
      contenders: functions that return when their work is done.
      rounds: calls of each that are timed.
      warm_up: calls of each before, which compile.
    """
    for call in contenders.values():
        for _ in range(warm_up):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def median_and_spread(seconds: list[float]) -> tuple[float, float]:
    """Median, and half the range between the quartiles relative to it."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return middle, (high - low) / (2 * middle)


def machine() -> dict[str, Any]:
    """What numbers of this machine should be read with."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = models[0].partition(": ")[2] if models else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "platform": jax.default_backend(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def save(path: Path, results: Any) -> None:
    """Writes results and the machine as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
    print(f"saved in {path}")
