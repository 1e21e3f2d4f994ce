"""Trains a U-Net, and scores its best checkpoint on the test slices."""

import functools
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xseg_jax.data.builders import PreparedSlices, prepare_folder, prepare_phantom
from xseg_jax.data.folder import Slice
from xseg_jax.data.images import find_pairs, label_folder_of
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pipeline import Crops, batches
from xseg_jax.data.splits import PARTS, Split, choose_evenly, split_slices
from xseg_jax.errors import DivergedError, InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.evaluation.evaluate import evaluate
from xseg_jax.evaluation.leak import measure_leak
from xseg_jax.inference.predict import Predictor
from xseg_jax.model.augment import augment, check_augment
from xseg_jax.model.losses import LOSSES
from xseg_jax.model.metrics import scores
from xseg_jax.model.unet import check_model
from xseg_jax.modes.run import (
    Config,
    DataFacts,
    Learner,
    TrainedRun,
    make_learner,
    overlaid_class,
    pixel_hash,
    score_and_report,
    steps_per_epoch,
)
from xseg_jax.progress import Progress
from xseg_jax.report import figures
from xseg_jax.report.table import results_table
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.parallel import devices_for, replicate, spread
from xseg_jax.training.runlog import (
    RUNTIME_FIELDS,
    RunLog,
    claim,
    read_json,
    read_metrics,
    refuse_other,
)
from xseg_jax.training.state import TrainState, make_optimizer, parameter_table
from xseg_jax.training.steps import Sums, eval_step, train_step

