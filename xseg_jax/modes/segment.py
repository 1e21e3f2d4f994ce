"""Segments one scan into one volume: block by block, by one process or several, in any format.

Blocks go into a store beside the output, `OUTPUT.part`, with a mark for each that is done; at the
end the store becomes the output, or is copied into it, plane by plane. So memory is that of a
block, and what was stopped goes on where it was.
"""

import contextlib
import functools
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xseg_jax import locks
from xseg_jax.data.planes import Place, Plane
from xseg_jax.errors import InputError
from xseg_jax.files import counted, saving
from xseg_jax.inference.blocks import Block, chunks_of
from xseg_jax.inference.cost import prediction_bytes
from xseg_jax.inference.ranking import write_ranks
from xseg_jax.inference.stream import Stream
from xseg_jax.inference.volume import (
    FULL,
    LABEL,
    PROBABILITIES,
    UNCERTAINTY,
    margins_of,
    planes_to_segment,
    segment_block,
)
from xseg_jax.modes.folders import agree, refuse_foreign, working_in
from xseg_jax.modes.run import GreyScaleWatch
from xseg_jax.modes.volume import DONE, SHARES, Prediction, identity_of, write_middle
from xseg_jax.progress import Progress
from xseg_jax.report.numbers import duration
from xseg_jax.scans.write import label_dtype, open_with, write_volume
from xseg_jax.scans.write_zarr import ZarrStore
from xseg_jax.training.parallel import wait_for_processes
from xseg_jax.training.runlog import (
    claim,
    flatten,
    provenance,
    read_json,
    refuse_other,
    write_json,
)

logger = logging.getLogger(__name__)

CLAIM = "prediction.json"


def run(job: Prediction, made_by: Mapping[str, Any], share: tuple[int, int] | None = None) -> None:
    """Segments what is not done yet of a share of the blocks, and finishes where all are done.

    Args:
      job: from `plan`.
      made_by: what the output says of where it came from.
      share: number of this process and how many there are, where another one has started it and
        will finish; else all blocks, or those of a process that a launcher has started.

    Raises:
      InputError: the output is there and was not written by this, or the input has changed.
      SaveError: something cannot be written.
    """
    made_by = dict(made_by) | identity_of(job)
    if share:
        _segment_share(job, made_by, share)
        return
    with at_work(job, made_by) as unfinished:
        if unfinished:
            process, processes = jax.process_index(), jax.process_count()
            _segment(job, [n for n in job.missing() if n % processes == process])
            wait_for_processes("all blocks are done")
            agree(lambda: finish(job, made_by))


def _segment_share(job: Prediction, made_by: Mapping[str, Any], share: tuple[int, int]) -> None:
    """Segments what is not done yet of a share of blocks that another process will finish."""
    number, count = share
    begun = job.work.is_dir()
    with job.sharing(alone=False) if begun else contextlib.nullcontext():
        if (job.work / CLAIM).exists():
            _refuse_other(job, job.work / CLAIM, made_by)
            _segment(job, [n for n in job.missing() if n % count == number])
        elif not is_finished(job, made_by):
            raise InputError(
                f"--share={number}/{count}: nothing was begun in {job.work}; leave --share to the "
                "processes that --jobs starts, and give --jobs"
            )


@contextlib.contextmanager
def at_work(job: Prediction, made_by: Mapping[str, Any]) -> Iterator[bool]:
    """Keeps other commands out while blocks are segmented, and tidies up when the output is there.

    Gives whether there is anything to do; then the store is there for it.

    Raises:
      InputError: as `run`.
      SaveError: as `run`.
    """
    if is_finished(job, made_by) and not job.work.exists():
        yield False
        return
    agree(lambda: _refuse_foreign_work(job))
    with working_in(job.work, "--output"):
        # Looked at once more: another command may have come to its end in the meantime.
        unfinished = not is_finished(job, made_by)
        if unfinished:
            begin(job, made_by)
        yield unfinished
        agree(lambda: _clear(job))
    with contextlib.suppress(OSError):  # Somebody is at work there again.
        job.work.rmdir()


