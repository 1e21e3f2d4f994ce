"""Seconds from the command to the first finished step, without and with compiled code kept.

    python -m benchmarks.startup [--rounds=3]

Runs main.py with the default config, whose data are prepared before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import median_and_spread, print_table, save

MARKS = {"label values to classes": "imports and data", "network: ": "network"}
"""What the program prints when a phase is done."""
PHASES = ("imports and data", "network", "first step", "total", "imports alone")


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that each is timed")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/startup.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder) / "first")  # Prepares the data, and reads the libraries once.
        found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
        for number in range(options.rounds):
            cache = Path(folder) / str(number)
            for kind in found:  # The first fills the cache of the second.
                found[kind].append(start(cache))
    cells = []
    for phase in PHASES:
        cold, warm = (median_and_spread([row[phase] for row in found[kind]])[0] for kind in found)
        cells.append([phase, f"{cold:.1f}", f"{warm:.1f}", f"{cold / warm:.2f}"])
    print_table(("seconds", "cold", "warm", "cold / warm"), cells)
    save(options.output, found)


def start(cache: Path) -> dict[str, float]:
    """Seconds of each phase of one start of the program.

    Args:
      cache: folder of compiled code.
    """
    command = [sys.executable, "-c", "import xseg_jax.modes.train"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    imports = time.monotonic() - began
    ends: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as workdir:
        metrics = Path(workdir) / "run" / "metrics.jsonl"
        command = [
            sys.executable, "main.py", "--config=configs/default.py",
            f"--workdir={metrics.parent}", "--config.log_every=1",
        ]  # fmt: skip
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
        log = Path(workdir) / "log"
        began = time.monotonic()
        with log.open("w") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output,
                env=environment | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                raise RuntimeError(f"the program ended with {process.returncode}: "
                                   f"{log.read_text()}")  # fmt: skip
            time.sleep(0.02)
            text = log.read_text()
            for mark, phase in MARKS.items():
                if mark in text:
                    ends.setdefault(phase, time.monotonic() - began)
        ends["first step"] = time.monotonic() - began
        process.kill()
        process.wait()
    times = [0.0, *ends.values()]
    phases = {phase: times[n + 1] - times[n] for n, phase in enumerate(ends)}
    return phases | {"total": ends["first step"], "imports alone": imports}


if __name__ == "__main__":
    main()
