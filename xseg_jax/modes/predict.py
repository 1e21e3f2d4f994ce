"""Segments every image of a folder with a trained run."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tifffile

from xseg_jax.data.planes import Plane
from xseg_jax.data.sources import Source
from xseg_jax.errors import InputError
from xseg_jax.inference.record import Record
from xseg_jax.modes.folders import agree, refuse_foreign, working_in
from xseg_jax.modes.inputs import sources_of
from xseg_jax.modes.run import GreyScaleWatch, TrainedRun, pixel_hash
from xseg_jax.progress import Progress
from xseg_jax.training.parallel import is_first_process, share_of
from xseg_jax.training.runlog import claim, refuse_other

logger = logging.getLogger(__name__)

CLAIM = "prediction.json"
"""Says which run segmented which folder, and how."""
PROBABILITIES = "_probabilities"
LONGEST_NAME = 255
"""Bytes, on the usual file systems."""


def run(
    workdir: Path,
    source: Path,
    output: Path,
    *,
    probabilities: bool,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Writes one label TIFF an image, under the image's stem, with the user's label values.

    What an earlier call wrote from the same images is left as it is, so that a prediction goes on
    where it was interrupted; images that changed are segmented anew.

    Args:
      workdir: folder of a trained run.
      source: folder of images, or a scan of any format, of which each plane across z is one.
      output: folder, made if missing.
      probabilities: also write class probabilities (K, H, W) float32, at the run's temperature.
      changes: dotted fields of the config that differ from the run's.

    Raises:
      InputError: an image cannot be read, the run is not trained, or `output` is the folder of
        the images, is in use, or holds the predictions of another run, files that no prediction
        wrote, or some that were changed since.
      SaveError: `output` cannot be written to.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"--output={output}: is the folder of the images; choose another folder")
    trained = TrainedRun.load(workdir, changes=changes)
    sources = sources_of(trained.config, str(source))
    trained = trained.on(sources)
    images = [Image(one, index) for one in sources for index in range(len(one))]
    outputs = {image.name: [output / f"{image.name}.tif"] for image in images}
    if probabilities:
        for name, paths in outputs.items():
            # The label last: where it exists, all of its image is done.
            paths.insert(0, output / f"{name}{PROBABILITIES}.tif")
    check_names(images, outputs, output)
    made_by = trained.made_by(workdir, source) | {"probabilities": probabilities}
    if probabilities:
        made_by |= _temperature_of(trained)
    refuse_other(output / CLAIM, made_by)
    with working_in(output, "--output"):
        _segment(trained, images, outputs, output, made_by)


@dataclass(frozen=True)
class Image:
    """A plane of a scan that is to be segmented."""

    source: Source
    index: int

    @property
    def name(self) -> str:
        """What its output is called."""
        return self.source.plane_name(self.index)

    @property
    def where(self) -> str:
        """What an error calls it."""
        return self.source.where(self.index)


def _segment(
    trained: TrainedRun,
    images: Sequence[Image],
    outputs: Mapping[str, list[Path]],
    output: Path,
    made_by: Mapping[str, Any],
) -> None:
    record = Record(output, jax.process_index())
    mine = [images[place] for place in share_of(images)]
    agree(lambda: refuse_others_files(record, outputs, output))
    if is_first_process():
        claim(output / CLAIM, made_by)
    context = trained.config.data.context
    old = [image for image in mine if all(path.exists() for path in outputs[image.name])]
    done = {image for image in old if _is_done(record, image, trained, outputs[image.name])}
    if changed := [image for image in old if image not in done]:
        logger.info(
            "changed since they were segmented, and segmented anew: %d, %s for one",
            len(changed), changed[0].where,
        )  # fmt: skip
    todo = [image for image in mine if image not in done]
    watch = GreyScaleWatch(trained.facts.grey_scales)
    hashes = {}

    def read() -> Iterator[Plane]:
        for image in todo:
            plane = image.source.plane(image.index, context)
            hashes[image] = made_from(trained, plane)
            trained.check_pixel_type(image.where, plane.image_HWC.dtype)
            watch(image.where, plane)
            yield plane

    with Progress("Segmenting", len(mine), "image", len(done)) as progress:
        for image, probability_HWK in zip(todo, trained.segment(read()), strict=True):
            label_HW = trained.facts.label_map.decode(probability_HWK.argmax(axis=-1))
            paths = outputs[image.name]
            arrays = [label_HW]
            if len(paths) > 1:
                arrays.insert(0, trained.calibrated(probability_HWK).transpose(2, 0, 1))
            for path, array in zip(paths, arrays, strict=True):
                with record.writing(path, hashes[image]) as draft:
                    write_tiff(draft, array)
            progress.advance()
    watch.close()
    logger.info("%d label images are in %s", len(images), output)
    expected = {path.name for paths in outputs.values() for path in paths}
    if left := [name for name in record if name not in expected and (output / name).exists()]:
        logger.warning(
            "%s: files there of images that are not in the input any more: %d, %s for one",
            output, len(left), left[0],
        )  # fmt: skip


def _temperature_of(trained: TrainedRun) -> dict[str, float]:
    """What an output of probabilities says of their temperature; nothing where there is none."""
    temperature = trained.calibration.temperature
    if temperature is None:
        logger.info(
            "probabilities are written as the network gives them, without a temperature: %s",
            trained.calibration.reason,
        )
        return {}
    logger.info("probabilities are written at temperature %.3f", temperature)
    return {"temperature": temperature}


def made_from(trained: TrainedRun, plane: Plane) -> str:
    """Names what a label is made from: the plane with its neighbours, and its scan's grey scale."""
    scale = trained.facts.grey_scales.by_scan.get(plane.place.scan)
    return pixel_hash(plane.image_HWC) + (f" {scale}" if scale else "")


