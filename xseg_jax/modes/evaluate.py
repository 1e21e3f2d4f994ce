"""Scores a trained run on a folder of images and labels."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from xseg_jax.data import folder
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pairs import find_pairs, folder_of
from xseg_jax.errors import InputError
from xseg_jax.modes.run import GreyScaleWatch, TrainedRun, pixel_hash, score_and_report
from xseg_jax.scans.names import left_out

logger = logging.getLogger(__name__)


def run(
    workdir: Path, source: Path, output: Path, *, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Writes `results.json` and figures to `output`.

    Args:
      workdir: folder of a trained run.
      source: folder that holds images|data and labels|masks.
      output: folder, made if missing.
      changes: dotted fields of the config that differ from the run's.

    Raises:
      InputError: a file cannot be used, or the run is not trained.
    """
    began, changes = time.monotonic(), changes or {}
    trained = TrainedRun.load(workdir, changes=changes)
    label_map = trained.facts.label_map.with_values(
        changes.get("data.classes"), changes.get("data.ignore")
    )
    trained = replace(trained, facts=replace(trained.facts, label_map=label_map))
    images, labels = (folder_of(source, kind) for kind in ("images", "labels"))
    for notice in filter(None, map(left_out, (images, labels))):
        logger.warning("%s", notice)
    data = trained.config.data
    pairs = find_pairs(
        images, labels, number_pattern=data.number_pattern, skip_unlabelled=data.skip_unlabelled
    )
    checked = folder.check(pairs, label_map)
    trained.check_pixel_type(pairs[0].image, checked.dtype)
    known = set(trained.facts.train_hashes)
    slices = folder.FolderSlices(pairs, checked)
    watch, seen, labelled = GreyScaleWatch(trained.facts.normalizer), [], False
    for pair, item in zip(pairs, slices, strict=True):
        watch(pair.image, item.image_HW)
        labelled |= bool((item.label_HW != IGNORED).any())
        if pixel_hash(item.image_HW) in known:
            seen.append(pair.name)
    watch.close()
    if not labelled:
        raise InputError(
            f"{labels}: all pixels have the ignored value {label_map.ignore}; there "
            "is nothing to score"
        )
    if seen:
        logger.warning(
            "%d of %d images were trained on, %s for one: their scores measure memory, not skill",
            len(seen), len(pairs), seen[0],
        )  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    if (output / "config.json").exists():
        raise InputError(f"{output}: is the folder of a run; choose another --output")
    return score_and_report(
        output,
        slices,
        trained,
        split=str(source),
        leak={"agreement": None, "chance": None, "trained_on": seen},
        seconds=lambda: time.monotonic() - began,
    )
