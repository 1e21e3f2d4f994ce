"""Measures a segmented volume: physical quantities with intervals, beside the true ones."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.data.labels import LabelMap
from xseg_jax.data.sources import Volume
from xseg_jax.errors import InputError
from xseg_jax.evaluation import properties
from xseg_jax.evaluation.doubt import Drawn, masks
from xseg_jax.evaluation.properties import ClassVolume
from xseg_jax.files import counted, write_text
from xseg_jax.inference.volume import PROBABILITIES
from xseg_jax.measure.meshes import surface_mesh, write_ply, write_stl
from xseg_jax.measure.quantities import Found
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.images import folder_of
from xseg_jax.modes.inputs import describe_sources
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.quantities import MEASURED, SEGMENTED, choose, measure, measure_slices
from xseg_jax.modes.report import write_unless_changed
from xseg_jax.modes.run import Config
from xseg_jax.modes.segmented import (
    Labelled,
    Within,
    check_mask,
    class_images,
    images_of,
    label_map_of,
    maker_of,
    own_test,
    planes_of,
    record_of,
    refuse_map,
    trained_on,
    values_of,
)
from xseg_jax.modes.volume import newest_change
from xseg_jax.modes.warned import heard, listening
from xseg_jax.report import properties as report
from xseg_jax.report import representative
from xseg_jax.report.numbers import count
from xseg_jax.report.page import PAGE, measured_page
from xseg_jax.scans.names import list_images
from xseg_jax.scans.scan import Scan, open_scan
from xseg_jax.scans.voxels import VoxelSize
from xseg_jax.scans.write_zarr import ZarrStore
from xseg_jax.training.runlog import claim, provenance, refuse_other, write_json

logger = logging.getLogger(__name__)

CLAIM = "measurement.json"
"""Says what was measured."""
OTHER = "this folder holds the measurement of something else; choose another --output or remove it"
WRITTEN = (MEASURED, "measured.csv", representative.FILE, PAGE)
MESHES = {"ply": write_ply, "stl": write_stl}


@listening()
def run(
    source: Path,
    output: Path,
    *,
    config: Config,
    labels: str | None = None,
    within: str | None = None,
    quantities: str | None = None,
    meshes: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `measured.json`, `measured.csv`, `report.html`, tables of objects and meshes.

    Args:
      source: a segmented volume of any format.
      output: folder where they are written, made if missing.
      config: of which `data` says what label values mean.
      labels: the true volume, of the same shape.
      within: a mask of the sample, of the same shape or of one plane: where it is 0 nothing is
        measured.
      quantities: names of families, "fractions,surfaces"; all where None.
      meshes: "ply", "stl" or both: the surface of each phase.
      changes: dotted fields that the command line gave.

    Raises:
      InputError: a file cannot be used, or `output` holds another measurement or files that none
        wrote, or is in use.
      SaveError: `output` cannot be written to.
    """
    began = time.monotonic()
    refuse_map(source)
    chosen = choose(quantities)
    formats = _formats(meshes)
    with ExitStack() as stack:
        pattern = config.data.number_pattern
        scan = stack.enter_context(open_scan(str(source), number_pattern=pattern))
        true = labels and stack.enter_context(open_scan(labels, number_pattern=pattern))
        record = record_of(source)
        images = images_of(config, source, record)
        if true and not images and true.shape != scan.shape:
            raise InputError(
                f"{labels}: has {true.shape} voxels, but {source} has {scan.shape}; give the "
                "labels of this volume"
            )
        values = values_of(images) if images else (scan.plane(z) for z in range(scan.shape[0]))
        label_map = label_map_of(config, source, record, values)
        volumes: dict[str, ClassVolume] = {SEGMENTED: Labelled(scan, label_map)}
        if true:
            volumes[properties.TRUTH] = Labelled(true, label_map)
        mask = within and stack.enter_context(open_scan(within, number_pattern=pattern))
        if mask:
            if images:
                raise InputError(
                    f"--within={within}: is of a volume, and {source} is images that are no slices "
                    "of one; leave it out"
                )
            check_mask(mask, scan.shape, source)
            volumes = {name: Within(one, mask) for name, one in volumes.items()}
        flat = bool(images) or not _is_volume(scan)
        if flat and formats:
            raise InputError(
                f"--meshes={meshes}: has no effect on slices, of which {source} is made; leave it "
                "out, or give a volume"
            )
        # Areas have no unit.
        voxel_size = None if images else _voxel_size(config, scan, flat=flat)
        made_by = {
            "input": str(source.resolve()),
            "input_changed": newest_change(Path(str(source).partition("::")[0])),
            "labels": labels,
            "within": within,
            "quantities": list(chosen),
            "meshes": list(formats),
            "changes": dict(changes or {}),
        }
        refuse_other(output / CLAIM, made_by, meaning=OTHER)
        if not (output / CLAIM).exists():
            written = [*WRITTEN, *_files_of_phases(label_map.names, formats)]
            refuse_foreign((output / name for name in written), "a measurement", "--output")
        what = describe_sources([Volume(scan)])
        what = f"{count(len(images), 'image')}, no slices of one volume" if images else what
        maker = maker_of(record)
        first_lines(
            data=f"{source}, {what}",
            labels=labels,
            within=within,
            run=maker and _said(maker),
            voxels=voxel_size,
        )
        if true and (known := trained_on(record)):
            logger.warning(
                "%s: %s of the same scan had trained the network, so that errors are no test of "
                "it; its own is in %s", source, counted(known, "plane"), record["run"],
            )  # fmt: skip
        if flat and folder_of(source, PROBABILITIES).is_dir():
            logger.info(
                "%s: what doubt leaves open is told of volumes alone, an OME-Zarr with "
                "--probabilities", folder_of(source, PROBABILITIES),
            )  # fmt: skip
        with working_in(output, "--output"):
            claim(output / CLAIM, made_by)
            names = label_map.names
            if not flat:
                drawn: list[ClassVolume] = [*_masks(source, names)]
                if mask:
                    drawn = [Within(one, mask) for one in drawn]
                result, found = measure(volumes, names, voxel_size, chosen, drawn=drawn)
            else:
                result = _measure_flat(
                    images, volumes, label_map, voxel_size, chosen, Path(labels) if labels else None
                )
                found = Found({})
            for phase, table in found.tables.items():
                text = table.to_csv(index=False, float_format="%.6g")
                write_text(output / _table_of(phase), text, "this table")
            for k, phase in enumerate(names):
                _write_meshes(output, volumes[SEGMENTED], k, phase, result, formats)
            result |= {"input": str(source), "labels": labels, "within": within}
            result |= {"ignore": label_map.ignore, "seconds": _since(began)}
            result |= {
                "own_test": own_test(record),
                "prediction": maker,
                "meshes": list(formats),
                "warnings": heard(),
            }
            result |= provenance()
            write_json(output / MEASURED, result)
            report.write_csv(output / "measured.csv", result)
            if not flat:
                representative.write_csv(output / representative.FILE, result)
            write_unless_changed(output / PAGE, measured_page(result))
    print(report.measured_table(result))
    last_lines(
        results=[output / MEASURED, output / "measured.csv"],
        objects=sorted(output.glob("objects_*.csv")),
        meshes=[output / name for name in _files_of_phases(names, formats) if formats],
        page=output / PAGE,
    )
    return result


