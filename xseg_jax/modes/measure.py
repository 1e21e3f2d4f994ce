"""Measures a segmented volume: physical quantities with intervals, beside the true ones."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.data.labels import IGNORED, LabelMap
from xseg_jax.data.sources import Volume
from xseg_jax.errors import InputError
from xseg_jax.evaluation import properties
from xseg_jax.evaluation.doubt import Drawn, masks
from xseg_jax.evaluation.properties import ClassVolume
from xseg_jax.files import write_text
from xseg_jax.inference.volume import PROBABILITIES
from xseg_jax.measure.meshes import surface_mesh, write_ply, write_stl
from xseg_jax.measure.quantities import Found
from xseg_jax.modes.folders import refuse_foreign, working_in
from xseg_jax.modes.inputs import describe_sources
from xseg_jax.modes.lines import first_lines, last_lines
from xseg_jax.modes.quantities import SEGMENTED, choose, measure, measure_slices
from xseg_jax.modes.report import write_unless_changed
from xseg_jax.modes.run import Config
from xseg_jax.modes.volume import newest_change
from xseg_jax.modes.warned import heard, listening
from xseg_jax.report import properties as report
from xseg_jax.report import representative
from xseg_jax.report.page import PAGE, measured_page
from xseg_jax.scans.scan import Region, Scan, open_scan
from xseg_jax.scans.voxels import VoxelSize
from xseg_jax.scans.write_zarr import ZarrStore
from xseg_jax.training.runlog import claim, provenance, read_json, refuse_other, write_json

logger = logging.getLogger(__name__)

CLAIM = "measurement.json"
"""Says what was measured."""
RESULT = "measured.json"
PREDICTION = "prediction.json"
"""Says what the values of a predicted folder of images mean."""
WRITTEN = (RESULT, "measured.csv", representative.FILE, PAGE)
MESHES = {"ply": write_ply, "stl": write_stl}


@dataclass(frozen=True)
class Labelled:
    """A label volume of a file as classes, read where it is asked for."""

    scan: Scan
    label_map: LabelMap

    @property
    def shape(self) -> tuple[int, ...]:
        """Z, Y, X."""
        return self.scan.shape

    def __getitem__(self, region: Region) -> np.ndarray:
        values_ZYX = self.scan.region(region).astype(np.int64)
        return self.label_map.encode(values_ZYX, Path(self.scan.source))


@listening()
def run(
    source: Path,
    output: Path,
    *,
    config: Config,
    labels: str | None = None,
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
      quantities: names of families, "fractions,surfaces"; all where None.
      meshes: "ply", "stl" or both: the surface of each phase.
      changes: dotted fields that the command line gave.

    Raises:
      InputError: a file cannot be used, or `output` holds another measurement or files that none
        wrote, or is in use.
      SaveError: `output` cannot be written to.
    """
    began = time.monotonic()
    chosen = choose(quantities)
    formats = _formats(meshes)
    with ExitStack() as stack:
        pattern = config.data.number_pattern
        scan = stack.enter_context(open_scan(str(source), number_pattern=pattern))
        true = labels and stack.enter_context(open_scan(labels, number_pattern=pattern))
        if true and true.shape != scan.shape:
            raise InputError(
                f"{labels}: has {true.shape} voxels, but {source} has {scan.shape}; give the "
                "labels of this volume"
            )
        label_map = _label_map(config, scan, source)
        volumes: dict[str, ClassVolume] = {SEGMENTED: Labelled(scan, label_map)}
        if true:
            volumes[properties.TRUTH] = Labelled(true, label_map)
        flat = not _is_volume(scan)
        if flat and formats:
            raise InputError(
                f"--meshes={meshes}: has no effect on slices, of which {source} is made; leave it "
                "out, or give a volume"
            )
        voxel_size = _voxel_size(config, scan, flat=flat)
        made_by = {
            "input": str(source.resolve()),
            "input_changed": newest_change(Path(str(source).partition("::")[0])),
            "labels": labels,
            "quantities": list(chosen),
            "meshes": list(formats),
            "changes": dict(changes or {}),
        }
        refuse_other(output / CLAIM, made_by)
        if not (output / CLAIM).exists():
            written = [*WRITTEN, *_files_of_phases(label_map.names, formats)]
            refuse_foreign((output / name for name in written), "a measurement", "--output")
        what = describe_sources([Volume(scan)])
        first_lines(data=f"{source}, {what}", labels=labels, voxels=voxel_size)
        with working_in(output, "--output"):
            claim(output / CLAIM, made_by)
            names = label_map.names
            if not flat:
                drawn = _masks(source, names)
                result, found = measure(volumes, names, voxel_size, chosen, drawn=drawn)
            else:
                logger.info("%s: slices, and no volume: quantities are estimated", source)
                planes = {name: list(_class_planes(one)) for name, one in volumes.items()}
                result = measure_slices(planes, names, voxel_size, chosen)
                found = Found({})
            for phase, table in found.tables.items():
                text = table.to_csv(index=False, float_format="%.6g")
                write_text(output / _table_of(phase), text, "this table")
            for k, phase in enumerate(names):
                _write_meshes(output, volumes[SEGMENTED], k, phase, result, formats)
            result |= {"input": str(source), "labels": labels, "seconds": time.monotonic() - began}
            result |= {"warnings": heard()} | provenance()
            write_json(output / RESULT, result)
            report.write_csv(output / "measured.csv", result)
            if not flat:
                representative.write_csv(output / representative.FILE, result)
            write_unless_changed(output / PAGE, measured_page(result))
    print(report.measured_table(result))
    last_lines(
        results=[output / RESULT, output / "measured.csv"],
        objects=sorted(output.glob("objects_*.csv")),
        meshes=[output / name for name in _files_of_phases(names, formats) if formats],
        page=output / PAGE,
    )
    return result


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


