"""Trains a U-Net, and scores its best checkpoint on the test planes."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from xseg_jax.data.splits import check_between, check_fields
from xseg_jax.errors import InputError
from xseg_jax.evaluation.calibration import fit_temperature
from xseg_jax.evaluation.forest import Sample
from xseg_jax.files import user_path
from xseg_jax.model.augment import check_augment
from xseg_jax.model.losses import LOSSES
from xseg_jax.model.unet import check_model
from xseg_jax.modes.data import Selection, find_facts, prepare_data, split_data
from xseg_jax.modes.fit import fit
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.measure import RESULT as MEASURED
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.report import REPORTS, write_reports
from xseg_jax.modes.run import (
    DRAWN,
    Config,
    DataFacts,
    Learner,
    checkpoint_used,
    formats_of,
    make_learner,
    read_config,
    steps_per_epoch,
)
from xseg_jax.modes.score import (
    BOUNDARIES,
    FOREST,
    SLICES,
    check_baselines,
    fit_baselines,
    overlaid_class,
    report_untested,
    score_and_report,
    tolerance_of,
)
from xseg_jax.modes.tested import check_quantities
from xseg_jax.modes.trained import CALIBRATION, TrainedRun
from xseg_jax.modes.warned import WARNINGS, keep_warnings, listening
from xseg_jax.progress import Progress
from xseg_jax.report.run_folder import SLICES as SHOWN
from xseg_jax.report.table import results_table
from xseg_jax.training.parallel import (
    Parallel,
    any_process,
    is_first_process,
    share_of,
    wait_for_processes,
)
from xseg_jax.training.runlog import (
    RUNTIME_FIELDS,
    claim,
    flatten,
    read_json,
    refuse_other,
    write_json,
)
from xseg_jax.training.state import (
    TrainState,
    make_optimizer,
    parameter_table,
    run_once,
    take_over,
)

logger = logging.getLogger(__name__)

TESTED = {"tiles": "test within the labelled slices"}
"""What the table calls a test that is less than one on slices of its own."""
LOWEST = {
    "epochs": 1,
    "batch_size": 1,
    "log_every": 1,
    "checkpoint.steps": 0,
    "checkpoint.minutes": 0,
    "checkpoint.keep": 1,
}
"""Smallest values of fields that have no further rule."""
WRITTEN = (
    "data.json", "metrics.jsonl", "tensorboard", "checkpoints", "results.json", SLICES, BOUNDARIES,
    "figures", FOREST, CALIBRATION, WARNINGS, SHOWN, MEASURED,
    *REPORTS,
)  # fmt: skip
"""What a run writes beside its config.json."""


@listening()
def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains, or continues, or shows the finished run in `workdir`.

    Args:
      config: as `configs/default.py`.
      workdir: run folder, made if missing.

    Returns:
      The contents of `results.json`.

    Raises:
      InputError: a config value or a file cannot be used, or the folder holds another run.
      DivergedError: the loss is not finite.
      SaveError: a checkpoint could not be written.
      StoppedError: a signal asked to stop; the same call continues.
    """
    began = time.monotonic()
    check_config(config)
    refuse_other(workdir / "config.json", config.to_dict(), free=RUNTIME_FIELDS)
    if not (workdir / "config.json").exists():
        refuse_foreign((workdir / name for name in WRITTEN), "a run", "--workdir")
    if config.init_from and not (workdir / "checkpoints").exists():
        read_config(user_path(config.init_from))  # Is there such a run?
    parallel = Parallel.choose(config.parallel.mode, config.batch_size, config.parallel.accumulate)
    if (workdir / "results.json").exists():  # Nothing is written, as in a folder that is read-only.
        return _train(config, workdir, parallel, began)
    with working_in(workdir, "--workdir"):
        try:
            results = _train(config, workdir, parallel, began)
        finally:
            if (workdir / "config.json").exists():  # Else the folder was not even claimed.
                keep_warnings(workdir, goes_on=True)
        if config.report.get("page", True):  # Runs of earlier versions have no such field.
            write_reports(workdir)
        return results


