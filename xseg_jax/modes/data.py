"""From `config.data` to labelled planes, their split, and what a run must know of them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.appearance import Appearance
from xseg_jax.data.builders import WHAT, PreparedPlanes
from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pairs import folder_of
from xseg_jax.data.planes import Plane
from xseg_jax.data.prepare import prepare_phantom, prepare_scans
from xseg_jax.data.resemblance import UNLIKE, resemblance
from xseg_jax.data.sources import Slices, Source, sample_evenly
from xseg_jax.data.splits import PARTS, Split, choose_evenly
from xseg_jax.data.symmetry import harmless, moves_of, swaps_in
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.evaluation.leak import measure_leak, measure_leak_within
from xseg_jax.files import counted, make_folder, user_path
from xseg_jax.modes.inputs import (
    all_of,
    describe,
    describe_phantom,
    describe_sources,
    find_planes,
    in_gaps,
    not_used,
    noun_of_split,
    refuse_unclear,
    sources_of,
    split_at,
    split_by_place,
    unlabelled_beside,
    voxel_size_of,
)
from xseg_jax.modes.run import Config, DataFacts, GreyScaleWatch, pixel_hash

logger = logging.getLogger(__name__)

COMPARED = 6
"""Pairs of images that are looked at, whether they are slices of a scan."""


@dataclass(frozen=True)
class OpenedData:
    """What `config.data` names, looked at but not prepared yet.

    Attributes:
      text: what it is, for the first lines of a run.
      unlabelled: slices that nobody has labelled.
      context: neighbours on each side that the network sees: 0 where training has none.
      prepare: gives the labelled planes.
    """

    text: str
    unlabelled: int
    context: int
    prepare: Callable[[], PreparedPlanes]


def open_data(config: Config) -> OpenedData:
    """The data of a run, from physics or from files."""
    data = config.data
    prepared_dir = user_path(data.prepared_dir)
    make_folder(prepared_dir, WHAT)  # Before files are read, which may take long.
    where = {"prepared_dir": prepared_dir, "memory_gib": data.memory_gib}
    if data.source == "phantom":
        context = context_of_phantom(config)
        prepare = partial(prepare_phantom, context=context, **data.phantom, **where)
        return OpenedData(describe_phantom(config), 0, context, prepare)
    if data.source != "folder":
        raise InputError(f"config.data.source={data.source!r}: choose phantom or folder")
    images, labels = (path_of(config, kind) for kind in ("images", "labels"))
    sources = sources_of(config, images)
    refuse_unclear(sources)
    planes = find_planes(config, sources, labels)
    warn_of_independent(config, sources)
    context = context_of(config, planes)
    unlabelled = unlabelled_beside(sources, planes)
    said = f"{len(planes)} labelled by {labels}"
    prepare = partial(
        prepare_scans,
        planes,
        classes=data.classes,
        ignore=data.ignore,
        context=context,
        one_type=data.normalize == "volume",
        own_scales=data.normalize == "scan",
        voxel_size=voxel_size_of(sources, data.voxel_size),
        **where,
    )
    text = f"{images}, {describe_sources(sources)}; {said}"
    return OpenedData(text, unlabelled, context, prepare)


def context_of(config: Config, planes: Sequence[LabelledPlane]) -> int:
    """Neighbours on each side that the network sees: none where training planes have none.

    A network that is trained on planes beside copies of themselves takes true neighbours for that.

    Raises:
      InputError: names and numbers of the planes cannot give the split that the config wants,
        before all files are read.
    """
    context, train = config.data.context, planes
    split = split_by_place(config, [one.name for one in planes], [one.place for one in planes])
    if split:
        train = [planes[index] for index in split.train]
    alone = [
        one for one in train if not one.source.has_neighbours(one.index, context, one.place.axis)
    ]
    if not context or not alone:
        return context
    kept = 2 * len(alone) <= len(train)
    logger.warning(
        "config.data.context=%d: %d of %d training slices lack neighbours, %s for one; %s",
        context, len(alone), len(train), alone[0].name,
        "copies of themselves stand for these" if kept else
        "so the network sees each slice alone. Where the whole scan is there, give it as "
        "config.data.images",
    )  # fmt: skip
    return context if kept else 0


def context_of_phantom(config: Config) -> int:
    """As `context_of`, of slices of which every `config.data.phantom.z_step` is imaged."""
    context, step = config.data.context, config.data.phantom.z_step
    if 0 < context < step:
        logger.warning(
            "config.data.context=%d: no neighbours are imaged with config.data.phantom.z_step=%d, "
            "so the network sees each slice alone", context, step,
        )  # fmt: skip
        return 0
    return context


def warn_of_independent(config: Config, sources: Sequence[Source]) -> None:
    """Warns of images that are split by z and resemble the next one no more than any other."""
    first = sources[0]
    if config.data.split.kind not in ("auto", "z") or not isinstance(first, Slices):
        return
    near = [n for n in range(len(first) - 1) if None not in first.numbers[n : n + 2]]
    if len(sources) > 1 or len(near) < COMPARED:
        return
    chosen = [n for one in choose_evenly(near, COMPARED) for n in (one, one + 1)]
    some = sorted(set(chosen))
    pairs = Slices(first.name, [first.files[n] for n in some], [first.numbers[n] for n in some])
    likeness = resemblance(pairs)
    if likeness and likeness[0] - likeness[1] < UNLIKE:
        logger.warning(
            "%s: images resemble the next one no more than others (they correlate by %.2f and "
            "%.2f), as radiographs do. If they are no slices of one scan, their numbers are no z: "
            "split them by --config.data.split.kind=group", first.files[0].parent, *likeness,
        )  # fmt: skip


def path_of(config: Config, kind: str) -> str:
    """Where the "images" or "labels" of a data set are."""
    data = config.data
    if data[kind]:
        return data[kind]
    if not data.root:
        raise InputError(
            "config.data.root='': give the folder that holds images and labels with "
            "--config.data.root=FOLDER, or name both with --config.data.images=PATH and "
            "--config.data.labels=PATH"
        )
    return str(folder_of(user_path(data.root), kind))


def split_data(config: Config, planes: PreparedPlanes) -> Split:
    """Indices of the training, validation and test planes."""
    return split_at(
        config,
        planes.names,
        planes.places,
        lambda index: planes[index].label_HW,
        len(planes.label_map.names),
    )


class Selection(Sequence[Plane]):
    """The planes of one part of a split, or between; labels of other parts are ignored."""

    def __init__(self, planes: Sequence[Plane], split: Split, part: str) -> None:
        self.planes, self.split, self.part = planes, split, part
        self.indices: tuple[int, ...] = getattr(split, part)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Plane:  # pyright: ignore[reportIncompatibleMethodOverride]
        plane = self.planes[self.indices[place]]
        if self.split.slabs is None:
            return plane
        part = PARTS.index(self.part)
        label_HW = self.split.slabs.mask(part, plane.place, plane.label_HW)
        return replace(plane, label_HW=label_HW)


def say_split(config: Config, planes: PreparedPlanes, split: Split, unlabelled: int) -> None:
    """Prints what labels mean, which planes are in which part, and how many are in none, and why.

    Args:
      config: of the run.
      planes: that are labelled.
      split: of the planes.
      unlabelled: slices beside them.
    """
    print(f"label values to classes: {planes.label_map}")
    print(f"split: {describe(split)}")
    what = noun_of_split(split)
    for part, indices in split.parts().items():
        if indices:
            among = _named([planes.names[index] for index in indices], mixed=_mixed(split, part))
            print(f"{part}: {counted(len(indices), what)}, {among}")
    if split.between:
        by = "train_slices" if config.data.train_slices else "split.between"
        many = counted(len(split.between), what)
        print(f"between: {many} held out ({by}), scored but not trained on")
    if said := not_used(config, split, len(planes), unlabelled):
        print(f"not used: {said}")


def _mixed(split: Split, part: str) -> bool:
    """Whether planes of other parts lie between the first and the last of a part."""
    if split.slabs is not None:  # Parts are cut from the same planes.
        return False
    mine = split.parts()[part]
    others = {index for name, some in split.parts().items() if name != part for index in some}
    return not others.isdisjoint(range(min(mine), max(mine) + 1))


def _named(members: Sequence[str], *, mixed: bool) -> str:
    """The planes of a part in short: "a to f" says that all between are of that part."""
    if len(members) == 1:
        return members[0]
    if not mixed:
        return f"{members[0]} to {members[-1]}"
    more = f" and {len(members) - 2} more, drawn at random among all" if members[2:] else ""
    return f"{members[0]}, {members[1]}{more}"


def find_facts(config: Config, planes: PreparedPlanes, split: Split, context: int) -> DataFacts:
    """Measures the training planes, and how much the split leaks.

    Args:
      config: of the run.
      planes: that are labelled.
      split: of the planes.
      context: neighbours on each side that the network sees.
    """
    names = planes.label_map.names
    train, test = (Selection(planes, split, part) for part in ("train", "test"))
    pixels_K = labelled_pixels(planes, split)
    grey_scales = GreyScales.fit(config.data.normalize, train, planes.grey_scales)
    watch = GreyScaleWatch(grey_scales)
    for item in train:
        watch.look_for_far(item.name, item)
    watch.close()
    warn_of_swaps(config, names, train)
    sampled = (train[place] for place in sample_evenly(len(train)))
    return DataFacts(
        fingerprint=planes.fingerprint,
        dtype=str(planes.dtype),
        label_map=planes.label_map,
        voxel_size=planes.voxel_size,
        grey_scales=grey_scales,
        context=context,
        # A shared grey scale tells foreign images by itself.
        appearance=None if grey_scales.shared else Appearance.of(sampled, grey_scales),
        thresholds=Thresholds.fit(train, grey_scales, len(names)),
        train_pixels=pixels_K,
        train_hashes=tuple(pixel_hash(item.image_HW) for item in train),
        split_kind=split.kind,
        split={
            part: tuple(planes.names[index] for index in indices)
            for part, indices in all_of(split).items()
        },
        slabs=split.slabs.to_json() if split.slabs else None,
        leak=(
            measure_leak_within(planes, split.slabs) if split.slabs else measure_leak(test, train)
        ),
        left_out=in_gaps(split, len(planes)),
    )


def warn_of_swaps(config: Config, names: Sequence[str], train: Sequence[Plane]) -> None:
    """Warns of classes that augmentation makes each other: a mirrored left is a right."""
    moves = moves_of(config.augment.flip, rotate90=config.augment.rotate90)
    if not moves:
        return
    swaps = swaps_in(names, (item.label_HW for item in train))
    met = [swap for swap in swaps if swap.move in moves]
    if met:
        one, other = met[0].classes
        flip, rotate90 = harmless(swap.move for swap in swaps)
        logger.warning(
            "config.augment.flip='%s', rotate90=%s: move classes into each other, %s: %.0f%% of %s "
            "lies where %s was, %.0f%% where it was itself. Where grey values do not tell them "
            "apart set --config.augment.flip=%s --config.augment.rotate90=%s",
            config.augment.flip, config.augment.rotate90, met[0].move, 100 * met[0].other, one,
            other, 100 * met[0].own, flip, rotate90,
        )  # fmt: skip


def labelled_pixels(planes: PreparedPlanes, split: Split) -> tuple[int, ...]:
    """Training pixels of each class.

    Raises:
      InputError: a part has no labelled pixel, or training pixels of one class alone.
    """
    names = planes.label_map.names
    unless = ", or hold none out with --config.data.split.between=0"
    counts = {}
    for part, indices in all_of(split).items():
        if not indices:
            continue
        counts[part] = np.zeros(IGNORED + 1, np.int64)
        for item in Selection(planes, split, part):
            counts[part] += np.bincount(item.label_HW.ravel(), minlength=IGNORED + 1)
        if not counts[part][: len(names)].any():
            first, last = (planes.names[indices[place]] for place in (0, -1))
            raise InputError(
                f"config.data.split: all pixels of the {part} slices, {first} to {last}, are "
                f"ignored (label value {planes.label_map.ignore}); label some of them, or split so "
                f"that labelled slices are in {part}{unless if part == 'between' else ''}"
            )
    pixels_K = tuple(counts["train"][: len(names)].tolist())
    absent = [name for name, count in zip(names, pixels_K, strict=True) if not count]
    if len(absent) == len(names) - 1:
        (only,) = set(names) - set(absent)
        raise InputError(
            f"config.data.split: the training slices have pixels of {only!r} alone, and none of "
            f"{', '.join(absent)}; label these too, or split so that training slices have them"
            f"{unless if split.between else ''}"
        )
    if absent:
        held = (
            "between" in counts and counts["between"][: len(names)][np.array(pixels_K) == 0].any()
        )
        logger.warning(
            "no training slice has a pixel of %s: it will never be predicted; split so that "
            "training has it, or leave it out with --config.data.classes%s",
            ", ".join(absent), unless if held else "",
        )  # fmt: skip
    return pixels_K
