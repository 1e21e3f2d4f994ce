"""Scores a trained run on a folder of images and labels."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xseg_jax.data.checks import CheckedPlanes, check
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pairs import FOLDERS, folder_of
from xseg_jax.data.sources import Source
from xseg_jax.errors import InputError
from xseg_jax.evaluation.degrade import Segmenters, choose, score_degraded, strengths_of
from xseg_jax.evaluation.evaluate import Scorer
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.inputs import (
    describe_sources,
    find_planes,
    kind_of_scored,
    sources_of,
    voxel_size_of,
)
from xseg_jax.modes.lines import devices_of, first_lines, last_lines
from xseg_jax.modes.quantities import MEASURED
from xseg_jax.modes.report import write_reports
from xseg_jax.modes.run import DRAWN, GreyScaleWatch, formats_of, pixel_hash
from xseg_jax.modes.score import (
    BOUNDARIES,
    SLICES,
    Baselines,
    fit_baselines,
    score_and_report,
    tolerance_of,
)
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.modes.warned import WARNINGS, keep_warnings, listening
from xseg_jax.progress import Progress
from xseg_jax.report import degraded
from xseg_jax.report.page import PAGE
from xseg_jax.report.run_folder import SLICES as SHOWN
from xseg_jax.report.run_folder import TEXT
from xseg_jax.training.parallel import is_first_process, share_of
from xseg_jax.training.runlog import claim, provenance, refuse_other, write_json

logger = logging.getLogger(__name__)

CLAIM = "evaluation.json"
"""Says which run scored which folder."""
OTHER = "this folder holds another evaluation; choose another --output or remove it"
DEGRADED = "degraded.json"
WRITTEN = (
    "results.json", SLICES, BOUNDARIES, "figures", DEGRADED, "degraded.csv", WARNINGS, SHOWN, PAGE,
    MEASURED, TEXT,
)  # fmt: skip


@listening()
def run(
    workdir: Path,
    source: Path,
    output: Path,
    *,
    labels: str | None = None,
    degrade: str | None = None,
    tta: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `results.json` and figures to `output`, which `evaluation.json` claims.

    The same evaluation again takes the place of the one before.

    Args:
      workdir: folder of a trained run, or of several with commas between, whose mean is taken.
      source: folder that holds images|data and labels|masks; or a scan of any format.
      output: folder, made if missing.
      labels: of the scan; None where `source` holds them.
      degrade: names of degradations, or "all": the scan is made worse, and scored again.
      tta: see each image turned and mirrored in all ways of the training, and take the mean.
      changes: dotted fields of the config that differ from the run's.

    Raises:
      InputError: a file cannot be used, the run is not trained, or `output` holds a run, another
        evaluation or files that none wrote, or is in use.
    """
    began, changes = time.monotonic(), changes or {}
    degradations = [] if degrade is None else choose(degrade)
    trained = TrainedRun.load_all(str(workdir), changes=changes)
    if tta:
        trained = trained.turning()
    if (output / "config.json").exists():
        raise InputError(f"{output}: is the folder of a run; choose another --output")
    counted = {field: value for field, value in changes.items() if field not in DRAWN}
    made_by = trained.made_by(source) | {"labels": labels, "changes": counted}
    made_by |= {"tta": True} if tta else {}
    refuse_other(output / CLAIM, made_by, meaning=OTHER)
    if not (output / CLAIM).exists():
        refuse_foreign((output / name for name in WRITTEN), "an evaluation", "--output")
    label_map = trained.facts.label_map.with_values(
        changes.get("data.classes"), changes.get("data.ignore")
    )
    images = str(source)
    if labels is None:
        names = FOLDERS["labels"]
        if not any((source / name).is_dir() for name in names):
            holds = f"holds no {' or '.join(names)}"
            raise InputError(f"--input={source}: {holds}; say where labels are with --labels")
        images, labels = (str(folder_of(source, kind)) for kind in ("images", "labels"))
    tolerance_of(trained.config)  # Before the work, not after it.
    formats = formats_of(trained.config)
    baselines = fit_baselines(trained)
    config = trained.config
    sources = sources_of(config, images)
    voxel_size = voxel_size_of(sources, changes.get("data.voxel_size"))
    if voxel_size:
        trained.warn_of_voxels(images, voxel_size)
    planes = find_planes(config, sources, labels)
    first_lines(
        data=f"{images}, {describe_sources(sources)}; {len(planes)} labelled by {labels}",
        run=trained.names,
        devices=devices_of(trained.parallel),
    )
    trained = trained.on(sources, label_map)
    kind = kind_of_scored(sources, trained.facts.split_kind)
    facts = replace(trained.facts, voxel_size=voxel_size, split_kind=kind)
    trained = replace(trained, facts=facts)
    one_type = config.data.normalize == "volume"
    checked = check(planes, label_map, context=trained.context, one_type=one_type, fixed=True)
    trained.check_pixel_type(planes[0].where, checked.dtype)
    known = set(trained.facts.train_hashes)
    found = CheckedPlanes(planes, checked, trained.context)
    watch, seen, labelled = GreyScaleWatch(*trained.grey_scales), [], False
    for plane, item in zip(planes, found, strict=True):
        watch(plane.where, item)
        labelled |= bool((item.label_HW != IGNORED).any())
        if pixel_hash(item.image_HW) in known:
            seen.append(item.name)
    watch.close()
    if not labelled:
        raise InputError(
            f"{labels}: all pixels have the ignored value {label_map.ignore}; there "
            "is nothing to score"
        )
    if seen:
        logger.warning(
            "%d of %d images were trained on, %s for one: their scores measure memory, not skill",
            len(seen), len(planes), seen[0],
        )  # fmt: skip
    with working_in(output, "--output"):
        if is_first_process():
            claim(output / CLAIM, made_by)
        results = score_and_report(
            output,
            found,
            trained,
            baselines,
            split=str(source),
            leak={"agreement": None, "chance": None, "trained_on": seen},
            seconds=lambda: time.monotonic() - began,
        )
        if degradations:
            _score_degraded(output, trained, baselines, sources, found, degradations, formats)
        keep_warnings(output, goes_on=False)
        if config.report.get("page", True):  # Runs of earlier versions have no such field.
            write_reports(output)
    last_lines(
        results=[output / "results.json", output / DEGRADED],
        figures=output / "figures",
        page=output / PAGE,
    )
    return results


