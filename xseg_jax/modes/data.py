"""From `config.data` to slices, their split, and what a run must know of them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xseg_jax.data.builders import PreparedSlices, prepare_folder, prepare_phantom
from xseg_jax.data.folder import Slice
from xseg_jax.data.images import find_pairs, label_folder_of
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.splits import PARTS, Split, choose_evenly, split_slices
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.evaluation.leak import measure_leak
from xseg_jax.modes.run import Config, DataFacts, pixel_hash

logger = logging.getLogger(__name__)


def prepare_data(config: Config) -> PreparedSlices:
    """Slices of `config.data`, from physics or from a folder."""
    data = config.data
    where = {"prepared_dir": Path(data.prepared_dir), "memory_gib": data.memory_gib}
    if data.source == "phantom":
        return prepare_phantom(**data.phantom, **where)
    if data.source != "folder":
        raise InputError(f"config.data.source={data.source!r}: choose phantom or folder")
    if data.images and data.labels:
        images, labels = Path(data.images), Path(data.labels)
    elif data.root:
        images, labels = label_folder_of(Path(data.root))
    else:
        raise InputError(
            "config.data.root='': give the folder that holds images and labels with "
            "--config.data.root=FOLDER"
        )
    pairs = find_pairs(
        images,
        labels,
        number_pattern=data.number_pattern,
        skip_unlabelled=data.skip_unlabelled,
    )
    return prepare_folder(pairs, classes=data.classes, ignore=data.ignore, **where)


def split_data(config: Config, slices: PreparedSlices) -> Split:
    """Indices of the training, validation and test slices."""
    fields = config.data.split.to_dict()
    ranges = [fields.pop(part) for part in PARTS]
    split = split_slices(
        names=slices.names, numbers=slices.numbers, ranges=ranges, seed=config.seed, **fields
    )
    return Split(choose_evenly(split.train, config.data.train_slices), split.validation, split.test)


class Selection(Sequence[Slice]):
    """Some of the slices."""

    def __init__(self, slices: Sequence[Slice], indices: Sequence[int]) -> None:
        self.slices, self.indices = slices, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.slices[self.indices[place]]


def find_facts(config: Config, slices: PreparedSlices, split: Split) -> DataFacts:
    """Measures the training slices, and how much the split leaks; prints what was found."""
    names = slices.label_map.names
    train, test = Selection(slices, split.train), Selection(slices, split.test)
    pixels_K = np.zeros(IGNORED + 1, np.int64)
    for item in train:
        pixels_K += np.bincount(item.label_HW.ravel(), minlength=IGNORED + 1)
    # Independent images have numbers, but no neighbours by number.
    z_N = slices.numbers if config.data.split.kind != "group" else [None] * len(slices)
    normalizer = Normalizer.fit(config.data.normalize, (item.image_HW for item in train))
    facts = DataFacts(
        fingerprint=slices.fingerprint,
        dtype=str(slices.dtype),
        label_map=slices.label_map,
        normalizer=normalizer,
        thresholds=Thresholds.fit(train, normalizer, len(names)),
        train_pixels=tuple(pixels_K[: len(names)].tolist()),
        train_hashes=tuple(pixel_hash(item.image_HW) for item in train),
        split={
            part: tuple(slices.names[index] for index in indices)
            for part, indices in split.parts().items()
        },
        leak=measure_leak(
            test, train, [z_N[index] for index in split.test], [z_N[index] for index in split.train]
        ),
    )
    print(f"label values to classes: {facts.label_map}")
    for part, members in facts.split.items():
        print(f"{part}: {len(members)} slices, {members[0]} to {members[-1]}")
    absent = [name for name, count in zip(names, facts.train_pixels, strict=True) if not count]
    if absent:
        logger.warning("no training slice has a pixel of: %s", ", ".join(absent))
    return facts