def _refuse_foreign_work(job: Prediction) -> None:
    """Refuses a folder of somebody else's, for it is emptied in the end."""
    if not job.work.is_dir() or (job.work / CLAIM).exists():
        return
    mine = {locks.NAME, SHARES, DONE, job.store.name}
    refuse_foreign(
        (path for path in job.work.iterdir() if path.name not in mine and path.suffix != ".tmp"),
        "a prediction that can go on", "--output",
    )  # fmt: skip


def is_finished(job: Prediction, made_by: Mapping[str, Any]) -> bool:
    """Whether the output is there, of this scan and these runs; refuses somebody else's."""
    if job.about.exists():
        _refuse_other(job, job.about, made_by)
        if all(path.exists() for path in job.written()):
            logger.info("%s: is finished, from this scan by this run", job.output)
            return True
    elif not job.writing.exists():
        refuse_foreign(
            [*job.written(), *job.previews, job.about], "a prediction that can go on", "--output"
        )
    return False


def _refuse_other(job: Prediction, path: Path, made_by: Mapping[str, Any]) -> None:
    """Refuses to go on with what was made otherwise, or of a scan that has changed since."""
    if not path.exists():
        return
    old, field = read_json(path), "input_changed"
    if not isinstance(old, dict) or field not in old:
        raise InputError(
            f"{path}: is there already and was not written by a prediction; move it away, or "
            "choose another --output"
        )
    what = f"{job.output} and {job.about}" if path == job.about else job.work
    remedy = f"choose another --output, or remove {what}"
    if old.get("input") == made_by["input"] and old[field] != made_by[field]:
        raise InputError(
            f"{job.source.scan.source}: was changed since {job.output} was begun; {remedy} to "
            "segment it as it is now"
        )
    more = flatten(old).keys() - flatten(made_by).keys() if path == job.about else ()
    meaning = f"what is there was made otherwise; {remedy}"
    refuse_other(path, made_by, free=frozenset(more), meaning=meaning)


def begin(job: Prediction, made_by: Mapping[str, Any]) -> None:
    """Claims the folder of what is done, and makes the store, unless an earlier call has.

    Raises:
      InputError: the folder is that of another prediction.
    """

    def make() -> None:
        _refuse_other(job, job.work / CLAIM, made_by)
        with job.sharing(alone=True):  # Processes of a call that was killed may go on.
            pass
        if (job.work / CLAIM).exists():
            return
        scan, legend = job.source.scan, job.label_map.legend
        with saving(job.work, "the volume"):
            (job.work / DONE).mkdir(exist_ok=True)
            if job.store.exists():  # Cut off: the claim comes last.
                shutil.rmtree(job.store)
        common: dict[str, Any] = {
            "path": job.store, "shape": scan.shape, "geometry": job.source.geometry,
            "chunks": chunks_of(scan.shape), "version": job.version, "about": _about(made_by),
        }  # fmt: skip
        ZarrStore.create(dtype=label_dtype(legend.values), legend=legend, **common).close()
        for name in job.maps:
            channels = legend.names if name == PROBABILITIES else ()
            ZarrStore.create(dtype=np.uint8, group=name, channels=channels, **common).close()
        claim(job.work / CLAIM, made_by)

    agree(make)


def _segment(job: Prediction, numbers: Sequence[int]) -> None:
    """Segments blocks: the next is read, and the last written, while one is computed."""
    blocks = [job.blocks[n] for n in numbers]
    done = len(job.blocks) - len(job.missing())
    logger.info("%d of %d blocks are done, %d to segment here", done, len(job.blocks), len(blocks))
    if not blocks:
        return
    trained, shape = job.trained, job.source.scan.shape
    margins = margins_of(job.axes, trained.context, trained.config.inference.overlap)
    values = np.array(job.label_map.legend.values)
    values = values.astype(label_dtype(job.label_map.legend.values))
    _estimate(job, blocks)
    watch = GreyScaleWatch(*trained.grey_scales)
    stores = {name: ZarrStore.open(job.store, group) for name, group in job.groups().items()}

    def read(block: Block) -> tuple[Block, np.ndarray]:
        outer = block.widened(margins, shape)
        return outer, job.source.region(outer.region)

    def write(number: int, block: Block, found: Mapping[str, np.ndarray]) -> None:
        for name, store in stores.items():
            store.write(block.region, values[found[name]] if name == LABEL else found[name])
        with saving(job.mark(number), "the volume"):
            job.mark(number).touch()

    planes = planes_to_segment(blocks, job.axes)
    began = time.perf_counter()
    with Stream(read, write) as stream, Progress("Segmenting", planes, "plane") as progress:
        read_of = zip(numbers, blocks, stream.read(blocks), strict=True)
        for number, block, (outer, gray_ZYX) in read_of:
            inner = block.within(outer)
            for z in range(*inner[0].indices(len(gray_ZYX))):
                watch(job.source.where(outer.start[0] + z), _plane(job, gray_ZYX[z][..., None], 0))
            found = segment_block(
                gray_ZYX, inner, functools.partial(_segment_images, job), axes=job.axes,
                context=trained.context, maps=(LABEL, *job.maps), classes=job.classes,
                advance=progress.advance,
            )  # fmt: skip
            stream.put(number, block, found)
        stream.finish()
    logger.info(
        "segmented in %.1f s, of which it waited %.1f s for the scan and %.1f s for the output",
        time.perf_counter() - began, stream.waited_to_read, stream.waited_to_write,
    )  # fmt: skip
    watch.close()
    for store in stores.values():
        store.close()


