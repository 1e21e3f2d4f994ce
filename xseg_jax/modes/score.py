"""Scores a run on labelled planes beside its baselines, and writes what a person reads."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xseg_jax.data.planes import Plane
from xseg_jax.data.splits import choose_evenly
from xseg_jax.errors import InputError
from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.baselines import Classify, confusions
from xseg_jax.evaluation.boundaries import (
    TOLERANCE,
    BoundarySums,
    BoundaryTally,
    boundary_scores,
    write_sums,
)
from xseg_jax.evaluation.calibration import Reliability
from xseg_jax.evaluation.evaluate import Evaluation, Scorer
from xseg_jax.evaluation.forest import Forest, Sample
from xseg_jax.evaluation.intervals import intervals, sums_of
from xseg_jax.evaluation.lengths import Pixel, pixel_of, with_lengths
from xseg_jax.files import write_text
from xseg_jax.model.metrics import macro_scores, most_wrong, scores
from xseg_jax.modes.quantities import MEASURED, NETWORK
from xseg_jax.modes.run import Config, DataFacts, formats_of, noun_of
from xseg_jax.modes.shown import keep_slices, pixel_size
from xseg_jax.modes.tested import ClassTally, check_quantities, summary
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.progress import Progress
from xseg_jax.report import figures, reliability
from xseg_jax.report.confusion import confusion
from xseg_jax.report.run_folder import SLICES as SHOWN
from xseg_jax.report.run_folder import TEXT
from xseg_jax.report.table import results_table
from xseg_jax.training.parallel import is_first_process, share_of
from xseg_jax.training.runlog import provenance, write_json

logger = logging.getLogger(__name__)

FOREST = "forest.npz"
"""What a run keeps of its training pixels, so that a forest stands beside any later score."""
BASELINES: Mapping[str, Callable[[TrainedRun], Classify | None]] = {
    "forest": lambda trained: Forest(Sample.read(trained.workdir / FOREST)),
    "thresholding": lambda trained: trained.facts.thresholds,
}
METHODS = {
    "forest": "random forest on multi-scale filters",
    "thresholding": "multi-Otsu thresholding",
}
EARLIER = ("thresholding",)
"""What stood beside the scores of a run whose version knew no other baseline."""
SLICES, BOUNDARIES = "slices.json", "boundaries.npz"
"""What every plane adds to the scores: its confusion matrices, and its boundaries."""
BLOCKS = 4
"""Stretches of z that chance of place is measured by, as in a study."""

Baselines = Mapping[str, Classify | None]
"""Each by its name; None where it is not defined."""


def check_baselines(config: Config) -> tuple[str, ...]:
    """The names of a run's baselines.

    Raises:
      InputError: there is no baseline of a name.
    """
    names = tuple(config.report.get("baselines", EARLIER))
    for name in names:
        if name not in BASELINES:
            raise InputError(
                f"config.report.baselines={names}: there is no {name!r}; choose among "
                f'{", ".join(BASELINES)}, as --config.report.baselines="{tuple(BASELINES)}", or () '
                "for none"
            )
    return names


def tolerance_of(config: Config) -> float:
    """How far boundaries may be apart, in pixels.

    Raises:
      InputError: it is no distance.
    """
    tolerance = config.report.get("tolerance", TOLERANCE)
    if not 0 <= tolerance <= 1000:
        raise InputError(
            f"config.report.tolerance={tolerance}: must be from 0 to 1000 pixels; two is usual"
        )
    return float(tolerance)


def fit_baselines(trained: TrainedRun) -> Baselines:
    """What the network is compared to.

    Raises:
      InputError: the run has no such baseline, or lost what it needs.
    """
    names = check_baselines(trained.config)
    if "baselines" not in trained.config.report:
        logger.info("the run is of an earlier version, which kept nothing that a forest needs")
    return {name: BASELINES[name](trained) for name in names}


def score_and_report(
    output: Path,
    planes: Sequence[Plane],
    trained: TrainedRun,
    baselines: Baselines,
    *,
    split: str,
    leak: dict[str, Any] | None,
    between: Sequence[Plane] = (),
    seconds: Callable[[], float],
) -> dict[str, Any]:
    """Scores planes; writes `results.json`, `slices.json`, `boundaries.npz` and figures.

    Args:
      output: folder.
      planes: to be scored.
      trained: what is scored.
      baselines: what it is compared to.
      split: name of what is scored.
      leak: what `measure_leak` found, if known.
      between: planes between those of training, scored too.
      seconds: tells the time taken so far.

    Returns:
      The contents of `results.json`.
    """
    facts = trained.facts
    names, overlaid = facts.label_map.names, overlaid_class(trained.config, facts)
    scorer = Scorer(trained.parallel, trained.learner.loss, len(names))
    tally = Reliability(len(names), trained.joint_calibration.temperature)
    tolerance, edges = tolerance_of(trained.config), dict[str, BoundarySums]()
    at_edges = BoundaryTally(planes, len(names), tolerance)
    classes = ClassTally(
        check_quantities(trained.config), len(planes) * planes[0].label_HW.size,
        independent=noun_of(facts) == "image",
    )  # fmt: skip

    def look(probability_HWK: np.ndarray, label_HW: np.ndarray) -> None:
        tally(probability_HWK, label_HW)
        class_HW = probability_HWK.argmax(axis=-1).astype(np.uint8)
        at_edges(label_HW, class_HW)
        classes(NETWORK, label_HW, class_HW)

    with Progress("Evaluating", len(share_of(planes)), noun_of(facts)) as progress:
        found = scorer(trained.segment, planes, progress.advance, look)
    calibrated = tally.results(trained.joint_calibration, names)
    edges[NETWORK] = at_edges.sums()
    beside = None
    if len(between):
        confusion_KK = scorer(trained.segment, between).confusion_KK
        beside = {"slices": len(between)} | scores(confusion_KK, names)
    slices_NKK = {NETWORK: found.confusion_NKK}
    for name, classify in baselines.items():
        if classify is not None:
            at_edges = BoundaryTally(planes, len(names), tolerance)

            def look_too(
                label_HW: np.ndarray, class_HW: np.ndarray, name: str = name,
                at_edges: BoundaryTally = at_edges,
            ) -> None:  # fmt: skip
                at_edges(label_HW, class_HW)
                classes(name, label_HW, class_HW)

            many = len(share_of(planes))
            with Progress(f"Evaluating {name}", many, noun_of(facts)) as progress:
                slices_NKK[name] = confusions(
                    classify, planes, facts.grey_scales, len(names), progress.advance, look_too
                )
            edges[name] = at_edges.sums()
    places = [planes[n].place for n in range(len(planes))]
    measured = classes.measured(places, names, facts.voxel_size, NETWORK)
    judged = verdict(slices_NKK, planes, noun_of(facts))
    unit = judged["unit"] if judged else _unit(planes, noun_of(facts))
    pixel = pixel_of(places, facts.voxel_size)
    scored = {name: _scores(slices_NKK[name], edges[name], names, unit, pixel) for name in edges}
    results = (
        {"split": split, "slices": len(planes), "planes": noun_of(facts), "loss": found.loss}
        | scored[NETWORK]
        | {
            "baselines": {
                name: {"method": METHODS[name]} | scored[name] if name in scored else None
                for name in baselines
            },
            "verdict": judged,
            "calibration": calibrated,
            "between": beside,
            "leak": leak,
            "label_map": facts.label_map.to_json(),
        }
        | _provenance(trained)
        | {"seconds": seconds()}
    )
    if is_first_process():
        strongest = judged["against"] if judged else None
        classify = baselines[strongest] if strongest else None
        folder = output / "figures"
        draw_slices(folder, planes, trained, found, calibrated, overlaid, strongest, classify)
        if trained.config.report.get("page", True):  # Runs of earlier versions have no such field.
            keep_slices(output / SHOWN, planes, trained, found)
        slices = [item.name for item in planes]
        rows = {
            name: dict(zip(slices, found_NKK.tolist(), strict=True))
            for name, found_NKK in slices_NKK.items()
        }
        write_json(output / SLICES, rows)
        write_sums(output / BOUNDARIES, edges)
        if measured:
            write_json(output / MEASURED, measured | provenance())
    text = results_table(results)
    if measured:
        text += f"\n{summary(measured, NETWORK, noun_of(facts))}"
    _keep(output, results, text)
    return results


def _keep(output: Path, results: dict[str, Any], text: str) -> None:
    """Prints what was scored, and writes it; the numbers last, for a run that has them is done."""
    if is_first_process():
        write_text(output / TEXT, f"{text}\n", "the table")
        write_json(output / "results.json", results)
    print(text)


def _scores(
    confusion_NKK: np.ndarray,
    edges: BoundarySums,
    names: Sequence[str],
    unit: str,
    pixel: Pixel | None,
) -> dict[str, Any]:
    """What `results.json` says of a method: scores, boundaries and intervals."""
    units = {"units": min(BLOCKS, len(confusion_NKK)), "unit": unit}
    found = intervals(sums_of(confusion_NKK, edges), names, BLOCKS)
    return scores(confusion_NKK.sum(axis=0), names) | {
        "boundaries": with_lengths(boundary_scores(edges.total, names), pixel),
        "intervals": {"level": statistics.LEVEL} | units | found,
    }


def verdict(
    slices_NKK: Mapping[str, np.ndarray], planes: Sequence[Plane], noun: str = "slice"
) -> dict[str, Any] | None:
    """The network's mean IoU beside that of the baseline with the highest.

    Args:
      slices_NKK: confusion matrices of each plane, of the network and of each baseline.
      planes: that they are of, in order along z.
      noun: what a plane is called.

    Returns:
      against, score, difference (network minus baseline), low and high (95% interval over
      stretches of planes, None where these are fewer than `statistics.FEWEST`), units (how many
      stretches), unit (of what), parts (the difference in each); None where there is no baseline.
    """
    baselines = [name for name in slices_NKK if name != NETWORK]
    if not baselines:
        return None
    against = max(baselines, key=lambda name: float(_miou(slices_NKK[name].sum(axis=0))))
    base_BKK, network_BKK = (
        statistics.blocks_of(slices_NKK[name], BLOCKS) for name in (against, NETWORK)
    )
    found = statistics.difference(base_BKK[None], network_BKK[None], _miou, paired=True)
    known = bool(np.isfinite(found.error))
    each_B = _miou(network_BKK) - _miou(base_BKK)
    return {
        "against": against,
        "score": "miou",
        "difference": found.estimate,
        "low": found.low if known else None,
        "high": found.high if known else None,
        "units": len(base_BKK),
        "unit": _unit(planes, noun),
        "parts": [float(one) if np.isfinite(one) else None for one in each_B],
    }


def _unit(planes: Sequence[Plane], noun: str) -> str:
    """What the stretches are that planes are cut into."""
    if len(planes) <= BLOCKS:
        return f"{noun}s"
    places = [planes[n].place for n in range(len(planes))]
    one_scan = len({(place.scan, place.axis) for place in places}) == 1
    numbered = one_scan and all(place.number is not None for place in places)
    return "blocks of z" if numbered and places[0].axis == 0 else f"blocks of {noun}s"


def _miou(confusion_XKK: np.ndarray) -> np.ndarray:
    return macro_scores(confusion_XKK)["miou"]


def report_untested(
    output: Path, trained: TrainedRun, *, seconds: Callable[[], float]
) -> dict[str, Any]:
    """Writes `results.json` of a run that trained on every label, and has nothing to test."""
    results = (
        {
            "split": "none",
            "slices": 0,
            "calibration": trained.joint_calibration.summary(),
            "label_map": trained.facts.label_map.to_json(),
        }
        | _provenance(trained)
        | {"seconds": seconds()}
    )
    _keep(output, results, results_table(results))
    return results


def _provenance(trained: TrainedRun) -> dict[str, Any]:
    leaves = jax.tree.leaves(trained.variables["params"])
    return {"parameters": sum(leaf.size for leaf in leaves)} | provenance()


def overlaid_class(config: Config, facts: DataFacts) -> int | None:
    """Index of the class that is asked for in the collage's overlay; None for the most wrong.

    Raises:
      InputError: no class has the name asked for.
    """
    name, names = config.report.overlay_class, facts.label_map.names
    if name and name not in names:
        raise InputError(
            f"config.report.overlay_class={name!r}: choose one of {', '.join(names)}, or '' for "
            "the most wrong"
        )
    return names.index(name) if name else None


def draw_slices(
    folder: Path,
    planes: Sequence[Plane],
    trained: TrainedRun,
    found: Evaluation,
    calibrated: Mapping[str, Any],
    overlaid: int | None,
    strongest: str | None,
    classify: Classify | None,
) -> None:
    """Draws spread-out planes, the worst planes, the confusion matrix and the reliability.

    Args:
      folder: of the figures.
      planes: that were scored.
      trained: what was scored.
      found: its scores.
      calibrated: its calibration, as in `results.json`.
      overlaid: class in the collage's overlay; None for the one with the lowest IoU in the planes
        that it shows.
      strongest: name of the best baseline, which stands beside it; None for none.
      classify: that baseline.
    """
    names, grey_scales = trained.facts.label_map.names, trained.facts.grey_scales
    known, formats = trained.facts.voxel_size, formats_of(trained.config)

    def examples(indices: Sequence[int], masks: Iterable[np.ndarray]) -> list[figures.Example]:
        items = [planes[index] for index in indices]
        return [
            figures.Example(
                item.name, item.image_HW, item.label_HW, mask_HW,
                pixel_size(known, item.place.axis), known.unit if known else "",
            )
            for item, mask_HW in zip(items, masks, strict=True)
        ]  # fmt: skip

    def by_network(indices: Sequence[int]) -> list[figures.Example]:
        found = trained.segment([planes[index] for index in indices])
        return examples(indices, (one_HWK.argmax(-1).astype(np.uint8) for one_HWK in found))

    chosen = choose_evenly(range(len(planes)), min(3, len(planes)))
    spread, beside = by_network(chosen), None
    if strongest and classify:
        items = [planes[index] for index in chosen]
        masks = [classify(grey_scales.of(item)(item.image_HW)) for item in items]
        beside = strongest, examples(chosen, masks)
    if overlaid is None:
        overlaid = most_wrong(found.confusion_NKK[list(chosen)].sum(axis=0))
    figures.comparison(folder / "comparison.png", spread, names, beside, formats)
    figures.collage(folder / "collage.png", spread, names, overlaid, formats)
    confusion(folder / "confusion.png", found.confusion_KK, names, formats)
    reliability.draw(folder / "calibration.png", calibrated, formats)
    figures.errors(folder / "errors.png", by_network(found.worst(3)), names, formats)