def _score_degraded(
    output: Path,
    trained: TrainedRun,
    baselines: Baselines,
    sources: Sequence[Source],
    planes: CheckedPlanes,
    names: Sequence[str],
    formats: Sequence[str],
) -> None:
    """Scores the scan made worse; writes `degraded.json`, `degraded.csv` and a figure."""
    classes = len(trained.facts.label_map.names)
    others = {name: classify for name, classify in baselines.items() if classify is not None}

    def segmenters_on(scans: Sequence[Source]) -> Segmenters:
        there = trained.on(scans)
        return Segmenters(there.segment, there.facts.grey_scales, others)

    ways = len(strengths_of(names))
    logger.info(
        "degrading: %d planes, as they are and in %d strengths of %d degradations: %d to segment",
        len(planes), ways, len(names), len(planes) * (1 + ways),
    )  # fmt: skip
    with Progress("Degrading", len(share_of(planes)) * (1 + ways), "plane") as progress:
        scorer = Scorer(trained.parallel, trained.learner.loss, classes)
        found = score_degraded(
            names, sources, planes, trained.facts.grey_scales, segmenters_on, scorer, classes,
            progress.advance,
        )  # fmt: skip
    if is_first_process():
        write_json(output / DEGRADED, found | provenance())
        degraded.write_csv(output / "degraded.csv", found)
        degraded.draw(output / "figures" / "degraded.png", found, formats)
    print("\n" + degraded.degraded_table(found))
