"""Segments a scan, or every image of a folder, with one trained run or several."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xseg_jax.errors import InputError
from xseg_jax.modes import images, segment
from xseg_jax.modes.inputs import describe_sources, images_in
from xseg_jax.modes.lines import devices_of, first_lines, last_lines
from xseg_jax.modes.parts import run_in_parts
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.modes.volume import plan
from xseg_jax.scans.scan import split_source
from xseg_jax.scans.write import FOLDER, OutputKind, output_kind

logger = logging.getLogger(__name__)


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
        made_by |= {"uncertainty": True} if uncertainty else {}
        images.predict(trained, source, output, made_by, uses)
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
        what = "folder of the images" if source.is_dir() else "input itself"
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
    return {} if temperature is None else {images.TEMPERATURE: temperature}
