"""A folder of 2D files as a scan, and one such file as a scan of one slice.

A slice is what every viewer shows of its file; z is the number in its name.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans import names
from xseg_jax.scans.picture import read_picture
from xseg_jax.scans.raw import refuse_inside
from xseg_jax.scans.scan import Geometry, Region, Scan
from xseg_jax.scans.shown import Picture
from xseg_jax.scans.tiff_geometry import geometry_of_slice
from xseg_jax.scans.units import triple, unit_of


class SlicesScan(Scan):
    """Slices that are read from their files when asked for; holds nothing open.

    The first file says size and type; another one that differs is an error when it is read.
    """

    pictured = True

    def __init__(
        self, source: str, files: list[Path], numbers: tuple[int, ...] | None, colours: bool
    ) -> None:
        first = read_picture(files[0])
        pixels = first.pixels if colours else gray_of(first, files[0])
        super().__init__(source, (len(files), *pixels.shape[:2]), pixels.dtype, numbers=numbers)
        self.files = files

    def _read(self, region: Region) -> np.ndarray:
        z, y, x = region
        values = np.empty([part.stop - part.start for part in region], self.dtype)
        for index, picture in enumerate(self._pictures(range(z.start, z.stop))):
            values[index] = gray_of(picture, self.files[z.start + index])[y, x]
        return values

    def _pictures(self, planes: range) -> Iterator[Picture]:
        for plane in planes:
            picture, file = read_picture(self.files[plane]), self.files[plane]
            size, dtype = picture.pixels.shape[:2], picture.pixels.dtype
            if size != self.shape[1:] or dtype != self.dtype:
                raise InputError(
                    f"{file}: is {dtype} {size}, but {self.files[0].name} is {self.dtype} "
                    f"{self.shape[1:]}; export all slices alike"
                )
            yield picture


def gray_of(picture: Picture, name: object) -> np.ndarray:
    """Gray values or indices (H, W) of a picture.

    Raises:
      InputError: it shows colours.
    """
    pixels = picture.pixels
    if picture.kind != "rgb":
        return pixels
    if (pixels[..., :1] != pixels).any():
        raise InputError(f"{name}: is a colour image; X-ray images are grayscale: convert it")
    return np.ascontiguousarray(pixels[..., 0])


def open_picture(file: Path, inside: str, source: str, colours: bool = False) -> Scan:
    """One PNG, JPEG, BMP, GIF, PBM, PGM, PPM or WebP file as a scan of one slice.

    Raises:
      InputError: it is damaged or shows colours.
    """
    refuse_inside(inside, source)
    return SlicesScan(source, [file], None, colours)


def open_folder(
    folder: Path, inside: str, source: str, number_pattern: str = names.LAST_NUMBER,
    colours: bool = False,
) -> Scan:  # fmt: skip
    """A folder of slices, ordered by the numbers in their names, or by name where one has none.

    Numbers may have gaps, as where only some slices are labelled: see `Scan.numbers`. Voxel size
    is that of a SkyScan log (`*_rec.log`) in the folder, or of the first file's tags.

    Args:
      folder: of TIFF, PNG, JPEG, BMP or NumPy files; others are left out.
      inside: must be empty.
      source: named in errors.
      number_pattern: regular expression whose first group is the number in a stem.
      colours: whether the files may show colours: see `Scan.picture`.

    Raises:
      InputError: the folder holds no slices, or a number twice.
    """
    refuse_inside(inside, source)
    listed = names.list_images(folder)
    found = {stem: names.number_in(stem, number_pattern) for stem in listed}
    order = list(listed)
    numbers: tuple[int, ...] | None = None
    if None not in found.values():
        order.sort(key=lambda stem: (found[stem], stem))
        sorted_numbers = [found[stem] for stem in order]
        for before, after, stem in zip(sorted_numbers, sorted_numbers[1:], order[1:], strict=False):
            if before == after:
                raise InputError(
                    f"{source}: {listed[stem].name} and another file have the number {after}; "
                    "rename one, or set the pattern that finds z in the names"
                )
        numbers = tuple(number for number in sorted_numbers if number is not None)
    files = [listed[stem] for stem in order]
    scan = SlicesScan(source, files, numbers, colours)
    scan.geometry = geometry_of_files(files)
    return scan


def geometry_of_files(files: Sequence[Path]) -> Geometry:
    """Voxel size of slices: of a SkyScan log beside several, or of the first file's tags."""
    first = files[0]
    tagged = first.suffix.lower() in (".tif", ".tiff")
    logged = _log_geometry(first.parent) if len(files) > 1 else None
    return logged or (geometry_of_slice(first) if tagged else Geometry())


def _log_geometry(folder: Path) -> Geometry | None:
    """The voxel size in the log of SkyScan's reconstruction, the same along all axes."""
    for log in sorted(folder.glob("*_rec.log")):
        found = re.search(r"^(?:Image )?Pixel Size \(([^)]+)\)\s*=\s*([\d.eE+-]+)",
                          log.read_text(errors="replace"), re.MULTILINE)  # fmt: skip
        if found:
            return Geometry(triple([float(found[2])] * 3), unit_of(found[1]))
    return None
