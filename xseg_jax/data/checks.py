"""Every check of labelled planes, before any long work; and reading them. No TensorFlow."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.conventions import Seen, find_convention, with_palette
from xseg_jax.data.images import Convention, label_values
from xseg_jax.data.labels import LabelMap, check_is_label
from xseg_jax.data.planes import Plane
from xseg_jax.errors import InputError
from xseg_jax.progress import Progress
from xseg_jax.scans.shown import Picture

T = TypeVar("T")
READERS = 4


@dataclass(frozen=True)
class Checked:
    """What `check` found in all planes.

    Attributes:
      dtype: of the images: that of all, or float32 where scans differ.
      label_map: label values and classes.
      convention: how label files are read.
      hashes: of each plane's name and place, grey values with neighbours, and label values.
    """

    dtype: np.dtype
    label_map: LabelMap
    convention: Convention
    hashes: tuple[str, ...]


def check(
    planes: Sequence[LabelledPlane],
    known: LabelMap | None,
    ignore: str = "",
    *,
    context: int = 0,
    one_type: bool = True,
    fixed: bool = False,
) -> Checked:
    """Reads every labelled plane once and refuses what could not be used.

    Args:
      planes: of one data set.
      known: label values and classes; None maps the values found by sorted order.
      ignore: without `known`, label values that are left out of loss and scores, or "".
      context: neighbours on each side that belong to a plane.
      one_type: refuse scans of different pixel types, whose grey values mean different things.
      fixed: `known` is that of a trained run, so that no class can be added.

    Raises:
      InputError: as the readers, and for different sizes, a constant image, mixed pixel types,
        labels in several conventions, a label value in no class, or a label that looks like a
        grayscale image.
    """

    def look(plane: LabelledPlane) -> tuple[np.dtype, Seen, str]:
        image_HWC = plane.source.image_with(plane.index, context, plane.place.axis)
        picture = plane.picture()
        check_pair(plane, image_HWC[..., context], picture.pixels)
        seen = Seen.of(Path(plane.label_where), picture)
        # Values in no class are told at once when all files are known; what is no label, here.
        if known is None or (not seen.needs_convention and known.lacks(seen.values)):
            check_is_label(np.array(seen.values), Path(plane.label_where))
        return image_HWC.dtype, seen, _hash(plane, image_HWC, picture)

    looks = each("Checking slices", look, planes)
    firsts: dict[str, int] = {}
    for index, (plane, (dtype, _, _)) in enumerate(zip(planes, looks, strict=True)):
        first = firsts.setdefault("" if one_type else plane.place.scan, index)
        if dtype != looks[first][0]:
            remedy = (
                "all images with one pixel type, or train with --config.data.normalize=scan"
                if one_type
                else "all images of a scan with one pixel type"
            )
            raise InputError(
                f"{plane.where}: pixels are {dtype}, but {looks[first][0]} in "
                f"{planes[first].where}; export {remedy}"
            )
    types = {dtype for dtype, _, _ in looks}
    dtype = looks[0][0] if len(types) == 1 else np.dtype(np.float32)
    labels = [seen for _, seen, _ in looks]
    hashes = tuple(digest for _, _, digest in looks)
    convention = find_convention(labels, known, ignore)
    if known is None:
        found = set().union(*(seen.read_as(convention) for seen in labels))
        label_map = LabelMap.guess(found, ignore)
    else:
        label_map = known
        known.refuse_unmapped(
            ((seen.path, seen.pixels_as(convention)) for seen in labels), fixed=fixed
        )
    return Checked(dtype, with_palette(label_map, labels, convention), convention, hashes)


def each(
    task: str, function: Callable[[LabelledPlane], T], planes: Sequence[LabelledPlane]
) -> list[T]:
    """Results of a function over planes in order, read by several threads behind a bar."""
    results = []
    with ThreadPoolExecutor(READERS) as pool, Progress(task, len(planes), "image") as progress:
        for result in pool.map(function, planes):
            results.append(result)
            progress.advance()
    return results


def _hash(plane: LabelledPlane, image_HWC: np.ndarray, picture: Picture) -> str:
    """Names what is trained on, whatever kind of file it came from."""
    place = plane.place
    text = json.dumps([plane.name, place.scan, place.axis, place.number])
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    # A palette is part of what a label says; the type of whole numbers is not.
    label = picture.pixels if picture.pixels.dtype == bool else picture.pixels.astype(np.int64)
    for array in (image_HWC, label, picture.palette_N3):
        if array is not None:
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def check_pair(plane: LabelledPlane, image_HW: np.ndarray, label: np.ndarray) -> None:
    """Refuses an image and a label, (H, W) or (H, W, 3), of different sizes; a constant image."""
    if image_HW.shape != label.shape[:2]:
        raise InputError(
            f"{plane.where}: is {_size(image_HW)} pixels, but its label {plane.label_where} is "
            f"{_size(label)}; crop or resample one of them"
        )
    if image_HW.min() == image_HW.max():
        raise InputError(
            f"{plane.where}: every pixel is {image_HW.flat[0]}; remove the empty slice and its "
            "label"
        )


class CheckedPlanes(Sequence[Plane]):
    """Planes that were checked, read when asked for."""

    def __init__(self, planes: Sequence[LabelledPlane], checked: Checked, context: int = 0) -> None:
        self.planes, self.checked, self.context = planes, checked, context

    def __len__(self) -> int:
        return len(self.planes)

    def __getitem__(self, index: int) -> Plane:  # pyright: ignore[reportIncompatibleMethodOverride]
        plane = self.planes[index]
        image_HWC = plane.source.image_with(plane.index, self.context, plane.place.axis)
        values = label_values(plane.picture(), self.checked.convention)
        check_pair(plane, image_HWC[..., self.context], values)
        label_HW = self.checked.label_map.encode(values, Path(plane.label_where))
        return Plane(
            plane.name, image_HWC.astype(self.checked.dtype, copy=False), label_HW, plane.place
        )


def _size(array: np.ndarray) -> str:
    return " x ".join(str(length) for length in array.shape[:2])
