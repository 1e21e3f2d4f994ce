"""Checks a folder of images and labels before any long work. No TensorFlow."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xseg_jax.data.conventions import Seen, find_convention, with_palette
from xseg_jax.data.images import (
    Convention,
    label_values,
    read_image,
    read_label,
    read_label_picture,
)
from xseg_jax.data.labels import LabelMap, check_is_label
from xseg_jax.data.pairs import Pair
from xseg_jax.errors import InputError
from xseg_jax.progress import Progress

T = TypeVar("T")
READERS = 4


@dataclass(frozen=True)
class Slice:
    """An image with its label.

    Attributes:
      name: stem of the image file.
      image_HW: grey values, uint8, uint16 or float32.
      label_HW: class indices, uint8; 255 is ignored.
    """

    name: str
    image_HW: np.ndarray
    label_HW: np.ndarray


@dataclass(frozen=True)
class Checked:
    """What `check` found in all pairs: one pixel type, one label map, one way to read labels."""

    dtype: np.dtype
    label_map: LabelMap
    convention: Convention


def each(task: str, function: Callable[[Pair], T], pairs: Sequence[Pair]) -> list[T]:
    """Results of a function over pairs in order, read by several threads behind a bar."""
    results = []
    with ThreadPoolExecutor(READERS) as pool, Progress(task, len(pairs), "slice") as progress:
        for result in pool.map(function, pairs):
            results.append(result)
            progress.advance()
    return results


def content_hashes(pairs: Sequence[Pair]) -> list[str]:
    """A hash a pair, of its name and number and of the bytes of both files.

    Raises:
      InputError: a file cannot be opened.
    """

    def content_hash(pair: Pair) -> str:
        digest = hashlib.blake2b(f"{pair.name} {pair.number}".encode(), digest_size=16)
        for path in (pair.image, pair.label):
            try:
                digest.update(hashlib.blake2b(path.read_bytes()).digest())
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be opened ({error.strerror}); check the link or permissions"
                ) from error
        return digest.hexdigest()

    return each("Reading files", content_hash, pairs)


def check(pairs: Sequence[Pair], known: LabelMap | None, ignore: str = "") -> Checked:
    """Reads every pair once and refuses what could not be used.

    Args:
      pairs: image and label files.
      known: label values and classes; None maps the values found by sorted order.
      ignore: without `known`, a label value that is left out of loss and scores, or "".

    Raises:
      InputError: as the readers, and for different sizes, a constant image, mixed pixel types,
        labels in several conventions, a label value in no class, or a label that looks like a
        grayscale image.
    """

    def look(pair: Pair) -> tuple[np.dtype, Seen]:
        image_HW, picture = read_image(pair.image), read_label_picture(pair.label)
        check_pair(pair, image_HW, picture.pixels)
        seen = Seen.of(pair.label, picture)
        if known is None:
            check_is_label(np.array(seen.values), pair.label)
        elif not seen.needs_convention:
            known.encode(label_values(picture, Convention()), pair.label)
        return image_HW.dtype, seen

    looks = each("Checking slices", look, pairs)
    first = looks[0][0]
    for pair, (dtype, _) in zip(pairs, looks, strict=True):
        if dtype != first:
            raise InputError(
                f"{pair.image}: pixels are {dtype}, but {first} in {pairs[0].image}; export all "
                "images with one pixel type"
            )
    labels = [seen for _, seen in looks]
    convention = find_convention(labels, known, ignore)
    if known is None:
        found = set().union(*(seen.read_as(convention) for seen in labels))
        label_map = LabelMap.guess(found, ignore)
    else:
        label_map = known
        for seen in labels:
            known.encode(np.array(sorted(seen.read_as(convention))), seen.path)
    return Checked(first, with_palette(label_map, labels, convention), convention)


def check_pair(pair: Pair, image_HW: np.ndarray, label: np.ndarray) -> None:
    """Refuses an image and a label, (H, W) or (H, W, 3), of different sizes; a constant image."""
    if image_HW.shape != label.shape[:2]:
        raise InputError(
            f"{pair.image}: is {_size(image_HW)} pixels, but its label {pair.label} is "
            f"{_size(label)}; crop or resample one of them"
        )
    if image_HW.min() == image_HW.max():
        raise InputError(
            f"{pair.image}: every pixel is {image_HW.flat[0]}; remove the empty slice and its label"
        )


def read_pair(pair: Pair, checked: Checked) -> Slice:
    """Image and class indices of one of the pairs that were checked."""
    image_HW, values_HW = read_image(pair.image), read_label(pair.label, checked.convention)
    check_pair(pair, image_HW, values_HW)
    return Slice(pair.name, image_HW, checked.label_map.encode(values_HW, pair.label))


def _size(array: np.ndarray) -> str:
    return " x ".join(str(length) for length in array.shape[:2])


class FolderSlices(Sequence[Slice]):
    """Slices of a folder, read when asked for."""

    def __init__(self, pairs: Sequence[Pair], checked: Checked) -> None:
        self.pairs, self.checked = pairs, checked

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        return read_pair(self.pairs[index], self.checked)