def _train(config: Config, workdir: Path, parallel: Parallel, began: float) -> dict[str, Any]:
    planes = prepare_data(config)
    split = split_data(config, planes)
    facts = find_facts(config, planes, split)
    overlaid_class(config, facts)  # Before the work, not after it.
    if is_first_process():
        claim(workdir / "config.json", config.to_dict(), free=RUNTIME_FIELDS)
        claim(workdir / "data.json", facts.to_json())
    wait_for_processes("claim")
    refuse_other(workdir / "data.json", facts.to_json())  # Of another process, too.
    if (workdir / "results.json").exists():
        logger.info("%s: this run is finished", workdir)
        _say_undrawn(workdir, formats_of(config))
        results = read_json(workdir / "results.json")
        print(results_table(results))
        return results

    if "forest" in check_baselines(config):
        keep_sample(workdir / FOREST, Selection(planes, split, "train"), facts)
    learner = make_learner(config, facts)
    print(parameter_table(jax.eval_shape(learner.init).params))
    devices = len(parallel.devices)
    logger.info(
        "training with %s on %d %s device%s",
        parallel.mode, devices, parallel.devices[0].platform, "s" * (devices > 1),
    )  # fmt: skip
    seconds_before = fit(
        config,
        workdir,
        learner,
        facts,
        parallel,
        Selection(planes, split, "train"),
        Selection(planes, split, "validation"),
        lambda: first_state(config, learner, facts, parallel),
    )
    # As this command says, not the one that began the run.
    figures = {field: value for field, value in flatten(config.to_dict()).items() if field in DRAWN}
    trained = TrainedRun.load(workdir, parallel.local, figures)
    trained = with_temperature(trained, Selection(planes, split, "validation"))

    def seconds() -> float:
        return seconds_before + time.monotonic() - began

    if not split.test:
        return report_untested(workdir, trained, seconds=seconds)
    used = {"best": "the best by validation", "last": "the last"}
    logger.info(
        "testing the checkpoint of step %d, %s",
        trained.step, used[checkpoint_used(config, len(split.validation) > 0)],
    )  # fmt: skip
    return score_and_report(
        workdir,
        Selection(planes, split, "test"),
        trained,
        fit_baselines(trained),
        split=TESTED.get(split.kind, "test"),
        between=Selection(planes, split, "between"),
        leak=facts.leak,
        seconds=seconds,
    )


def _say_undrawn(workdir: Path, formats: Sequence[str]) -> None:
    """Says which formats a finished run's figures do not have, and how it draws them."""
    lacking = [form for form in formats if not (workdir / "figures" / f"history.{form}").exists()]
    if lacking:
        logger.warning(
            "%s: has no figures as %s; remove %s and start again: it scores anew and draws them",
            workdir, ", ".join(lacking), workdir / "results.json",
        )  # fmt: skip


def keep_sample(path: Path, train: Selection, facts: DataFacts) -> None:
    """Writes what a forest is fitted to, unless the run has done so before."""
    (kept,) = any_process(is_first_process() and path.exists())
    if not kept:
        sample = Sample.draw(train, facts.grey_scales)
        if is_first_process():
            sample.write(path)
    wait_for_processes("the forest's pixels are written")


def with_temperature(trained: TrainedRun, validation: Selection) -> TrainedRun:
    """Fits the run's temperature, keeps it in the run folder, and gives the run with it."""
    with Progress("Calibrating", len(share_of(validation)), "slice") as progress:
        found = fit_temperature(trained.segment, validation, progress.advance)
    if found.temperature is None:
        logger.info("no temperature is fitted: %s", found.reason)
    else:
        logger.info(
            "temperature %.3f: the negative log-likelihood of validation goes from %.4f to %.4f",
            found.temperature, found.nll_before, found.nll,
        )  # fmt: skip
    if is_first_process():
        write_json(trained.workdir / CALIBRATION, found.to_json() | {"step": trained.step})
    return replace(trained, calibration=found)


def first_state(
    config: Config, learner: Learner, facts: DataFacts, parallel: Parallel
) -> TrainState:
    """Fresh, or with the weights of the run that `config.init_from` names."""
    state = run_once(learner.init)
    if not config.init_from:
        return state
    source = TrainedRun.load(user_path(config.init_from), parallel.local)
    new_head = source.facts.label_map.names != facts.label_map.names
    state, fresh = take_over(state, source.variables, new_head=new_head)
    logger.info(
        "weights of %s, step %d: taken are %s; fresh are %s",
        config.init_from,
        source.step,
        ", ".join(sorted(name for name in state.params if f"params/{name}/kernel" not in fresh)),
        ", ".join(fresh) or "none",
    )
    return state


def check_config(config: Config) -> None:
    """Refuses values that no code could use, before any long work starts."""
    check_effects(config)
    split = config.data.split
    check_fields(split.kind, split.fractions, split.gap)
    check_between(split.between)
    check_model(**config.model)
    check_augment(**config.augment)
    check_baselines(config)
    check_quantities(config)
    tolerance_of(config)
    formats_of(config)
    checkpoint_used(config, validated=True)
    for field, lowest in LOWEST.items():
        value = config
        for name in field.split("."):
            value = value[name]
        if not value >= lowest:
            raise InputError(f"config.{field}={value}: must be at least {lowest}")
    if config.loss.name not in LOSSES:
        raise InputError(
            f"config.loss.name={config.loss.name!r}: choose one of {', '.join(LOSSES)}"
        )
    optimizer = config.optimizer.to_dict()
    ema_decay = optimizer.pop("ema_decay")
    if not 0 <= ema_decay < 1:
        raise InputError(f"config.optimizer.ema_decay={ema_decay}: must be from 0 to below 1")
    freeze_norm = optimizer.pop("freeze_norm")
    if not 0 <= freeze_norm < 1:
        raise InputError(f"config.optimizer.freeze_norm={freeze_norm}: must be from 0 to below 1")
    make_optimizer(**optimizer, steps=config.epochs * steps_per_epoch(config))
