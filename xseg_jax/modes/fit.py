"""The training loop: steps, lines of metrics, validation, checkpoints, and how it is stopped."""

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from xseg_jax.data.pipeline import Crops, batches
from xseg_jax.data.planes import Plane
from xseg_jax.errors import DivergedError, SaveError, StoppedError
from xseg_jax.evaluation.evaluate import Scorer
from xseg_jax.files import replacing
from xseg_jax.inference.predict import Predictor
from xseg_jax.model.metrics import scores
from xseg_jax.modes.run import (
    Config,
    DataFacts,
    Learner,
    checkpoint_used,
    formats_of,
    make_augment,
    steps_per_epoch,
)
from xseg_jax.progress import Progress
from xseg_jax.report import figures
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.interrupt import StopRequest
from xseg_jax.training.parallel import Parallel, any_process, is_first_process
from xseg_jax.training.runlog import RunLog, read_metrics
from xseg_jax.training.state import TrainState
from xseg_jax.training.steps import Sums, train_step

logger = logging.getLogger(__name__)

LEAST_EPOCHS, RISES = 4, 0.003
"""Of so many epochs it is told where the last quarter has raised the mean IoU by more."""


def fit(
    config: Config,
    workdir: Path,
    learner: Learner,
    facts: DataFacts,
    parallel: Parallel,
    train: Sequence[Plane],
    validation: Sequence[Plane],
    start: Callable[[], TrainState],
) -> float:
    """Takes the steps that are left, validating every epoch and saving as the config asks.

    Args:
      config: of the run.
      workdir: its folder.
      learner: what is trained.
      facts: of the training planes.
      parallel: devices that share a batch.
      train: planes to learn from.
      validation: planes to choose the best checkpoint by; without any, it is the latest.
      start: makes the first state, where there is no checkpoint to continue from.

    Returns:
      Seconds that earlier, interrupted calls of this run took.

    Raises:
      StoppedError: a signal asked to stop; all steps taken are saved.
      DivergedError: the loss is not finite; its batch is in the run folder.
    """
    epoch_steps = steps_per_epoch(config)
    steps = config.epochs * epoch_steps
    freeze_norm = config.optimizer.freeze_norm
    crops = Crops(
        train,
        grey_scales=facts.grey_scales,
        size=config.data.crop,
        seed=config.seed,
        rare_fraction=config.data.rare_fraction,
    )
    draw = functools.partial(batches, crops, batch_size=config.batch_size)
    step_here = functools.partial(
        train_step,
        model=learner.model,
        tx=learner.tx,
        loss=learner.loss,
        augment=make_augment(config),
        seed=config.seed,
        ema_decay=config.optimizer.ema_decay,
        freeze_after=round((1 - freeze_norm) * steps) if freeze_norm else None,
        accumulate=config.parallel.accumulate,
    )
    take_step = parallel.spread(step_here, in_axes=(None, 0, 0), sums=True, donate=True)
    validate = None
    if len(validation):
        validate = Validation(config, learner, facts, parallel.local, validation)
    with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as checkpoints:
        found = checkpoints.restore_latest(jax.eval_shape(learner.init))
        state, notes = found or (start(), {"seconds": 0.0, "sums": {}})
        first, began = int(state.step), time.monotonic()
        saved = began
        if found and first == steps:
            logger.info("all %d steps are taken; going on with what follows them", steps)
        elif found:
            logger.info("continuing after step %d of %d", first, steps)
        state = parallel.replicate(state)
        with (
            StopRequest() as stop,
            RunLog(workdir, first) as log,
            Progress(
                "Training", steps * config.batch_size, "crop", first * config.batch_size
            ) as bar,
        ):
            lines = MetricLines(
                log, bar, draw, workdir, config.log_every, epoch_steps, config.batch_size,
                notes["sums"],
            )  # fmt: skip
            mine = draw(
                start=first, stop=steps, process=jax.process_index(), processes=jax.process_count()
            )
            for step, (image_BHWC, label_BHW) in enumerate(mine, first + 1):
                state, sums = take_step(state, image_BHWC, label_BHW)
                # One step late, so that the device has work while the host waits for numbers.
                lines.write(step - 1)
                lines.add(step, sums)
                epoch_ends = step % epoch_steps == 0
                measured = {}
                if epoch_ends:
                    lines.write(step)
                    measured = validate(log, state, step) if validate else {}
                stopping = due = False
                if jax.process_count() == 1 or lines.end(step):  # Processes talk now and then.
                    minutes = (time.monotonic() - saved) / 60
                    stopping, due = any_process(
                        stop.asked is not None, 0 < config.checkpoint.minutes <= minutes
                    )
                due |= config.checkpoint.steps > 0 and step % config.checkpoint.steps == 0
                if epoch_ends or due or stopping:
                    lines.write(step)
                    saved = time.monotonic()
                    seconds = notes["seconds"] + saved - began
                    checkpoints.save(
                        state, measured | {"seconds": seconds, "sums": lines.unwritten()}
                    )
                if stopping:
                    checkpoints.wait()
                    raise StoppedError(
                        f"stopped at step {step} of {steps}, which is saved; the same command goes "
                        "on"
                    )
        checkpoints.wait()
        if is_first_process():
            best = checkpoint_used(config, len(validation) > 0) == "best"
            epoch = checkpoints.best // epoch_steps if best else None
            draw_history(workdir, epoch, formats_of(config))
            warn_of_rising(workdir)
    return notes["seconds"]


