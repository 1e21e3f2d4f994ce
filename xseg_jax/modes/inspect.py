"""Looks at scans and labels before training: what they are, and a config that trains on them."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.checks import Checked, check
from xseg_jax.data.fingerprint import Fingerprint, fingerprint
from xseg_jax.data.images import label_values
from xseg_jax.data.label_facts import LabelFacts, label_facts
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.pairs import FOLDERS, folder_of
from xseg_jax.data.resemblance import UNLIKE, resemblance
from xseg_jax.data.sources import Slices, Source
from xseg_jax.data.splits import choose_evenly
from xseg_jax.errors import InputError
from xseg_jax.files import content_hash, user_path, write_text
from xseg_jax.inference.cost import Estimate, estimate, seconds_per_pixel
from xseg_jax.model.unet import UNet
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.inputs import (
    describe,
    describe_sources,
    find_planes,
    images_in,
    is_image,
    refuse_unclear,
    sources_of,
    split_at,
)
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.recipe import CROP, Choice, choose, text_of, what_to_label
from xseg_jax.modes.run import Config, formats_of, make_augment, steps_per_epoch
from xseg_jax.modes.shown import pixel_size
from xseg_jax.report.contact_sheet import Panel, contact_sheet
from xseg_jax.report.fingerprint import words
from xseg_jax.report.paper import files_of
from xseg_jax.scans.scan import split_source
from xseg_jax.scans.voxels import VoxelSize
from xseg_jax.training.parallel import AXIS, Parallel, is_first_process
from xseg_jax.training.runlog import read_json, write_json

logger = logging.getLogger(__name__)

RECORD, SHEET, CONFIG = "fingerprint.json", "contact_sheet.png", "config.py"
LABELLED_PANELS, OTHER_PANELS = 6, 8


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
    _check_output(output, images)
    formats = formats_of(config)
    sources, independent = _open(config, images)
    # What labels cannot be used is refused before the scan is read.
    planes = _find(config, sources, labels, independent) if labels else []
    said = f"; {len(planes)} labelled by {labels}" if labels else ""
    first_lines(data=f"{images}, {describe_sources(sources)}{said}")
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
    choices = choose(
        config, prints, labelled.facts if labelled else None, images=images,
        labels_path=labels or "", classes=_classes(labelled), independent=independent,
        given=changes,
    )  # fmt: skip
    config.update_from_flattened_dict({choice.field: choice.value for choice in choices})
    check_effects(config, [*changes])
    split = to_label = None
    if labelled:
        parts = split_at(
            config, [one.name for one in labelled.planes], [one.place for one in labelled.planes],
            labelled.label, len(labelled.facts.names),
        )  # fmt: skip
        split = (
            describe(parts)
            + ": "
            + ", ".join(
                f"{len(indices)} planes in {part}" for part, indices in parts.parts().items()
            )
            + (
                f", {len(parts.between)} held out between those of training"
                if parts.between
                else ""
            )
        )
        validated = len(parts.validation)
    else:
        chosen = [what_to_label(one, independent=independent) for one in prints]
        to_label = {
            "planes": [name for names, _ in chosen for name in names],
            "why": "; ".join(dict.fromkeys(why for _, why in chosen)),
        }
        validated = 1
    found = {
        "input": images,
        "labels_from": labels,
        "independent_images": independent,
        "scans": [one.to_json() for one in prints],
        "labels": labelled.facts.to_json() if labelled else None,
        "split": split,
        "to_label": to_label,
        "estimate": _estimate(config, prints, labelled, validated).to_json(),
        "choices": {choice.field: {"value": choice.value, "why": choice.why} for choice in choices},
    }
    panels = _panels(sources, prints, labelled)
    with working_in(output, "--output"):
        if is_first_process():
            _write(output, found, choices, panels, labelled, formats)
    print(words(found))
    last_lines(
        results=output / RECORD,
        figures=[*files_of(output / SHEET, formats)],
        config=output / CONFIG,
    )
    what = "train" if labelled else f"set config.data.labels in {output / CONFIG}, then train"
    print(f"next: {what} by python main.py --config={output / CONFIG} --workdir=runs/NAME")
    return found


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


def _check_output(output: Path, images: str) -> None:
    """Refuses a folder that is part of the input, and files that inspection did not write."""
    place = Path(split_source(images)[0])
    if place.is_dir() and output.absolute().resolve().is_relative_to(place.resolve()):
        raise InputError(f"{output}: is in the folder of the images; choose another --output")
    if not (output / RECORD).exists():
        written = (*files_of(output / SHEET), output / CONFIG)
        refuse_foreign(written, "an inspection", "--output")
        return
    wrote = read_json(output / RECORD).get("config_hash")
    if (output / CONFIG).exists() and content_hash(output / CONFIG) != wrote:
        raise InputError(
            f"{output / CONFIG}: was changed since --mode=inspect wrote it; move it away, or "
            "choose another --output"
        )


def _open(config: Config, images: str) -> tuple[list[Source], bool]:
    """The scans, independent images as one list of them."""
    sources = sources_of(config, images)
    if len(sources) > 1 and all(map(is_image, sources)):
        return _as_images(sources), True
    refuse_unclear(sources)
    if len(sources) == 1 and isinstance(sources[0], Slices) and config.data.split.kind == "auto":
        likeness = resemblance(sources[0])
        if likeness and likeness[0] - likeness[1] < UNLIKE:
            logger.info(
                "%s: images are taken for independent: they correlate with the next one by %.2f, "
                "with others by %.2f; --config.data.split.kind=z takes them for slices",
                images, *likeness,
            )  # fmt: skip
            return _as_images(sources), True
    return sources, False


def _as_images(sources: Sequence[Source]) -> list[Source]:
    """Independent images as one list without order."""
    files = [file for source in sources if isinstance(source, Slices) for file in source.files]
    return [Slices(files[0].parent.name, files, [None] * len(files))]


def _fingerprints(sources: Sequence[Source], independent: bool) -> list[Fingerprint]:
    return [fingerprint(source, ordered=not independent) for source in sources]


def _find(
    config: Config, sources: Sequence[Source], labels: str, independent: bool
) -> list[LabelledPlane]:
    """The labelled planes; each of independent images is a scan of its own, as in training."""
    if independent:
        sources = [
            Slices(file.stem, [file], [None])
            for source in sources if isinstance(source, Slices) for file in source.files
        ]  # fmt: skip
    return find_planes(config, sources, labels)


def _measure_labels(config: Config, planes: Sequence[LabelledPlane]) -> Labelled:
    """Checks all labels as training does, and measures them."""
    data = config.data
    known = LabelMap.parse(data.classes, data.ignore) if data.classes else None
    checked = check(planes, known, data.ignore, context=data.context, one_type=False)
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
    """Minutes and memory, from one timed step of the network that the config has."""
    classes = len(labelled.facts.names) if labelled else 2
    parallel = Parallel.choose(config.parallel.mode, config.batch_size, config.parallel.accumulate)
    model = UNet(classes=classes, axis_name=AXIS, **config.model)
    logger.info("timing a training step of the network, which is compiled first")
    channels = 2 * config.data.context + 1
    seconds = seconds_per_pixel(
        model, parallel, make_augment(config),
        crop=min(CROP, config.data.crop), channels=channels,
    )  # fmt: skip
    shape = (max(one.shape[1] for one in prints), max(one.shape[2] for one in prints))
    pixels = shape[0] * shape[1]
    planes = len(labelled.planes) if labelled else 1
    held = planes * pixels * (1 + channels * max(np.dtype(one.dtype).itemsize for one in prints))
    return estimate(
        seconds, parallel, features=config.model.features, patch=config.model.patch,
        crops=config.epochs * steps_per_epoch(config) * config.batch_size, crop=config.data.crop,
        batch_size=config.batch_size, validation_pixels=config.epochs * validated * pixels,
        data_bytes=min(held, int(config.data.memory_gib * 2**30)),
        planes=sum(one.shape[0] for one in prints), shape=shape, tile=config.inference.tile,
        overlap=config.inference.overlap, inference_batch=config.inference.batch_size,
    )  # fmt: skip


def _panels(
    sources: Sequence[Source], prints: Sequence[Fingerprint], labelled: Labelled | None
) -> list[Panel]:
    """Labelled planes, planes under suspicion, and others, evenly spread."""
    panels = []
    if labelled:
        planes = labelled.planes
        for index in choose_evenly(range(len(planes)), min(LABELLED_PANELS, len(planes))):
            one = planes[index]
            image_HW = one.source.image(one.index, one.place.axis)
            size = _pixel_size(one.source, one.place.axis)
            panels.append(Panel(one.name, image_HW, labelled.label(index), *size))
    each = max(1, OTHER_PANELS // len(sources))
    shown = {panel.title for panel in panels}
    for source, found in list(zip(sources, prints, strict=True))[:OTHER_PANELS]:
        looks = {look.name: look for look in found.looks}
        kinds = {one.plane: one.kind for one in found.suspicions if one.plane in looks}
        suspect = list(kinds)[: each // 2]
        rest = [name for name in looks if name not in {*shown, *suspect}]
        spread = [rest[i] for i in choose_evenly(range(len(rest)), min(each, len(rest)))]
        for name in [*suspect, *spread][:each]:
            title = f"{name}: {kinds[name]}?" if name in suspect else name
            image_HW = source.image(looks[name].index)
            panels.append(Panel(title, image_HW, None, *_pixel_size(source, 0)))
    return panels


def _pixel_size(source: Source, axis: int) -> tuple[float | None, str]:
    """Length of a pixel of planes across an axis, and its unit, as the files say."""
    known = VoxelSize.of([source.geometry])
    return pixel_size(known, axis), known.unit if known else ""


def _write(
    output: Path,
    found: dict[str, Any],
    choices: Sequence[Choice],
    panels: Sequence[Panel],
    labelled: Labelled | None,
    formats: Sequence[str],
) -> None:
    """Writes the three files; first the record, which says whose the others are."""
    notes = [
        f"Train with: python main.py --config={output / CONFIG} --workdir=runs/NAME, from the "
        "folder of main.py.",
    ]
    if found["split"]:
        notes.append(f"With these labels the split is {found['split']}.")
    if labelled is None:
        chosen = found["to_label"]
        notes.append(
            "Set config.data.labels before you train. To label: "
            f"{', '.join(chosen['planes'])} ({chosen['why']})."
        )
    notes += [
        f"Suspicion in {scan['name']}: {one['text']}"
        for scan in found["scans"] for one in scan["suspicions"]
    ]  # fmt: skip
    text = text_of(choices, notes)
    digest = hashlib.blake2b(text.encode(errors="backslashreplace")).hexdigest()
    write_json(output / RECORD, found | {"config_hash": digest})
    names = labelled.facts.names if labelled else ()
    contact_sheet(output / SHEET, panels, names, formats)
    write_text(output / CONFIG, text, "this config")
