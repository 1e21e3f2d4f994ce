"""Segments a scan, or every image of a folder, with one trained run or several."""

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
from xseg_jax.modes import segment
from xseg_jax.modes.folders import agree, refuse_foreign, working_in
from xseg_jax.modes.inputs import describe_sources, images_in, sources_of
from xseg_jax.modes.lines import devices_of, first_lines, last_lines
from xseg_jax.modes.parts import run_in_parts
from xseg_jax.modes.run import GreyScaleWatch, noun_of, pixel_hash
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.modes.volume import plan
from xseg_jax.progress import Progress
from xseg_jax.scans.scan import split_source
from xseg_jax.scans.write import FOLDER, OutputKind, output_kind
from xseg_jax.scans.write_tiff import write_image
from xseg_jax.training.parallel import is_first_process, share_of, wait_for_processes
from xseg_jax.training.runlog import claim, refuse_other

logger = logging.getLogger(__name__)

CLAIM = "prediction.json"
"""Says which run segmented which folder, and how."""
MEANING = frozenset({"classes", "probability_channels", "planes"})
"""What it says of values, channels and planes; claims of earlier versions do not."""
RANKS = "next.csv"
LONGEST_NAME = 255
"""Bytes, on the usual file systems."""


def run(
    workdir: Path,
    source: Path,
    output: Path,
    *,
    probabilities: bool = False,
    uncertainty: bool = False,
    axes: str = "z",
    anisotropic: bool = False,
    tta: bool = False,
    ome_zarr: str = "0.4",
    share: str | None = None,
    executor: str = "local",
    jobs: int = 1,
    slurm: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Writes a volume of labels, or one label TIFF an image into a folder, with the user's values.

    What an earlier call wrote from the same images is left as it is, so that a prediction goes on
    where it was interrupted; images that changed are segmented anew, a volume that did is refused.

    Args:
      workdir: folder of a trained run, or of several with commas between, whose mean is taken.
      source: a scan of any format, a folder of images, or one that holds images|data.
      output: a file or store, whose suffix says the format (`scans.write`), or a folder.
      probabilities: also write class probabilities, at the run's temperature; in a folder (K, H, W)
        float32 an image, else uint8, 255 for 1.
      uncertainty: also write the entropy of the probabilities, and how far axes and runs disagree,
        uint8, 255 for the most that there can be.
      axes: "z", or "all" to segment planes across z, y and x and take the mean.
      anisotropic: all axes of voxels that are no cubes.
      tta: see each image turned and mirrored in all ways of the training, and take the mean.
      ome_zarr: version of OME-Zarr that is written.
      share: "K/N", the share K of N of a volume's blocks, which `jobs` gives its processes.
      executor: of `jobs`: "local" or "slurm".
      jobs: processes that blocks are shared out to.
      slurm: parameters of the job array.
      changes: dotted fields of the config that differ from the run's.

    Raises:
      InputError: an image cannot be read, a run is not trained, or `output` is the folder of
        the images, is in use, or holds the predictions of another run, files that no prediction
        wrote, or some that were changed since.
      SaveError: `output` cannot be written to.
    """
    source = Path(images_in(source))
    _refuse_input_as_output(source, output)
    if jobs < 1:
        raise InputError(f"--jobs={jobs}: must be at least 1")
    kind = output_kind(output)
    voxel_size = (changes or {}).get("data.voxel_size")
    given = {
        "axes=all": axes != "z", "anisotropic": anisotropic, "share": share is not None,
        "jobs": jobs > 1, "executor": executor != "local",
        "config.data.voxel_size": voxel_size is not None,
    }  # fmt: skip
    _check_volume_flags(kind, output, given, ome_zarr)
    trained = TrainedRun.load_all(str(workdir), changes=changes)
    if tta:
        trained = trained.turning()
    made_by = trained.made_by(source) | {"probabilities": probabilities}
    made_by |= {"tta": True} if tta else {}
    uses = {"run": trained.names, "devices": devices_of(trained.parallel)}
    if probabilities or uncertainty:
        made_by |= _temperature_of(trained)
    if kind is FOLDER:
        predict_images(trained, source, output, made_by, uses, uncertainty=uncertainty)
        return
    job = plan(
        trained, str(source), output, axes=axes, anisotropic=anisotropic,
        probabilities=probabilities, uncertainty=uncertainty, version=ome_zarr,
        voxel_size=voxel_size,
    )  # fmt: skip
    first_lines(data=f"{source}, {describe_sources([job.source])}", **uses)
    if jobs == 1 and executor == "local":
        segment.run(job, made_by, parse_share(share))
        if share is None:
            last_lines(**job.places())
        return
    flags = [
        "--mode=predict", f"--workdir={workdir}", f"--input={source}", f"--output={output}",
        f"--axes={axes}", f"--ome_zarr={ome_zarr}",
        *(f"--{flag}" for flag, on in {
            "probabilities": probabilities, "uncertainty": uncertainty, "tta": tta,
            "anisotropic": anisotropic,
        }.items() if on),
        *(f"--config.{field}={value}" for field, value in (changes or {}).items()),
    ]  # fmt: skip
    run_in_parts(job, made_by, flags, executor=executor, jobs=jobs, slurm=slurm or {})
    last_lines(**job.places())


def _refuse_input_as_output(source: Path, output: Path) -> None:
    """Refuses an output that would be, or be part of, what is read."""
    if output.exists() and source.exists() and output.samefile(source):
        what = "folder of the images; choose another folder" if source.is_dir() else "input itself"
        raise InputError(f"--output={output}: is the {what}; choose another name")
    if "::" in output.name or output.parent.name.endswith("::"):
        raise InputError(
            f"--output={output}: names a place inside a file, as an input can; choose a file of "
            "its own"
        )
    folder = Path(split_source(str(source))[0])
    inside = folder.is_dir() and output.resolve().is_relative_to(folder.resolve())
    if inside and output_kind(output) is not FOLDER:
        raise InputError(
            f"--output={output}: lies in the folder that is read, and would be part of the scan; "
            "choose a place outside"
        )


def _check_volume_flags(
    kind: OutputKind, output: Path, given: Mapping[str, bool], ome_zarr: str
) -> None:
    """Refuses what has no effect on an output of this kind, or beside another flag."""
    for flag in (flag for flag, on in given.items() if on and kind is FOLDER):
        raise InputError(
            f"--{flag}: has no effect on a folder of label images; choose a volume as "
            f"--output, as {output}.ome.zarr or {output}.tif"
        )
    if given["share"] and (given["jobs"] or given["executor"]):
        raise InputError("--share: is what --jobs gives the processes that it starts; leave it out")
    if ome_zarr != "0.4" and not kind.blocks:
        raise InputError(
            f"--ome_zarr={ome_zarr}: has no effect on {kind.name}; choose an --output that ends in "
            ".ome.zarr"
        )


def parse_share(text: str | None) -> tuple[int, int] | None:
    """Number of a process and how many there are, from "2/8".

    Raises:
      InputError: it is no such text.
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise InputError(f"--share={text}: must be K/N with K from 0 to N - 1, as 0/8")
    return int(number), int(count)


def predict_images(
    trained: TrainedRun,
    source: Path,
    output: Path,
    made_by: Mapping[str, Any],
    uses: Mapping[str, str],
    *,
    uncertainty: bool,
) -> None:
    """Writes one label TIFF an image, under the image's stem, and what else is asked for."""
    sources = sources_of(trained.config, str(source))
    first_lines(data=f"{source}, {describe_sources(sources)}", **uses)
    trained = trained.on(sources)
    images = [Image(one, index) for one in sources for index in range(len(one))]
    # The label last: where it exists, all of its image is done.
    maps = [PROBABILITIES] * made_by["probabilities"] + [UNCERTAINTY] * uncertainty
    maps += [BETWEEN_RUNS] * (uncertainty and len(trained.runs) > 1)
    outputs = {
        image.name: [output / f"{image.name}_{name}.tif" for name in maps]
        + [output / f"{image.name}.tif"]
        for image in images
    }
    check_names(images, outputs, output)
    if uncertainty:
        made_by = dict(made_by) | {"uncertainty": True}
    made_by = dict(made_by) | _meaning(trained, probabilities=made_by["probabilities"])
    refuse_other(output / CLAIM, made_by, free=MEANING)
    with working_in(output, "--output"):
        _segment(trained, images, outputs, output, made_by, maps)
    last_lines(labels=output, record=output / CLAIM, next=output / RANKS)


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
    outputs: Mapping[str, list[Path]],
    output: Path,
    made_by: Mapping[str, Any],
    maps: Sequence[str],
) -> None:
    record = Record(output, jax.process_index())
    mine = [images[place] for place in share_of(images)]
    agree(lambda: refuse_others_files(record, outputs, output))
    if is_first_process():
        claim(output / CLAIM, made_by, free=MEANING)
    context = trained.context
    old = [image for image in mine if all(path.exists() for path in outputs[image.name])]
    done = {image for image in old if _is_done(record, image, trained, outputs[image.name])}
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

    with Progress("Segmenting", len(mine), "image", len(done)) as progress:
        for image, probability_MHWK in zip(todo, trained.segment_each(read()), strict=True):
            probability_HWK = probability_MHWK.mean(axis=0)
            found = {
                PROBABILITIES: lambda p_HWK=probability_HWK: p_HWK.transpose(2, 0, 1),
                UNCERTAINTY: lambda p_HWK=probability_HWK: scaled(entropy(p_HWK)),
                BETWEEN_RUNS: lambda p_MHWK=probability_MHWK: scaled(disagreement(p_MHWK)),
            }
            found[LABEL] = lambda p_HWK=probability_HWK: label_map.decode(p_HWK.argmax(axis=-1))
            for path, name in zip(outputs[image.name], (*maps, LABEL), strict=True):
                legend = label_map.image_legend if name == LABEL else None
                with record.writing(path, hashes[image]) as draft:
                    write_image(draft, found[name](), legend=legend, about=told.get(name))
            progress.advance()
    watch.close()
    if UNCERTAINTY in maps:
        wait_for_processes("all images are segmented")
        agree(lambda: rank_images(images, output))
    expected = {path.name for paths in outputs.values() for path in paths}
    if left := [name for name in record if name not in expected and (output / name).exists()]:
        logger.warning(
            "%s: files there of images that are not in the input any more: %d, %s for one",
            output, len(left), left[0],
        )  # fmt: skip


