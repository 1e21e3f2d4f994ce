"""Trains a U-Net, and scores its best checkpoint on the test planes."""

import difflib
import logging
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from xseg_jax.data.splits import check_between, check_fields
from xseg_jax.errors import InputError
from xseg_jax.evaluation.calibration import fit_temperature
from xseg_jax.evaluation.forest import Sample
from xseg_jax.files import user_path, write_text
from xseg_jax.model.augment import check_augment
from xseg_jax.model.losses import LOSSES
from xseg_jax.model.unet import check_model
from xseg_jax.modes.data import Selection, find_facts, open_data, say_split, split_data
from xseg_jax.modes.finished import (
    INPUTS,
    RESULTS,
    check_same,
    files_of,
    keep_inputs,
    lacks_page,
    print_again,
    where_things_are,
)
from xseg_jax.modes.fit import fit
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.lines import devices_of, first_lines
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.quantities import MEASURED
from xseg_jax.modes.report import REPORTS, write_reports
from xseg_jax.modes.run import (
    DRAWN,
    LATER_FIELDS,
    Config,
    DataFacts,
    Learner,
    checkpoint_used,
    formats_of,
    make_learner,
    neighbours_of,
    steps_per_epoch,
)
from xseg_jax.modes.score import (
    BOUNDARIES,
    FOREST,
    SLICES,
    check_baselines,
    fit_baselines,
    noun_of,
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
from xseg_jax.report.run_folder import TEXT
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

PARAMETERS = "parameters.txt"
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
    "data.json", "metrics.jsonl", "tensorboard", "checkpoints", RESULTS, SLICES, BOUNDARIES,
    "figures", FOREST, CALIBRATION, WARNINGS, SHOWN, MEASURED, INPUTS, TEXT, PARAMETERS,
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
    check_same(config, workdir)
    if not (workdir / "config.json").exists():
        refuse_foreign((workdir / name for name in WRITTEN), "a run", "--workdir")
    if config.init_from and not (workdir / "checkpoints").exists():
        check_init_from(config.init_from)
    parallel = Parallel.choose(config.parallel.mode, config.batch_size, config.parallel.accumulate)
    if (workdir / RESULTS).exists() and not lacks_page(config, workdir):
        results = _train(config, workdir, parallel, began)  # A folder that is read-only will do.
        where_things_are(workdir)
        return results
    with working_in(workdir, "--workdir"):
        try:
            results = _train(config, workdir, parallel, began)
        finally:
            if (workdir / "config.json").exists():  # Else the folder was not even claimed.
                keep_warnings(workdir, goes_on=True)
        if config.report.get("page", True):  # Runs of earlier versions have no such field.
            write_reports(workdir)
    where_things_are(workdir)
    return results


def _train(config: Config, workdir: Path, parallel: Parallel, began: float) -> dict[str, Any]:
    files, opened = files_of(config), open_data(config)
    first_lines(data=opened.text, run=workdir, devices=devices_of(parallel))
    planes = opened.prepare()
    split = split_data(config, planes)
    say_split(config, planes, split, opened.unlabelled)
    facts = find_facts(config, planes, split, opened.context)
    overlaid_class(config, facts)  # Before the work, not after it.
    if is_first_process():
        claim(workdir / "config.json", config.to_dict(), free=RUNTIME_FIELDS)
        claim(workdir / "data.json", facts.to_json(), free=LATER_FIELDS)
    wait_for_processes("claim")
    # Of another process, too.
    refuse_other(workdir / "data.json", facts.to_json(), free=LATER_FIELDS)
    if is_first_process():
        keep_inputs(config, workdir, opened.text, files)
    if (workdir / RESULTS).exists():
        print_again(config, workdir)
        return read_json(workdir / RESULTS)

    if "forest" in check_baselines(config):
        if not split.test:
            logger.info("no forest is fitted now; its pixels are kept for --mode=evaluate")
        keep_sample(workdir / FOREST, Selection(planes, split, "train"), facts)
    learner = make_learner(config, facts)
    say_network(config, workdir, jax.eval_shape(learner.init).params)
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


def say_network(config: Config, workdir: Path, params: Any) -> None:
    """Prints how large the network is, and writes a line a parameter into the run folder."""
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    features = ", ".join(map(str, config.model.features))
    print(
        f"network: {sum(sizes):,} parameters, {len(config.model.features)} levels of {features} "
        f"channels ({workdir / PARAMETERS})"
    )
    if is_first_process():
        write_text(workdir / PARAMETERS, f"{parameter_table(params)}\n", "this table")


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
    noun = noun_of(trained.facts)
    with Progress("Calibrating", len(share_of(validation)), noun) as progress:
        found = fit_temperature(trained.segment, validation, progress.advance)
    if found.temperature is None:
        logger.info("no temperature is fitted: %s", found.reason)
    else:
        before, after = (f"{nll:.4f}" for nll in (found.nll_before, found.nll))
        logger.info(
            "temperature %.3f: the negative log-likelihood of validation %s",
            found.temperature,
            f"stays {after}" if before == after else f"goes from {before} to {after}",
        )
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
    try:
        source = TrainedRun.load(user_path(config.init_from), parallel.local)
    except InputError as error:
        raise InputError(f"config.init_from={config.init_from!r}: {error}") from error
    new_head = source.facts.label_map.names != facts.label_map.names
    try:
        state, fresh = take_over(state, source.variables, new_head=new_head)
    except InputError as error:
        theirs, mine = shape_of(source.config, source.facts), shape_of(config, facts)
        there = [f"--config.{name}={theirs.get(name)}" for name in mine
                 if theirs.get(name) != mine[name]]  # fmt: skip
        if not there:
            raise
        flags = " ".join(shlex.quote(flag.replace(", ", ",")) for flag in there)
        raise InputError(f"{error}. Give this one those of {config.init_from}: {flags}") from error
    logger.info(
        "weights of %s, step %d: taken are %s; fresh are %s",
        config.init_from,
        source.step,
        ", ".join(sorted(name for name in state.params if f"params/{name}/kernel" not in fresh)),
        ", ".join(fresh) or "none",
    )
    return state


def shape_of(config: Config, facts: DataFacts) -> dict[str, Any]:
    """Fields that decide which arrays a network has, and of which shape."""
    fields = ("patch", "norm", "upsample", "skip")
    model = {f"model.{name}": config.model.get(name) for name in fields}
    features = {"model.features": tuple(config.model.features)}  # JSON has lists.
    return features | model | {"data.context": neighbours_of(config, facts)}


def check_init_from(text: str) -> None:
    """Refuses a folder that holds no trained run.

    Raises:
      InputError: names the field, what is missing there, and a run beside it of a like name.
    """
    folder = user_path(text)
    missing = next(
        (
            name
            for name in ("config.json", "data.json", "checkpoints")
            if not (folder / name).exists()
        ),
        None,
    )
    if missing is None:
        return
    runs = {path.parent.name for path in folder.parent.glob("*/config.json")} - {folder.name}
    near = difflib.get_close_matches(folder.name, runs, 1)
    raise InputError(
        f"config.init_from={text!r}: is no trained run, for {folder / missing} is missing; "
        + (
            f"did you mean {shlex.quote(f'--config.init_from={folder.with_name(near[0])}')}?"
            if near
            else "give the folder of one, as --config.init_from=runs/NAME, or leave it out"
        )
    )


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
