"""Segments every image of a folder with a trained run."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from xseg_jax.data.images import read_image
from xseg_jax.errors import InputError
from xseg_jax.modes.run import GreyScaleWatch, TrainedRun
from xseg_jax.progress import Progress
from xseg_jax.scans.names import left_out, list_images
from xseg_jax.training.parallel import is_first_process, share_of, wait_for_processes
from xseg_jax.training.runlog import claim, refuse_other

logger = logging.getLogger(__name__)


def run(
    workdir: Path,
    source: Path,
    output: Path,
    *,
    probabilities: bool,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Writes one label TIFF an image, under the image's stem, with the user's label values.

    Images whose labels are in `output` already are left out, so that a prediction goes on where
    it was interrupted.

    Args:
      workdir: folder of a trained run.
      source: folder of images.
      output: folder, made if missing.
      probabilities: also write class probabilities (K, H, W) float32.
      changes: dotted fields of the config that differ from the run's.

    Raises:
      InputError: an image cannot be read, the run is not trained, or `output` is the folder of
        the images, or holds the predictions of another run or files that no run wrote.
    """
    trained = TrainedRun.load(workdir, changes=changes)
    images = list_images(source)
    if notice := left_out(source):
        logger.warning("%s", notice)
    made_by = {
        "run": str(workdir.resolve()),
        "step": trained.step,
        "fingerprint": trained.facts.fingerprint,
        "input": str(source.resolve()),
        "probabilities": probabilities,
        "inference": trained.config.inference.to_dict(),
    }
    targets = {stem: output / f"{stem}.tif" for stem in images}
    beside = {stem: output / f"{stem}_probabilities.tif" for stem in images if probabilities}
    refuse_foreign(source, output, [*targets.values(), *beside.values()])
    if is_first_process():
        claim(output / "prediction.json", made_by)
    wait_for_processes("claim")
    refuse_other(output / "prediction.json", made_by)
    stems = list(images)
    mine = [stems[place] for place in share_of(stems)]
    todo = [stem for stem in mine if not targets[stem].exists()]

    watch = GreyScaleWatch(trained.facts.normalizer)

    def read() -> Iterator[np.ndarray]:
        for stem in todo:
            image_HW = read_image(images[stem])
            trained.check_pixel_type(images[stem], image_HW.dtype)
            watch(images[stem], image_HW)
            yield image_HW

    with Progress("Segmenting", len(mine), "image", len(mine) - len(todo)) as progress:
        for stem, probability_HWK in zip(todo, trained.segment(read()), strict=True):
            if probabilities:
                write_tiff(beside[stem], probability_HWK.transpose(2, 0, 1))
            class_HW = probability_HWK.argmax(axis=-1)
            # The label last: where it exists, all of its image is done.
            write_tiff(targets[stem], trained.facts.label_map.decode(class_HW))
            progress.advance()
    watch.close()
    logger.info("%d label images are in %s", len(images), output)


def refuse_foreign(source: Path, output: Path, targets: Iterable[Path]) -> None:
    """Refuses a folder in which files of somebody else would be taken for labels, or be lost."""
    if output.exists() and output.samefile(source):
        raise InputError(f"--output={output}: is the folder of the images; choose another folder")
    if (output / "prediction.json").exists():
        return
    foreign = [path for path in targets if path.exists()]
    if foreign:
        raise InputError(
            f"{foreign[0]}: is there already and was not written by a prediction ({len(foreign)} "
            "such files); choose another --output"
        )


def write_tiff(path: Path, array: np.ndarray) -> None:
    """Writes a deflated TIFF, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    colour = array.ndim == 3 and array.dtype == np.uint8
    tifffile.imwrite(
        temporary,
        array,
        compression="zlib",
        photometric="rgb" if colour else "minisblack",
    )
    temporary.replace(path)
