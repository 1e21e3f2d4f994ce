"""model_card.md: what a trained network is, was made of and is good for, in Hugging Face's format.

The format is that of the Hub: a YAML front matter and sections of Markdown (Mitchell et al. 2019,
doi:10.1145/3287560.3287596, whose questions they answer).
"""

import html
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from xseg_jax.files import one_line
from xseg_jax.report.leaks import leak_line, noun
from xseg_jax.report.methods import methods_text, source_words, split_words
from xseg_jax.report.numbers import count, percent, score
from xseg_jax.report.recipe_words import last_part
from xseg_jax.report.run_folder import RunFolder
from xseg_jax.report.scores import methods_of, verdict
from xseg_jax.report.sources import SOURCES

Json = Mapping[str, Any]

CARD = "model_card.md"
TAGS = ("image-segmentation", "u-net", "x-ray", "tomography", "flax", "xseg_jax")
# What a test says of other data, by how labelled slices were divided.
REACH = {
    "scan": "It was tested on whole scans that it has not seen, imaged and labelled as those that "
    "it was trained on; other instruments and materials were not tested.",
    "z": "It was tested on other heights of the same scans; other scans were not tested.",
    "tiles": "It was tested within the slices that it was trained on; other slices and other scans "
    "were not tested.",
    "group": "It was tested on images of other groups, taken and labelled as those that it was "
    "trained on; other sources were not tested.",
    "random": "It was tested on slices whose neighbours it was trained on: its scores measure "
    "memory, not skill.",
    "none": "It was trained on every label and tested on nothing.",
}
PURPOSES = {
    "train": "for training",
    "validation": "for validation",
    "test": "for testing",
    "between": "between those of training, scored separately",
}
GREY_SCALE = {
    "volume": "Images must have the grey scale of the training images ({dtype}): one mean and one "
    "spread stand for all.",
    "scan": "Each scan is normalised by its own mean and spread: all of it must be given, not "
    "single slices.",
    "image": "Each image is normalised by its own mean and spread: one that shows other shares of "
    "the classes has another grey scale.",
}


def model_card(folder: RunFolder) -> str:
    """The model card of a trained run, as Markdown.

    Args:
      folder: of a run, not of an evaluation.

    Raises:
      ValueError: it is no run.
    """
    if folder.config is None or folder.data is None:
        raise ValueError(f"{folder.path}: a model card is of a trained run")
    parts = {
        "Description": _description(folder),
        "Intended use": _intended(folder.context, folder.data),
        "Limits": _limits(folder, folder.config, folder.data),
        "Training data": _training_data(folder.config, folder.data),
        "Split": _split(folder.config, folder.data),
        "Scores": _scores(folder),
        "How it was made": _methods(folder),
        "How to use": _use(folder.name),
    }
    sections = "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
    return f"---\n{_front_matter(folder)}---\n\n# {_plain(folder.name)}\n\n{sections}\n"


def _plain(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    escaped = html.escape(text, quote=False)
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in escaped)


def _front_matter(folder: RunFolder) -> str:
    """The fields that the Hub reads; JSON's texts and numbers are YAML's."""
    lines = ["library_name: jax", "pipeline_tag: image-segmentation", "tags:"]
    lines += [f"- {tag}" for tag in TAGS]
    results = folder.results
    if results["slices"]:
        lines += ["metrics:", "- accuracy", "- mean_iou"]
        lines += [
            "model-index:",
            f"- name: {json.dumps(folder.name)}",
            "  results:",
            "  - task:",
            "      type: image-segmentation",
            "    dataset:",
            f"      name: {json.dumps(_dataset(folder))}",
            f"      type: {json.dumps(_dataset(folder))}",
            "    metrics:",
            "    - type: accuracy",
            f"      value: {results['accuracy']:.4f}",
            "    - type: mean_iou",
            f"      value: {results['miou']:.4f}",
        ]
    return "\n".join(lines) + "\n"


def _dataset(folder: RunFolder) -> str:
    data = (folder.config or {})["data"]
    return "synthetic tomogram" if data["source"] == "phantom" else last_part(
        data["images"] or data["root"]
    )  # fmt: skip


def _description(folder: RunFolder) -> str:
    results = folder.results
    names = ", ".join(map(_plain, folder.class_names))
    return (
        f"A U-Net of {results['parameters']:,} parameters that segments slices of X-ray scans into "
        f"{len(folder.class_names)} classes: {names}. Trained with xseg_jax in JAX and Flax. "
        f"{verdict(results)['words']}."
    )


def _intended(neighbours: int, data: Json) -> str:
    sees = f", with {count(neighbours, 'neighbour')} on each side" if neighbours else ""
    return (
        f"Segmenting the rest of the scan that it was trained on, and scans that are like it: "
        f"gray slices of {data['dtype']}{sees}, of the same material, instrument and voxel size. "
        "It was not made for diagnosis or for any other decision about people."
    )


def _limits(folder: RunFolder, config: Json, data: Json) -> str:
    said = [REACH[data["split_kind"]]]
    said.append(GREY_SCALE[config["data"]["normalize"]].format(dtype=data["dtype"]))
    pairs = zip(folder.class_names, data["train_pixels"], strict=True)
    unseen = [_plain(name) for name, pixels in pairs if not pixels]
    if unseen:
        said.append(f"It has never seen {', '.join(unseen)}, and never predicts it.")
    calibration = folder.results.get("calibration") or {}
    if calibration.get("temperature") is None:
        said.append("Its probabilities are not calibrated.")
    leak = folder.results.get("leak") or {}
    if (leak.get("leak") or 0) > (leak.get("worry_from") or 1):
        said.append(f"Its test leaks: {leak_line(leak, noun(folder.results))}.")
    if folder.degraded:
        said += _degraded(folder.degraded)
    said += [f"The run warned: {_plain(warning)}" for warning in folder.warnings or ()]
    said.append("It knows the classes above alone, and gives every pixel one of them.")
    return "\n".join(f"- {one}" for one in said)


def _degraded(degraded: Json) -> list[str]:
    """The worst that each degradation did."""
    worst: dict[str, Json] = {}
    network = next(iter(degraded["clean"]))
    for row in degraded["rows"]:
        found = worst.setdefault(row["degradation"], row)
        if row["scores"][network]["miou"] < found["scores"][network]["miou"]:
            worst[row["degradation"]] = row
    clean = degraded["clean"][network]["miou"]
    return [
        f"On a scan made worse by {name.replace('_', ' ')} ({row['strength']:g} {row['unit']}) its "
        f"mean IoU is {score(row['scores'][network]['miou'])}, on the scan as it is {score(clean)}."
        for name, row in worst.items()
    ]


def _training_data(config: Json, data: Json) -> str:
    pixels = data["train_pixels"]
    names = dict.fromkeys(data["label_map"]["classes"])
    rows = [
        f"| {_plain(name)} | {n:,} | {percent(n / sum(pixels))} |"
        for name, n in zip(names, pixels, strict=True)
    ]
    table = "\n".join(("| class | labelled pixels | share |", "| --- | ---: | ---: |", *rows))
    what = _plain(source_words(config))
    return f"{what[0].upper()}{what[1:]}, {data['dtype']}.\n\n{table}"


def _split(config: Json, data: Json) -> str:
    said = f"Divided {split_words(data['split_kind'], config['data']['split']['gap'])}"
    if data["split_kind"] == "none":
        return f"{said}."
    grouped = data["split_kind"] == "group"
    parts = ", ".join(
        f"{count(len(names), 'image' if grouped else 'slice')} {PURPOSES[part]}"
        for part, names in data["split"].items()
        if names
    )
    return f"{said}: {parts}."


def _scores(folder: RunFolder) -> str:
    results = folder.results
    if not results["slices"]:
        return "None: no label is left to score it on."
    methods = methods_of(results)
    head = ["class", *(f"{method}: IoU" for method in methods)]
    rows = [
        [_plain(name), *(score(found["per_class"][name]["iou"]) for found in methods.values())]
        for name in results["per_class"]
    ]
    rows.append(["mean IoU", *(score(found["miou"]) for found in methods.values())])
    rows.append(["pixel accuracy", *(score(found["accuracy"]) for found in methods.values())])
    return (
        f"Of {folder.tested}: {results['pixels']:,} labelled pixels.\n\n"
        f"{_table(head, rows)}\n\n{verdict(results)['line']}".rstrip()
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _methods(folder: RunFolder) -> str:
    text, sources = methods_text(folder)
    listed = "\n".join(f"- {_plain(source)}" for source in sources or [SOURCES["unet"]])
    return f"{_plain(text)}\n\n{listed}"


def _use(name: str) -> str:
    folder = one_line(shlex.quote(f"--workdir={name}"))  # A name may hold spaces.
    return (
        "This folder is the model: put it beside a copy of xseg_jax, and\n\n```\n"
        f"python main.py --mode=predict {folder} --input=scan.tif "
        "--output=segmented.ome.zarr\n```\n\n"
        "`config.json` holds the whole configuration, `results.json` the scores, `report.html` "
        "shows both."
    )
