"""What a segmented volume says of itself: its classes, who has segmented it, whether it is one."""

import logging
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.data.labels import IGNORED, LabelMap
from xseg_jax.data.sources import Slices, open_sources
from xseg_jax.errors import InputError
from xseg_jax.evaluation.properties import ClassVolume
from xseg_jax.evaluation.rows import without_hardly_any
from xseg_jax.files import user_path
from xseg_jax.inference.volume import BETWEEN_AXES, BETWEEN_RUNS, PROBABILITIES, UNCERTAINTY
from xseg_jax.modes.inputs import images_in, is_image
from xseg_jax.modes.quantities import MEASURED, NETWORK
from xseg_jax.modes.run import Config
from xseg_jax.report.properties import largest_errors
from xseg_jax.report.recipe_words import data_name, last_part
from xseg_jax.scans.folders import is_store
from xseg_jax.scans.scan import Region, Scan, open_scan
from xseg_jax.training.runlog import read_json

logger = logging.getLogger(__name__)

CONFIG, DATA = "config.json", "data.json"
MAPS = (PROBABILITIES, UNCERTAINTY, BETWEEN_AXES, BETWEEN_RUNS)
PREDICTION = "prediction.json"
"""Says what the values of a predicted folder of images mean."""
GROUP = "group"
"""The split of images that are no slices of one volume."""


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


@dataclass(frozen=True)
class Within:
    """A volume of classes within a mask: what lies outside, where the mask is 0, has no class.

    A mask of one plane is that of all planes.
    """

    volume: ClassVolume
    mask: Scan

    @property
    def shape(self) -> tuple[int, ...]:
        """Z, Y, X."""
        return self.volume.shape

    def __getitem__(self, region: Region) -> np.ndarray:
        z, y, x = region
        planes = slice(0, 1) if self.mask.shape[0] == 1 else z
        inside_ZYX = self.mask.region((planes, y, x)) != 0
        return np.where(inside_ZYX, self.volume[region], np.uint8(IGNORED))


def planes_of(volume: ClassVolume) -> Iterator[np.ndarray]:
    """Classes (H, W) of each plane, in order."""
    depth, height, width = volume.shape
    for z in range(depth):
        yield volume[slice(z, z + 1), slice(0, height), slice(0, width)][0]


def check_mask(mask: Scan, shape: tuple[int, ...], source: Path) -> None:
    """Refuses a mask of another volume, or of nothing; says how much lies within.

    Raises:
      InputError: its shape is neither `shape` nor that of one plane, or it is 0 everywhere.
    """
    if mask.shape not in (shape, (1, *shape[1:])):
        raise InputError(
            f"--within={mask.source}: has {mask.shape} voxels, but {source} has {shape}; give a "
            "mask of this volume, or of one of its planes for all"
        )
    inside = sum(int(np.count_nonzero(mask.plane(z))) for z in range(mask.shape[0]))
    if not inside:
        raise InputError(
            f"--within={mask.source}: is 0 everywhere, so that nothing lies within; give a mask "
            "that is not 0 in the sample"
        )
    logger.info(
        "within %s lie %.1f%% of the voxels; nothing is measured of the others", mask.source,
        100 * inside / math.prod(mask.shape),
    )  # fmt: skip


def refuse_map(source: Path) -> None:
    """Refuses a folder of maps that `predict` has written beside one of labels.

    Raises:
      InputError: names the folder of labels.
    """
    for name in MAPS:
        labels = source.with_name(source.name.removesuffix(f"_{name}"))
        if labels != source and (labels / PREDICTION).is_file():
            raise InputError(
                f"{source}: holds the {name} of {labels}, and no labels; give {labels}"
            )


def record_of(source: Path) -> Mapping[str, Any]:
    """What `predict` has written of a volume, beside it, or in a folder of images; else nothing."""
    for about in (source.with_name(f"{source.name}.json"), source / PREDICTION):
        if about.is_file():
            found = read_json(about)
            return found if isinstance(found, Mapping) else {}
    return {}


