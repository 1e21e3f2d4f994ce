"""Runs commands: here, a few at a time, or as a SLURM job array. Each writes a log of its own."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from xseg_jax.errors import InputError
from xseg_jax.files import saving

SECONDS_BETWEEN_LOOKS = 2.0


@dataclass(frozen=True)
class Command:
    """A command and the file that its output is added to."""

    arguments: tuple[str, ...]
    log: Path


def run_here(commands: Sequence[Command], at_once: int) -> Iterator[Command]:
    """Runs commands on this machine and yields each as it ends, however it ends.

    Several at once share the cores, and the GPUs that CUDA_VISIBLE_DEVICES names, evenly. When
    the caller is stopped the commands are too, and asked to save first.
    """
    # Where the system cannot bind a process to cores, all share them as it likes.
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    gpus = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    places: SimpleQueue[int] = SimpleQueue()
    for place in range(at_once):
        places.put(place)
    running: dict[int, subprocess.Popen[bytes]] = {}
    stopped = False

    def run(command: Command) -> Command:
        place = places.get()
        try:
            mine = cores[place::at_once] or cores
            environment = dict(os.environ)
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[place::at_once] or gpus)
            with saving(command.log, "the log of a run"):
                log = command.log.open("ab")
            with log:
                if not stopped:
                    running[place] = subprocess.Popen(
                        command.arguments, stdout=log, stderr=subprocess.STDOUT, env=environment
                    )
                    # Here and not between fork and exec: a process with threads must not fork.
                    if mine:
                        with contextlib.suppress(ProcessLookupError):  # It has ended.
                            os.sched_setaffinity(running[place].pid, mine)
                    running[place].wait()
        finally:
            places.put(place)
        return command

    with ThreadPoolExecutor(at_once) as pool:
        waiting: set[Future[Command]] = {pool.submit(run, command) for command in commands}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        except BaseException:
            stopped = True
            for future in waiting:
                future.cancel()
            for process in running.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            raise  # After the pool's threads have seen their commands end.


def run_on_slurm(
    commands: Sequence[Command], folder: Path, parameters: Mapping[str, Any]
) -> Iterator[Command]:
    """Runs commands as one SLURM job array and yields each as it ends, however it ends.

    Args:
      commands: to run.
      folder: of submitit's scripts and logs, on a disk that all nodes see.
      parameters: as `configs/slurm.py`; what is empty or 0 is left to SLURM.

    Raises:
      InputError: submitit is not installed.
    """
    if not commands:
        return
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            "--executor=slurm needs submitit: pip install 'submitit>=1.5,<2'"
        ) from error
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    own = ("partition", "array_parallelism")  # SLURM's, where submitit wants a prefix.
    executor.update_parameters(**{
        f"slurm_{name}" if name in own else name: value
        for name, value in parameters.items() if value
    })  # fmt: skip
    jobs = []
    with executor.batch():
        for command in commands:
            line = f"exec {shlex.join(command.arguments)} >> {shlex.quote(str(command.log))} 2>&1"
            jobs.append(executor.submit(submitit.helpers.CommandFunction(["bash", "-c", line])))
    waiting = dict(zip(jobs, commands, strict=True))
    try:
        while waiting:
            queued = _queued()
            for job in [job for job in waiting if queued is not None and job.job_id not in queued]:
                yield waiting.pop(job)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        for job in waiting:
            job.cancel()


def _queued() -> set[str] | None:
    """Numbers of the jobs that wait or run; None when SLURM does not answer."""
    found = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return None if found.returncode else set(found.stdout.split())
