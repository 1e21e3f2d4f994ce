"""What is to come out of segmenting one scan into one volume: checked before any of it is done."""

import contextlib
import logging
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax import locks
from xseg_jax.data.images import gray_values
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.sources import Volume
from xseg_jax.errors import InputError
from xseg_jax.files import saving
from xseg_jax.inference.blocks import ALL_AXES, Block, blocks_of
from xseg_jax.inference.volume import (
    BETWEEN_AXES,
    BETWEEN_RUNS,
    LABEL,
    PROBABILITIES,
    UNCERTAINTY,
)
from xseg_jax.modes.inputs import voxel_size_of
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.scans.folders import is_store, scans_in
from xseg_jax.scans.preview import write_preview
from xseg_jax.scans.scan import open_scan
from xseg_jax.scans.write import OutputKind, output_kind
from xseg_jax.scans.write_zarr import ZarrStore

logger = logging.getLogger(__name__)

DONE = "done"
"""Folder of the marks of blocks that are done."""
SHARES = "shares.lock"
"""Locked by each process that segments a share of the blocks."""
CUBE = 0.1
"""Voxels are cubes where their sides differ by no more than this share."""


@dataclass(frozen=True)
class Prediction:
    """One scan, the runs that segment it, and what is to come out.

    Attributes:
      trained: on the scan.
      source: the scan.
      output: file or store that is written.
      axes: across which planes are segmented, 0 last.
      maps: what is written beside labels.
      version: of OME-Zarr.
    """

    trained: TrainedRun
    source: Volume
    output: Path
    axes: tuple[int, ...]
    maps: tuple[str, ...]
    version: str

    @property
    def kind(self) -> OutputKind:
        """Format of the output."""
        return output_kind(self.output)

    @property
    def work(self) -> Path:
        """Folder of what is done so far."""
        return self.output.with_name(f"{self.output.name}.part")

    @property
    def store(self) -> Path:
        """Where blocks are written to; of this name, for it becomes that of an image."""
        return self.work / (self.output.name if self.kind.blocks else "volume.zarr")

    @property
    def writing(self) -> Path:
        """The file that says that all blocks are done, and what stands at the output is of them."""
        return self.work / "writing"

    @property
    def about(self) -> Path:
        """What says where the output comes from, and that it is finished."""
        return self.output.with_name(f"{self.output.name}.json")

    @property
    def ranks(self) -> Path:
        """Planes by doubt, where it was asked for."""
        return self.output.with_name(f"{self.output.name}.next.csv")

    @property
    def previews(self) -> list[Path]:
        """The middle plane in colours, beside a format that many viewers show black."""
        name = f"{self.output.name}.preview.png"
        return [] if self.kind.blocks else [self.output.with_name(name)]

    @cached_property
    def blocks(self) -> list[Block]:
        """In the order in which they are numbered."""
        return blocks_of(self.source.scan.shape, self.axes, self.classes)

    @property
    def label_map(self) -> LabelMap:
        """Of the labels that are written."""
        return self.trained.facts.label_map

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.label_map.names)

    @contextlib.contextmanager
    def sharing(self, *, alone: bool) -> Iterator[None]:
        """Keeps out of each other who segments a share of the blocks, and who finishes, alone.

        Who comes too late waits, and may find the folder emptied.

        Raises:
          SaveError: `work` cannot be written to.
        """
        with contextlib.ExitStack() as stack:
            with saving(self.work, "the volume"):
                lock = stack.enter_context((self.work / SHARES).open("a"))
            said = f"{self.work}: waiting for processes of an earlier call, which are at work there"
            locks.wait_for(lock, alone=alone, notice=said)
            yield

    def groups(self) -> dict[str, str]:
        """In which group of the store labels and maps are, the labels first."""
        return {LABEL: ""} | {name: name for name in self.maps}

    def mark(self, number: int) -> Path:
        """The file that says that a block is done."""
        return self.work / DONE / f"{number:06d}"

    def missing(self) -> list[int]:
        """Numbers of the blocks that are not done."""
        done = {path.name for path in (self.work / DONE).glob("*")}
        return [n for n in range(len(self.blocks)) if self.mark(n).name not in done]

    def files(self) -> dict[str, Path]:
        """What is written, by what it holds; maps of a store are groups in it."""
        if self.kind.blocks:
            return {LABEL: self.output}
        suffix = next(s for s in self.kind.suffixes if self.output.name.lower().endswith(s))
        stem, end = self.output.name[: -len(suffix)], self.output.name[-len(suffix) :]
        files = {LABEL: self.output}
        for name in self.maps:
            for part in self.parts(name):
                files[part] = self.output.with_name(f"{stem}_{part}{end}")
        return files

    def written(self) -> list[Path]:
        """All files and stores that come out."""
        return [*self.files().values(), *([self.ranks] if UNCERTAINTY in self.maps else [])]

    def places(self) -> dict[str, Path | list[Path]]:
        """Where what comes out is, for the last lines of a mode."""
        maps = [path for name, path in self.files().items() if name != LABEL]
        return {
            "labels": self.output, "preview": self.previews, "maps": maps, "record": self.about,
            "next": self.ranks,
        }  # fmt: skip

    def parts(self, name: str) -> list[str]:
        """Files that a map takes: one, or one a class."""
        if name != PROBABILITIES:
            return [name]
        names = self.trained.facts.label_map.names
        return [f"probability_{k}_{_plain(one)}" for k, one in enumerate(names)]


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def plan(
    trained: TrainedRun, source: str, output: Path, *, axes: str, anisotropic: bool,
    probabilities: bool, uncertainty: bool, version: str, voxel_size: str | None,
) -> Prediction:  # fmt: skip
    """What is to be done, checked before any of it.

    Raises:
      InputError: the input is no one volume, its voxels are no cubes where all axes are wanted, or
        the run's grey scale knows no volume.
    """
    scan = open_scan(_only_scan(source), number_pattern=trained.config.data.number_pattern)
    volume = Volume(scan)
    if known := voxel_size_of([volume], voxel_size):
        scan.geometry = replace(scan.geometry, voxel_size=known.size, unit=known.unit)
        trained.warn_of_voxels(scan.source, known)
    if scan.numbers and scan.numbers[-1] - scan.numbers[0] + 1 != len(scan.numbers):
        if trained.facts.split_kind == "group":
            raise InputError(
                f"{source}: the images that {trained.workdir} was trained on are no slices of one "
                "scan; choose a folder as --output, without a suffix, for a label image each"
            )
        gaps = scan.numbers[-1] - scan.numbers[0] + 1 - len(scan.numbers)
        raise InputError(
            f"{source}: {gaps} slices between {scan.numbers[0]} and {scan.numbers[-1]} are "
            "missing, so that it is no volume. Choose a folder as --output, without a suffix, for "
            "a label image a slice"
        )
    if axes == "all":
        _check_all_axes(trained, volume, anisotropic)
    elif anisotropic:
        raise InputError("--anisotropic: has no effect with --axes=z; add --axes=all")
    read_as = gray_values(np.zeros((1, 1), scan.dtype), scan.source).dtype
    where = scan.source + (f" ({scan.dtype}, read as {read_as})" if read_as != scan.dtype else "")
    trained.check_pixel_type(where, read_as)
    maps = [PROBABILITIES] if probabilities else []
    if uncertainty:
        maps.append(UNCERTAINTY)
        maps += [BETWEEN_AXES] if axes == "all" else []
        maps += [BETWEEN_RUNS] if trained.others else []
    return Prediction(
        trained.on([volume]), volume, output, ALL_AXES if axes == "all" else (0,), tuple(maps),
        version,
    )  # fmt: skip