def _measure_flat(
    images: Sequence[Path],
    volumes: Mapping[str, ClassVolume],
    label_map: LabelMap,
    voxel_size: VoxelSize | None,
    chosen: Sequence[str],
    labels: Path | None,
) -> dict[str, Any]:
    """Quantities of slices that are no neighbours, or of images that are no slices at all.

    Raises:
      InputError: there are other labels than images, or of another size.
    """
    if not images:
        planes = {name: list(planes_of(one)) for name, one in volumes.items()}
        return measure_slices(planes, label_map.names, voxel_size, chosen)
    planes = {SEGMENTED: class_images(images, label_map)}
    if labels:
        files = list(list_images(labels).values())
        planes[properties.TRUTH] = true = class_images(files, label_map)
        if [one.shape for one in planes[SEGMENTED]] != [one.shape for one in true]:
            raise InputError(
                f"{labels}: labels have other sizes than the images of {images[0].parent}, in the "
                "order of their names; give one of each image, under the same names"
            )
    return measure_slices(planes, label_map.names, voxel_size, chosen, independent=True)


def _since(began: float) -> float:
    """Seconds, to a tenth."""
    return round(time.monotonic() - began, 1)


def _said(maker: Mapping[str, Any]) -> str:
    """Who has segmented the volume, and of which scan, in a line."""
    runs = ", ".join(f"{one['run']} (step {one['step']})" for one in maker["runs"])
    return f"{runs}, {maker['network']}, has segmented {maker['scan']}"


