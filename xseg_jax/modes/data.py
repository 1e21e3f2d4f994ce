"""From `config.data` to slices, their split, and what a run must know of them."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xseg_jax.data.builders import PreparedSlices, prepare_folder, prepare_phantom
from xseg_jax.data.folder import Slice
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pairs import find_pairs, folder_of
from xseg_jax.data.splits import PARTS, Split, choose_evenly, split_slices
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.evaluation.leak import measure_leak
from xseg_jax.modes.run import Config, DataFacts, GreyScaleWatch, pixel_hash
from xseg_jax.scans.names import left_out

logger = logging.getLogger(__name__)


def prepare_data(config: Config) -> PreparedSlices:
    """Slices of `config.data`, from physics or from a folder."""
    data = config.data
    where = {"prepared_dir": Path(data.prepared_dir), "memory_gib": data.memory_gib}
    if data.source == "phantom":
        return prepare_phantom(**data.phantom, **where)
    if data.source != "folder":
        raise InputError(f"config.data.source={data.source!r}: choose phantom or folder")
    if not data.root and not (data.images and data.labels):
        raise InputError(
            "config.data.root='': give the folder that holds images and labels with "
            "--config.data.root=FOLDER, or name both with --config.data.images=FOLDER and "
            "--config.data.labels=FOLDER"
        )
    root = Path(data.root).expanduser()
    # One that is named stands for the root's own.
    images, labels = (
        Path(data[kind]).expanduser() if data[kind] else folder_of(root, kind)
        for kind in ("images", "labels")
    )
    pairs = find_pairs(
        images,
        labels,
        number_pattern=data.number_pattern,
        skip_unlabelled=data.skip_unlabelled,
    )
    for notice in filter(None, map(left_out, (images, labels))):
        logger.warning("%s", notice)
    # What names and numbers cannot give is refused before all files are read.
    split_data(config, [pair.name for pair in pairs], [pair.number for pair in pairs])
    return prepare_folder(pairs, classes=data.classes, ignore=data.ignore, **where)


def split_data(config: Config, names: Sequence[str], numbers: Sequence[int | None]) -> Split:
    """Indices of the training, validation and test slices, by their names and numbers."""
    fields = config.data.split.to_dict()
    ranges = [fields.pop(part) for part in PARTS]
    split = split_slices(names=names, numbers=numbers, ranges=ranges, seed=config.seed, **fields)
    return Split(choose_evenly(split.train, config.data.train_slices), split.validation, split.test)


class Selection(Sequence[Slice]):
    """Some of the slices."""

    def __init__(self, slices: Sequence[Slice], indices: Sequence[int]) -> None:
        self.slices, self.indices = slices, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.slices[self.indices[place]]


class Images:
    """The images of slices, to be gone through as often as needed."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self.slices = slices

    def __iter__(self) -> Iterator[np.ndarray]:
        return (item.image_HW for item in self.slices)


def find_facts(config: Config, slices: PreparedSlices, split: Split) -> DataFacts:
    """Measures the training slices, and how much the split leaks; prints what was found."""
    names = slices.label_map.names
    print(f"label values to classes: {slices.label_map}")
    for part, indices in split.parts().items():
        members = [slices.names[index] for index in indices]
        print(f"{part}: {len(members)} slices, {members[0]} to {members[-1]}")
    train, test = Selection(slices, split.train), Selection(slices, split.test)
    pixels_K = labelled_pixels(slices, split)
    # Independent images have numbers, but no neighbours by number.
    z_N = slices.numbers if config.data.split.kind != "group" else [None] * len(slices)
    normalizer = Normalizer.fit(config.data.normalize, Images(train))
    watch = GreyScaleWatch(normalizer)
    for item in train:
        watch.look_for_far(item.name, item.image_HW)
    watch.close()
    return DataFacts(
        fingerprint=slices.fingerprint,
        dtype=str(slices.dtype),
        label_map=slices.label_map,
        normalizer=normalizer,
        thresholds=Thresholds.fit(train, normalizer, len(names)),
        train_pixels=pixels_K,
        train_hashes=tuple(pixel_hash(item.image_HW) for item in train),
        split={
            part: tuple(slices.names[index] for index in indices)
            for part, indices in split.parts().items()
        },
        leak=measure_leak(
            test, train, [z_N[index] for index in split.test], [z_N[index] for index in split.train]
        ),
    )


def labelled_pixels(slices: PreparedSlices, split: Split) -> tuple[int, ...]:
    """Training pixels of each class.

    Raises:
      InputError: a part has no labelled pixel, or training pixels of one class alone.
    """
    names = slices.label_map.names
    counts = {}
    for part, indices in split.parts().items():
        counts[part] = np.zeros(IGNORED + 1, np.int64)
        for item in Selection(slices, indices):
            counts[part] += np.bincount(item.label_HW.ravel(), minlength=IGNORED + 1)
        if not counts[part][: len(names)].any():
            first, last = (slices.names[indices[place]] for place in (0, -1))
            raise InputError(
                f"config.data.split: all pixels of the {part} slices, {first} to {last}, are "
                f"ignored (label value {slices.label_map.ignore}); label some of them, or split so "
                f"that labelled slices are in {part}"
            )
    pixels_K = tuple(counts["train"][: len(names)].tolist())
    absent = [name for name, count in zip(names, pixels_K, strict=True) if not count]
    if len(absent) == len(names) - 1:
        (only,) = set(names) - set(absent)
        raise InputError(
            f"config.data.split: the training slices have pixels of {only!r} alone, and none of "
            f"{', '.join(absent)}; label these too, or split so that training slices have them"
        )
    if absent:
        logger.warning(
            "no training slice has a pixel of %s: it will never be predicted; split so that "
            "training has it, or leave it out with --config.data.classes", ", ".join(absent)
        )  # fmt: skip
    return pixels_K
