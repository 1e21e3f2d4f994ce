"""What every mode needs of a run: its config unpacked, its model, its data facts."""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optax
from ml_collections import ConfigDict

from xseg_jax.data.appearance import Appearance
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Plane
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.model.augment import augment
from xseg_jax.model.losses import Loss, make_loss
from xseg_jax.model.unet import UNet
from xseg_jax.report.paper import FORMATS, PNG
from xseg_jax.scans.voxels import VoxelSize
from xseg_jax.training.parallel import AXIS
from xseg_jax.training.runlog import read_json
from xseg_jax.training.state import TrainState, init_state, make_optimizer
from xseg_jax.training.steps import Augment

logger = logging.getLogger(__name__)

LATER_FIELDS = frozenset({
    "leak.typical", "leak.leak", "leak.worry_from", "context", "appearance", "appearance.quantiles",
    "appearance.roughness", "left_out",
})  # fmt: skip
"""Fields of `data.json` that earlier versions did not measure: their runs go on without."""

Config = Any
"""An ml_collections ConfigDict as `configs/default.py` makes it; its fields have no types."""
DRAWN = ("report.formats", "report.overlay_class")
"""Fields that say how figures are drawn, and change no number."""


@dataclass(frozen=True)
class DataFacts:
    """What a run knows of the data it trained on; `data.json` in the run folder.

    Attributes:
      fingerprint: names the content of the prepared data.
      dtype: pixel type of the images.
      label_map: label values and class names.
      voxel_size: of the scans, where it is known; runs of earlier versions do not know it.
      grey_scales: grey values to network input.
      thresholds: multi-Otsu fitted on the training slices; None where not defined.
      train_pixels: labelled training pixels of each class.
      train_hashes: of the pixels of each training image.
      split_kind: how the planes were divided.
      split: names of the planes in each part, and of those "between".
      slabs: how planes were cut, where parts share planes.
      leak: what `measure_leak` found.
      context: neighbours on each side that the network sees: what the config says, or 0 where the
        training planes have none. Runs of earlier versions do as the config says.
      appearance: of the training images, where these have no common grey scale that tells as much;
        runs of earlier versions do not know it.
      left_out: labelled planes in gaps between the parts, or outside of their ranges; runs of
        earlier versions do not know it.
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
    voxel_size: VoxelSize | None = None
    context: int | None = None
    appearance: Appearance | None = None
    left_out: int | None = None

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
        thresholds, voxel_size = fields["thresholds"], fields.get("voxel_size")
        appearance = fields.get("appearance")
        return cls(**fields | {
            "label_map": LabelMap.from_json(fields["label_map"]),
            "grey_scales": GreyScales.from_json(fields["grey_scales"]),
            "thresholds": Thresholds(**thresholds) if thresholds else None,
            "voxel_size": VoxelSize.from_json(voxel_size) if voxel_size else None,
            "appearance": Appearance.from_json(appearance) if appearance else None,
        })  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON."""
        voxel_size = self.voxel_size and self.voxel_size.to_json()
        return dataclasses.asdict(self) | {"voxel_size": voxel_size}


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
    """Says once of how many images grey values are clipped or are unlike those of training.

    Args:
      grey_scales: of each run that segments them.
    """

    def __init__(self, *grey_scales: GreyScales) -> None:
        self._grey_scales = [one for n, one in enumerate(grey_scales) if one not in grey_scales[:n]]
        self._unlike = self._clipped = 0

    def __call__(self, name: object, plane: Plane) -> None:
        """Looks at an image that the run was not trained on."""
        shared = [scale.shared for scale in self._grey_scales if scale.shared]
        differences = [text for one in shared if (text := one.unlike(plane.image_HW))]
        if not differences:
            self.look_for_far(name, plane)
            return
        self._unlike += 1
        if self._unlike == 1:
            logger.warning(
                "%s: %s. The network has not seen such images: export them with the grey scale of "
                "the training images, or train with --config.data.normalize=scan",
                name, differences[0],
            )  # fmt: skip

    def look_for_far(self, name: object, plane: Plane) -> None:
        """Looks for grey values that are clipped."""
        image_HW = plane.image_HW
        far = max(int(scale.of(plane).far(image_HW).sum()) for scale in self._grey_scales)
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


def noun_of(facts: DataFacts) -> str:
    """What planes are called: images that were divided by groups are no slices of a scan."""
    return "image" if facts.split_kind == "group" else "slice"


def checkpoint_used(config: Config, validated: bool) -> str:
    """Which checkpoint is tested and predicts: "best" by validation, or "last".

    Raises:
      InputError: `config.checkpoint.use` is neither.
    """
    use = config.checkpoint.get("use", "best")  # Runs of earlier versions have no such field.
    if use not in ("best", "last"):
        raise InputError(f"config.checkpoint.use={use!r}: choose best or last")
    return use if validated else "last"


def formats_of(config: Config, base: str = "") -> tuple[str, ...]:
    """What figures are written as.

    Args:
      config: of a run.
      base: what stands before a field on the command line; "base." for a study.

    Raises:
      InputError: there is no such format, or none is given.
    """
    formats = tuple(config.report.get("formats", PNG))  # Earlier versions have no such field.
    unknown = [form for form in formats if form not in FORMATS]
    if unknown or not formats:
        wrong = f"there is no {unknown[0]!r}" if unknown else "figures need a format"
        raise InputError(
            f"config.{base}report.formats={formats}: {wrong}; choose among {', '.join(FORMATS)}, "
            f"as --config.{base}report.formats=\"('png', 'pdf')\""
        )
    return formats


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


def neighbours_of(config: Config, facts: DataFacts) -> int:
    """Planes on each side of one that the network sees too."""
    return config.data.context if facts.context is None else facts.context


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
        channels=2 * neighbours_of(config, facts) + 1,
    )  # fmt: skip
    return Learner(model, tx, loss, init)