logger = logging.getLogger(__name__)


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
    """
    began = time.monotonic()
    check_config(config)
    refuse_other(workdir / "config.json", config.to_dict(), free=RUNTIME_FIELDS)
    slices = prepare_data(config)
    split = split_data(config, slices)
    facts = find_facts(config, slices, split)
    overlaid_class(config, facts)  # Before the work, not after it.
    claim(workdir / "config.json", config.to_dict(), free=RUNTIME_FIELDS)
    claim(workdir / "data.json", facts.to_json())
    if (workdir / "results.json").exists():
        logger.info("%s: this run is finished", workdir)
        results = read_json(workdir / "results.json")
        print(results_table(results))
        return results

    learner = make_learner(config, facts)
    print(parameter_table(jax.eval_shape(learner.init).params))
    seconds_before = fit(config, workdir, learner, facts, slices, split)
    trained = TrainedRun.load(workdir)
    logger.info("testing the checkpoint of step %d, the best by validation", trained.step)
    return score_and_report(
        workdir,
        Selection(slices, split.test),
        config=config,
        facts=facts,
        segment=trained.segment,
        loss=learner.loss,
        split="test",
        leak=facts.leak,
        seconds=lambda: seconds_before + time.monotonic() - began,
    )


def check_config(config: Config) -> None:
    """Refuses values that no code could use, before any long work starts."""
    check_model(**config.model)
    check_augment(**config.augment)
    for field, lowest in (("epochs", 1), ("batch_size", 1), ("log_every", 1)):
        if config[field] < lowest:
            raise InputError(f"config.{field}={config[field]}: must be at least {lowest}")
    if config.loss.name not in LOSSES:
        raise InputError(
            f"config.loss.name={config.loss.name!r}: choose one of {', '.join(LOSSES)}"
        )
    optimizer = config.optimizer.to_dict()
    ema_decay = optimizer.pop("ema_decay")
    if not 0 <= ema_decay < 1:
        raise InputError(f"config.optimizer.ema_decay={ema_decay}: must be from 0 to below 1")
    make_optimizer(**optimizer, steps=config.epochs * steps_per_epoch(config))


def prepare_data(config: Config) -> PreparedSlices:
    """Slices of `config.data`, from physics or from a folder."""
    data = config.data
    where = {"prepared_dir": Path(data.prepared_dir), "memory_gib": data.memory_gib}
    if data.source == "phantom":
        return prepare_phantom(**data.phantom, **where)
    if data.source != "folder":
        raise InputError(f"config.data.source={data.source!r}: choose phantom or folder")
    if data.images and data.labels:
        images, labels = Path(data.images), Path(data.labels)
    elif data.root:
        images, labels = label_folder_of(Path(data.root))
    else:
        raise InputError(
            "config.data.root='': give the folder that holds images and labels with "
            "--config.data.root=FOLDER"
        )
    pairs = find_pairs(
        images,
        labels,
        number_pattern=data.number_pattern,
        skip_unlabelled=data.skip_unlabelled,
    )
    return prepare_folder(pairs, classes=data.classes, ignore=data.ignore, **where)


def split_data(config: Config, slices: PreparedSlices) -> Split:
    """Indices of the training, validation and test slices."""
    fields = config.data.split.to_dict()
    ranges = [fields.pop(part) for part in PARTS]
    split = split_slices(
        names=slices.names, numbers=slices.numbers, ranges=ranges, seed=config.seed, **fields
    )
    return Split(choose_evenly(split.train, config.data.train_slices), split.validation, split.test)


class Selection(Sequence[Slice]):
    """Some of the slices."""

    def __init__(self, slices: Sequence[Slice], indices: Sequence[int]) -> None:
        self.slices, self.indices = slices, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.slices[self.indices[place]]


def find_facts(config: Config, slices: PreparedSlices, split: Split) -> DataFacts:
    """Measures the training slices, and how much the split leaks; prints what was found."""
    names = slices.label_map.names
    train, test = Selection(slices, split.train), Selection(slices, split.test)
    pixels_K = np.zeros(IGNORED + 1, np.int64)
    for item in train:
        pixels_K += np.bincount(item.label_HW.ravel(), minlength=IGNORED + 1)
    # Independent images have numbers, but no neighbours by number.
    z_N = slices.numbers if config.data.split.kind != "group" else [None] * len(slices)
    normalizer = Normalizer.fit(config.data.normalize, (item.image_HW for item in train))
    facts = DataFacts(
        fingerprint=slices.fingerprint,
        dtype=str(slices.dtype),
        label_map=slices.label_map,
        normalizer=normalizer,
        thresholds=Thresholds.fit(train, normalizer, len(names)),
        train_pixels=tuple(pixels_K[: len(names)].tolist()),
        train_hashes=tuple(pixel_hash(item.image_HW) for item in train),
        split={
            part: tuple(slices.names[index] for index in indices)
            for part, indices in split.parts().items()
        },
        leak=measure_leak(
            test, train, [z_N[index] for index in split.test], [z_N[index] for index in split.train]
        ),
    )
    print(f"label values to classes: {facts.label_map}")
    for part, members in facts.split.items():
        print(f"{part}: {len(members)} slices, {members[0]} to {members[-1]}")
    absent = [name for name, count in zip(names, facts.train_pixels, strict=True) if not count]
    if absent:
        logger.warning("no training slice has a pixel of: %s", ", ".join(absent))
    return facts


def fit(
    config: Config,
    workdir: Path,
    learner: Learner,
    facts: DataFacts,
    slices: PreparedSlices,
    split: Split,
) -> float:
    """Takes the steps that are left, validating and saving every epoch.

    Returns:
      Seconds that earlier, interrupted calls of this run took.
    """
    epoch_steps = steps_per_epoch(config)
    steps = config.epochs * epoch_steps
    crops = Crops(
        Selection(slices, split.train),
        normalizer=facts.normalizer,
        size=config.data.crop,
        seed=config.seed,
        rare_fraction=config.data.rare_fraction,
    )
    draw = functools.partial(batches, crops, batch_size=config.batch_size)
    devices = devices_for(config.batch_size)
    step_here = functools.partial(
        train_step,
        model=learner.model,
        tx=learner.tx,
        loss=learner.loss,
        augment=functools.partial(augment, **config.augment),
        seed=config.seed,
        ema_decay=config.optimizer.ema_decay,
    )
    take_step = spread(step_here, devices, batched=2, sums=True, donate=True)
    validate = Validation(config, learner, facts, Selection(slices, split.validation))
    state, seconds_before = None, 0.0
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        if checkpoints.latest is not None:
            state = checkpoints.restore(checkpoints.latest, jax.eval_shape(learner.init))
            seconds_before = checkpoints.scores(checkpoints.latest)["seconds"]
            logger.info("continuing after step %d of %d", checkpoints.latest, steps)
        state = replicate(state or learner.init(), devices)
        start, began = int(state.step), time.monotonic()
        with (
            RunLog(workdir, start) as log,
            Progress(
                "Training", steps * config.batch_size, "crop", start * config.batch_size
            ) as bar,
        ):
            window: list[tuple[int, Sums]] = []

            def flush() -> None:
                log_window(window, log, bar, config.batch_size, epoch_steps, workdir, draw)
                window.clear()

            for step, (image_BHWC, label_BHW) in enumerate(
                draw(start=start, stop=steps), start + 1
            ):
                state, sums = take_step(state, image_BHWC, label_BHW)
                # One step late, so that the device has work while the host waits for numbers.
                if len(window) >= config.log_every:
                    flush()
                window.append((step, sums))
                if step % epoch_steps == 0:
                    flush()
                    found = validate(log, state, step)
                    seconds = seconds_before + time.monotonic() - began
                    checkpoints.save(state, found | {"seconds": seconds})
        checkpoints.wait()
        draw_history(workdir, checkpoints.best // epoch_steps)
    return seconds_before


def log_window(
    window: Sequence[tuple[int, Sums]],
    log: RunLog,
    bar: Progress,
    batch_size: int,
    epoch_steps: int,
    workdir: Path,
    draw: Any,
) -> None:
    """Logs the mean over some steps.

    Raises:
      DivergedError: a loss is not finite; its batch is saved in the run folder.
    """
    fetched = jax.device_get([sums for _, sums in window])
    for (step, _), sums in zip(window, fetched, strict=True):
        if not np.isfinite(sums["loss_sum"]):
            image_BHWC, label_BHW = next(iter(draw(start=step - 1, stop=step)))
            path = workdir / f"diverged_step_{step}.npz"
            np.savez_compressed(path, image_BHWC=image_BHWC, label_BHW=label_BHW)
            raise DivergedError(
                f"the loss is {sums['loss_sum']} at step {step}; its batch is in {path}. Lower "
                "--config.optimizer.learning_rate or set --config.optimizer.clip_norm=1"
            )
    total = {key: float(sum(np.float64(sums[key]) for sums in fetched)) for key in fetched[0]}
    step = window[-1][0]
    loss = total["loss_sum"] / max(total["weight"], 1e-6)
    log.scalars(
        step,
        "train",
        epoch=-(-step // epoch_steps),
        loss=loss,
        accuracy=total["correct"] / max(total["pixels"], 1),
        weight=total["weight"],
        pixels=total["pixels"],
    )
    bar.advance(batch_size * len(window), f"loss {loss:.4f}")


class Validation:
    """Scores the validation slices; compiled once for all epochs."""

    def __init__(
        self, config: Config, learner: Learner, facts: DataFacts, slices: Sequence[Slice]
    ) -> None:
        self.slices, self.names = slices, facts.label_map.names
        self.epoch_steps = steps_per_epoch(config)
        self._predictor = Predictor(learner.model, facts.normalizer, **config.inference)
        self._step = jax.jit(functools.partial(eval_step, loss=learner.loss))

    def __call__(self, log: RunLog, state: TrainState, step: int) -> dict[str, float]:
        """Logs loss, accuracy, macro F1, mean IoU and an example, and returns the numbers."""
        first_HW: list[np.ndarray] = []

        def segment(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for probability_HWK in self._predictor(state.variables, images):
                if not first_HW:
                    first_HW.append(probability_HWK.argmax(axis=-1).astype(np.uint8))
                yield probability_HWK

        found = evaluate(segment, self._step, self.slices)
        table = scores(found.confusion_KK, self.names)
        numbers = {"loss": found.loss} | {key: table[key] for key in ("accuracy", "f1", "miou")}
        log.scalars(step, "validation", epoch=step // self.epoch_steps, **numbers)
        logger.info(
            "epoch %d: validation loss %.4f, accuracy %.4f, mean IoU %.4f",
            step // self.epoch_steps, found.loss, table["accuracy"], table["miou"],
        )  # fmt: skip
        item = self.slices[0]
        masks = [
            figures.colourise(mask_HW, len(self.names)) for mask_HW in (*first_HW, item.label_HW)
        ]
        panels = [figures.grey(item.image_HW), *masks]
        log.image(step, "image, prediction, label", np.concatenate(panels, axis=1))
        return numbers


def draw_history(workdir: Path, best_epoch: int) -> None:
    """Draws loss and accuracy by epoch from the logged sums."""
    rows = read_metrics(workdir)
    records = [row for row in rows if row["split"] == "validation"]
    for epoch in sorted({row["epoch"] for row in rows}):
        windows = [r for r in rows if r["split"] == "train" and r["epoch"] == epoch]
        weights, pixels = ([r[key] for r in windows] for key in ("weight", "pixels"))
        loss = np.average([r["loss"] for r in windows], weights=weights)
        accuracy = np.average([r["accuracy"] for r in windows], weights=pixels)
        records.append({"split": "train", "epoch": epoch, "loss": loss, "accuracy": accuracy})
    (workdir / "figures").mkdir(exist_ok=True)
    figures.history(workdir / "figures" / "history.png", records, best_epoch)
