"""Segments every image of a folder: a label image of each, and maps of it in folders beside."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tifffile

from xseg_jax.data.planes import Plane
from xseg_jax.data.sources import Source, Volume
from xseg_jax.errors import InputError
from xseg_jax.files import make_folder
from xseg_jax.inference.ranking import write_ranks
from xseg_jax.inference.record import Record
from xseg_jax.inference.volume import (
    BETWEEN_RUNS,
    FULL,
    LABEL,
    PROBABILITIES,
    UNCERTAINTY,
    disagreement,
    entropy,
    scaled,
)
from xseg_jax.modes.folders import agree, refuse_foreign, working_in
from xseg_jax.modes.inputs import describe_sources, sources_of
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.run import GreyScaleWatch, noun_of, pixel_hash
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.progress import Progress
from xseg_jax.scans.write_tiff import write_image
from xseg_jax.training.parallel import share_of, wait_for_processes
from xseg_jax.training.runlog import read_json, refuse_other, write_json

logger = logging.getLogger(__name__)

CLAIM = "prediction.json"
"""Says which run segmented which folder, and how."""
OTHER = "this folder holds what was predicted otherwise; choose another --output or remove it"
CHANNELS, TEMPERATURE = "probability_channels", "temperature"
MEANING = frozenset({"classes", CHANNELS, "planes"})
"""What it says of values, channels and planes; claims of earlier versions do not."""
ADDED = frozenset({"probabilities", "uncertainty"})
"""What it says of maps, which can be added later."""
RANKS = "next.csv"
LONGEST_NAME = 255
"""Bytes, on the usual file systems."""


def predict(
    trained: TrainedRun,
    source: Path,
    output: Path,
    made_by: Mapping[str, Any],
    uses: Mapping[str, str],
) -> None:
    """Writes one label TIFF an image, under the image's stem, and what else is asked for.

    Maps lie in folders of their own, OUTPUT_uncertainty and the like: whoever reads the folder of
    labels finds labels alone.
    """
    sources = sources_of(trained.config, str(source))
    first_lines(data=f"{source}, {describe_sources(sources)}", **uses)
    trained = trained.on(sources)
    images = [Image(one, index) for one in sources for index in range(len(one))]
    # The label last: where it exists, all of its image is done.
    uncertainty = UNCERTAINTY in made_by
    maps = [PROBABILITIES] * made_by["probabilities"] + [UNCERTAINTY] * uncertainty
    maps += [BETWEEN_RUNS] * (uncertainty and len(trained.runs) > 1)
    folders = {name: folder_of(output, name) for name in (*maps, LABEL)}
    outputs = {
        image.name: {name: folder / f"{image.name}.tif" for name, folder in folders.items()}
        for image in images
    }
    check_names(images, output)
    made_by = dict(made_by) | _meaning(trained, probabilities=made_by["probabilities"])
    claim_of(output / CLAIM, made_by)
    with working_in(output, "--output"):
        _segment(trained, images, outputs, output, made_by, maps)
    last_lines(
        labels=output, **{name: folders[name] for name in maps}, record=output / CLAIM,
        next=output / RANKS,
    )  # fmt: skip


def folder_of(output: Path, name: str) -> Path:
    """Where labels, or a map, of the images of a folder are."""
    whole = output.resolve() if output.name in ("", "..") else output
    return output if name == LABEL else whole.with_name(f"{whole.name}_{name}")


def claim_of(path: Path, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder says of itself once this is in it: its maps stay, and others may come.

    Raises:
      InputError: the folder is that of another prediction.
    """
    old: Mapping[str, Any] = read_json(path) if path.exists() else {}
    had_maps, has_maps = (any(one.get(field) for field in ADDED) for one in (old, made_by))
    kept = {field: old[field] for field in (*ADDED, CHANNELS) if old.get(field)}
    if had_maps and not has_maps and TEMPERATURE in old:
        kept[TEMPERATURE] = old[TEMPERATURE]
    claimed = dict(made_by) | kept
    # What has no maps yet has no temperature.
    free = MEANING | ADDED | (frozenset() if had_maps else {TEMPERATURE})
    refuse_other(path, claimed, free=free, meaning=OTHER)
    return claimed


@dataclass(frozen=True)
class Image:
    """A plane of a scan that is to be segmented."""

    source: Source
    index: int

    @property
    def name(self) -> str:
        """What its output is called."""
        # One picture is called as its file, and not as plane 0 of a volume.
        alone = isinstance(self.source, Volume) and len(self.source) == 1
        return self.source.name if alone else self.source.plane_name(self.index)

    @property
    def where(self) -> str:
        """What an error calls it."""
        return self.source.where(self.index)


