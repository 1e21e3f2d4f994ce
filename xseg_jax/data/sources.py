"""Scans as gray planes to draw from: a volume of any format, a folder of slices, single images."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xseg_jax.data.images import gray_values, read_image
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import AXES, Place, Plane
from xseg_jax.errors import InputError
from xseg_jax.scans.folders import is_store, scans_in
from xseg_jax.scans.names import LAST_NUMBER, list_images, number_in
from xseg_jax.scans.scan import Geometry, Region, Scan, open_scan
from xseg_jax.scans.slices import geometry_of_files

SAMPLED_PLANES = 32
"""Planes of a scan that its grey scale is measured on, evenly spread."""


def sample_evenly(planes: int) -> list[int]:
    """Indices of at most `SAMPLED_PLANES` planes, evenly spread."""
    count = min(planes, SAMPLED_PLANES)
    return ((np.arange(count) + 0.5) * planes / count).astype(int).tolist()


class Source(ABC):
    """Gray planes of one scan.

    Attributes:
      name: of the scan.
      numbers: z of each plane across z; None where a plane has none.
    """

    name: str
    numbers: Sequence[int | None]

    @property
    def geometry(self) -> Geometry:
        """Voxel size, as far as the files say it."""
        return Geometry()

    def __len__(self) -> int:
        """How many planes there are across z."""
        return len(self.numbers)

    @abstractmethod
    def image(self, index: int, axis: int = 0) -> np.ndarray:
        """Gray values (H, W) of a plane, uint8, uint16 or float32.

        Raises:
          InputError: the file is damaged, or holds no gray values.
        """

    @abstractmethod
    def neighbour(self, index: int, distance: int, axis: int = 0) -> int:
        """The plane at a distance from another one; that plane itself where it is missing.

        Beyond the ends of the scan its last planes are repeated.
        """

    def has_neighbours(self, index: int, context: int, axis: int = 0) -> bool:
        """Whether one of the neighbours of a plane, on either side, is there."""
        around = [d for d in range(-context, context + 1) if d]
        return any(self.neighbour(index, d, axis) != index for d in around)

    @abstractmethod
    def where(self, index: int, axis: int = 0) -> str:
        """What an error calls a plane."""

    @abstractmethod
    def plane_name(self, index: int, axis: int = 0) -> str:
        """What results call a plane."""

    def plane(self, index: int, context: int, axis: int = 0) -> Plane:
        """A plane of which nothing is labelled."""
        image_HWC = self.image_with(index, context, axis)
        number = self.numbers[index] if axis == 0 else index
        label_HW = np.full(image_HWC.shape[:2], IGNORED, np.uint8)
        place = Place(self.name, axis, number)
        return Plane(self.plane_name(index, axis), image_HWC, label_HW, place)

    def image_with(self, index: int, context: int, axis: int = 0) -> np.ndarray:
        """A plane with `context` neighbours on each side, (H, W, 2 * context + 1).

        Raises:
          InputError: as `image`, and for a neighbour of another pixel type.
        """
        places = [self.neighbour(index, d, axis) for d in range(-context, context + 1)]
        read = {place: self.image(place, axis) for place in set(places)}
        shape, dtype = read[index].shape, read[index].dtype
        for place, image_HW in read.items():
            if image_HW.dtype != dtype:
                raise InputError(
                    f"{self.where(place, axis)}: pixels are {image_HW.dtype}, but {dtype} in "
                    f"{self.where(index, axis)}; export all slices of a scan with one pixel type"
                )
        # Slices of other sizes are no neighbours.
        planes = [read[place] if read[place].shape == shape else read[index] for place in places]
        return np.stack(planes, axis=-1)

    def grey_scale(self) -> Normalizer:
        """Mean and spread of the scan, from an even sample of its planes."""
        return Normalizer.fit([self.image(index) for index in sample_evenly(len(self))])


class Slices(Source):
    """Files of one slice each.

    Args:
      name: of the scan.
      files: in order.
      numbers: z of each, or None.
    """

    def __init__(self, name: str, files: Sequence[Path], numbers: Sequence[int | None]) -> None:
        self.name, self.files, self.numbers = name, list(files), list(numbers)
        counts = Counter(self.numbers)
        # Which of two files with one number is the neighbour cannot be told.
        self._index = {n: index for index, n in enumerate(self.numbers) if counts[n] == 1}
        known = [number for number in self.numbers if number is not None]
        self._ends = (min(known), max(known)) if known else (0, 0)

    @property
    def geometry(self) -> Geometry:  # noqa: D102
        return geometry_of_files(self.files)

    def image(self, index: int, axis: int = 0) -> np.ndarray:  # noqa: D102
        if axis != 0:
            raise InputError(f"{self.name}: a folder of slices has no planes across {AXES[axis]}")
        return read_image(self.files[index])

    def neighbour(self, index: int, distance: int, axis: int = 0) -> int:  # noqa: D102
        del axis
        number = self.numbers[index]
        if number is None or distance == 0:
            return index
        first, last = self._ends
        return self._index.get(min(max(number + distance, first), last), index)

    def where(self, index: int, axis: int = 0) -> str:  # noqa: D102
        del axis
        return str(self.files[index])

    def plane_name(self, index: int, axis: int = 0) -> str:  # noqa: D102
        del axis
        return self.files[index].stem


class Volume(Source):
    """A scan that is read plane by plane, along any axis."""

    def __init__(self, scan: Scan) -> None:
        self.scan, self.name = scan, scan.name
        self.numbers = list(scan.numbers or range(scan.shape[0]))

    @property
    def geometry(self) -> Geometry:  # noqa: D102
        return self.scan.geometry

    def image(self, index: int, axis: int = 0) -> np.ndarray:  # noqa: D102
        return gray_values(self.scan.plane(index, axis), self.where(index, axis))

    def region(self, region: Region) -> np.ndarray:
        """Gray values (Z, Y, X) of a part of the scan, uint8, uint16 or float32.

        Raises:
          InputError: as `image`.
        """
        values_ZYX = self.scan.region(region)
        first = region[0].start
        planes = [gray_values(one, self.where(first + n)) for n, one in enumerate(values_ZYX)]
        return np.stack(planes) if planes[0].dtype != values_ZYX.dtype else values_ZYX

    def neighbour(self, index: int, distance: int, axis: int = 0) -> int:  # noqa: D102
        return min(max(index + distance, 0), self.scan.shape[axis] - 1)

    def where(self, index: int, axis: int = 0) -> str:  # noqa: D102
        return f"{self.scan.source}, {AXES[axis]} = {index}"

    def plane_name(self, index: int, axis: int = 0) -> str:  # noqa: D102
        width = len(str(self.scan.shape[axis] - 1))
        return f"{self.name}_{AXES[axis]}{index:0{width}d}"


def open_sources(
    path: str, *, number_pattern: str = LAST_NUMBER, independent: bool | None = False
) -> list[Source]:
    """The scans that a path names.

    A folder of files of one slice each is one scan, or as many as there are files where images are
    independent; a folder of volumes, stores and folders of slices is a scan each; all else is one
    scan.

    Args:
      path: as `open_scan` takes it.
      number_pattern: regular expression whose first group is the number in a stem.
      independent: files of one slice each are images of their own; None where their names have no
        numbers that tell them apart.

    Raises:
      InputError: nothing can be opened; names the file.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir() or is_store(folder):
        return [Volume(open_scan(path))]
    if entries := scans_in(folder):
        sources: list[Source] = [
            _slices(entry, number_pattern)
            if entry.is_dir() and not is_store(entry)
            else Volume(open_scan(entry))
            for entry in entries
        ]
        entry_of: dict[str, Path] = {}
        for source, entry in zip(sources, entries, strict=True):
            if entry_of.setdefault(source.name, entry) != entry:
                raise InputError(
                    f"{entry}: is a scan called {source.name}, as is {entry_of[source.name].name}; "
                    "rename one, for labels find their scan by its name"
                )
        return sources
    slices = _slices(folder, number_pattern)
    if independent is None:
        whole = [number for number in slices.numbers if number is not None]
        unnumbered = [
            file.stem
            for file, number in zip(slices.files, slices.numbers, strict=True)
            if number is None
        ]
        # Digits that are no whole number may be a z all the same: 0.25mm.
        independent = not any(re.search(r"\d", stem) for stem in unnumbered) and (
            bool(unnumbered) or len(set(whole)) < len(whole)
        )
    if not independent:
        return [slices]
    return [
        Slices(file.stem, [file], [number])
        for file, number in zip(slices.files, slices.numbers, strict=True)
    ]


def _slices(folder: Path, number_pattern: str) -> Slices:
    images = list_images(folder)
    numbers = [number_in(stem, number_pattern) for stem in images]
    return Slices(folder.name, list(images.values()), numbers)