def maker_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who has segmented a volume, without the folders above: None where nobody says so.

    Args:
      record: as `record_of` gives it.

    Returns:
      runs (a name and a step each), scan, and network, in words.
    """
    if not record.get("run"):
        return None
    runs = [record, *record.get("others", ())]
    features = _features(Path(record["run"]))
    of = f" of {', '.join(map(str, features))} features" if features else ""
    return {
        "runs": [{"run": last_part(one["run"]), "step": one["step"]} for one in runs],
        "scan": data_name(record["input"]),
        "network": f"U-Net{of}" if len(runs) == 1 else f"mean of {len(runs)} U-Nets{of}",
    }


def own_test(record: Mapping[str, Any]) -> str:
    """What the run that has segmented a volume was off by in its own test; "" where nobody knows.

    An interval says how places of a volume differ, and not what the segmentation does.

    Args:
      record: as `record_of` gives it.
    """
    measured = Path(record.get("run") or "") / MEASURED
    if not record.get("run") or not measured.is_file():
        return ""
    found = read_json(measured)
    rows = without_hardly_any(found["quantities"])  # Those of earlier versions are not marked.
    head, *methods = largest_errors(found | {"quantities": rows}, NETWORK).splitlines()
    return f"in the run's own test, {head}{methods[0].removeprefix(' ')}" if methods else ""


def trained_on(record: Mapping[str, Any]) -> int:
    """How many planes of the scan that was segmented had trained the network, as far as is known.

    Args:
      record: as `record_of` gives it.
    """
    run = Path(record.get("run") or "")
    if not record.get("run") or not all((run / name).is_file() for name in (CONFIG, DATA)):
        return 0
    data = read_json(run / CONFIG)["data"]
    images = data["images"] or (data["root"] and images_in(user_path(data["root"])))
    if not images or user_path(images).resolve() != Path(record["input"]):
        return 0
    return len(read_json(run / DATA)["split"]["train"])


def _features(run: Path) -> Sequence[int]:
    """Of the run's network, while its folder is where it was."""
    path = run / CONFIG
    return read_json(path)["model"]["features"] if path.is_file() else ()


def images_of(config: Config, source: Path, record: Mapping[str, Any]) -> list[Path]:
    """Files of images that are no slices of one volume; none where they are, or nobody knows.

    It is known where the run that has segmented them was split by groups, where
    `config.data.split.kind` says so, and where no numbers in their names tell them apart.

    Args:
      config: of which `data` says how names are read.
      source: what is measured.
      record: as `record_of` gives it.
    """
    if not source.is_dir() or is_store(source):
        return []
    said = config.data.split.kind == GROUP or record.get("planes") == "image"
    pattern = config.data.number_pattern
    sources = open_sources(str(source), number_pattern=pattern, independent=said or None)
    pictures = [one for one in sources if isinstance(one, Slices)]
    if len(pictures) < max(2, len(sources)) or not all(map(is_image, pictures)):
        return []
    return [one.files[0] for one in pictures]


def label_map_of(
    config: Config, source: Path, record: Mapping[str, Any], planes: Iterable[np.ndarray]
) -> LabelMap:
    """What the values of a segmented volume mean: as given, as `predict` says, or as found.

    Args:
      config: of which `data` has classes, and values that are ignored.
      source: named in errors.
      record: as `record_of` gives it.
      planes: label values, read where nobody says what they mean.

    Raises:
      InputError: as `LabelMap.parse`, or there are too many values.
    """
    data = config.data
    if data.classes:
        return LabelMap.parse(data.classes, data.ignore)
    if classes := record.get("classes"):
        named = {str(row["value"]): row["name"] for row in classes}
        merged, ignore = _of_run(record, set(named.values()))
        ignore = data.ignore or ignore
        ignored = LabelMap.ignored_values(ignore)
        text = ",".join(
            f"{value}:{name}"
            for value, name in (named | merged).items()
            if int(value) not in ignored
        )
        return LabelMap.parse(text, ignore)
    found: set[int] = set()
    for plane_YX in planes:
        found |= set(np.unique(plane_YX).tolist())
        if len(found) > IGNORED:
            raise InputError(
                f"{source}: holds more than {IGNORED} values: it is no segmented volume; segment "
                "it with --mode=predict, or name the classes with --config.data.classes"
            )
    label_map = LabelMap.guess(found, data.ignore)
    logger.info("label values to classes: %s", label_map)
    return label_map


def _of_run(record: Mapping[str, Any], names: Container[str]) -> tuple[dict[str, str], str]:
    """Class names of all label values that the run knows, which may be several a class, and those
    that it ignores: labels that are compared with what it wrote have them too."""
    data = Path(record.get("run") or "") / DATA
    if not record.get("run") or not data.is_file():
        return {}, ""
    known = LabelMap.from_json(read_json(data)["label_map"])
    named = zip(known.values, known.classes, strict=True)
    # Colours are of label pictures; what is written has numbers.
    return {value: name for value, name in named if name in names and value.isdigit()}, known.ignore


def class_images(files: Sequence[Path], label_map: LabelMap) -> list[np.ndarray]:
    """Classes (H, W) of images that are no slices of one volume.

    Raises:
      InputError: one cannot be read, or holds a value that is in no class.
    """
    found = []
    for file in files:
        with open_scan(str(file)) as scan:
            found += planes_of(Labelled(scan, label_map))
    return found


def values_of(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """Label values (H, W) of images."""
    for file in files:
        with open_scan(str(file)) as scan:
            yield scan.plane(0)