def rank_images(images: Sequence[Image], output: Path) -> None:
    """Writes `next.csv`: images in the order in which to label them, by doubt."""
    names = [image.name for image in images]
    doubt = [tifffile.imread(output / f"{name}_{UNCERTAINTY}.tif").mean() / FULL for name in names]
    write_ranks(output / RANKS, names, doubt)


def _meaning(trained: TrainedRun, *, probabilities: bool) -> dict[str, Any]:
    """What label values and channels of a folder of images mean, and what its planes are."""
    label_map = trained.facts.label_map
    channels = {"probability_channels": list(label_map.names)} if probabilities else {}
    planes = {"planes": noun_of(trained.facts)}
    return {"classes": label_map.written()} | channels | planes


def _temperature_of(trained: TrainedRun) -> dict[str, float]:
    """What an output of probabilities says of their temperature; nothing where there is none."""
    for run in trained.runs:
        if run.calibration.temperature is None:
            logger.info(
                "%s: its probabilities are taken as the network gives them, without a temperature: "
                "%s", run.workdir, run.calibration.reason,
            )  # fmt: skip
        else:
            logger.info(
                "%s: its probabilities are taken at temperature %.3f",
                run.workdir, run.calibration.temperature,
            )  # fmt: skip
    temperature = trained.calibration.temperature
    return {} if temperature is None else {"temperature": temperature}


def made_from(trained: TrainedRun, plane: Plane) -> str:
    """Names what a label is made from: the plane with its neighbours, and its scan's grey scale."""
    scale = trained.facts.grey_scales.by_scan.get(plane.place.scan)
    return pixel_hash(plane.image_HWC) + (f" {scale}" if scale else "")


def _is_done(record: Record, image: Image, trained: TrainedRun, paths: Sequence[Path]) -> bool:
    """Whether all that an image gives was made from it as it is now."""
    source = made_from(trained, image.source.plane(image.index, trained.context))
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