def _is_volume(scan: Scan) -> bool:
    """Whether planes lie beside each other, and are several."""
    numbers = scan.numbers
    gaps = numbers is not None and numbers[-1] - numbers[0] + 1 != len(numbers)
    return scan.shape[0] > 1 and not gaps


def _table_of(phase: str) -> str:
    return f"objects_{_plain(phase)}.csv"


def _mesh_of(phase: str, kind: str) -> str:
    return f"{_plain(phase)}.{kind}"


def _files_of_phases(names: Sequence[str], formats: Sequence[str]) -> list[str]:
    """Names of the files that are written of each phase.

    Raises:
      InputError: those of two phases would be the same.
    """
    if len({_plain(name) for name in names}) < len(names):
        raise InputError(
            f"{', '.join(names)}: two of these phases have the same letters and digits, and would "
            "share a file; name them otherwise with --config.data.classes"
        )
    return [
        file
        for name in names
        for file in (_table_of(name), *(_mesh_of(name, kind) for kind in formats))
    ]


def _formats(text: str | None) -> tuple[str, ...]:
    given = [name.strip() for name in text.split(",")] if text else []
    for name in given:
        if name not in MESHES:
            raise InputError(f"--meshes={text}: there is no {name!r}; choose among ply, stl")
    return tuple(given)


def _voxel_size(config: Config, scan: Scan, *, flat: bool) -> VoxelSize | None:
    """As given or as the file says, of slices without z; None, with a notice, where not known."""
    given = config.data.voxel_size
    known = VoxelSize.parse(given) if given else VoxelSize.of([scan.geometry])
    if known is None or any(np.isnan(known.size[flat:])):
        logger.warning(
            "%s: says no voxel size; lengths are in %s. Give it as "
            '--config.data.voxel_size="0.5 um"', scan.source, "pixels" if flat else "voxels",
        )  # fmt: skip
        return None
    return known


def _masks(source: Path, names: Sequence[str]) -> list[Drawn]:
    """Masks of the probabilities that `predict` wrote beside the labels; none where it did not."""
    group = source / PROBABILITIES
    if not group.is_dir():
        return []
    store = ZarrStore.open(source, PROBABILITIES)
    if tuple(names) != store.channels:
        logger.warning(
            "%s: holds probabilities of %s, and not of %s; what doubt leaves open is left out",
            group, ", ".join(store.channels), ", ".join(names),
        )  # fmt: skip
        return []
    return masks(store.read, store.shape, len(names))


def _write_meshes(
    output: Path,
    volume: ClassVolume,
    k: int,
    phase: str,
    result: Mapping[str, Any],
    formats: Sequence[str],
) -> None:
    if not formats:
        return
    z, y, x = result["voxel_size"]
    phase_ZYX = volume[tuple(slice(0, n) for n in volume.shape)] == k  # pyright: ignore[reportArgumentType]
    mesh = surface_mesh(phase_ZYX, (z, y, x))
    for name in formats:
        MESHES[name](output / _mesh_of(phase, name), mesh, result["unit"])


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
