"""Runs a study: variants of a config with several seeds, and what they show."""

import functools
import itertools
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xseg_jax import locks
from xseg_jax.errors import InputError, RunError
from xseg_jax.evaluation import statistics
from xseg_jax.files import one_line
from xseg_jax.model.metrics import macro_scores
from xseg_jax.modes.executors import Command, run_here, run_on_slurm
from xseg_jax.modes.folders import refuse_foreign
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.run import Config, formats_of
from xseg_jax.modes.score import BASELINES, NETWORK
from xseg_jax.progress import Progress
from xseg_jax.report import study as report
from xseg_jax.training.runlog import (
    RUNTIME_FIELDS,
    check_fields,
    claim,
    flatten,
    read_json,
    refuse_other,
)

logger = logging.getLogger(__name__)

BASE = "base"
SCORES = ("accuracy", "precision", "recall", "f1", "miou")
MAIN = Path(__file__).parents[2] / "main.py"
LOG_LINES = 12


@dataclass(frozen=True)
class Run:
    """One variant with one seed, in a run folder of its own."""

    variant: str
    folder: Path
    config: Config

    @property
    def finished(self) -> bool:
        """Whether it has been trained and tested."""
        return (self.folder / "results.json").exists()

    @property
    def command(self) -> Command:
        """What trains it, the same as by hand."""
        source = MAIN.parent / "configs" / "from_run.py"
        flags = (f"--config={source}:{self.folder}", f"--workdir={self.folder}")
        return Command((sys.executable, str(MAIN), *flags), self.folder / "run.log")


def run(study: Config, workdir: Path, *, executor: str, jobs: int, slurm: Mapping[str, Any]) -> Any:
    """Trains what is not finished yet, and writes `study.csv`, `study.md` and `study.png`.

    Args:
      study: as `configs/ablations/study.py` makes it.
      workdir: folder, made if missing.
      executor: "local" or "slurm".
      jobs: runs at a time on this machine.
      slurm: parameters of the job array.

    Returns:
      A pandas DataFrame, a row a variant.

    Raises:
      InputError: a field does not exist, or the folder holds other runs; before any training.
      RunError: runs failed; all others are finished and reported.
    """
    if jobs < 1:
        raise InputError(f"--jobs={jobs}: must be at least 1")
    if study.score not in SCORES:
        raise InputError(f"config.score={study.score!r}: choose one of {', '.join(SCORES)}")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise InputError(f"config.seeds={study.seeds}: give one or more different numbers")
    formats_of(study.base, "base.")
    if study.blocks < 1:
        raise InputError(f"config.blocks={study.blocks}: must be at least 1")
    variants = expand(study)
    runs = [
        Run(name, workdir.absolute() / name.replace("/", "_") / f"seed_{seed}", config)
        for name, config in variants.items()
        for seed, config in with_seeds(config, study.seeds)
    ]
    for one in runs:
        refuse_other(one.folder / "config.json", one.config.to_dict(), free=RUNTIME_FIELDS)
    if not any((one.folder / "config.json").exists() for one in runs):
        refuse_foreign((workdir / name for name in report.POSSIBLE), "a study", "--workdir")
    with locks.hold(workdir, "--workdir"):
        return _study(study, workdir, runs, variants, executor, jobs, slurm)


def _study(
    study: Config,
    workdir: Path,
    runs: list[Run],
    variants: Mapping[str, Config],
    executor: str,
    jobs: int,
    slurm: Mapping[str, Any],
) -> Any:
    for one in runs:
        claim(one.folder / "config.json", one.config.to_dict(), free=RUNTIME_FIELDS)
    todo = [one.command for one in runs if not one.finished]
    logger.info("%d of %d runs are finished", len(runs) - len(todo), len(runs))
    if executor == "slurm":
        ended = run_on_slurm(todo, workdir / "submitit", slurm)
    else:
        ended = run_here(todo, jobs)
    with Progress("Studying", len(runs), "run", len(runs) - len(todo)) as progress:
        for _ in ended:
            progress.advance()
    failed = [one for one in runs if not one.finished]
    table = summarise(study, workdir, runs, variants)
    for one in failed:
        end = (
            one.command.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            if one.command.log.exists()
            else []
        )
        print(f"\nfailed: {one.folder}\n" + "\n".join(f"    {line}" for line in end))
    if failed:
        raise RunError(
            f"{len(failed)} of {len(runs)} runs failed, {failed[0].folder} for one; their logs end "
            f"as above (a study has --config.{BASE}.FIELD for --config.FIELD). The same command "
            "tries them again"
        )
    return table


