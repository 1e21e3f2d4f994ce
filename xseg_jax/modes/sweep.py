"""Runs a study: variants of a config with several seeds, and what they show."""

import itertools
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xseg_jax import locks
from xseg_jax.errors import InputError, RunError
from xseg_jax.evaluation import statistics
from xseg_jax.files import one_line
from xseg_jax.modes.executors import Command, run_here, run_on_slurm
from xseg_jax.modes.folders import refuse_foreign
from xseg_jax.modes.inputs import describe_phantom
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.report import write_unless_changed
from xseg_jax.modes.run import Config, formats_of
from xseg_jax.modes.score import BASELINES
from xseg_jax.modes.study_scores import SCORES, StudyScore, check_scores, scores_of
from xseg_jax.progress import Progress
from xseg_jax.report import study as report
from xseg_jax.report.page import PAGE, study_page
from xseg_jax.report.paper import FORMATS
from xseg_jax.training.runlog import (
    RUNTIME_FIELDS,
    check_fields,
    claim,
    flatten,
    provenance,
    read_json,
    refuse_other,
    write_json,
)

logger = logging.getLogger(__name__)

BASE = "base"
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
    """Trains what is not finished yet; writes `study.csv`, `study.md`, figures, `report.html`.

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
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise InputError(f"config.seeds={study.seeds}: give one or more different numbers")
    formats_of(study.base, "base.")
    if study.blocks < 1:
        raise InputError(f"config.blocks={study.blocks}: must be at least 1")
    scores = scores_of(study.score, study.blocks)
    variants = expand(study)
    runs = [
        Run(name, workdir.absolute() / name.replace("/", "_") / f"seed_{seed}", config)
        for name, config in variants.items()
        for seed, config in with_seeds(config, study.seeds)
    ]
    for one in runs:
        refuse_other(one.folder / "config.json", one.config.to_dict(), free=RUNTIME_FIELDS)
    if not any((one.folder / "config.json").exists() for one in runs):
        refuse_foreign(
            (workdir / name for name in (*report.POSSIBLE, PAGE)), "a study", "--workdir"
        )
    first = {name: next(one.folder for one in runs if one.variant == name) for name in variants}
    check_scores(scores, variants, first)
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
    data = study.base.data
    first_lines(
        data=describe_phantom(study.base)
        if data.source == "phantom"
        else data.root or f"{data.images}, labelled by {data.labels}",
        study=f"{workdir}, {len(variants)} variants, {len(study.seeds)} seeds of each",
        runs=f"{len(runs) - len(todo)} of {len(runs)} runs are finished",
        executor=f"{executor}, {jobs} at a time" if executor == "local" else executor,
    )
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
    last_lines(
        results=[workdir / report.TABLE, workdir / report.TEXT],
        figures=sorted(path for form in FORMATS for path in workdir.glob(f"study*.{form}")),
        page=workdir / PAGE,
        runs=workdir,
    )
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
    """Writes what the finished runs show; a row a variant and score."""
    fields = sorted(set(study.grid).union(*study.variants.values()))
    scores = scores_of(study.score, study.blocks)
    done = [one for one in runs if one.finished]
    table: Any = pd.DataFrame([row_of(one, fields, scores) for one in done])
    if table.empty:
        return table
    compared = [_compared(score, done, table, variants) for score in scores]
    axis = study.axis or (fields[0] if len(fields) == 1 else "")
    report.write(workdir, study.question, compared, table, axis, study.note, formats_of(study.base))
    content = report.to_json(study.question, compared, table, axis, study.note) | provenance()
    write_json(workdir / report.JSON, content)
    write_unless_changed(workdir / PAGE, study_page(content))
    return pd.concat([one.summary for one in compared], ignore_index=True)


def _compared(
    score: StudyScore, done: list[Run], table: Any, variants: Mapping[str, Config]
) -> report.Compared:
    """The variants by one score."""
    sums = {name: Sums(done, name, score) for name in table["variant"].unique()}
    base = sums.get(BASE)
    others = [name for name in sums if name != BASE and base and base.defined]
    others = [name for name in others if sums[name].defined]
    found = [sums[name].difference(base, score) for name in others] if base else []
    differences = dict(zip(others, statistics.holm(found), strict=True))

    baselines = [name for name in BASELINES if f"{name}_{score.name}" in table]
    rows = []
    for name in variants:
        mine = table[table["variant"] == name]
        one = differences.get(name)
        rows.append(
            {
                "score": score.name,
                "variant": name,
                "runs": len(mine),
                "mean": mine[score.name].mean(skipna=False),
                "std": mine[score.name].std(skipna=False),
                **{name: mine[f"{name}_{score.name}"].mean() for name in baselines},
                "difference": one.estimate if one else np.nan,
                **dict.fromkeys(("low", "high", "p"), np.nan),
                **({"low": one.low, "high": one.high, "p": one.p} if one and one.known else {}),
                "parameters": mine["parameters"].max(),
                "seconds": mine["seconds"].mean(),
                "verdict": verdict(name, len(mine), one, score.lower_is_better),
            }
        )
    blocks = max(one.blocks for one in sums.values())
    return report.Compared(
        score.name, score.label, score.lower_is_better, score.unit(blocks), baselines,
        pd.DataFrame(rows),
    )  # fmt: skip


def row_of(one: Run, fields: list[str], scores: Sequence[StudyScore]) -> dict[str, Any]:
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
        **{
            name: value
            for score in scores
            if score.name not in SCORES
            for name, value in score.columns(one.folder).items()
        },
        "parameters": results["parameters"],
        "seconds": results["seconds"],
        "folder": one_line(str(one.folder)),  # Tables hold UTF-8 alone.
    }


class Sums:
    """What adds up to a score, of a variant's runs by seed, over blocks of what was tested."""

    def __init__(self, done: list[Run], variant: str, score: StudyScore) -> None:
        self.names: dict[int, Sequence[str]] = {}
        self._blocks: dict[int, np.ndarray] = {}
        for one in done:
            if one.variant == variant:
                seed = one.config.seed
                self.names[seed], self._blocks[seed] = score.blocks(one.folder)
        #: Whether each run has the score.
        self.defined = all(
            np.isfinite(score(sums_BX.sum(axis=0))) for sums_BX in self._blocks.values()
        )

    @property
    def blocks(self) -> int:
        """How many there are of a run."""
        return max(len(sums_BX) for sums_BX in self._blocks.values())

    def of(self, seeds: list[int]) -> np.ndarray:
        """Sums (S, B, ...)."""
        return np.stack([self._blocks[seed] for seed in seeds])

    def difference(self, base: "Sums", score: statistics.Score) -> statistics.Difference:
        """Variant minus base: paired where both tested the same slices."""
        seeds = sorted(self.names.keys() & base.names.keys())
        paired = bool(seeds) and all(self.names[seed] == base.names[seed] for seed in seeds)
        if not paired:
            return statistics.difference(
                base.of(sorted(base.names)), self.of(sorted(self.names)), score, paired=False
            )
        return statistics.difference(base.of(seeds), self.of(seeds), score, paired=True)


def verdict(
    name: str, runs: int, found: statistics.Difference | None, lower_is_better: bool = False
) -> str:
    """What a variant's interval says, in words."""
    if name == BASE:
        return "base"
    if not runs:
        return "failed"
    if found is None:
        return "not compared"
    if runs < 2:
        return "too few seeds to tell"
    if not found.known:
        return "too few seeds and blocks to tell"
    if not found.shown:
        return "no difference shown"
    return "better" if (found.estimate < 0) == lower_is_better else "worse"