def _segment_images(job: Prediction, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Calibrated probabilities (M, H, W, K) of images by each run."""
    planes = (_plane(job, image_HWC, None) for image_HWC in images)
    return job.trained.segment_each(planes, labels_alone=len(job.axes) == 1 and not job.maps)


def _plane(job: Prediction, image_HWC: np.ndarray, axis: int | None) -> Plane:
    nothing_HW = np.broadcast_to(np.uint8(0), image_HWC.shape[:2])
    return Plane("", image_HWC, nothing_HW, Place(job.source.name, axis or 0))


def _estimate(job: Prediction, blocks: Sequence[Block]) -> None:
    """Says how long it will take and how much memory, from a plane a device that is timed."""
    trained, shape = job.trained, job.source.scan.shape
    margins = margins_of(job.axes, trained.context, trained.config.inference.overlap)
    outers = [block.widened(margins, shape) for block in blocks]
    largest = max(outers, key=lambda outer: int(np.prod(outer.shape)))
    z = blocks[0].start[0]
    gray_ZYX = job.source.region(Block((z, 0, 0), (z + 1, *largest.shape[1:])).region)
    image_HWC = np.repeat(gray_ZYX[0][..., None], 2 * trained.context + 1, axis=-1)
    times, devices = [], len(trained.parallel.devices)
    for _ in range(2):  # The first one compiles.
        began = time.perf_counter()
        list(_segment_images(job, [image_HWC] * devices))
        times.append((time.perf_counter() - began) / devices)
    pixels = sum(
        block.shape[axis] * int(np.prod(outer.shape)) // outer.shape[axis]
        for block, outer in zip(blocks, outers, strict=True)
        for axis in job.axes
    )
    voxels = int(np.prod(largest.shape))
    per_voxel = 2 * image_HWC.itemsize + 2 * (1 + len(job.maps) + job.classes)
    if len(job.axes) > 1:
        per_voxel += 4 * (job.classes + len(job.maps))
    config = trained.config
    held = max(
        prediction_bytes(
            [n for a, n in enumerate(largest.shape) if a != axis],
            features=config.model.features, patch=config.model.get("patch", 1),
            devices=devices, **config.inference,
        )
        for axis in job.axes
    )  # fmt: skip
    logger.info(
        "estimated: %s and %.1f GiB of memory, %s in %s",
        duration(max(1.0, pixels * times[-1] / image_HWC[..., 0].size)),
        (held + voxels * per_voxel) / 2**30,
        counted(planes_to_segment(blocks, job.axes), "plane"), counted(len(blocks), "block"),
    )  # fmt: skip


def finish(job: Prediction, made_by: Mapping[str, Any]) -> None:
    """Makes the output of the store, when all blocks are done.

    Raises:
      InputError: the scan has changed since.
      SaveError: the output cannot be written.
    """
    changed = identity_of(job)["input_changed"]
    if changed != made_by["input_changed"]:
        raise InputError(
            f"{job.source.scan.source}: was changed while it was read; remove {job.work} and start "
            "again"
        )
    with job.sharing(alone=True):
        with saving(job.writing, "the volume"):
            job.writing.touch()
        if UNCERTAINTY in job.maps and job.store.exists():
            _rank(job)
        if job.store.exists():
            write_middle(job)
        if not job.kind.blocks:
            _convert(job, made_by)
        elif job.store.exists():
            logger.info("making the smaller levels of %s", job.output)
            for group in reversed(job.groups().values()):
                with ZarrStore.open(job.store, group) as store:
                    store.finish()
            with saving(job.output, "the volume"):
                job.store.rename(job.output)
    legend = job.label_map.legend
    said = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "classes": legend.classes(),
        "scale": dict.fromkeys(job.maps, f"{FULL} is 1"),
    } | ({"probability_channels": legend.names} if PROBABILITIES in job.maps else {})
    write_json(job.about, dict(made_by) | said | {"made_with": provenance()})
    print(f"open it with: {open_with(job.output)}")


def _convert(job: Prediction, made_by: Mapping[str, Any]) -> None:
    """Copies the store into files of another format, plane by plane."""
    shape, legend = job.source.scan.shape, job.label_map.legend
    files = job.files()
    with Progress("Writing", len(files) * shape[0], "plane") as progress:
        for name, group in job.groups().items():
            with ZarrStore.open(job.store, group) as store:
                for channel, part in enumerate([LABEL] if name == LABEL else job.parts(name)):
                    about = _about(made_by)
                    if name != LABEL:
                        about["holds"] = f"{part}, {FULL} is 1"
                    write_volume(
                        files[part], _planes(store, channel, progress.advance), shape=shape,
                        dtype=store.dtype, geometry=job.source.geometry,
                        legend=legend if name == LABEL else None, about=about,
                    )  # fmt: skip


def _rank(job: Prediction) -> None:
    """Writes the planes in the order in which to label them."""
    with ZarrStore.open(job.store, UNCERTAINTY) as store:
        doubt_Z = [float(plane_YX.mean()) / FULL for plane_YX in _planes(store)]
    write_ranks(job.ranks, [job.source.plane_name(z) for z in range(len(doubt_Z))], doubt_Z)


def _planes(
    store: ZarrStore, channel: int = 0, advance: Callable[[], None] = lambda: None
) -> Iterator[np.ndarray]:
    """Planes (Y, X) of a store, or of one of its channels, in order."""
    depth, *sides = store.shape
    for start in range(0, depth, store.chunks[0]):
        stop = min(start + store.chunks[0], depth)
        values = store.read(Block((start, 0, 0), (stop, sides[0], sides[1])).region)
        for plane_YX in values[channel] if store.channels else values:
            yield plane_YX
            advance()


def _about(made_by: Mapping[str, Any]) -> dict[str, Any]:
    """What an output says of where it comes from, under whatever name."""
    return {key: value for key, value in made_by.items() if key != "output"}


def _clear(job: Prediction) -> None:
    """Removes what was done so far, of an output that is finished; the claim last."""
    with saving(job.work, "the volume"):
        paths = [path for path in job.work.iterdir() if path.name != locks.NAME]
        for path in sorted(paths, key=lambda path: path.name == CLAIM):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
