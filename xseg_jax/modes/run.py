"""What every mode needs of a run: its config unpacked, its model, its data facts."""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Plane
from xseg_jax.data.sources import Source
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.evaluation.calibration import Fit, calibrate
from xseg_jax.inference.predict import Predictor
from xseg_jax.model.losses import Loss, make_loss
from xseg_jax.model.unet import UNet
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.parallel import AXIS, Parallel
from xseg_jax.training.runlog import read_json
from xseg_jax.training.state import TrainState, init_state, make_optimizer

logger = logging.getLogger(__name__)

CALIBRATION = "calibration.json"
"""The temperature of a run, and the step of the checkpoint that it was fitted for."""

Config = Any
"""An ml_collections ConfigDict as `configs/default.py` makes it; its fields have no types."""


@dataclass(frozen=True)
class DataFacts:
    """What a run knows of the data it trained on; `data.json` in the run folder.

    Attributes:
      fingerprint: names the content of the prepared data.
      dtype: pixel type of the images.
      label_map: label values and class names.
      grey_scales: grey values to network input.
      thresholds: multi-Otsu fitted on the training slices; None where not defined.
      train_pixels: labelled training pixels of each class.
      train_hashes: of the pixels of each training image.
      split_kind: how the planes were divided.
      split: names of the planes in each part, and of those "between".
      slabs: how planes were cut, where parts share planes.
      leak: what `measure_leak` found.
    """

    fingerprint: str
    dtype: str
    label_map: LabelMap
    grey_scales: GreyScales
    thresholds: Thresholds | None
    train_pixels: tuple[int, ...]
    train_hashes: tuple[str, ...]
    split_kind: str
    split: dict[str, tuple[str, ...]]
    slabs: dict[str, Any] | None
    leak: dict[str, Any]

    @classmethod
    def read(cls, workdir: Path) -> "DataFacts":
        """Reads `data.json` of a run.

        Raises:
          InputError: there is none, or it is of an earlier version.
        """
        fields = read_json(workdir / "data.json")
        if "grey_scales" not in fields:
            raise InputError(
                f"{workdir / 'data.json'}: was written by an earlier version of xseg_jax; use that "
                "version for this run, or train again in another folder"
            )
        thresholds = fields["thresholds"]
        return cls(**fields | {
            "label_map": LabelMap.from_json(fields["label_map"]),
            "grey_scales": GreyScales.from_json(fields["grey_scales"]),
            "thresholds": Thresholds(**thresholds) if thresholds else None,
        })  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        return dataclasses.asdict(self)


def read_config(workdir: Path) -> Config:
    """The config that a run was made with."""
    fields = read_json(workdir / "config.json")
    return ConfigDict(fields, convert_dict=True)


def pixel_hash(image_HW: np.ndarray) -> str:
    """Names the pixels of an image, whatever file they are in."""
    return hashlib.blake2b(np.ascontiguousarray(image_HW).data, digest_size=16).hexdigest()


