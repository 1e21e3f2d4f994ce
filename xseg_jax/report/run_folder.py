"""What a folder of results keeps, as far as it is there: of a run, or of an evaluation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xseg_jax.errors import InputError
from xseg_jax.report.leaks import noun
from xseg_jax.report.numbers import count

Json = Mapping[str, Any]

RESULTS = "results.json"
SLICES = "slices.npz"
"""Images, labels and classes that the viewer shows."""
TEXT = "results.txt"
"""The table as it was printed."""


@dataclass(frozen=True)
class RunFolder:
    """The files of a folder of results; None or empty where there is no such file.

    Attributes:
      path: the folder.
      results: `results.json`.
      config: `config.json`, of a run.
      data: `data.json`, of a run.
      calibration: `calibration.json`, of a run.
      metrics: lines of `metrics.jsonl`, of a run.
      evaluation: `evaluation.json`, of an evaluation.
      degraded: `degraded.json`, where a scan was made worse.
      measured: `measured.json`, where quantities were measured.
      warnings: `warnings.json`; None where the version that wrote the folder kept none.
    """

    path: Path
    results: Json
    config: Json | None
    data: Json | None
    calibration: Json | None
    metrics: tuple[Json, ...]
    evaluation: Json | None
    degraded: Json | None
    measured: Json | None
    warnings: tuple[str, ...] | None

    @classmethod
    def read(cls, folder: Path) -> "RunFolder":
        """Reads what is there.

        Raises:
          InputError: there are no results, or a file is no JSON.
        """
        results = _json(folder / RESULTS)
        if results is None:
            raise InputError(
                f"{folder / RESULTS}: no such file; --workdir must be the folder of a "
                "finished run, or of an evaluation; a run that was stopped is finished by the "
                "command that began it"
            )
        warnings = _json(folder / "warnings.json")
        return cls(
            path=folder,
            results=results,
            config=_json(folder / "config.json"),
            data=_json(folder / "data.json"),
            calibration=_json(folder / "calibration.json"),
            metrics=_lines(folder / "metrics.jsonl"),
            evaluation=_json(folder / "evaluation.json"),
            degraded=_json(folder / "degraded.json"),
            measured=_json(folder / "measured.json"),
            warnings=None if warnings is None else tuple(warnings),
        )

    @property
    def context(self) -> int:
        """Neighbours on each side that the network of a run sees; runs of earlier versions do as
        their config says."""
        found = (self.data or {}).get("context")
        return (self.config or {})["data"]["context"] if found is None else found

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.path.resolve().name or str(self.path)

    @property
    def is_run(self) -> bool:
        """Whether a network was trained here; else one was scored here."""
        return self.config is not None and self.data is not None

    @property
    def tested(self) -> str:
        """What was scored: whole slices, or parts of them where training had the others."""
        slices = count(self.results["slices"], noun(self.results))
        cut = self.data is not None and self.data["slabs"] is not None
        return f"the test blocks within {slices}" if cut else f"{slices}, each as a whole"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""
        # Values of equal name are one class.
        return tuple(dict.fromkeys(self.results["label_map"]["classes"]))


def _json(path: Path) -> Any:
    """The contents of a file, None where there is none."""
    text = _text(path)
    return None if text is None else _parsed(path, text)


def _lines(path: Path) -> tuple[Json, ...]:
    """Lines of JSON; a last one that was cut off by an interruption is left out."""
    lines = (_text(path) or "").split("\n")[:-1]
    return tuple(_parsed(path, line) for line in lines)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); check its permissions, or bring back the file that "
            "the run wrote"
        ) from error


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(
            f"{path}: is no JSON ({error}); bring back the file that the run wrote"
        ) from error
