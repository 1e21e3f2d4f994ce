"""From config fields and flags to scans and their labelled planes. No TensorFlow."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xseg_jax.data.annotations import LabelledPlane, Labels
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.pairs import FOLDERS, folder_of
from xseg_jax.data.planes import Place
from xseg_jax.data.sources import Slices, Source, Volume, open_sources
from xseg_jax.data.splits import PARTS, Split, hold_out, split_planes
from xseg_jax.errors import InputError
from xseg_jax.files import counted, user_path
from xseg_jax.modes.run import Config
from xseg_jax.report.numbers import FEWEST
from xseg_jax.scans.folders import left_out
from xseg_jax.scans.voxels import VoxelSize

logger = logging.getLogger(__name__)


def images_in(source: Path) -> str:
    """The folder images|data of a folder that holds one; else what is given.

    Raises:
      InputError: it holds both.
    """
    holds = source.is_dir() and any((source / name).is_dir() for name in FOLDERS["images"])
    return str(folder_of(source, "images") if holds else source)


def sources_of(config: Config, images: str) -> list[Source]:
    """The scans that a path names, as a config reads them."""
    independent = {"group": True, "z": False}.get(config.data.split.kind)
    say_left_out(images)
    pattern = config.data.number_pattern
    sources = open_sources(images, number_pattern=pattern, independent=independent)
    if len(sources) > 1 and independent is None and all(map(is_image, sources)):
        logger.info(
            "%s: %d independent images, for no numbers in their names tell slices apart",
            images, len(sources),
        )  # fmt: skip
    return sources


def voxel_size_of(sources: Sequence[Source], given: str | None) -> VoxelSize | None:
    """The voxel size that scans share: the one given, or what all files say alike.

    Raises:
      InputError: what is given is no voxel size.
    """
    return VoxelSize.parse(given) if given else VoxelSize.of(one.geometry for one in sources)


def refuse_unclear(sources: Sequence[Source]) -> None:
    """Refuses slices of a scan whose place in it is not known: near-copies would be split apart."""
    for source in sources:
        if isinstance(source, Slices) and len(source) > 1 and None in source.numbers:
            raise InputError(
                f"{source.files[source.numbers.index(None)]}: no whole slice number in the name; "
                "set --config.data.number_pattern, or split independent images by "
                "--config.data.split.kind=group"
            )


def is_image(source: Source) -> bool:
    """Whether a scan is one file of one slice."""
    return isinstance(source, Slices) and len(source) == 1


def kind_of_scored(sources: Sequence[Source], split_kind: str) -> str:
    """How what is scored would be divided: other images than those of the run may be no slices.

    Args:
      sources: that are scored.
      split_kind: of the run.
    """
    if len(sources) > 1 and all(map(is_image, sources)):
        return "group"
    return "z" if split_kind == "group" and len(sources[0]) > 1 else split_kind


def describe_phantom(config: Config) -> str:
    """As `describe_sources`, of what `config.data.phantom` simulates."""
    size, depth, step = (config.data.phantom[name] for name in ("size", "depth", "z_step"))
    slices = len(range(0, depth, max(step, 1)))
    return f"synthetic tomogram, {slices} slices of {size} x {size}, uint16"


def describe_sources(sources: Sequence[Source]) -> str:
    """How many images there are, of which size and type: "124 slices of 501 x 501, uint16"."""
    first, count = sources[0], sum(map(len, sources))
    images = all(map(is_image, sources))
    scans = f"{len(sources)} scans, " * (len(sources) > 1 and not images)
    many = counted(count, "image" if images else "slice")
    if isinstance(first, Volume):
        seen = [(one.scan.shape[1:], one.scan.dtype) for one in sources if isinstance(one, Volume)]
    else:
        seen = []
        for source, index in ((first, 0), (sources[-1], len(sources[-1]) - 1)):
            with contextlib.suppress(InputError):  # Who needs the image will say what is wrong.
                image_HW = source.image(index)
                seen.append((image_HW.shape, image_HW.dtype))
    if not seen:
        return f"{scans}{many}"
    (height, width), dtype = seen[0]
    of = "of" if len({shape for shape, _ in seen}) == 1 else "of several sizes, as"
    return f"{scans}{many} {of} {height} x {width}, {dtype}"


def find_planes(config: Config, sources: Sequence[Source], labels: str) -> list[LabelledPlane]:
    """The labelled planes of scans; says what was taken for labelled, and what was left out."""
    data = config.data
    how = Labels(
        number_pattern=data.number_pattern,
        skip_unlabelled=data.skip_unlabelled,
        labelled=data.labelled,
        ignored=LabelMap.ignored_values(data.ignore),
    )
    say_left_out(labels)
    planes, notices = how.find(sources, labels)
    for notice in notices:
        logger.info("%s", notice)
    return planes


def unlabelled_beside(sources: Sequence[Source], planes: Sequence[LabelledPlane]) -> int:
    """How many slices of scans nobody has labelled; 0 where planes across other axes are."""
    numbers = {(one.place.scan, one.index) for one in planes if one.place.axis == 0}
    whole = len(numbers) == len(planes)  # Planes across other axes are no slices.
    return sum(map(len, sources)) - len(planes) if whole else 0


def say_left_out(path: str) -> None:
    """Warns of what of a folder is not read."""
    if notice := left_out(user_path(path)):
        logger.warning("%s", notice)


def split_at(
    config: Config,
    names: Sequence[str],
    places: Sequence[Place],
    label_of: Callable[[int], np.ndarray] | None = None,
    classes: int = 0,
) -> Split:
    """Indices of the training, validation and test planes.

    Args:
      config: of a run.
      names: of the labelled planes.
      places: of the labelled planes.
      label_of: class indices (H, W) uint8 of a plane; None where they are not read yet.
      classes: number of classes.

    Raises:
      InputError: as `split_planes` and `hold_out`.
    """
    fields = config.data.split.to_dict()
    ranges, between = [fields.pop(part) for part in PARTS], fields.pop("between")
    split = split_planes(
        names=names,
        places=places,
        label_of=label_of or _unread,
        classes=classes,
        ranges=ranges,
        **fields,
    )
    return hold_out(split, places, between=between, train_slices=config.data.train_slices)


def split_by_place(config: Config, names: Sequence[str], places: Sequence[Place]) -> Split | None:
    """As `split_at`, without labels; None for a split that needs them."""
    try:
        return split_at(config, names, places)
    except LabelsNeededError:
        return None


class LabelsNeededError(Exception):
    """A split asks for labels that are not read yet."""


def _unread(index: int) -> np.ndarray:
    raise LabelsNeededError


SPLITS = {
    "scan": "whole scans",
    "z": "blocks of z",
    "group": "groups of independent images",
    "random": "at random",
    "tiles": "blocks within the labelled slices, which are too few or too close for blocks of z",
    "none": "every labelled slice trains, and nothing is tested",
}


def describe(split: Split) -> str:
    """How a split was made, in words."""
    return SPLITS[split.kind] + (f" ({split.slabs})" if split.slabs else "")


def noun_of_split(split: Split) -> str:
    """What planes are called: images that are divided by groups are no slices of a scan."""
    return "image" if split.kind == "group" else "slice"


def not_used(config: Config, split: Split, labelled: int, unlabelled: int) -> str:
    """How many slices are in no part, by the field that leaves them out; "" where there are none.

    Args:
      config: of the run.
      split: of the labelled slices.
      labelled: how many there are.
      unlabelled: how many there are beside them.
    """
    data = config.data
    ranged = split.kind == "z" and any(len(data.split[part]) for part in PARTS)
    why = {
        "outside the ranges of split.train, validation and test"
        if ranged
        else f"in gaps of {data.split.gap} voxels (split.gap)": in_gaps(split, labelled),
        f"left out by train_slices={data.train_slices}": len(split.spared),
        "without a label" + " (skip_unlabelled)" * data.skip_unlabelled: unlabelled,
    }
    what = noun_of_split(split)
    said = [f"{counted(count, what)} {reason}" for reason, count in why.items() if count]
    return ", ".join(said)


def in_gaps(split: Split, labelled: int) -> int:
    """How many of so many labelled slices the division left out by itself."""
    used = {index for part in (*all_of(split).values(), split.spared) for index in part}
    return labelled - len(used)


def all_of(split: Split) -> dict[str, tuple[int, ...]]:
    """Indices of each part, and of the planes between."""
    return split.parts() | {"between": split.between}


def split_in_words(config: Config, split: Split, labelled: int, unlabelled: int) -> str:
    """A split in one line: how it was made, how many slices each part has, and what no part has.

    Args:
      config: of the run.
      split: of the labelled slices.
      labelled: how many there are.
      unlabelled: how many there are beside them.
    """
    parts = [(part, len(indices)) for part, indices in all_of(split).items() if indices]
    said = [f"{counted(parts[0][1], noun_of_split(split))} in {parts[0][0]}"]
    said += [
        f"{count} {'held out' if part == 'between' else 'in'} {part}" for part, count in parts[1:]
    ]
    text = f"{describe(split)}: {'parts of ' if split.slabs else ''}{', '.join(said)}"
    if split.slabs is None and 0 < len(split.test) < FEWEST:
        text += f", too few for an interval, which takes {FEWEST}"
    rest = not_used(config, split, labelled, unlabelled)
    return f"{text}; not used: {rest}" if rest else text