def steps_per_epoch(config: Config) -> int:
    """Batches that hold about `data.crops_per_epoch` crops."""
    return max(1, config.data.crops_per_epoch // config.batch_size)


class GreyScaleWatch:
    """Says once of how many images grey values are clipped or are unlike those of training."""

    def __init__(self, grey_scales: GreyScales) -> None:
        self._grey_scales = grey_scales
        self._unlike = self._clipped = 0

    def __call__(self, name: object, plane: Plane) -> None:
        """Looks at an image that the run was not trained on."""
        shared = self._grey_scales.shared
        difference = shared.unlike(plane.image_HW) if shared else ""
        if not difference:
            self.look_for_far(name, plane)
            return
        self._unlike += 1
        if self._unlike == 1:
            logger.warning(
                "%s: %s. The network has not seen such images: export them with the grey scale of "
                "the training images, or train with --config.data.normalize=scan",
                name, difference,
            )  # fmt: skip

    def look_for_far(self, name: object, plane: Plane) -> None:
        """Looks for grey values that are clipped."""
        image_HW = plane.image_HW
        far = int(self._grey_scales.of(plane).far(image_HW).sum())
        if far:
            self._clipped += 1
            if self._clipped == 1:
                logger.warning(
                    "%s: holds %d grey value%s far outside all others, down to %.6g and up to "
                    "%.6g, as hot pixels and no data have them; they are clipped",
                    name, far, "s" * (far > 1), image_HW.min(), image_HW.max(),
                )  # fmt: skip

    def close(self) -> None:
        """Warns of how many more there were."""
        for count, what in ((self._clipped, "clipped"), (self._unlike, "unlike training's")):
            if count > 1:
                logger.warning("grey values of %d images in all are %s", count, what)


def read_calibration(workdir: Path, step: int) -> Fit:
    """The temperature that was fitted for a checkpoint of a run, or why there is none.

    Raises:
      InputError: `calibration.json` is not as a run writes it.
    """
    path = workdir / CALIBRATION
    if not path.exists():
        return Fit(reason="the run is of an earlier version, which fitted none")
    fields = read_json(path)
    try:
        fitted_for = fields.pop("step")
        fit = Fit(**fields)
        if fit.temperature is not None and not fit.temperature > 0:
            raise ValueError(f"temperature={fit.temperature}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is not as the run wrote it ({error}); bring that back, or remove the file to "
            "do without a temperature"
        ) from error
    if fitted_for != step:
        return Fit(
            reason=f"it was fitted for the checkpoint of step {fitted_for}, not of step {step}"
        )
    return fit


def checkpoint_used(config: Config, validated: bool) -> str:
    """Which checkpoint is tested and predicts: "best" by validation, or "last".

    Raises:
      InputError: `config.checkpoint.use` is neither.
    """
    use = config.checkpoint.get("use", "best")  # Runs of earlier versions have no such field.
    if use not in ("best", "last"):
        raise InputError(f"config.checkpoint.use={use!r}: choose best or last")
    return use if validated else "last"


@dataclass(frozen=True)
class Learner:
    """Model, optimizer and loss of a config; `init` makes the state they start from."""

    model: UNet
    tx: optax.GradientTransformation
    loss: Loss
    init: Callable[[], TrainState]


def make_learner(config: Config, facts: DataFacts) -> Learner:
    """Unpacks `config.model`, `config.optimizer` and `config.loss`."""
    model = UNet(classes=len(facts.label_map.names), axis_name=AXIS, **config.model)
    optimizer = config.optimizer.to_dict()
    ema_decay = optimizer.pop("ema_decay")
    optimizer.pop("freeze_norm", None)  # Of the loop; runs of earlier versions have none.
    tx = make_optimizer(**optimizer, steps=config.epochs * steps_per_epoch(config))
    loss = make_loss(**config.loss, pixels_K=facts.train_pixels)
    init = functools.partial(
        init_state, model, tx, seed=config.seed, size=config.data.crop, ema_decay=ema_decay,
        channels=2 * config.data.context + 1,
    )  # fmt: skip
    return Learner(model, tx, loss, init)


@dataclass(frozen=True)
class TrainedRun:
    """A run that can segment: its config, facts, loss, and best checkpoint's network.

    Attributes:
      workdir: its folder.
      parallel: devices of this process, which it segments on.
      step: of the checkpoint.
      variables: parameters and batch statistics, NumPy arrays.
      predict: gives the probabilities (H, W, K) of network inputs (H, W, C).
      calibration: the temperature of these probabilities, or why there is none.
    """

    workdir: Path
    config: Config
    facts: DataFacts
    learner: Learner
    parallel: Parallel
    step: int
    variables: Any
    predict: Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
    calibration: Fit

    @classmethod
    def load(
        cls,
        workdir: Path,
        parallel: Parallel | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> "TrainedRun":
        """Reads a run folder.

        Args:
          workdir: the folder.
          parallel: devices of this process; all of them where it is None.
          changes: dotted fields of the config that differ from the run's.

        Raises:
          InputError: the folder holds no run with a checkpoint, or a damaged one.
        """
        config, facts = read_config(workdir), DataFacts.read(workdir)
        config.update_from_flattened_dict(dict(changes or {}))
        parallel = parallel or Parallel.choose(config.parallel.mode).local
        learner = make_learner(config, facts)
        with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
            step = checkpoints.step_of(checkpoint_used(config, bool(facts.split["validation"])))
            state, _ = checkpoints.restore(step, jax.eval_shape(learner.init))
        predictor = Predictor(learner.model, parallel, **config.inference)
        predict = functools.partial(predictor, parallel.replicate(state.variables))
        fit = read_calibration(workdir, step)
        return cls(workdir, config, facts, learner, parallel, step, state.variables, predict, fit)

    def on(self, sources: Iterable[Source] = (), label_map: LabelMap | None = None) -> "TrainedRun":
        """The run with the grey scales of other scans, and label values of other labels."""
        facts = self.facts
        if facts.grey_scales.kind == "scan":
            by_scan = {source.name: source.grey_scale() for source in sources}
            facts = replace(facts, grey_scales=replace(facts.grey_scales, by_scan=by_scan))
        return replace(self, facts=replace(facts, label_map=label_map or facts.label_map))

    def segment(self, planes: Iterable[Plane]) -> Iterator[np.ndarray]:
        """Class probabilities (H, W, K) float32 of planes, in order."""
        return self.predict(map(self.facts.grey_scales.input_of, planes))

    def calibrated(self, probability_HWK: np.ndarray) -> np.ndarray:
        """What `segment` gives, at the run's temperature; as it is where the run has none."""
        return calibrate(probability_HWK, self.calibration.temperature or 1.0)

    def made_by(self, workdir: Path, source: Path) -> dict[str, Any]:
        """What a folder of results says of where they came from."""
        return {
            "run": str(workdir.resolve()),
            "step": self.step,
            "fingerprint": self.facts.fingerprint,
            "input": str(source.resolve()),
            "inference": self.config.inference.to_dict(),
        }

    def check_pixel_type(self, path: object, dtype: np.dtype) -> None:
        """Refuses an image whose grey scale cannot be that of the training images."""
        if self.facts.grey_scales.shared is not None and dtype != self.facts.dtype:
            raise InputError(
                f"{path}: pixels are {dtype}, but the run was trained on "
                f"{self.facts.dtype}; export the images as the training images were, or train "
                "with --config.data.normalize=scan"
            )