def expand(study: Config) -> dict[str, Config]:
    """Configs by the name of the variant, the base first; one that equals the base is left out.

    Raises:
      InputError: a field does not exist, or cannot take its value.
    """
    if BASE in study.variants:
        raise InputError(f"config.variants: {BASE!r} is the base's own name; choose another")
    deltas: dict[str, Mapping[str, Any]] = {BASE: {}, **study.variants}
    for values in itertools.product(*study.grid.values()) if study.grid else ():
        delta = dict(zip(study.grid, values, strict=True))
        parts = (f"{field.rpartition('.')[2]}={value}" for field, value in delta.items())
        deltas[", ".join(parts)] = delta
    variants = {}
    for name, delta in deltas.items():
        check_fields(delta, study.base)
        config = study.base.copy_and_resolve_references()
        try:
            config.update_from_flattened_dict(delta)
        except (TypeError, ValueError) as error:
            raise InputError(f"variant {name!r}: {error}") from error
        try:
            check_effects(config, delta, f"{BASE}.")
        except InputError as error:
            raise InputError(f"variant {name!r}: {error}") from error
        if name == BASE or config.to_dict() != study.base.to_dict():
            variants[name] = config
    return variants


def with_seeds(config: Config, seeds: tuple[int, ...]) -> Iterator[tuple[int, Config]]:
    """The config with each seed."""
    for seed in seeds:
        seeded = config.copy_and_resolve_references()
        seeded.seed = seed
        yield seed, seeded


def summarise(study: Config, workdir: Path, runs: list[Run], variants: Mapping[str, Config]) -> Any:
    """Writes what the finished runs show; a row a variant."""
    fields = sorted(set(study.grid).union(*study.variants.values()))
    done = [one for one in runs if one.finished]
    table: Any = pd.DataFrame([row_of(one, fields) for one in done])
    if table.empty:
        return table
    confusions = {name: Confusions(done, name, study.blocks) for name in table["variant"].unique()}
    score = functools.partial(score_of, name=study.score)
    compared = [name for name in confusions if name != BASE and BASE in confusions]
    found = [confusions[name].difference(confusions[BASE], score) for name in compared]
    differences = dict(zip(compared, statistics.holm(found), strict=True))

    baselines = [name for name in BASELINES if f"{name}_{study.score}" in table]
    rows = []
    for name in variants:
        mine = table[table["variant"] == name]
        one = differences.get(name)
        rows.append(
            {
                "variant": name,
                "runs": len(mine),
                "mean": mine[study.score].mean(),
                "std": mine[study.score].std(),
                **{name: mine[f"{name}_{study.score}"].mean() for name in baselines},
                "difference": one.estimate if one else np.nan,
                "low": one.low if one else np.nan,
                "high": one.high if one else np.nan,
                "p": one.p if one else np.nan,
                "parameters": mine["parameters"].max(),
                "seconds": mine["seconds"].mean(),
                "verdict": verdict(name, len(mine), one),
            }
        )
    summary: Any = pd.DataFrame(rows)
    axis = study.axis or (fields[0] if len(fields) == 1 else "")
    report.write(
        workdir, study.question, study.score, study.blocks, baselines, table, summary, axis,
        formats_of(study.base),
    )  # fmt: skip
    return summary


def row_of(one: Run, fields: list[str]) -> dict[str, Any]:
    """A run's line of study.csv: every varied field and every score."""
    results, data = (read_json(one.folder / name) for name in ("results.json", "data.json"))
    config = flatten(one.config.to_dict())
    return {
        "variant": one.variant,
        "seed": one.config.seed,
        **{field: config[field] for field in fields},
        "train_slices": len(data["split"]["train"]),
        **{score: results[score] for score in SCORES},
        **{
            f"{name}_{score}": (found or {}).get(score)
            for name, found in results["baselines"].items()
            for score in SCORES
        },
        "parameters": results["parameters"],
        "seconds": results["seconds"],
        "folder": one_line(str(one.folder)),  # Tables hold UTF-8 alone.
    }


class Confusions:
    """Confusion matrices of a variant's runs, by seed and block of test slices."""

    def __init__(self, done: list[Run], variant: str, blocks: int) -> None:
        self.names: dict[int, tuple[str, ...]] = {}
        self._blocks: dict[int, np.ndarray] = {}
        for one in done:
            if one.variant != variant:
                continue
            slices = read_json(one.folder / "slices.json")[NETWORK]
            self.names[one.config.seed] = tuple(slices)
            found_NKK = np.array(list(slices.values()))
            self._blocks[one.config.seed] = statistics.blocks_of(found_NKK, blocks)

    def of(self, seeds: list[int]) -> np.ndarray:
        """Matrices (S, B, K, K)."""
        return np.stack([self._blocks[seed] for seed in seeds])

    def difference(self, base: "Confusions", score: statistics.Score) -> statistics.Difference:
        """Variant minus base: paired where both tested the same slices."""
        seeds = sorted(self.names.keys() & base.names.keys())
        paired = bool(seeds) and all(self.names[seed] == base.names[seed] for seed in seeds)
        if not paired:
            return statistics.difference(
                base.of(sorted(base.names)), self.of(sorted(self.names)), score, paired=False
            )
        return statistics.difference(base.of(seeds), self.of(seeds), score, paired=True)


def score_of(confusion_XKK: np.ndarray, name: str) -> np.ndarray:
    """One of the macro scores of many confusion matrices."""
    return macro_scores(confusion_XKK)[name]


def verdict(name: str, runs: int, found: statistics.Difference | None) -> str:
    """What a variant's interval says, in words."""
    if name == BASE:
        return "base"
    if not runs or found is None:
        return "failed"
    return found.verdict if found.known and runs >= 2 else "too few seeds to tell"
