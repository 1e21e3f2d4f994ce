"""The TFDS builder: labelled planes, prepared once and kept on disk."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax import files, locks
from xseg_jax.data import manifest
from xseg_jax.data.host_tensorflow import tfds
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Place, Plane
from xseg_jax.errors import InputError, RunError
from xseg_jax.scans.voxels import VoxelSize

logger = logging.getLogger(__name__)

WHAT = "the prepared data (--config.data.prepared_dir)"
SPLIT = "slices"
OURS = ("dataset_info.json", "features.json", "metadata.json", manifest.NAME, "*.array_record-*")
"""Names of what is in the folder of prepared data."""

GivePlanes = Callable[[], Iterable[Plane]]


class XrayPlanes(tfds.core.GeneratorBasedBuilder):
    """Planes in order, with their labels as class indices.

    There is one split: training, validation and test are chosen later, by index, so that one
    prepared data set serves every way to split it.

    Args:
      prepared_dir: where data sets are kept.
      fingerprint: names all that the planes are made from, so that nothing stale is served.
      dtype: of the images.
      channels: of a plane and its neighbours.
      label_map: saved with the planes.
      voxel_size: saved with the planes, where it is known.
      grey_scales: of each scan, saved with the planes.
      planes: gives them.
    """

    VERSION = tfds.core.Version("2.1.0")  # Goes up where files are read otherwise.

    def __init__(
        self,
        *,
        prepared_dir: Path,
        fingerprint: str,
        dtype: np.dtype,
        channels: int,
        label_map: LabelMap,
        voxel_size: VoxelSize | None,
        grey_scales: Callable[[], Mapping[str, Normalizer]],
        planes: GivePlanes,
    ) -> None:
        self._dtype, self._channels, self._label_map = dtype, channels, label_map
        self._voxel_size = voxel_size
        self._grey_scales, self._planes = grey_scales, planes
        config = tfds.core.BuilderConfig(name=fingerprint, version=self.VERSION)
        super().__init__(data_dir=prepared_dir, config=config, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(
                shape=(None, None, self._channels), dtype=self._dtype, encoding="zlib"
            ),
            "label": tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding="zlib"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(
                label_map=self._label_map.to_json(),
                voxel_size=self._voxel_size and self._voxel_size.to_json(),
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        rows: dict[str, list[Any]] = {"names": [], "places": [], "shapes": []}
        for index, item in enumerate(self._planes()):
            rows["names"].append(item.name)
            rows["places"].append(asdict(item.place))
            rows["shapes"].append(item.label_HW.shape)
            yield index, {"image": item.image_HWC, "label": item.label_HW}
        scales = {scan: asdict(one) for scan, one in self._grey_scales().items()}
        metadata: Any = self.info.metadata
        metadata.update(rows, grey_scales=scales)


class PreparedPlanes(Sequence[Plane]):
    """Prepared planes by index, decoded once and kept when they fit in memory.

    Attributes:
      names: of the planes.
      places: of the planes.
      shapes: (height, width) of each plane.
      grey_scales: of each scan by name, from an even sample of all its planes.
      label_map: label values and class names.
      voxel_size: of all scans, where it is known and the same.
      dtype: of the images.
      fingerprint: names the content.
    """

    def __init__(self, folder: Path, memory_gib: float) -> None:
        # TensorFlow searches the folder for its files as long as they are read.
        self._plain = files.PlainName(folder.parents[2])
        builder = tfds.builder_from_directory(self._plain.path.joinpath(*folder.parts[-3:]))
        about: Any = builder.info.metadata
        features: Any = builder.info.features
        self.fingerprint = folder.parent.name
        self.names: list[str] = about["names"]
        self.places = [Place(**place) for place in about["places"]]
        self.grey_scales = {s: Normalizer(**one) for s, one in about["grey_scales"].items()}
        self.shapes = [(int(height), int(width)) for height, width in about["shapes"]]
        self.label_map = LabelMap.from_json(about["label_map"])
        voxel_size = about["voxel_size"]
        self.voxel_size = VoxelSize.from_json(voxel_size) if voxel_size else None
        self._source = builder.as_data_source(SPLIT)  # pyright: ignore[reportCallIssue]
        pixels = sum(height * width for height, width in self.shapes)
        self.dtype = np.dtype(features["image"].np_dtype)
        self.channels = int(features["image"].shape[-1])
        fits = pixels * (self.channels * self.dtype.itemsize + 1) <= memory_gib * 2**30
        self._kept: dict[int, Plane] | None = {} if fits else None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Plane:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]  # The source itself knows no end of iteration.
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        record = self._source[index]
        item = Plane(self.names[index], record["image"], record["label"], self.places[index])
        if self._kept is not None:
            self._kept[index] = item
        return item


def prepare(
    made_from: list[Any],
    make: Callable[[dict[str, Any]], XrayPlanes],
    prepared_dir: Path,
    memory_gib: float,
) -> PreparedPlanes:
    """Planes that are made unless the same were before.

    Args:
      made_from: all that they depend on, as JSON.
      make: gives the builder, with prepared_dir and fingerprint.
      prepared_dir: where data sets are kept.
      memory_gib: planes stay decoded in memory up to this size.
    """
    text = json.dumps(made_from, sort_keys=True)
    fingerprint = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    path = prepared_dir / XrayPlanes.name / fingerprint / str(XrayPlanes.VERSION)
    files.make_folder(prepared_dir, WHAT)
    with files.saving(prepared_dir, WHAT):
        lock = (prepared_dir / f"{fingerprint}.lock").open("w")
    with lock:
        locks.wait_for(lock, alone=False)
        if manifest.damage(path):
            # Of several processes one prepares, and the others wait for it.
            locks.wait_for(lock, alone=True)
            if damage := manifest.damage(path):
                if path.exists():
                    logger.warning("%s: %s; these data are prepared again", path, damage)
                with files.saving(path, WHAT):
                    _clear(path)
                _write(
                    path, prepared_dir, lambda target: make(target | {"fingerprint": fingerprint})
                )
    return PreparedPlanes(path, memory_gib)


def _write(path: Path, prepared_dir: Path, make: Callable[[dict[str, Any]], XrayPlanes]) -> None:
    plain = files.PlainName(prepared_dir)
    try:
        builder = make({"prepared_dir": plain.path})
        with contextlib.redirect_stdout(None):  # TFDS announces a download; there is none.
            builder.download_and_prepare()
        manifest.write(path, WHAT)
    except RunError:
        raise
    except Exception as error:  # TensorFlow and its writers raise all kinds.
        number = files.number_of(error)
        if number is None:
            raise
        raise files.save_error(prepared_dir, WHAT, number, os.strerror(number)) from error
    finally:
        plain.close()


def _clear(path: Path) -> None:
    """Removes what was prepared, and what was half prepared when a process was killed.

    Raises:
      InputError: there is something else, which is left.
    """
    for half in path.parent.glob("incomplete.*"):
        shutil.rmtree(half)
    for pattern in OURS:
        for file in path.glob(pattern):
            file.unlink()
    if not path.exists():
        return
    if others := sorted(path.iterdir()):
        raise InputError(
            f"{others[0]}: is no prepared data, and stands in their folder; move it away, or set "
            "another --config.data.prepared_dir"
        )
    path.rmdir()
