"""The run folder: configuration, metrics, TensorBoard events, results."""

import difflib
import json
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from xseg_jax.errors import InputError, SaveError
from xseg_jax.files import make_folder, saving, write_text
from xseg_jax.training.parallel import is_first_process

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-image")

WHAT = "the metrics"
Event: Any = getattr(event_pb2, "Event")  # noqa: B009 - protobuf makes its classes as it runs.
SessionLog: Any = getattr(event_pb2, "SessionLog")  # noqa: B009

RUNTIME_FIELDS = frozenset({
    "log_every", "parallel.mode", "checkpoint.steps", "checkpoint.minutes", "checkpoint.keep",
    "data.prepared_dir", "data.memory_gib", "data.root", "data.images", "data.labels",
    "report.page", "report.formats", "report.overlay_class",
})  # fmt: skip
"""Fields that say where and how, not what: they may differ when a run goes on. The data itself
is held to its content, see `data.json`."""


IN_WORDS = {
    "fingerprint": "the data that it was trained on, or how they were read (fingerprint)",
    "input_changed": "when the input was changed, or its size",
}
"""Fields whose values say nothing to a person."""


def write_json(path: Path, value: Any) -> None:
    """Writes a whole file or none.

    Raises:
      SaveError: the disk is full, or failed.
    """
    write_text(path, json.dumps(value, indent=2) + "\n", "this file")


def read_json(path: Path) -> Any:
    """Reads a file that a run wrote.

    Raises:
      InputError: the file is missing; the folder is not a run.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; --workdir must be the folder of a run, made by "
            "python main.py --config=CONFIG --workdir=RUN"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: is no JSON ({error}); bring back the file that the run wrote, or choose "
            "another folder"
        ) from error


def refuse_other(
    path: Path,
    value: Mapping[str, Any],
    *,
    free: frozenset[str] = frozenset(),
    meaning: str = "this folder holds another run; choose another folder or remove it",
) -> None:
    """Does nothing where a JSON file that identifies a run is missing or says the same.

    Args:
      path: the file.
      value: what this run is.
      free: dotted fields that may differ.
      meaning: what it means where others do, and the remedy.

    Raises:
      InputError: it says something else; names the fields that differ.
    """
    if not path.exists():
        return
    old, new = flatten(read_json(path)), flatten(json.loads(json.dumps(value)))
    differ = sorted(
        IN_WORDS.get(key) or f"{key}: {_or_nothing(old, key)} there, {_or_nothing(new, key)} here"
        for key in (old.keys() | new.keys()) - free
        if old.get(key) != new.get(key)
    )
    if differ:
        raise InputError(f"{path}: {meaning}. Fields that differ: {'; '.join(differ)}")


def _or_nothing(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return "nothing" if value is None else repr(value)


def claim(path: Path, value: Mapping[str, Any], *, free: frozenset[str] = frozenset()) -> None:
    """Writes a JSON file that identifies a run, or refuses another run's as `refuse_other`."""
    refuse_other(path, value, free=free)
    if not path.exists():
        make_folder(path.parent, "this folder")
        write_json(path, value)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check_fields(names: Iterable[str], config: Any) -> None:
    """Refuses dotted names of fields that a config does not have.

    Raises:
      InputError: names the closest field.
    """
    fields = list(flatten(config.to_dict()))
    for name in names:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean config.{close[0]}?" if close else "see configs/default.py"
            raise InputError(f"config.{name}: no such field; {hint}")


def check_flags(flags: Iterable[str], config: Any) -> None:
    """Refuses flags --config.FIELD of fields that a config does not have, as `check_fields`."""
    fields = [flag.partition("=")[0] for flag in flags if flag.startswith("--config.")]
    names = [name.removeprefix("--config.").removeprefix("base.") for name in fields]
    check_fields(names, config)


class RunLog:
    """Appends metrics to `metrics.jsonl` and TensorBoard, in the first process alone.

    Args:
      workdir: folder of the run.
      step: where the run goes on; lines of later steps, logged before an interruption but not
        in the checkpoint, are dropped.
    """

    def __init__(self, workdir: Path, step: int) -> None:
        self._board = None
        if not is_first_process():
            return
        self.path = workdir / "metrics.jsonl"
        kept = [row for row in read_metrics(workdir) if row["step"] <= step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept), WHAT)
        self._events = workdir.absolute() / "tensorboard"
        make_folder(self._events, WHAT)
        with saving(self._events, WHAT):
            # Events are written here and now: a thread that fails leaves nobody to say so.
            self._board = EventsWriter(str(self._events / "events"))
            # TensorBoard hides what an earlier process wrote from here on.
            log = SessionLog(status=SessionLog.START)
            self._board.write_event(Event(step=step + 1, file_version="brain.Event:2"))
            self._board.write_event(Event(step=step + 1, session_log=log))
            self._board.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        if self._board is None:
            return
        try:
            with saving(self._events, WHAT):
                self._board.close()
        except SaveError:
            if kind is None:
                raise  # Else another error is on its way, and says why.

    def scalars(self, step: int, split: str, **values: float) -> None:
        """One line of metrics after a step.

        Raises:
          SaveError: the disk is full, or failed.
        """
        if self._board is None:
            return
        with saving(self.path, WHAT), self.path.open("a") as file:
            file.write(json.dumps({"step": step, "split": split} | values) + "\n")
        for name, value in values.items():
            self._add(step, summary.scalar(f"{name}/{split}", value))

    def image(self, step: int, name: str, rgb_HW3: np.ndarray) -> None:
        """An example image, uint8, for TensorBoard.

        Raises:
          SaveError: as `scalars`.
        """
        self._add(step, summary.image(name, rgb_HW3, dataformats="HWC"))

    def _add(self, step: int, value: Any) -> None:
        """Writes an event of TensorBoard."""
        if self._board is None:
            return
        with saving(self._events, WHAT):
            self._board.write_event(Event(step=step, wall_time=time.time(), summary=value))
            self._board.flush()


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Rows of `metrics.jsonl`; a last line cut off by an interruption is left out."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def provenance() -> dict[str, Any]:
    """Commit, versions and device that results came from."""
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "git_commit": commit.stdout.strip() or None,
        "packages": {name: metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }
