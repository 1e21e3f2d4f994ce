"""Looks at scans and labels before training: what they are, and a config that trains on them."""

import hashlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs import radiograph, scan
from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.checks import Checked, check
from xseg_jax.data.fingerprint import Fingerprint, fingerprint
from xseg_jax.data.images import label_values
from xseg_jax.data.label_facts import LabelFacts, label_facts
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.pairs import FOLDERS, folder_of
from xseg_jax.data.resemblance import UNLIKE, resemblance
from xseg_jax.data.sources import Slices, Source
from xseg_jax.errors import InputError
from xseg_jax.files import content_hash, one_line, user_path, write_text
from xseg_jax.inference.cost import Estimate, estimate, pace_of
from xseg_jax.model.unet import UNet
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.inputs import (
    describe_sources,
    find_planes,
    images_in,
    is_image,
    refuse_unclear,
    sources_of,
    split_at,
    split_in_words,
    unlabelled_beside,
)
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.recipe import CROP, Choice, choose, text_of
from xseg_jax.modes.run import Config, formats_of, make_augment, steps_per_epoch
from xseg_jax.modes.sheet import panels_of
from xseg_jax.modes.to_label import beside, what_to_label
from xseg_jax.report.contact_sheet import Panel, contact_sheet
from xseg_jax.report.fingerprint import lines_to_label, words
from xseg_jax.report.paper import files_of
from xseg_jax.scans.scan import split_source
from xseg_jax.training.parallel import AXIS, Parallel, is_first_process
from xseg_jax.training.runlog import read_json, write_json

logger = logging.getLogger(__name__)

RECORD, SHEET, CONFIG = "fingerprint.json", "contact_sheet.png", "config.py"
WHAT_SCANS = "What is not set here is as in configs/scan.py."
WHAT_IMAGES = (
    "What is not set here is as in configs/radiograph.py, the recipe for images that are no slices "
    "of a scan."
)


@dataclass(frozen=True)
class Labelled:
    """Labelled planes that were checked, and what was measured of them."""

    planes: Sequence[LabelledPlane]
    checked: Checked
    facts: LabelFacts

    def label(self, index: int) -> np.ndarray:
        """Class indices (H, W) uint8 of a plane, 255 where it is not labelled."""
        return _label_of(self.planes[index], self.checked)


def run(
    source: Path,
    output: Path,
    *,
    config: Config,
    labels: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `fingerprint.json`, `contact_sheet.png` and `config.py`; prints the first in words.

    Args:
      source: a scan, a folder of them, or one that holds images|data and maybe labels|masks.
      output: folder, made if missing.
      config: configs/scan.py with the changes.
      labels: of the scan; None where `source` holds them, or there are none.
      changes: dotted fields that the command line gave, which stay as they are.

    Returns:
      The contents of `fingerprint.json`.

    Raises:
      InputError: a file cannot be used, or `output` holds files of somebody else, or a config
        that was changed since it was written.
    """
    changes = dict(changes or {})
    images, labels = _paths(source, labels)
    own = _check_output(output, images)
    formats = formats_of(config)
    sources, independent = _open(config, images)
    # What labels cannot be used is refused before the scan is read.
    planes = _find(config, sources, labels, independent) if labels else []
    said = f"; {len(planes)} labelled by {labels}" if labels else ""
    shown = each_image(sources) if independent else sources
    first_lines(data=f"{images}, {describe_sources(shown)}{said}")
    prints = _fingerprints(sources, independent)
    by_names = config.data.split.kind == "auto" and not independent
    if by_names and any(one.sizes > 1 for one in prints):
        logger.info(
            "%s: images have several sizes: they are taken for independent; "
            "--config.data.split.kind=z takes them for slices", images,
        )  # fmt: skip
        independent = True
        sources = _as_images(sources)
        planes = _find(config, sources, labels, independent) if labels else []
        prints = _fingerprints(sources, independent)
    labelled = _measure_labels(config, planes) if labels else None
    to_label = None if labelled else what_to_label(
        prints, config, independent=independent, given="data.split.gap" in changes
    )  # fmt: skip
    if independent:
        config = _of_images(changes)
    choices = choose(
        config, prints, labelled.facts if labelled else None, images=images,
        labels_path=labels or "", classes=_classes(labelled), independent=independent,
        to_label=to_label, given=changes, alone=_alone(config, sources, planes),
    )  # fmt: skip
    config.update_from_flattened_dict({choice.field: choice.value for choice in choices})
    check_effects(config, [*changes])
    split, validated = None, 1
    if labelled:
        parts = split_at(
            config, [one.name for one in planes], [one.place for one in planes],
            labelled.label, len(labelled.facts.names),
        )  # fmt: skip
        split = split_in_words(config, parts, len(planes), unlabelled_beside(sources, planes))
        validated = len(parts.validation)
        if parts.kind in ("tiles", "none") and config.data.split.kind == "auto":
            wanted = what_to_label(prints, scan.get_config(), independent=False)
            to_label = beside(wanted, prints, planes)
    noun = "image" if independent else "plane"
    panels, drawn = panels_of(
        sources, prints, planes, labelled.label if labelled else _unlabelled, noun
    )
    found = {
        "input": images,
        "labels_from": labels,
        "independent_images": independent,
        "scans": [one.to_json() for one in prints],
        "labels": labelled.facts.to_json() if labelled else None,
        "split": split,
        "to_label": to_label and to_label.to_json(),
        "sheet": drawn,
        "estimate": _estimate(config, prints, labelled, validated).to_json(),
        "choices": {choice.field: {"value": choice.value, "why": choice.why} for choice in choices},
    }
    with working_in(output, "--output"):
        if is_first_process():
            _write(output, found, choices, panels, labelled, formats, own)
    print(words(found))
    last_lines(
        results=output / RECORD,
        figures=[*files_of(output / SHEET, formats)],
        config=output / CONFIG,
    )
    print(one_line(f"next: {_next(output, images, changes, labelled=labelled is not None)}"))
    return found


def _next(output: Path, images: str, changes: Mapping[str, Any], *, labelled: bool) -> str:
    """What to do with what was found, as commands to paste."""
    if labelled:
        return f"train by {_training(output)}"
    given = [f"--config.{field}={value}" for field, value in changes.items()]
    again = ["--mode=inspect", f"--input={images}", "--labels=LABELS", f"--output={output}"]
    look = shlex.join(["python", "main.py", *again, *given])
    return f"label, then look again with the path of your labels, by {look}"


def _training(output: Path) -> str:
    return shlex.join(["python", "main.py", f"--config={output / CONFIG}", "--workdir=runs/NAME"])


def _of_images(changes: Mapping[str, Any]) -> Config:
    """The recipe of independent images, with what the command line gave."""
    config = radiograph.get_config()
    own = {"data.classes": "", "data.skip_unlabelled": True}
    config.update_from_flattened_dict(own | dict(changes))
    return config


def _unlabelled(index: int) -> np.ndarray:
    raise AssertionError(f"nobody has labelled plane {index}")


def _paths(source: Path, labels: str | None) -> tuple[str, str | None]:
    """Absolute paths of images and labels, as an input names them."""
    images = images_in(source)
    both = images != str(source) and any((source / name).is_dir() for name in FOLDERS["labels"])
    if labels is None and both:
        labels = str(folder_of(source, "labels"))
    return _absolute(images), _absolute(labels) if labels else None


def _absolute(path: str) -> str:
    place, inside = split_source(path)
    whole = str(user_path(place).absolute())
    return f"{whole}::{inside}" if inside else whole


def _check_output(output: Path, images: str) -> str | None:
    """Refuses a folder that is part of the input, and files that inspection did not write.

    Returns:
      What the config had been when inspection wrote it, where somebody has changed it since: it
      stays. Else None.
    """
    place = Path(split_source(images)[0])
    if place.is_dir() and output.absolute().resolve().is_relative_to(place.resolve()):
        raise InputError(f"{output}: is in the folder of the images; choose another --output")
    if not (output / RECORD).exists():
        written = (*files_of(output / SHEET), output / CONFIG)
        refuse_foreign(written, "an inspection", "--output")
        return None
    wrote = read_json(output / RECORD).get("config_hash")
    if not (output / CONFIG).exists() or content_hash(output / CONFIG) == wrote:
        return None
    logger.info(
        "%s: was changed since --mode=inspect wrote it, and stays as it is; what is chosen now "
        "stands in %s, and in a config where it is moved away", output / CONFIG, output / RECORD,
    )  # fmt: skip
    return wrote or ""


def _open(config: Config, images: str) -> tuple[list[Source], bool]:
    """The scans, independent images as one list of them."""
    sources = sources_of(config, images)
    if len(sources) > 1 and all(map(is_image, sources)):
        return _as_images(sources), True
    refuse_unclear(sources)
    if config.data.split.kind == "auto" and independent_images(sources, images):
        return _as_images(sources), True
    return sources, False


def independent_images(sources: Sequence[Source], images: str) -> bool:
    """Whether slices of one folder resemble their neighbours no more than others; says so.

    Args:
      sources: where nobody has said what they are.
      images: what was given, for the notice.
    """
    if len(sources) != 1 or not isinstance(sources[0], Slices):
        return False
    likeness = resemblance(sources[0])
    if likeness is None or likeness[0] - likeness[1] >= UNLIKE:
        return False
    logger.info(
        "%s: images are taken for independent: they correlate with the next one by %.2f, with "
        "others by %.2f; --config.data.split.kind=z takes them for slices", images, *likeness,
    )  # fmt: skip
    return True


def each_image(sources: Sequence[Source]) -> list[Source]:
    """The files of folders of slices as images of their own, each a scan."""
    return [
        Slices(file.stem, [file], [None])
        for source in sources
        if isinstance(source, Slices)
        for file in source.files
    ]


def _as_images(sources: Sequence[Source]) -> list[Source]:
    """Independent images as one list without order."""
    files = [file for source in sources if isinstance(source, Slices) for file in source.files]
    return [Slices(files[0].parent.name, files, [None] * len(files))]


def _alone(config: Config, sources: Sequence[Source], planes: Sequence[LabelledPlane]) -> bool:
    """Whether most labelled planes, or most planes, lack the neighbours that a network sees."""
    places = [(one.source, one.index, one.place.axis) for one in planes]
    places = places or [(one, index, 0) for one in sources for index in range(len(one))]
    context = config.data.context
    there = sum(one.has_neighbours(index, context, axis) for one, index, axis in places)
    return context > 0 and 2 * there < len(places)


def _fingerprints(sources: Sequence[Source], independent: bool) -> list[Fingerprint]:
    return [fingerprint(source, ordered=not independent) for source in sources]


def _find(
    config: Config, sources: Sequence[Source], labels: str, independent: bool
) -> list[LabelledPlane]:
    """The labelled planes; each of independent images is a scan of its own, as in training."""
    return find_planes(config, each_image(sources) if independent else sources, labels)


def _measure_labels(config: Config, planes: Sequence[LabelledPlane]) -> Labelled:
    """Checks all labels as training does, and measures them."""
    data = config.data
    known = LabelMap.parse(data.classes, data.ignore) if data.classes else None
    checked = check(planes, known, data.ignore, one_type=False)
    facts = label_facts(
        checked.label_map.names,
        [one.name for one in planes],
        [one.place for one in planes],
        lambda index: _label_of(planes[index], checked),
    )
    return Labelled(planes, checked, facts)


def _label_of(plane: LabelledPlane, checked: Checked) -> np.ndarray:
    values = label_values(plane.picture(), checked.convention)
    return checked.label_map.encode(values, Path(plane.label_where))


def _classes(labelled: Labelled | None) -> str:
    """As `LabelMap.parse` takes it."""
    if labelled is None:
        return ""
    known = labelled.checked.label_map
    pairs = zip(known.values, known.classes, strict=True)
    return ",".join(f"{value}:{name}" for value, name in pairs)


def _estimate(
    config: Config, prints: Sequence[Fingerprint], labelled: Labelled | None, validated: int
) -> Estimate:
    """Minutes and memory, from timed steps of the network that the config has."""
    classes = len(labelled.facts.names) if labelled else 2
    parallel = Parallel.choose(config.parallel.mode, config.batch_size, config.parallel.accumulate)
    model = UNet(classes=classes, axis_name=AXIS, **config.model)
    logger.info("timing training steps of the network, which is compiled first")
    channels = 2 * config.data.context + 1
    pace = pace_of(
        model, parallel, make_augment(config),
        crop=min(CROP, config.data.crop), channels=channels,
    )  # fmt: skip
    shape = (max(one.shape[1] for one in prints), max(one.shape[2] for one in prints))
    pixels = shape[0] * shape[1]
    planes = len(labelled.planes) if labelled else 1
    held = planes * pixels * (1 + channels * max(np.dtype(one.dtype).itemsize for one in prints))
    return estimate(
        pace, parallel, features=config.model.features, patch=config.model.patch,
        crops=config.epochs * steps_per_epoch(config) * config.batch_size, crop=config.data.crop,
        batch_size=config.batch_size, validation_pixels=config.epochs * validated * pixels,
        data_bytes=min(held, int(config.data.memory_gib * 2**30)),
        planes=sum(one.shape[0] for one in prints), shape=shape, tile=config.inference.tile,
        overlap=config.inference.overlap, inference_batch=config.inference.batch_size,
    )  # fmt: skip


def _write(
    output: Path,
    found: dict[str, Any],
    choices: Sequence[Choice],
    panels: Sequence[Panel],
    labelled: Labelled | None,
    formats: Sequence[str],
    own: str | None,
) -> None:
    """Writes the three files; first the record, which says whose the others are.

    A config that somebody has changed stays; `own` names what it had been.
    """
    notes = [
        f"Train with: {_training(output)}, from the folder of main.py.",
        WHAT_IMAGES if found["independent_images"] else WHAT_SCANS,
    ]
    if found["split"]:
        notes.append(f"With these labels the split is {found['split']}.")
    if labelled is None:
        notes.append("Set config.data.labels before you train.")
    if found["to_label"]:
        notes += lines_to_label(found["to_label"])
    notes += [
        f"Suspicion in {scan['name']}: {one['text']}"
        for scan in found["scans"] for one in scan["suspicions"]
    ]  # fmt: skip
    base = "radiograph" if found["independent_images"] else "scan"
    text = text_of(choices, notes, base)
    digest = hashlib.blake2b(text.encode(errors="backslashreplace")).hexdigest()
    write_json(output / RECORD, found | {"config_hash": digest if own is None else own})
    names = labelled.facts.names if labelled else ()
    contact_sheet(output / SHEET, panels, names, formats, found["sheet"])
    if own is None:
        write_text(output / CONFIG, text, "this config")
