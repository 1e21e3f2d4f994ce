"""A run in the words of a paper: how it was trained, split and scored, with its sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from xseg_jax.report.leaks import leak_sentence, noun
from xseg_jax.report.measured import unit_words
from xseg_jax.report.numbers import TIMES, count, number, percent, score
from xseg_jax.report.properties import intervals_over
from xseg_jax.report.recipe_words import (
    GREY_SCALES,
    augmentation,
    data_name,
    inference,
    last_part,
    listed,
    network,
    training,
)
from xseg_jax.report.run_folder import RunFolder
from xseg_jax.report.scores import methods_of, seen_in_training, verdict
from xseg_jax.report.sources import IN_TEXT, SOURCES, Cited, of_quantities
from xseg_jax.report.table import too_few

Json = Mapping[str, Any]

AUTHORS = "The xseg_jax developers"
SOFTWARE = "xseg_jax: segmentation of X-ray images with a U-Net in JAX"
SPLITS = {
    "scan": "by whole scans",
    "z": "by contiguous blocks of slices along z of each scan, {gap} voxels apart or more",
    "tiles": "by blocks within the labelled slices, {gap} voxels apart or more",
    "group": "by groups of images that belong together",
    "random": "at random, so that neighbouring slices, which are near-copies, stand in several "
    "parts",
    "none": "not at all: every label trained the network",
}


def methods_text(folder: RunFolder) -> tuple[str, list[str]]:
    """How the results came about, as plain text for the methods section of a paper.

    Args:
      folder: of a run, or of an evaluation.

    Returns:
      The paragraphs, with an empty line between, and the sources that they cite.
    """
    cite = Cited()
    paragraphs = []
    if folder.config is not None and folder.data is not None:
        paragraphs += [
            _data(folder.config, folder.data),
            _training(folder, folder.config, cite),
        ]
    elif folder.evaluation is not None:
        paragraphs.append(_evaluated(folder.evaluation, folder.results))
    paragraphs += [_scoring(folder, cite), _software(folder.results)]
    text = "\n\n".join(" ".join(one) for one in paragraphs if one)
    return text, [SOURCES[key] for key in cite.keys]


def split_words(kind: str, gap: object) -> str:
    """How labelled slices were divided into training, validation and test."""
    return SPLITS[kind].format(gap=gap)


def source_words(config: Json) -> str:
    """What was segmented."""
    data = config["data"]
    if data["source"] == "phantom":
        phantom = data["phantom"]
        step = phantom["z_step"]
        imaged = f", one in {step} of which is imaged" if step > 1 else ""
        return (
            f"a synthetic tomogram of {phantom['depth']} slices of {phantom['size']} {TIMES} "
            f"{phantom['size']} voxels{imaged}, reconstructed from {phantom['projections']} "
            f"projections with {number(phantom['photons'], 3)} photons a detector pixel"
        )
    return f"the images of {data_name(data['images'] or data['root'])}"


def _data(config: Json, data: Json) -> list[str]:
    classes = list(dict.fromkeys(data["label_map"]["classes"]))
    said = [
        f"The data are {source_words(config)} ({data['dtype']}), with labels of {len(classes)} "
        f"classes ({listed(classes)})."
    ]
    if config["data"]["source"] == "phantom":
        said.append(_phantom(config["data"]["phantom"]))
    if known := data.get("voxel_size"):  # Earlier versions did not keep it.
        size = f" {TIMES} ".join(f"{side:.4g}" for side in known["size"])
        said.append(f"Voxels are {size} {unit_words(known['unit'])} (z, y, x).")
    if ignored := data["label_map"]["ignore"]:
        said.append(f"Pixels with a label value of {ignored} count nowhere.")
    said += _split(config["data"], data)
    pixels = data["train_pixels"]
    shares = ", ".join(
        f"{name} {percent(n / sum(pixels))}" for name, n in zip(classes, pixels, strict=True)
    )
    said.append(f"Training had {sum(pixels):,} labelled pixels ({shares}).")
    if leak := leak_sentence(data.get("leak"), _plane(data)):
        said.append(leak)
    return said


def _phantom(phantom: Json) -> str:
    fractions, attenuation = (
        listed([f"{one:g}" for one in phantom[key]]) for key in ("fractions", "attenuation")
    )
    return (
        f"Its phases fill {fractions} of the volume, with a correlation length of "
        f"{phantom['correlation_length']:g} pixels, and attenuate by {attenuation} a pixel, "
        f"{percent(phantom['texture'])} more or less within a phase; the gain of detector pixels "
        f"is off by {percent(phantom['ring_strength'])} and the spectrum is "
        f"{percent(phantom['beam_hardening'])} wide (seed {phantom['seed']})."
    )


def _plane(data: Json) -> str:
    """What a plane is called: images of groups are no slices of a scan."""
    return "image" if data["split_kind"] == "group" else "slice"


def _split(config: Json, data: Json) -> list[str]:
    """How labelled planes were divided, and what was left out."""
    kind, what, split = data["split_kind"], _plane(data), config["split"]
    parts = {name: len(found) for name, found in data["split"].items()}
    ranges = {part: split[part] for part in ("train", "validation", "test") if split[part]}
    how = split_words(kind, split["gap"])
    if kind == "z" and ranges:
        named = {"train": "training", "test": "testing"}
        told = [f"{a} to {b} for {named.get(part, part)}" for part, (a, b) in ranges.items()]
        how = f"by z, {listed(told)}"
    if kind == "group" and split["group_pattern"]:
        how += f" (by {split['group_pattern']} in their names)"
    # Earlier versions have no such field.
    if kind in ("scan", "group", "random") and "seed" in split:
        how += f", drawn by seed {split['seed']}"
    if kind == "none":
        said = [f"All {count(parts['train'], f'labelled {what}')} trained the network."]
    elif data["slabs"] is not None:
        said = [f"Labelled pixels were divided {how}."]
    else:
        said = [
            f"Labelled {what}s were divided {how}: {parts['train']} for training, "
            f"{parts['validation']} for validation and {parts['test']} for testing."
        ]
    if left := data.get("left_out"):  # Earlier versions did not keep it.
        where = "outside of these ranges" if ranges else "in the gaps between them"
        said.append(f"{count(left, what)} {where} {_were(left)} left out.")
    if most := config["train_slices"]:
        said.append(f"No more than {count(most, what)} of the training part trained the network.")
    if n := parts.get("between"):
        said.append(
            f"{count(n, f'more {what}')} between those of training {_were(n)} held out and scored "
            "separately."
        )
    return said


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def _training(folder: RunFolder, config: Json, cite: Cited) -> list[str]:
    steps = max((row["step"] for row in folder.metrics), default=None)
    grey = GREY_SCALES[config["data"]["normalize"]].format(what=noun(folder.results))
    used = config["checkpoint"].get("use", "best")
    validated = bool(folder.data and folder.data["split"]["validation"])
    best = f"The checkpoint with the highest mean IoU on the validation {noun(folder.results)}s"
    return [
        *network(config, folder.results["parameters"], folder.context, cite),
        *training(config, steps, cite),
        augmentation(config["augment"]),
        f"Grey values were normalised {grey}.",
        f"{best if used == 'best' and validated else 'The last checkpoint'} was used.",
        inference(config),
    ]


def _evaluated(evaluation: Json, results: Json) -> list[str]:
    run = last_part(evaluation["run"])
    runs = 1 + len(evaluation.get("others") or ())
    mean = f", and {count(runs - 1, 'other')}, whose mean was taken" if runs > 1 else ""
    said = [
        f"The network of the run {run} (step {evaluation['step']}){mean} was scored on "
        f"{count(results['slices'], 'labelled image')} of {data_name(evaluation['input'])}."
    ]
    if seen := len(seen_in_training(results)):
        said.append(
            f"{seen} of them had trained it, so that these scores are no test of what it makes of "
            "images that it does not know."
        )
    return said


def _scoring(folder: RunFolder, cite: Cited) -> list[str]:
    results = folder.results
    if not results["slices"]:
        return ["Nothing was left to test the network on."]
    said = [
        f"Scores are of all labelled pixels together of {folder.tested} "
        f"({results['pixels']:,} pixels): the U-Net has a pixel accuracy of "
        f"{score(results['accuracy'])} and a mean IoU of {score(results['miou'])}."
    ]
    beside = [
        f"{found['method']}{f' {cite(name)}' if name in IN_TEXT else ''}, "
        f"{score(found['accuracy'])} and {score(found['miou'])}"
        for name, found in list(methods_of(results).items())[1:]
    ]
    if beside:
        said.append(
            f"Baselines, fitted to the same training {noun(results)}s: {'; '.join(beside)}."
        )
    if results.get("verdict"):
        said.append(verdict(results)["line"])
        if results["verdict"]["low"] is not None and not too_few(results["verdict"]):
            said.append(
                f"Intervals are bootstrapped over these {results['verdict']['unit']} "
                f"{cite('pigeonhole', 'rescaled')}; they do not cover the chance of another seed."
            )
    edges = results.get("boundaries") or {}  # Earlier versions scored none.
    if edges.get("surface_dice") is not None:
        said.append(
            f"The surface Dice {cite('surface_dice')}, the share of labelled and predicted "
            f"boundaries within {edges['tolerance']:g} pixels of the other, is "
            f"{score(edges['surface_dice'])}."
        )
    if folder.measured and folder.measured["quantities"]:
        said.append(_measured(folder.measured, cite))
    calibration = results.get("calibration") or {}
    if calibration.get("temperature") is not None and "ece" in calibration:
        said.append(
            f"Probabilities were calibrated by a temperature of {calibration['temperature']:.2f} "
            f"{cite('temperature')}, fitted on the validation {noun(results)}s; their expected "
            f"calibration error goes from {score(calibration['ece_before'])} to "
            f"{score(calibration['ece'])}."
        )
    return said


def _measured(measured: Json, cite: Cited) -> str:
    """What was measured of the tested part, with its sources."""
    names = list(dict.fromkeys(one["label"] for one in measured["quantities"]))
    over = intervals_over(measured)
    of = f"; intervals: {', '.join(over)}" if over else ""
    how = "" if measured["dimension"] == 3 else ", estimated from single slices"
    if measured.get("independent"):
        how = ""
    said = f"Measured of prediction and labels{how}: {listed(names)}{of}"
    return f"{said} {cite(*of_quantities(measured))}."


def _software(results: Json) -> list[str]:
    packages = results["packages"]
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("jax", "flax", "optax") if name in packages
    )
    commit = f", commit {results['git_commit'][:12]}" if results["git_commit"] else ""
    python = f", Python {packages['python']}" if "python" in packages else ""
    return [f"Software: xseg_jax{commit}, with {versions}{python}, on {results['device']}."]


def citation(results: Json, sources: Sequence[str]) -> dict[str, Any]:
    """How to cite the software, and what a run with it stands on."""
    commit = results["git_commit"]
    at = f" Commit {commit}." if commit else ""
    bibtex = "\n".join((
        "@misc{xseg_jax,",
        "  author = {{" + AUTHORS + "}},",
        "  title = {{" + SOFTWARE + "}},",
        *([f"  note = {{Commit {commit}}},"] if commit else []),
        "}",
    ))  # fmt: skip
    return {"text": f"{AUTHORS}. {SOFTWARE}.{at}", "bibtex": bibtex, "sources": list(sources)}
