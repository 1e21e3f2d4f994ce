"""The TFDS builder: slices from a folder or from physics, prepared once and kept on disk."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax import files, locks
from xseg_jax.data import folder, manifest, phantom
from xseg_jax.data.folder import Slice
from xseg_jax.data.host_tensorflow import tfds
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.pairs import Pair
from xseg_jax.errors import InputError, RunError
from xseg_jax.progress import Progress

logger = logging.getLogger(__name__)

WHAT = "the prepared data (--config.data.prepared_dir)"
SPLIT = "slices"
OURS = ("dataset_info.json", "features.json", "metadata.json", manifest.NAME, "*.array_record-*")
"""Names of what is in the folder of prepared data."""
PHANTOM_NAMES = ("pore", "ceramic", "metal")

NumberedSlices = Callable[[], Iterator[tuple[int | None, Slice]]]


class XraySlices(tfds.core.GeneratorBasedBuilder):
    """Slices in order, with their labels as class indices.

    There is one split: training, validation and test are chosen later, by index, so that one
    prepared data set serves every way to split it.

    Args:
      prepared_dir: where data sets are kept.
      fingerprint: names all that the slices are made from, so that nothing stale is served.
      dtype: of the images.
      label_map: saved with the slices.
      numbered_slices: gives the number (z) of each slice, if it has one, and the slice.
    """

    VERSION = tfds.core.Version("1.1.0")  # Goes up where files are read otherwise.

    def __init__(
        self,
        *,
        prepared_dir: Path,
        fingerprint: str,
        dtype: np.dtype,
        label_map: LabelMap,
        numbered_slices: NumberedSlices,
    ) -> None:
        self._dtype, self._label_map = dtype, label_map
        self._numbered_slices = numbered_slices
        config = tfds.core.BuilderConfig(name=fingerprint, version=self.VERSION)
        super().__init__(data_dir=prepared_dir, config=config, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        pixels: dict[str, Any] = {"shape": (None, None), "encoding": "zlib"}
        features = {
            "image": tfds.features.Tensor(dtype=self._dtype, **pixels),
            "label": tfds.features.Tensor(dtype=np.uint8, **pixels),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(label_map=self._label_map.to_json()),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        rows: dict[str, list[Any]] = {"names": [], "numbers": [], "shapes": []}
        for index, (number, item) in enumerate(self._numbered_slices()):
            rows["names"].append(item.name)
            rows["numbers"].append(number)
            rows["shapes"].append(item.image_HW.shape)
            yield index, {"image": item.image_HW, "label": item.label_HW}
        metadata: Any = self.info.metadata
        metadata.update(rows)


class PreparedSlices(Sequence[Slice]):
    """Prepared slices by index, decoded once and kept when they fit in memory.

    Attributes:
      names: image stems.
      numbers: position along z in slices, or None where names have no number.
      shapes: (height, width) of each slice.
      label_map: label values and class names.
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
        self.numbers: list[int | None] = about["numbers"]
        self.shapes = [(int(height), int(width)) for height, width in about["shapes"]]
        self.label_map = LabelMap.from_json(about["label_map"])
        self._source = builder.as_data_source(SPLIT)  # pyright: ignore[reportCallIssue]
        pixels = sum(height * width for height, width in self.shapes)
        self.dtype = np.dtype(features["image"].np_dtype)
        fits = pixels * (self.dtype.itemsize + 1) <= memory_gib * 2**30
        self._kept: dict[int, Slice] | None = {} if fits else None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]  # The source itself knows no end of iteration.
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        record = self._source[index]
        item = Slice(self.names[index], record["image"], record["label"])
        if self._kept is not None:
            self._kept[index] = item
        return item


def prepare_folder(
    pairs: Sequence[Pair], *, classes: str, ignore: str, prepared_dir: Path, memory_gib: float
) -> PreparedSlices:
    """Slices of a folder; checked and prepared unless files of the same content were before.

    Raises:
      InputError: as `folder.check`.
    """
    known = LabelMap.parse(classes, ignore) if classes else None
    made_from = [classes, ignore, *folder.content_hashes(pairs)]

    def make(target: dict[str, Any]) -> XraySlices:
        checked = folder.check(pairs, known, ignore)

        def read() -> Iterator[tuple[int | None, Slice]]:
            with Progress("Preparing data", len(pairs), "slice") as progress:
                for pair in pairs:
                    yield pair.number, folder.read_pair(pair, checked)
                    progress.advance()

        return XraySlices(
            dtype=checked.dtype, label_map=checked.label_map, numbered_slices=read, **target
        )

    return _prepare(made_from, make, prepared_dir, memory_gib)


def prepare_phantom(*, prepared_dir: Path, memory_gib: float, **parameters: Any) -> PreparedSlices:
    """Slices of a synthetic tomogram; parameters as `phantom.tomogram`.

    Raises:
      InputError: a parameter cannot be used.
    """
    phases = len(parameters["fractions"])
    names = PHANTOM_NAMES if phases == 3 else tuple(f"phase_{k}" for k in range(phases))

    def make(target: dict[str, Any]) -> XraySlices:
        try:
            slices = phantom.tomogram(**parameters)
        except ValueError as error:
            raise InputError(f"config.data.phantom.{error}") from error

        def simulate() -> Iterator[tuple[int | None, Slice]]:
            total = len(range(0, parameters["depth"], parameters["z_step"]))
            with Progress("Simulating tomogram", total, "slice") as progress:
                for z, image_HW, label_HW in slices:
                    yield z, Slice(f"slice_{z:04d}", image_HW, label_HW)
                    progress.advance()

        label_map = LabelMap(tuple(str(k) for k in range(phases)), names)
        return XraySlices(
            dtype=np.dtype(np.uint16), label_map=label_map, numbered_slices=simulate, **target
        )

    return _prepare(["phantom", parameters], make, prepared_dir, memory_gib)


def _prepare(
    made_from: list[Any],
    make: Callable[[dict[str, Any]], XraySlices],
    prepared_dir: Path,
    memory_gib: float,
) -> PreparedSlices:
    text = json.dumps(made_from, sort_keys=True)
    fingerprint = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    path = prepared_dir / XraySlices.name / fingerprint / str(XraySlices.VERSION)
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
    return PreparedSlices(path, memory_gib)


def _write(path: Path, prepared_dir: Path, make: Callable[[dict[str, Any]], XraySlices]) -> None:
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