class MetricLines:
    """Means over the steps since the last line; a line ends every so many steps and each epoch.

    Args:
      log: where lines go.
      bar: moved on by every line.
      draw: batches of given steps.
      workdir: where a batch with a loss that is not finite goes.
      log_every: steps in a line.
      epoch_steps: steps in an epoch.
      batch_size: crops in a step.
      sums: `unwritten` of the run that is continued.
    """

    def __init__(
        self,
        log: RunLog,
        bar: Progress,
        draw: Callable[..., Iterator[tuple[np.ndarray, np.ndarray]]],
        workdir: Path,
        log_every: int,
        epoch_steps: int,
        batch_size: int,
        sums: dict[str, float],
    ) -> None:
        self._log, self._bar, self._draw, self._workdir = log, bar, draw, workdir
        self._log_every, self._epoch_steps = log_every, epoch_steps
        self._batch_size = batch_size
        self._sums = dict(sums)
        self._waiting: list[tuple[int, Sums]] = []

    def end(self, step: int) -> bool:
        """Whether a line ends with this step."""
        return step % self._log_every == 0 or step % self._epoch_steps == 0

    def add(self, step: int, sums: Sums) -> None:
        """Takes sums that may still be on their way from the device."""
        self._waiting.append((step, sums))

    def write(self, step: int) -> None:
        """Writes the line that ends with a step, if there is one that is not written yet."""
        if self._waiting and self.end(step):
            self._fetch()
            total, means, note = self._sums, {}, "no labelled pixel"
            if total["weight"] > 0:
                means = {
                    "loss": total["loss_sum"] / total["weight"],
                    "accuracy": total["correct"] / total["pixels"],
                }
                note = f"loss {means['loss']:.4f}"
            counts = {"weight": total["weight"], "pixels": total["pixels"]}
            epoch = -(-step // self._epoch_steps)
            self._log.scalars(step, "train", epoch=epoch, **means, **counts)
            self._bar.advance(step * self._batch_size - self._bar.done, note)
            self._sums = {}

    def unwritten(self) -> dict[str, float]:
        """Sums that are in no line yet, for a run that goes on from here."""
        self._fetch()
        return self._sums

    def _fetch(self) -> None:
        """Adds what waits.

        Raises:
          DivergedError: a loss is not finite.
        """
        fetched = jax.device_get([sums for _, sums in self._waiting])
        for (step, _), sums in zip(self._waiting, fetched, strict=True):
            if not np.isfinite(sums["loss_sum"]):
                raise self._diverged(step, sums["loss_sum"])
            for key, value in sums.items():
                self._sums[key] = self._sums.get(key, 0.0) + float(value)
        self._waiting.clear()

    def _diverged(self, step: int, loss_sum: float) -> DivergedError:
        path = self._workdir / f"diverged_step_{step}.npz"
        where = f"its batch is in {path}"
        if is_first_process():
            image_BHWC, label_BHW = next(self._draw(start=step - 1, stop=step))
            try:
                with replacing(path, "its batch") as draft, draft.open("wb") as file:
                    np.savez_compressed(file, image_BHWC=image_BHWC, label_BHW=label_BHW)
            except SaveError as error:
                where = str(error)
        return DivergedError(
            f"the loss is {loss_sum} at step {step}; {where}. Lower "
            "--config.optimizer.learning_rate or set --config.optimizer.clip_norm=1"
        )


class Validation:
    """Scores the validation planes; compiled once for all epochs."""

    def __init__(
        self,
        config: Config,
        learner: Learner,
        facts: DataFacts,
        parallel: Parallel,
        planes: Sequence[Plane],
    ) -> None:
        self.planes, self.names = planes, facts.label_map.names
        self.epoch_steps = steps_per_epoch(config)
        self._replicate = parallel.replicate
        self._predictor = Predictor(learner.model, parallel, **config.inference)
        self._input_of = facts.grey_scales.input_of
        self._scorer = Scorer(parallel, learner.loss, len(self.names))

    def __call__(self, log: RunLog, state: TrainState, step: int) -> dict[str, float]:
        """Logs loss, accuracy, macro F1, mean IoU and an example, and returns the numbers."""
        variables = self._replicate(jax.device_get(state.variables))
        first_HW: list[np.ndarray] = []

        def segment(planes: Iterable[Plane]) -> Iterator[np.ndarray]:
            for probability_HWK in self._predictor(variables, map(self._input_of, planes)):
                if not first_HW:
                    first_HW.append(probability_HWK.argmax(axis=-1).astype(np.uint8))
                yield probability_HWK

        found = self._scorer(segment, self.planes)
        table = scores(found.confusion_KK, self.names)
        numbers = {"loss": found.loss} | {key: table[key] for key in ("accuracy", "f1", "miou")}
        log.scalars(step, "validation", epoch=step // self.epoch_steps, **numbers)
        logger.info(
            "epoch %d: validation loss %.4f, accuracy %.4f, mean IoU %.4f",
            step // self.epoch_steps, found.loss, table["accuracy"], table["miou"],
        )  # fmt: skip
        self._name_lost(found.confusion_KK, step // self.epoch_steps)
        if is_first_process():
            item = self.planes[0]
            masks = [
                figures.colourise(m_HW, len(self.names)) for m_HW in (item.label_HW, *first_HW)
            ]
            panels = [figures.grey(item.image_HW), *masks]
            log.image(step, "image, labelled, predicted", np.concatenate(panels, axis=1))
        return numbers

    def _name_lost(self, confusion_KK: np.ndarray, epoch: int) -> None:
        """Warns of classes that are there and are predicted nowhere."""
        truth_K, predicted_K = confusion_KK.sum(axis=1), confusion_KK.sum(axis=0)
        lost = [
            name for name, t, p in zip(self.names, truth_K, predicted_K, strict=True) if t > p == 0
        ]
        if lost:
            logger.warning(
                "epoch %d: no pixel of the validation slices is predicted to be %s, though labels "
                "have it. If that stays: more epochs, config.data.rare_fraction=0.5, a wider "
                "config.model.features, or mirrors that do not move classes into each other",
                epoch, ", ".join(lost),
            )  # fmt: skip


def warn_of_rising(workdir: Path) -> None:
    """Warns where validation was at its best at the end, and clearly better than before."""
    rows = [row for row in read_metrics(workdir) if row["split"] == "validation"]
    values = [row["miou"] for row in rows]
    before = len(values) - 1 - max(1, len(values) // 4)
    if len(values) >= LEAST_EPOCHS and values[-1] == max(values) > values[before] + RISES:
        logger.warning(
            "validation still rises: mean IoU %.4f after epoch %d, %.4f after %d. More may be "
            "learned: train longer in another --workdir, with --config.epochs=%d",
            values[before], rows[before]["epoch"], values[-1], rows[-1]["epoch"],
            2 * rows[-1]["epoch"],
        )  # fmt: skip


def draw_history(workdir: Path, best_epoch: int | None, formats: Sequence[str]) -> None:
    """Draws loss and scores by epoch from the logged sums; marks an epoch unless it is None."""
    rows = read_metrics(workdir)
    records = [row for row in rows if row["split"] == "validation"]
    for epoch in sorted({row["epoch"] for row in rows}):
        # A line without a labelled pixel has no loss.
        windows = [r for r in rows if r["split"] == "train" and r["epoch"] == epoch and "loss" in r]
        if not windows:
            continue
        weights, pixels = ([r[key] for r in windows] for key in ("weight", "pixels"))
        loss = np.average([r["loss"] for r in windows], weights=weights)
        accuracy = np.average([r["accuracy"] for r in windows], weights=pixels)
        records.append({"split": "train", "epoch": epoch, "loss": loss, "accuracy": accuracy})
    figures.history(workdir / "figures" / "history.png", records, best_epoch, formats)
