"""One volume, segmented by several processes: here, or as a SLURM job array."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xseg_jax.errors import RunError
from xseg_jax.modes.executors import Command, run_here, run_on_slurm
from xseg_jax.modes.segment import at_work, finish
from xseg_jax.modes.volume import Prediction, identity_of

logger = logging.getLogger(__name__)

LOG_LINES = 12
ENDS = ("error: ", "stopped ", "Traceback ")
"""Of a log that says why its process ended."""


def run_in_parts(
    job: Prediction,
    made_by: Mapping[str, Any],
    flags: Sequence[str],
    *,
    executor: str,
    jobs: int,
    slurm: Mapping[str, Any],
) -> None:
    """As `segment.run`, by several processes, each with a share; this one then finishes.

    Args:
      job: from `plan`.
      made_by: as `segment.run`.
      flags: of main.py, for this prediction.
      executor: "local" or "slurm".
      jobs: how many at most; there are no more than blocks.
      slurm: parameters of the job array.

    Raises:
      RunError: some failed; what the others have done stays.
    """
    made_by = dict(made_by) | identity_of(job)
    with at_work(job, made_by) as unfinished:
        if not unfinished:
            return
        jobs = min(jobs, len(job.blocks))
        missing = job.missing()
        main = Path(__file__).parents[2] / "main.py"
        commands = {
            k: Command(
                (sys.executable, str(main), *flags, f"--share={k}/{jobs}"),
                job.work.absolute() / f"part_{k}.log",
            )
            for k in sorted({n % jobs for n in missing})
        }
        if commands:
            logger.info(
                "%d blocks are shared out to %d process%s",
                len(missing), len(commands), "es" * (len(commands) > 1),
            )  # fmt: skip
            if executor == "slurm":
                ended = run_on_slurm([*commands.values()], job.work / "submitit", slurm)
            else:
                ended = run_here([*commands.values()], len(commands))
            for command in ended:
                logger.info(
                    "%s has ended; of %d blocks %d are left",
                    command.log.stem, len(job.blocks), len(job.missing()),
                )  # fmt: skip
        _refuse_missing(job, jobs, commands)
        finish(job, made_by)


def _refuse_missing(job: Prediction, jobs: int, commands: Mapping[int, Command]) -> None:
    """Raises RunError where processes have ended and blocks are missing; prints why."""
    missing = job.missing()
    if not missing:
        return
    failed = sorted({n % jobs for n in missing})
    for log in (commands[k].log for k in failed):
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        if not any(line.startswith(ENDS) for line in lines[-LOG_LINES:]):
            lines.append("(ended without a word, as one that is killed, or has no memory left)")
        print(f"\nfailed: {log}\n" + "\n".join(f"    {line}" for line in lines[-LOG_LINES:]))
    raise RunError(
        f"{job.output}: {len(missing)} of {len(job.blocks)} blocks are missing, for {len(failed)} "
        f"of {len(commands)} processes failed; their logs end as above. What is done stays; the "
        "same command goes on"
    )
