"""Segments every image of a folder with a trained run."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tifffile

from xseg_jax.data.images import read_image
from xseg_jax.data.pairs import left_out, list_images
from xseg_jax.errors import InputError
from xseg_jax.inference.record import Record, hash_of
from xseg_jax.modes.folders import agree, refuse_foreign, working_in
from xseg_jax.modes.run import GreyScaleWatch, TrainedRun
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
      source: folder of images.
      output: folder, made if missing.
      probabilities: also write class probabilities (K, H, W) float32.
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
    images = list_images(source)
    if notice := left_out(source):
        logger.warning("%s", notice)
    outputs = {stem: [output / f"{stem}.tif"] for stem in images}
    if probabilities:
        for stem, paths in outputs.items():
            # The label last: where it exists, all of its image is done.
            paths.insert(0, output / f"{stem}{PROBABILITIES}.tif")
    check_names(images, outputs, output)
    made_by = trained.made_by(workdir, source) | {"probabilities": probabilities}
    refuse_other(output / CLAIM, made_by)
    with working_in(output, "--output"):
        _segment(trained, images, outputs, output, made_by)


def _segment(
    trained: TrainedRun,
    images: Mapping[str, Path],
    outputs: Mapping[str, list[Path]],
    output: Path,
    made_by: Mapping[str, Any],
) -> None:
    record = Record(output, jax.process_index())
    stems = list(images)
    mine = [stems[place] for place in share_of(stems)]
    agree(lambda: refuse_others_files(record, outputs, output))
    if is_first_process():
        claim(output / CLAIM, made_by)
    old = [stem for stem in mine if all(path.exists() for path in outputs[stem])]
    done = {s for s in old if all(record.made_from(path, images[s]) for path in outputs[s])}
    if changed := [stem for stem in old if stem not in done]:
        logger.info(
            "changed since they were segmented, and segmented anew: %d, %s for one",
            len(changed), images[changed[0]],
        )  # fmt: skip
    todo = [stem for stem in mine if stem not in done]
    watch = GreyScaleWatch(trained.facts.normalizer)
    source_hashes = {}

    def read() -> Iterator[np.ndarray]:
        for stem in todo:
            source_hashes[stem] = hash_of(images[stem])
            image_HW = read_image(images[stem])
            trained.check_pixel_type(images[stem], image_HW.dtype)
            watch(images[stem], image_HW)
            yield image_HW

    with Progress("Segmenting", len(mine), "image", len(done)) as progress:
        for stem, probability_HWK in zip(todo, trained.segment(read()), strict=True):
            label_HW = trained.facts.label_map.decode(probability_HWK.argmax(axis=-1))
            arrays = [probability_HWK.transpose(2, 0, 1), label_HW][-len(outputs[stem]) :]
            for path, array in zip(outputs[stem], arrays, strict=True):
                with record.writing(path, source_hashes[stem]) as draft:
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


def check_names(
    images: Mapping[str, Path], outputs: Mapping[str, list[Path]], output: Path
) -> None:
    """Refuses images for which two files would have one name, or a name would be too long."""
    owner: dict[str, Path] = {}
    for stem, paths in outputs.items():
        for path in paths:
            if path.name in owner:
                raise InputError(
                    f"{images[stem]}: what is written for it and for {owner[path.name]} would both "
                    f"be called {path.name}; rename one of the images"
                )
            owner[path.name] = images[stem]
            if (long := len(os.fsencode(path.name))) > LONGEST_NAME:
                raise InputError(
                    f"{images[stem]}: {path.name} in {output} would have a name of {long} bytes, "
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
