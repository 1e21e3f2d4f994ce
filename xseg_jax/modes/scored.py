"""Folders with scores, of runs and of evaluations: what was scored, and whether two compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.evaluation.boundaries import BoundarySums, read_sums
from xseg_jax.modes.evaluate import CLAIM
from xseg_jax.modes.quantities import NETWORK
from xseg_jax.modes.score import BLOCKS, BOUNDARIES, SLICES
from xseg_jax.report.run_folder import RESULTS
from xseg_jax.training.runlog import RUNTIME_FIELDS, flatten, read_json

AGAIN = "score both on the same labels with --mode=evaluate, and compare these folders"
NAMED = 3
"""Slices and fields that a line names."""


@dataclass(frozen=True)
class Scored:
    """A folder with scores of a network.

    Attributes:
      folder: of a run, or of an evaluation.
      results: its `results.json`.
      slices: names of the planes, in order.
      confusion_NKK: of each plane.
      edges: boundaries of each plane; None of an earlier version.
      config: of the run, flat; None where the folder of an evaluation does not hold it.
    """

    folder: Path
    results: Mapping[str, Any]
    slices: tuple[str, ...]
    confusion_NKK: np.ndarray
    edges: BoundarySums | None
    config: Mapping[str, Any] | None

    @classmethod
    def read(cls, folder: Path) -> "Scored":
        """Reads what training, or an evaluation, wrote.

        Raises:
          InputError: it is not finished, has not tested anything, or is damaged.
        """
        if not (folder / RESULTS).is_file():
            raise InputError(
                f"{folder}: holds no {RESULTS}: it is no run, or not finished; start its "
                "command again until it prints a table, or leave it out of --runs"
            )
        results = read_json(folder / RESULTS)
        if not results["slices"]:
            raise InputError(
                f"{folder}: was trained on every label and tested on none; score it on other "
                "labels with --mode=evaluate, and compare that folder"
            )
        if not (folder / SLICES).is_file():
            raise InputError(
                f"{folder}: holds no {SLICES}, which says what every slice scored; bring it back, "
                "or score the run again with --mode=evaluate"
            )
        methods = read_json(folder / SLICES)
        if NETWORK not in methods or "per_class" not in results:
            raise InputError(
                f"{folder / SLICES}: was written by an earlier version of xseg_jax; score the run "
                "again with --mode=evaluate"
            )
        slices = methods[NETWORK]
        edges = None
        if (folder / BOUNDARIES).exists():
            edges = read_sums(folder / BOUNDARIES, NETWORK)
            if len(edges.length_XKDE) != len(slices):
                raise InputError(
                    f"{folder / BOUNDARIES}: is of {len(edges.length_XKDE)} slices, {SLICES} of "
                    f"{len(slices)}; bring back the files that one command wrote"
                )
        path = folder / "config.json"
        config = flatten(read_json(path)) if path.exists() else None
        return cls(folder, results, tuple(slices), np.array([*slices.values()]), edges, config)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.results["per_class"])


def check_same(one: Scored, other: Scored) -> None:
    """Refuses folders that were scored on something else.

    Raises:
      InputError: names what differs.
    """
    both = f"--runs: {one.folder} and {other.folder}"
    if one.names != other.names:
        raise InputError(
            f"{both}: have other classes, {', '.join(one.names)} and {', '.join(other.names)}; "
            "compare runs that segment the same classes"
        )
    if one.slices != other.slices:
        mine, theirs = set(one.slices), set(other.slices)
        alone = [(name, one.folder) for name in one.slices if name not in theirs]
        alone += [(name, other.folder) for name in other.slices if name not in mine]
        where = ", ".join(f"{name} in {folder} alone" for name, folder in alone[:NAMED])
        remedy = _again(one, other)
        raise InputError(
            f"{both}: were scored on other slices ({len(one.slices)} and {len(other.slices)}, "
            f"{len(mine & theirs)} of the same name; {where or 'in another order'}); {remedy}"
        )
    differ_N = (one.confusion_NKK.sum(axis=2) != other.confusion_NKK.sum(axis=2)).any(axis=1)
    if differ_N.any():
        raise InputError(
            f"{both}: were scored on other labels: {np.count_nonzero(differ_N)} of "
            f"{len(one.slices)} slices have other pixels of a class, "
            f"{one.slices[int(differ_N.argmax())]} for one; {AGAIN}"
        )


def _again(one: Scored, other: Scored) -> str:
    """How folders with other test slices come to have the same: not by scoring training slices."""
    for mine, theirs in ((one, other), (other, one)):
        data = mine.folder / "data.json"
        trained = read_json(data)["split"]["train"] if data.exists() else ()
        if seen := set(trained) & set(theirs.slices):
            return (
                f"{mine.folder} was trained on {len(seen)} of those of {theirs.folder}; train both "
                "with the same config.data.split, its seed too, and compare these"
            )
    return AGAIN


def check_group(side: Sequence[Scored], first: Sequence[Scored]) -> None:
    """Refuses runs of a side that differ by more than their seed, and sides with other seeds.

    Raises:
      InputError: names what differs.
    """
    if len(side) == len(first) == 1:
        return
    for one in (*side, *first):
        if one.config is None:
            raise InputError(
                f"--runs: {one.folder}: is no folder of a run, so that its seed is not known; a + "
                "stands between runs alone"
            )
    fields = different_fields(side)
    if fields:
        raise InputError(
            f"--runs: {side[0].folder} and {side[-1].folder}: differ by "
            f"{', '.join(fields[:NAMED])}, not by their seed alone; put a comma for the +"
        )
    seeds, wanted = ([_config(one)["seed"] for one in part] for part in (side, first))
    if seeds != wanted or len(set(seeds)) < len(seeds):
        raise InputError(
            f"--runs: the seeds are {wanted} in {first[0].folder} and its fellows, {seeds} in "
            f"{side[0].folder} and its; give every side the same seeds, each once"
        )


def different_fields(runs: Sequence[Scored]) -> list[str]:
    """Fields but the seed and those that say where, in which the configs of runs differ.

    Those that all have stand first: what an earlier version lacks tells less.
    """
    configs = [_config(one) for one in runs]
    fields = {field for config in configs for field in config} - RUNTIME_FIELDS - {"seed"}
    differ = [
        field for field in fields if any(c.get(field) != configs[0].get(field) for c in configs)
    ]
    return sorted(differ, key=lambda field: (any(field not in c for c in configs), field))


def _config(one: Scored) -> Mapping[str, Any]:
    return one.config or {}


def notes_on(sides: Mapping[str, Sequence[Scored]]) -> list[str]:
    """What a reader should know of the sides: in what they differ, and who saw the test."""
    notes = []
    told = {name: data_of(side[0]) for name, side in sides.items()}
    for key in dict.fromkeys(key for facts in told.values() for key in facts):
        values = {name: facts.get(key, "not known") for name, facts in told.items()}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{value} in {name}" for name, value in values.items())
            notes.append(f"{key}: {said}")
    heads = [side[0] for side in sides.values()]
    if all(one.config is not None for one in heads) and (fields := different_fields(heads)):
        more = f" and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
        notes.append(f"fields that differ: {', '.join(fields[:NAMED])}{more}")
    for name, side in sides.items():
        for one in side:
            if seen := (one.results.get("leak") or {}).get("trained_on"):
                notes.append(f"{name}: trained on {len(seen)} of these slices, {seen[0]} for one")
    return notes


def data_of(one: Scored) -> dict[str, str]:
    """What a folder says of its data and split, by what it is."""
    found = {"part scored": str(one.results["split"])}
    data = read_json(one.folder / "data.json") if (one.folder / "data.json").exists() else {}
    claim = read_json(one.folder / CLAIM) if (one.folder / CLAIM).exists() else {}
    if fingerprint := data.get("fingerprint") or claim.get("fingerprint"):
        found["prepared data of the training"] = str(fingerprint)
    if split := data.get("split"):
        found["training slices"] = str(len(split["train"]))
    return found


def missing_boundaries(scored: Sequence[Scored]) -> str | None:
    """Why the surface Dice is not compared; None where it is."""
    for one in scored:
        if one.edges is None:
            return (
                f"no surface Dice: {one.folder} was scored by an earlier version; score it again "
                "with --mode=evaluate"
            )
    tolerances = {one.edges.tolerance: one.folder for one in scored if one.edges}
    if len(tolerances) > 1:
        said = ", ".join(f"{pixels:g} pixels in {folder}" for pixels, folder in tolerances.items())
        return (
            f"no surface Dice: other tolerances ({said}); score them again with --mode=evaluate "
            "--config.report.tolerance=PIXELS"
        )
    return None


def unit_of(results: Mapping[str, Any]) -> str:
    """What the blocks of a result are; earlier versions tell it in their verdict alone."""
    for key in ("intervals", "verdict"):
        if results.get(key):
            return results[key]["unit"]
    return "slices" if results["slices"] <= BLOCKS else "blocks of slices"