def _segment(
    trained: TrainedRun,
    images: Sequence[Image],
    outputs: Mapping[str, Mapping[str, Path]],
    output: Path,
    made_by: Mapping[str, Any],
    maps: Sequence[str],
) -> None:
    folders = {name: folder_of(output, name) for name in (*maps, LABEL)}
    records = {name: Record(folder, jax.process_index()) for name, folder in folders.items()}
    mine = [images[place] for place in share_of(images)]

    def begin() -> None:
        claimed = claim_of(output / CLAIM, made_by)
        for name, record in records.items():
            paths = [found[name] for found in outputs.values()]
            refuse_others_files(record, paths, known=(output / CLAIM).exists())
        for folder in folders.values():
            make_folder(folder, "this folder")
        write_json(output / CLAIM, claimed)

    agree(begin)
    context = trained.context
    old = [image for image in mine if all(map(Path.exists, outputs[image.name].values()))]
    done = {image for image in old if _is_done(records, image, trained, outputs[image.name])}
    if changed := [image for image in old if image not in done]:
        logger.info(
            "changed since they were segmented, and segmented anew: %d, %s for one",
            len(changed), changed[0].where,
        )  # fmt: skip
    todo = [image for image in mine if image not in done]
    watch = GreyScaleWatch(*trained.grey_scales)
    hashes, label_map = {}, trained.facts.label_map
    classes = {"classes": label_map.written()}
    channels = {"channels": label_map.names, "hold": "class probabilities"}
    told = {PROBABILITIES: channels, LABEL: classes}

    def read() -> Iterator[Plane]:
        for image in todo:
            plane = image.source.plane(image.index, context)
            hashes[image] = made_from(trained, plane)
            trained.check_pixel_type(image.where, plane.image_HWC.dtype)
            watch(image.where, plane)
            yield plane

    found_of = trained.segment_each(read(), labels_alone=not maps)
    with Progress("Segmenting", len(mine), "image", len(done)) as progress:
        for image, probability_MHWK in zip(todo, found_of, strict=True):
            probability_HWK = probability_MHWK.mean(axis=0)
            found = {
                PROBABILITIES: lambda p_HWK=probability_HWK: p_HWK.transpose(2, 0, 1),
                UNCERTAINTY: lambda p_HWK=probability_HWK: scaled(entropy(p_HWK)),
                BETWEEN_RUNS: lambda p_MHWK=probability_MHWK: scaled(disagreement(p_MHWK)),
            }
            found[LABEL] = lambda p_HWK=probability_HWK: label_map.decode(p_HWK.argmax(axis=-1))
            for name, path in outputs[image.name].items():
                legend = label_map.image_legend if name == LABEL else None
                with records[name].writing(path, hashes[image]) as draft:
                    write_image(draft, found[name](), legend=legend, about=told.get(name))
            progress.advance()
    watch.close()
    if UNCERTAINTY in maps:
        wait_for_processes("all images are segmented")
        agree(lambda: rank_images(images, output))
    expected = {found[LABEL].name for found in outputs.values()}
    written = records[LABEL]
    if left := [name for name in written if name not in expected and (output / name).exists()]:
        logger.warning(
            "%s: files there of images that are not in the input any more: %d, %s for one",
            output, len(left), left[0],
        )  # fmt: skip


def rank_images(images: Sequence[Image], output: Path) -> None:
    """Writes `next.csv`: images in the order in which to label them, by doubt."""
    names = [image.name for image in images]
    maps = folder_of(output, UNCERTAINTY)
    doubt = [tifffile.imread(maps / f"{name}.tif").mean() / FULL for name in names]
    write_ranks(output / RANKS, names, doubt)


def _meaning(trained: TrainedRun, *, probabilities: bool) -> dict[str, Any]:
    """What label values and channels of a folder of images mean, and what its planes are."""
    label_map = trained.facts.label_map
    channels = {CHANNELS: list(label_map.names)} if probabilities else {}
    planes = {"planes": noun_of(trained.facts)}
    return {"classes": label_map.written()} | channels | planes


def made_from(trained: TrainedRun, plane: Plane) -> str:
    """Names what a label is made from: the plane with its neighbours, and its scan's grey scale."""
    scale = trained.facts.grey_scales.by_scan.get(plane.place.scan)
    return pixel_hash(plane.image_HWC) + (f" {scale}" if scale else "")


def _is_done(
    records: Mapping[str, Record], image: Image, trained: TrainedRun, paths: Mapping[str, Path]
) -> bool:
    """Whether all that an image gives was made from it as it is now."""
    source = made_from(trained, image.source.plane(image.index, trained.context))
    return all(records[name].made_from(path, source) for name, path in paths.items())


def check_names(images: Sequence[Image], output: Path) -> None:
    """Refuses images for which two files would have one name, or a name would be too long."""
    owner: dict[str, str] = {}
    for image in images:
        name = f"{image.name}.tif"
        if name in owner:
            raise InputError(
                f"{image.where}: what is written for it and for {owner[name]} would both be called "
                f"{name}; rename one of the images"
            )
        owner[name] = image.where
        if (long := len(os.fsencode(name))) > LONGEST_NAME:
            raise InputError(
                f"{image.where}: {name} in {output} would have a name of {long} bytes, and "
                f"{LONGEST_NAME} is the most; rename the image"
            )


def refuse_others_files(record: Record, paths: Sequence[Path], *, known: bool) -> None:
    """Refuses a folder in which files of somebody else would be taken for labels, or be lost."""
    writer = "a prediction"
    if known:
        writer += " that keeps a record of its files, as those of earlier versions do not"
    refuse_foreign((path for path in paths if path not in record), writer, "--output")
    changed = [path for path in paths if path.exists() and not record.unchanged(path)]
    if changed:
        raise InputError(
            f"{changed[0]}: was changed after it was written, as by hand ({len(changed)} such "
            f"file{'s' * (len(changed) > 1)}); move it away to segment its image again, or choose "
            "another --output"
        )
