"""Processes of their own, forked from one that has imported everything and started nothing.

They start without the seconds that imports take.
"""

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import types
from multiprocessing import forkserver
from pathlib import Path

import jax
import small_forest  # noqa: F401 - in the new process too

ROOT = Path(__file__).parent.parent
CONTEXT = multiprocessing.get_context("forkserver")


def start(function, *arguments):
    """Calls a function of a module in a new process."""
    names = ("train", "evaluate", "inspect", "predict", "sweep", "compare")
    modes = [f"xseg_jax.modes.{name}" for name in names]
    CONTEXT.set_forkserver_preload([*modes, "configs.tiny", "configs.slurm", "sklearn.ensemble"])
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    return process


def draw_nothing():
    """As the fixture no_pictures, for the rest of a process."""
    from xseg_jax.modes import fit, score  # Not before JAX knows its devices.

    score.draw_slices = fit.draw_history = lambda *arguments: None


class Main:
    """`python main.py FLAGS` as `subprocess.Popen` would run it."""

    def __init__(self, *flags, devices=0, pictures=True, fork=False):
        """Runs on all cores, or on as many CPU devices as are asked for.

        The pictures of slices take longer than a tiny training. With fork, the runs that it starts
        are forked too, and draw none.
        """
        self._folder = tempfile.TemporaryDirectory()
        channels = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        self._channels = channels
        self._process = start(_main, flags, channels, devices, pictures, fork)

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def communicate(self, timeout=120):
        """What it said on its two channels, when it has ended."""
        self._process.join(timeout)
        said = [path.read_text() for path in self._channels]
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"main.py did not end within {timeout} s: {said}")
        self._folder.cleanup()
        return said

    @property
    def returncode(self):
        """The exit code, or None while it runs."""
        return self._process.exitcode


def _main(flags, channels, devices, pictures, fork, begin=None):
    if begin:
        begin.recv()
    for number, path in enumerate(channels, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
    os.chdir(ROOT)
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=0"  # Else main.py starts itself again.
    if devices:
        jax.config.update("jax_num_cpu_devices", devices)
    if not pictures:
        draw_nothing()
    if fork:
        from xseg_jax.modes import executors

        executors.subprocess = types.SimpleNamespace(Popen=_Run, STDOUT=subprocess.STDOUT)
        forkserver._forkserver.ensure_running = lambda: None  # It is that of the parent.
    sys.argv = ["main.py", *flags]
    runpy.run_path("main.py", run_name="__main__")


class _Run:
    """What `run_here` needs of `subprocess.Popen`, for a run that main.py starts."""

    _starting = threading.Lock()

    def __init__(self, arguments, *, stdout, stderr, env):
        program, main, *flags = arguments
        assert (program, Path(main).resolve()) == (sys.executable, ROOT.resolve() / "main.py")
        assert stderr == subprocess.STDOUT
        # It begins when it is waited for: on its cores, however slowly it is bound to them.
        begin, self._begin = CONTEXT.Pipe(duplex=False)
        with self._starting, _nameless_main():
            self._process = start(_main, flags, [stdout.name] * 2, 0, False, False, begin)
        self.pid, self._returncode = self._process.pid, None

    def wait(self):
        with contextlib.suppress(BrokenPipeError):  # It was stopped before.
            self._begin.send(None)
        self._process.join()
        self._returncode = self._process.exitcode

    def poll(self):
        return self._returncode

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):  # It has ended.
            os.kill(self.pid, number)


@contextlib.contextmanager
def _nameless_main():
    """Else `multiprocessing` runs main.py in a new process, before that does it by itself."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
