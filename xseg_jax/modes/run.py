"""What every mode needs of a run: its config unpacked, its model, its data facts."""

import dataclasses
import functools
import hashlib
import itertools
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
from xseg_jax.files import paths_in
from xseg_jax.inference.predict import Predictor
from xseg_jax.inference.symmetric import Predict, averaged, symmetries_of
from xseg_jax.model.augment import augment
from xseg_jax.model.losses import Loss, make_loss
from xseg_jax.model.unet import UNet
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.parallel import AXIS, Parallel
from xseg_jax.training.runlog import read_json
from xseg_jax.training.state import TrainState, init_state, make_optimizer
from xseg_jax.training.steps import Augment

logger = logging.getLogger(__name__)

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


def checkpoint_used(config: Config, validated: bool) -> str:
    """Which checkpoint is tested and predicts: "best" by validation, or "last".

    Raises:
      InputError: `config.checkpoint.use` is neither.
    """
    use = config.checkpoint.get("use", "best")  # Runs of earlier versions have no such field.
    if use not in ("best", "last"):
        raise InputError(f"config.checkpoint.use={use!r}: choose best or last")
    return use if validated else "last"


def make_augment(config: Config) -> Augment:
    """Unpacks `config.augment`."""
    own_spread = config.data.normalize != "volume"
    return functools.partial(augment, **config.augment, own_spread=own_spread)


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
      others: runs that segment together with this one, as an ensemble.
    """

    workdir: Path
    config: Config
    facts: DataFacts
    learner: Learner
    parallel: Parallel
    step: int
    variables: Any
    predict: Predict
    others: tuple["TrainedRun", ...] = ()

    @classmethod
    def load_all(cls, workdirs: str, changes: Mapping[str, Any] | None = None) -> "TrainedRun":
        """Reads run folders, "runs/a,runs/b"; the first segments together with the others.

        Raises:
          InputError: as `load`, and where two have other classes, or one is there twice.
        """
        folders = paths_in(workdirs)
        if len({folder.resolve() for folder in folders}) < len(folders):
            raise InputError(f"--workdir={workdirs}: names a run twice; name each once")
        first, *others = (cls.load(folder, changes=changes) for folder in folders)
        for other in others:
            mine, theirs = first.facts.label_map.names, other.facts.label_map.names
            if mine != theirs:
                raise InputError(
                    f"--workdir={workdirs}: {other.workdir} has the classes {', '.join(theirs)}, "
                    f"{first.workdir} has {', '.join(mine)}; runs that segment together need the "
                    "same"
                )
        return replace(first, others=tuple(others))

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
        return cls(workdir, config, facts, learner, parallel, step, state.variables, predict)

    def on(self, sources: Iterable[Source] = (), label_map: LabelMap | None = None) -> "TrainedRun":
        """The run with the grey scales of other scans, and label values of other labels."""
        by_scan = {}
        if any(run.facts.grey_scales.kind == "scan" for run in self.runs):
            by_scan = {source.name: source.grey_scale() for source in sources}

        def facts_of(run: TrainedRun) -> DataFacts:
            scales = run.facts.grey_scales
            if scales.kind == "scan":
                scales = replace(scales, by_scan=by_scan)
            label_map_of = label_map or self.facts.label_map
            return replace(run.facts, grey_scales=scales, label_map=label_map_of)

        first, *others = (replace(run, facts=facts_of(run)) for run in self.runs)
        return replace(first, others=tuple(others))

    @property
    def runs(self) -> tuple["TrainedRun", ...]:
        """This one and those that segment together with it."""
        return (replace(self, others=()), *self.others)

    @property
    def context(self) -> int:
        """Neighbours on each side that a plane must have: the most that a network sees."""
        return max(run.config.data.context for run in self.runs)

    def turning(self) -> "TrainedRun":
        """The run with each image seen in all ways in which training has turned and mirrored it.

        Raises:
          InputError: training has neither turned nor mirrored.
        """
        ways = symmetries_of(self.config.augment.flip, rotate90=self.config.augment.rotate90)
        if len(ways) == 1:
            raise InputError(
                f"--tta: {self.workdir} was trained on images that were neither turned nor "
                "mirrored, and would be shown what it has never seen; leave it out"
            )
        predict = functools.partial(averaged, self.predict, symmetries=ways)
        others = tuple(other.turning() for other in self.others)
        return replace(self, predict=predict, others=others)

    def segment_each(self, planes: Iterable[Plane]) -> Iterator[np.ndarray]:
        """Class probabilities (M, H, W, K) float32 of planes by each of M runs, in order."""
        copies = itertools.tee(planes, len(self.runs))
        found = (run._alone(copy) for run, copy in zip(self.runs, copies, strict=True))
        return map(np.stack, zip(*found, strict=True))

    def segment(self, planes: Iterable[Plane]) -> Iterator[np.ndarray]:
        """Class probabilities (H, W, K) float32 of planes, in order; the mean of all runs."""
        if not self.others:
            return self._alone(planes)
        return (found_MHWK.mean(axis=0) for found_MHWK in self.segment_each(planes))

    def _alone(self, planes: Iterable[Plane]) -> Iterator[np.ndarray]:
        return self.predict(map(self._input_of, planes))

    def _input_of(self, plane: Plane) -> np.ndarray:
        """What this network sees of a plane, whose neighbours may be more than it takes."""
        input_HWC = self.facts.grey_scales.input_of(plane)
        middle, context = input_HWC.shape[-1] // 2, self.config.data.context
        return input_HWC[..., middle - context : middle + context + 1]

    def made_by(self, source: Path) -> dict[str, Any]:
        """What a folder of results says of where they came from."""
        others = [
            {"run": str(one.workdir.resolve()), "step": one.step, "data": one.facts.fingerprint}
            for one in self.others
        ]
        return {
            "run": str(self.workdir.resolve()),
            "step": self.step,
            "fingerprint": self.facts.fingerprint,
            "input": str(source.resolve()),
            "inference": self.config.inference.to_dict(),
        } | ({"others": others} if others else {})

    def check_pixel_type(self, path: object, dtype: np.dtype) -> None:
        """Refuses an image whose grey scale cannot be that of the training images."""
        if self.facts.grey_scales.shared is not None and dtype != self.facts.dtype:
            raise InputError(
                f"{path}: pixels are {dtype}, but the run was trained on "
                f"{self.facts.dtype}; export the images as the training images were, or train "
                "with --config.data.normalize=scan"
            )
