"""Processes of their own, forked from one that has imported everything and started nothing.

They start without the seconds that imports take.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

import jax
import small_forest  # noqa: F401 - in the new process too

ROOT = Path(__file__).parent.parent


def start(function, *arguments):
    """Calls a function of a module in a new process."""
    context = multiprocessing.get_context("forkserver")
    names = ("train", "evaluate", "inspect", "predict", "sweep", "compare")
    modes = [f"xseg_jax.modes.{name}" for name in names]
    context.set_forkserver_preload([*modes, "configs.tiny", "configs.slurm", "sklearn.ensemble"])
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


class Main:
    """`python main.py FLAGS` as `subprocess.Popen` would run it."""

    def __init__(self, *flags, devices=0):
        """Runs on all cores, or on as many CPU devices as are asked for."""
        self._folder = tempfile.TemporaryDirectory()
        self._process = start(_main, flags, devices, Path(self._folder.name))

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def communicate(self, timeout=120):
        """What it said on its two channels, when it has ended."""
        self._process.join(timeout)
        said = [(Path(self._folder.name) / name).read_text() for name in ("stdout", "stderr")]
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"main.py did not end within {timeout} s: {said}")
        self._folder.cleanup()
        return said

    @property
    def returncode(self):
        """The exit code, or None while it runs."""
        return self._process.exitcode


def _main(flags, devices, folder):
    for channel, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, channel)
    os.chdir(ROOT)
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=0"  # Else main.py starts itself again.
    if devices:
        jax.config.update("jax_num_cpu_devices", devices)
    sys.argv = ["main.py", *flags]
    runpy.run_path("main.py", run_name="__main__")