def _is_done(record: Record, image: Image, trained: TrainedRun, paths: Sequence[Path]) -> bool:
    """Whether all that an image gives was made from it as it is now."""
    source = made_from(trained, image.source.plane(image.index, trained.config.data.context))
    return all(record.made_from(path, source) for path in paths)


def check_names(images: Sequence[Image], outputs: Mapping[str, list[Path]], output: Path) -> None:
    """Refuses images for which two files would have one name, or a name would be too long."""
    owner: dict[str, str] = {}
    for image in images:
        for path in outputs[image.name]:
            if path.name in owner:
                raise InputError(
                    f"{image.where}: what is written for it and for {owner[path.name]} would both "
                    f"be called {path.name}; rename one of the images"
                )
            owner[path.name] = image.where
            if (long := len(os.fsencode(path.name))) > LONGEST_NAME:
                raise InputError(
                    f"{image.where}: {path.name} in {output} would have a name of {long} bytes, "
                    f"and {LONGEST_NAME} is the most; rename the image"
                )


def refuse_others_files(record: Record, outputs: Mapping[str, list[Path]], output: Path) -> None:
    """Refuses a folder in which files of somebody else would be taken for labels, or be lost."""
    paths = [path for paths in outputs.values() for path in paths]
    writer = "a prediction"
    if (output / CLAIM).exists():
        writer += " that keeps a record of its files, as those of earlier versions do not"
    refuse_foreign((path for path in paths if path not in record), writer, "--output")
    changed = [path for path in paths if path.exists() and not record.unchanged(path)]
    if changed:
        raise InputError(
            f"{changed[0]}: was changed after it was written, as by hand ({len(changed)} such "
            f"file{'s' * (len(changed) > 1)}); move it away to segment its image again, or choose "
            "another --output"
        )


def write_tiff(path: Path, array: np.ndarray) -> None:
    """Writes a deflated TIFF."""
    colour = array.ndim == 3 and array.dtype == np.uint8
    tifffile.imwrite(
        path,
        array,
        compression="zlib",
        photometric="rgb" if colour else "minisblack",
    )
