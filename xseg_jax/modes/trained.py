"""A run that has been trained, and segments: alone, or together with others."""

import functools
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xseg_jax.data.appearance import Appearance
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Plane
from xseg_jax.data.sources import Source, sample_evenly
from xseg_jax.errors import InputError
from xseg_jax.evaluation.calibration import Fit, calibrate
from xseg_jax.files import counted, paths_in
from xseg_jax.inference.predict import Predictor
from xseg_jax.inference.symmetric import Predict, averaged, symmetries_of
from xseg_jax.modes.inputs import is_image
from xseg_jax.modes.run import (
    Config,
    DataFacts,
    Learner,
    checkpoint_used,
    make_learner,
    neighbours_of,
    read_config,
)
from xseg_jax.report.run_folder import RESULTS
from xseg_jax.scans.voxels import VoxelSize
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.parallel import Parallel
from xseg_jax.training.runlog import read_json

logger = logging.getLogger(__name__)

FEW = 4
"""Planes below which a scan's own grey scale may be far from that of the whole scan."""
CALIBRATION = "calibration.json"
"""The temperature of a run, and the step of the checkpoint that it was fitted for."""


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
    calibration: Fit
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
        for run in (first, *others):
            if not (run.workdir / RESULTS).exists():
                logger.warning(
                    "%s: has not ended its training, and was not tested: this is its network of "
                    "step %d; the command that began it goes on", run.workdir, run.step,
                )  # fmt: skip
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
        fit = read_calibration(workdir, step)
        return cls(workdir, config, facts, learner, parallel, step, state.variables, predict, fit)

    def on(self, sources: Sequence[Source] = (), label_map: LabelMap | None = None) -> "TrainedRun":
        """The run with the grey scales of other scans, and label values of other labels.

        Warns of scans that lack neighbours, are too few planes for a grey scale of their own, or do
        not look as those of training.
        """
        by_scan = {}
        if any(run.facts.grey_scales.kind == "scan" for run in self.runs):
            self.warn_of_few(sources)
            by_scan = {source.name: source.grey_scale() for source in sources}

        def facts_of(run: TrainedRun) -> DataFacts:
            scales = run.facts.grey_scales
            if scales.kind == "scan":
                scales = replace(scales, by_scan=by_scan)
            label_map_of = label_map or self.facts.label_map
            return replace(run.facts, grey_scales=scales, label_map=label_map_of)

        first, *others = (replace(run, facts=facts_of(run)) for run in self.runs)
        there = replace(first, others=tuple(others))
        there.warn_of_missing(sources)
        there.warn_of_appearance(sources)
        return there

    def warn_of_few(self, sources: Sequence[Source]) -> None:
        """Warns of scans whose own grey scale, of so few planes, is not that of the whole scan."""
        for run in self.runs:
            scales = run.facts.grey_scales
            planes = sum(len(names) for names in run.facts.split.values())
            if scales.kind != "scan" or planes < FEW * max(1, len(scales.by_scan)):
                continue
            few = [source for source in sources if len(source) < FEW]
            if few:
                logger.warning(
                    "%s: its grey scale is measured on %s alone, and %s was trained with that of "
                    "whole scans (config.data.normalize=scan): the whole scan would be segmented "
                    "otherwise. Give all of it, or train with --config.data.normalize=volume",
                    few[0].name, counted(len(few[0]), "plane"), run.workdir,
                )  # fmt: skip
                return

    @property
    def runs(self) -> tuple["TrainedRun", ...]:
        """This one and those that segment together with it."""
        return (replace(self, others=()), *self.others)

    @property
    def grey_scales(self) -> list[GreyScales]:
        """Of each of the runs."""
        return [run.facts.grey_scales for run in self.runs]

    @property
    def names(self) -> str:
        """The folders of all runs and the steps of their checkpoints, for a person."""
        return ", ".join(f"{run.workdir} (step {run.step})" for run in self.runs)

    @property
    def joint_calibration(self) -> Fit:
        """The temperature of what `segment` gives; the mean of several runs has none of its own."""
        if not self.others:
            return self.calibration
        return Fit(reason="it is the mean of several runs, each at its own temperature")

    @property
    def context(self) -> int:
        """Neighbours on each side that a plane must have: the most that a network sees."""
        return max(neighbours_of(run.config, run.facts) for run in self.runs)

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

    def segment_each(
        self, planes: Iterable[Plane], *, labels_alone: bool = False
    ) -> Iterator[np.ndarray]:
        """Class probabilities (M, H, W, K) float32 of planes, in order, by each of M runs at its
        own temperature.

        Args:
          planes: of one size or several.
          labels_alone: nothing but the most probable class is wanted; of one run it is the same at
            any temperature, and none is applied.
        """
        if labels_alone and not self.others:
            return (probability_HWK[None] for probability_HWK in self._alone(planes))
        copies = itertools.tee(planes, len(self.runs))
        found = (
            map(run.calibrated, run._alone(copy))
            for run, copy in zip(self.runs, copies, strict=True)
        )
        return map(np.stack, zip(*found, strict=True))

    def segment(self, planes: Iterable[Plane]) -> Iterator[np.ndarray]:
        """Class probabilities (H, W, K) float32 of planes, in order.

        Of one run as its network says, and of several the mean of `segment_each`.
        """
        if not self.others:
            return self._alone(planes)
        return (found_MHWK.mean(axis=0) for found_MHWK in self.segment_each(planes))

    def _alone(self, planes: Iterable[Plane]) -> Iterator[np.ndarray]:
        return self.predict(map(self._input_of, planes))

    def _input_of(self, plane: Plane) -> np.ndarray:
        """What this network sees of a plane, whose neighbours may be more than it takes."""
        input_HWC = self.facts.grey_scales.input_of(plane)
        middle, context = input_HWC.shape[-1] // 2, neighbours_of(self.config, self.facts)
        return input_HWC[..., middle - context : middle + context + 1]

    def calibrated(self, probability_HWK: np.ndarray) -> np.ndarray:
        """What `segment` gives, at the run's temperature; as it is where the run has none."""
        return calibrate(probability_HWK, self.calibration.temperature or 1.0)

    def made_by(self, source: Path) -> dict[str, Any]:
        """What a folder of results says of where they came from."""
        others = [{"run": str(one.workdir.resolve()), "step": one.step} for one in self.others]
        temperatures = [run.calibration.temperature for run in self.runs]
        return {
            "run": str(self.workdir.resolve()),
            "step": self.step,
            "fingerprint": self.facts.fingerprint,
            "input": str(source.resolve()),
            "inference": self.config.inference.to_dict(),
        } | ({"others": others, "temperatures": temperatures} if others else {})

    def warn_of_voxels(self, where: object, voxel_size: VoxelSize) -> None:
        """Warns of a scan whose voxels are smaller or larger than those of training."""
        for run in self.runs:
            trained_on = run.facts.voxel_size
            if trained_on and voxel_size.unlike(trained_on):
                logger.warning(
                    "%s: voxels are %s, but %s was trained on voxels of %s: shapes are larger or "
                    "smaller than those that the network has seen. Bring the scan to the same "
                    "voxel size, or label some of it and train on it",
                    where, voxel_size, run.workdir, trained_on,
                )  # fmt: skip

    def warn_of_missing(self, sources: Sequence[Source]) -> None:
        """Warns of planes without the neighbours that the network was trained to see."""
        planes = [(source, index) for source in sources for index in range(len(source))]
        alone = [one for one in planes if not one[0].has_neighbours(one[1], self.context)]
        if self.context and alone:
            source, index = alone[0]
            logger.warning(
                "%d of %d slices lack neighbours, %s for one, and the network was trained with "
                "some; copies of themselves stand for them. Where the whole scan is there, give it",
                len(alone), len(planes), source.plane_name(index),
            )  # fmt: skip

    def warn_of_appearance(self, sources: Sequence[Source]) -> None:
        """Warns of scans, and of independent images together, that training has not seen the like
        of, whatever their grey scale."""
        images = [one for one in sources if is_image(one)]
        together = [[one] for one in sources if not is_image(one)] + [images] * bool(images)
        for group, run in itertools.product(together, self.runs):
            if not (seen := run.facts.appearance):
                continue
            planes = [(source, index) for source in group for index in range(len(source))]
            sampled = [planes[place] for place in sample_evenly(len(planes))]
            looked_at = (source.plane(index, 0) for source, index in sampled)
            found = Appearance.of(looked_at, run.facts.grey_scales)
            if differs := found.unlike(seen):
                logger.warning(
                    "%s: %s. %s has not seen the like: score it on a labelled slice of them "
                    "(--mode=evaluate) before you believe what it segments, or train on one",
                    f"{len(images)} images" if group is images else group[0].name, differs,
                    run.workdir,
                )  # fmt: skip

    def check_pixel_type(self, path: object, dtype: np.dtype) -> None:
        """Refuses an image whose grey scale cannot be that of the training images of every run."""
        for facts in (run.facts for run in self.runs):
            if facts.grey_scales.shared is not None and dtype != facts.dtype:
                raise InputError(
                    f"{path}: pixels are {dtype}, but the run was trained on "
                    f"{facts.dtype}; export the images as the training images were, or train "
                    "with --config.data.normalize=scan"
                )