def _only_scan(source: str) -> str:
    """The scan that a path names: itself, or the only one in a folder.

    Raises:
      InputError: the folder holds several.
    """
    folder = Path(source)
    scans = scans_in(folder) if folder.is_dir() and not is_store(folder) else []
    if len(scans) > 1:
        example = shlex.quote(f"--input={scans[0]}")
        raise InputError(
            f"{source}: holds {len(scans)} scans, and a volume is made of one; give {example}, for "
            "example, or a folder as --output, without a suffix, for a label image a slice"
        )
    return str(scans[0]) if scans else source


def _check_all_axes(trained: TrainedRun, volume: Volume, anisotropic: bool) -> None:
    sizes = volume.geometry.voxel_size
    where = volume.scan.source
    for run in trained.runs:
        if run.facts.grey_scales.kind == "image":
            raise InputError(
                f"--axes=all: {run.workdir} was trained with config.data.normalize=image, each "
                "image by itself, and knows no volume; leave it out"
            )
    if sizes is None or any(math.isnan(size) for size in sizes):
        logger.warning("%s: says no voxel size; its voxels are taken for cubes", where)
    elif max(sizes) > (1 + CUBE) * min(sizes) and not anisotropic:
        text = " x ".join(f"{size:.4g}" for size in sizes)
        raise InputError(
            f"--axes=all: voxels of {where} are {text} {volume.geometry.unit or ''}: across other "
            "axes the network would see shapes that it was not trained on. Leave it out, or, if "
            "you know better, add --anisotropic"
        )


def write_middle(job: Prediction) -> None:
    """Writes the preview from the store, where there is one.

    Raises:
      SaveError: it cannot be written.
    """
    depth, height, width = job.source.scan.shape
    middle = Block((depth // 2, 0, 0), (depth // 2 + 1, height, width))
    for path in job.previews:
        with ZarrStore.open(job.store, "") as store:
            write_preview(path, store.read(middle.region)[0], job.label_map.legend)


def identity_of(job: Prediction) -> dict[str, Any]:
    """What makes an output another one."""
    scan = job.source.scan
    return {
        "input_changed": newest_change(Path(scan.source.partition("::")[0])),
        "shape": list(scan.shape),
        "axes": [*job.axes],
        "maps": list(job.maps),
        "output": job.output.name,
        "version": job.version if job.kind.blocks else "",
    }


def newest_change(path: Path) -> list[int]:
    """When a file, or the last of a folder's, was changed (ns), how many there are, their bytes."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    stats = [one.stat() for one in files]
    return [max(s.st_mtime_ns for s in stats), len(stats), sum(s.st_size for s in stats)]
