"""Orbax checkpoints: the latest few and the best. The only file that knows orbax."""

import json
import logging
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from xseg_jax.errors import InputError, SaveError, StoppedError
from xseg_jax.files import PlainName, make_folder
from xseg_jax.training.parallel import is_first_process, wait_for_processes
from xseg_jax.training.state import TrainState, differences, summary

logger = logging.getLogger(__name__)

SCORE = "miou"


class DamagedError(InputError):
    """A checkpoint cannot be read, or not as it was written."""


class Checkpoints:
    """Checkpoints of a run, one folder a step; a save appears whole or not at all.

    A checkpoint holds the state as host arrays, so that it fits any number of devices and
    processes, and notes: plain JSON with what else a run needs to go on. All processes of a run
    call every method together; the first writes. The first checkpoint of a run is read back, so
    that no hours go into what a disk, or a name, does not give back.

    Args:
      folder: made if missing.
      keep: how many of the latest stay; the best stays too.
      read_only: leave what is being written there alone.
    """

    def __init__(self, folder: Path, *, keep: int = 1, read_only: bool = False) -> None:
        self.folder = folder.absolute()
        if not read_only:
            if is_first_process():
                make_folder(self.folder, "checkpoints")
            wait_for_processes("folder of checkpoints")
            self._set_aside_unreadable()
        self._plain = PlainName(self.folder)
        best = BestN(n=1, get_metric_fn=_score, keep_checkpoints_without_metrics=False)
        self._manager = ocp.CheckpointManager(
            self._plain.path,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy([LatestN(n=keep), best]),
                best_fn=_score,
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
            ),
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "notes": ocp.JsonCheckpointHandler(),
            },
        )
        self._read_back = self.latest is not None  # Else it is known what the disk gives back.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        try:
            try:
                self._manager.wait_until_finished()
            finally:
                self._manager.close()  # Raises once more what happened in the background.
        except Exception as error:
            if kind is None:
                raise self._save_error(error) from error
            # Else another error is on its way, and says why.
        finally:
            self._plain.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def best(self) -> int:
        """Step of the checkpoint with the highest validation mean IoU.

        Raises:
          InputError: no checkpoint has been validated yet.
        """
        return self._need(self._manager.best_step())

    @property
    def last(self) -> int:
        """Step of the newest checkpoint.

        Raises:
          InputError: there is none yet.
        """
        return self._need(self.latest)

    def step_of(self, use: str) -> int:
        """Step of the "best" or of the "last" checkpoint."""
        return self.best if use == "best" else self.last

    def _need(self, step: int | None) -> int:
        if step is None:
            raise InputError(
                f"{self.folder}: no validated checkpoint yet; train the run first, with "
                "python main.py --config=CONFIG --workdir=RUN"
            )
        return step

    def save(self, state: TrainState, notes: Mapping[str, Any]) -> None:
        """Saves in the background, once an earlier save is done.

        Args:
          state: replicated.
          notes: JSON; those with "miou" make the checkpoint a candidate for the best.

        Raises:
          SaveError: this or the earlier save failed, or the first one cannot be read back.
        """
        self._plain.renew()
        host = jax.device_get(state)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(host),  # pyright: ignore[reportCallIssue]
            notes=ocp.args.JsonSave({**notes, "checksum": _checksum(host)}),  # pyright: ignore[reportCallIssue]
        )
        metrics = {SCORE: notes[SCORE]} if SCORE in notes else None
        try:
            self._manager.save(int(host.step), args=items, metrics=metrics)
        except Exception as error:
            raise self._save_error(error) from error
        if not self._read_back:
            self.wait()
            try:
                self.restore(int(host.step), host)
            except InputError as error:
                raise SaveError(
                    f"{error}, although it was just written; nothing that is saved there can be "
                    "relied on: choose a --workdir on another disk"
                ) from error
            self._read_back = True

    def wait(self) -> None:
        """Returns when all saves are on disk.

        Raises:
          SaveError: one is not.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._save_error(error) from error

    def restore_latest(self, like: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """State and notes of the newest checkpoint that is whole; None where there is none.

        Damaged ones are moved out of the way and named.

        Args:
          like: a state, or only its shapes and dtypes.

        Raises:
          InputError: checkpoints are of another model, or all are damaged.
        """
        damaged = []
        while (step := self.latest) is not None:
            try:
                return self.restore(step, like)
            except DamagedError as error:
                damaged.append(str(error))
                self._set_aside(step, str(error))
                self._manager.reload()
        if damaged:
            raise InputError(
                f"{self.folder}: no checkpoint can be read: {'; '.join(damaged)}. To train anew, "
                "choose another --workdir"
            )
        return None

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """State, as NumPy arrays, and notes of a step.

        Raises:
          DamagedError: they are not what was saved; names the folder.
          InputError: they are of another model; names the parameters that differ.
        """
        path = self.folder / str(step)
        target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(target),  # pyright: ignore[reportCallIssue]
            notes=ocp.args.JsonRestore(),
        )
        try:
            saved: Any = self._manager.item_metadata(step)["state"]
            differ = differences(saved.tree, target)
            restored: Any = None if differ else self._manager.restore(step, args=items)
        except StoppedError:  # By a signal: the checkpoint is whole.
            raise
        except Exception as error:  # Orbax and its storage raise all kinds.
            reason = self._plain.real(_reason(error))
            raise DamagedError(f"{path}: cannot be read ({reason})") from error
        if differ:
            raise InputError(
                f"{path}: is of another model than the config describes; {summary(differ)}"
            )
        state, notes = restored["state"], restored["notes"]
        if _checksum(state) != notes.pop("checksum"):
            raise DamagedError(f"{path}: its checksum is wrong")
        return state, notes

    def _save_error(self, error: Exception) -> SaveError:
        whole = [int(path.name) for path in self.folder.glob("[0-9]*") if path.name.isdigit()]
        left = f"checkpoint {max(whole)} is whole" if whole else "there is no earlier checkpoint"
        return SaveError(
            f"{self.folder}: a checkpoint could not be saved ({self._plain.real(_reason(error))}); "
            f"{left}. Make room or mend the disk, and start the same command again to continue"
        )

    def _set_aside_unreadable(self) -> None:
        """Moves checkpoints away that orbax would stumble over when it lists them."""
        for path in sorted(self.folder.glob("[0-9]*")):
            scores = path / "metrics" / "metrics"
            if not path.name.isdigit() or not scores.exists():
                continue
            try:
                json.loads(scores.read_text())
            except ValueError:
                self._set_aside(int(path.name), f"{scores}: is not JSON")

    def _set_aside(self, step: int, reason: str) -> None:
        """Renames a checkpoint, for it may be the disk that is ill."""
        if is_first_process():
            target = self.folder / f"damaged_{step}_{time.time_ns()}"
            (self.folder / str(step)).rename(target)
            logger.warning("%s; it is skipped, and kept as %s", reason, target.name)
        wait_for_processes(f"set aside {step}")


def _score(metrics: dict[str, Any]) -> float:
    return metrics[SCORE]


def _checksum(tree: Any) -> int:
    """CRC-32 over all arrays."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        total = zlib.crc32(np.ascontiguousarray(leaf).data, total)
    return total


def _reason(error: BaseException) -> str:
    """The end of the first line of the error at the root of a chain: what the system said."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = re.sub(r" \[\w+=.*", "", str(error).strip().partition("\n")[0])
    return line.rpartition(": ")[2] or type(error).__name__