def _label_map(config: Config, scan: Scan, source: Path) -> LabelMap:
    """What the values of a segmented volume mean: as given, as `predict` says, or as found.

    Raises:
      InputError: as `LabelMap.parse`, or there are too many values.
    """
    data = config.data
    if data.classes:
        return LabelMap.parse(data.classes, data.ignore)
    # Beside a volume, or in a folder of images.
    for about in (source.with_name(f"{source.name}.json"), source / PREDICTION):
        if not about.is_file():
            continue
        classes = read_json(about).get("classes", [])
        if classes:
            text = ",".join(f"{row['value']}:{row['name']}" for row in classes)
            return LabelMap.parse(text, data.ignore)
    found: set[int] = set()
    for plane_YX in _planes(scan):
        found |= set(np.unique(plane_YX).tolist())
        if len(found) > IGNORED:
            raise InputError(
                f"{source}: holds more than {IGNORED} values: it is no segmented volume; segment "
                "it with --mode=predict, or name the classes with --config.data.classes"
            )
    label_map = LabelMap.guess(found, data.ignore)
    logger.info("label values to classes: %s", label_map)
    return label_map


def _class_planes(volume: ClassVolume) -> Iterator[np.ndarray]:
    depth, height, width = volume.shape
    for z in range(depth):
        yield volume[z : z + 1, 0:height, 0:width][0]


def _planes(scan: Scan) -> Iterator[np.ndarray]:
    for z in range(scan.shape[0]):
        yield scan.plane(z)


def _voxel_size(config: Config, scan: Scan, *, flat: bool) -> VoxelSize | None:
    """As given or as the file says, of slices without z; None, with a notice, where not known."""
    given = config.data.voxel_size
    known = VoxelSize.parse(given) if given else VoxelSize.of([scan.geometry])
    if known is None or any(np.isnan(known.size[flat:])):
        logger.warning(
            "%s: says no voxel size; lengths are in voxels. Give it as "
            '--config.data.voxel_size="0.5 um"', scan.source,
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
