"""A scan: a named volume (Z, Y, X) on disk, read plane by plane; and which reader opens what.

NumPy in and out. A reader is imported when its format is met.
"""

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.kinds import find_kind
from xseg_jax.scans.names import LAST_NUMBER
from xseg_jax.scans.shown import COLOUR_REMEDY, Picture, crossing

Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a scan are. Each triple is in the order z, y, x.

    Attributes:
      voxel_size: distance of neighbouring planes, rows and columns; NaN along an axis whose
        distance the file does not say; None if it says nothing.
      unit: of `voxel_size` and `origin`: "nm", "um", "mm", "cm", "m", "angstrom" or "inch"; None
        if the file names none or another.
      origin: where the centre of the first voxel is, if the file says it.
      direction: rows are the unit steps along z, y, x of the array in the coordinates of `origin`,
        if the file says them. Coordinates of patients are z, y, x of DICOM's L, P, S.
    """

    voxel_size: tuple[float, float, float] | None = None
    unit: str | None = None
    origin: tuple[float, float, float] | None = None
    direction: tuple[tuple[float, float, float], ...] | None = None


class Scan(ABC):
    """A named volume (Z, Y, X), read lazily: only what is asked for, in memory of that size.

    Values are as stored, in native byte order, with a slope and intercept of the file applied
    once; NaN stays. Threads may read at the same time. A scan closes itself as a context manager,
    and pickles as its path: the copy opens the file again.

    Attributes:
      source: what `open_scan` was given.
      name: the file's name without folder and suffixes, or the name of the data set inside.
      shape: (Z, Y, X) in voxels; a single 2D image is a scan of one slice.
      dtype: bool, or integers or floats of any size.
      geometry: voxel size, unit and place, as far as the file says them.
      numbers: the z of each plane, from the names of a folder of slices; else None.
      pictured: files say more of a plane than its gray values.
    """

    pictured = False

    def __init__(
        self,
        source: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        geometry: Geometry | None = None,
        numbers: tuple[int, ...] | None = None,
    ) -> None:
        z, y, x = shape
        self.source, self.shape, self.dtype = source, (int(z), int(y), int(x)), dtype
        self.name = _name(source)
        self.geometry = geometry or Geometry()
        self.numbers = numbers
        self.reopen: Callable[[], Scan] = functools.partial(open_scan, source)
        self._closed = False
        if 0 in self.shape:
            raise InputError(f"{source}: has shape {self.shape}: no voxels; export it again")

    @property
    def voxel_size(self) -> tuple[float, float, float] | None:
        """As in `Geometry`."""
        return self.geometry.voxel_size

    @property
    def unit(self) -> str | None:
        """As in `Geometry`."""
        return self.geometry.unit

    @abstractmethod
    def _read(self, region: Region) -> np.ndarray:
        """Values of a region whose bounds are within the shape and not empty."""

    def _close(self) -> None:  # noqa: B027 - most readers keep nothing open.
        """Gives back what is held between two reads."""

    def plane(self, index: int, axis: int = 0) -> np.ndarray:
        """One plane: (Y, X) along axis 0, (Z, X) along axis 1, (Z, Y) along axis 2.

        Raises:
          IndexError: there is no such plane.
          InputError: the file is damaged there.
        """
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.source}: no plane {index} of {self.shape[axis]} along {axis}")
        bounds = [(0, length) for length in self.shape]
        bounds[axis] = (index, index + 1)
        return self._region(bounds, f"plane {index} along axis {axis}").squeeze(axis)

    def picture(self, index: int, axis: int = 0) -> Picture:
        """As `plane`, with what its file says of it: palette, colours, lossy compression.

        That is for labels, which may be colours: those of a scan opened with `colours=True` are
        (Y, X, 3) here, and refused as planes. Formats of volumes have gray values alone.

        Raises:
          IndexError: there is no such plane.
          InputError: the file is damaged there, or one plane shows colours and another gray values.
        """
        if not self.pictured or axis == 0:
            if axis == 0 and 0 <= index < self.shape[0]:
                (picture,) = self.pictures(index, index + 1)
                return picture
            return Picture(self.plane(index, axis), "gray")
        if not 0 <= index < self.shape[axis]:
            raise IndexError(f"{self.source}: no plane {index} of {self.shape[axis]} along {axis}")
        return crossing(self.pictures(0, self.shape[0]), index, axis, self.source)

    def pictures(self, start: int, stop: int) -> Iterator[Picture]:
        """Planes start..stop-1 along z, one after the other, as `picture`; memory is as of `slab`.

        Raises:
          IndexError: the bounds are not 0 <= start < stop <= Z.
          InputError: the file is damaged there.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise IndexError(f"{self.source}: no planes {start} to {stop} of {self.shape[0]}")
        with self._reading(f"planes {start} to {stop - 1}"):
            yield from self._pictures(range(start, stop))

    def _pictures(self, planes: range) -> Iterator[Picture]:
        """Pictures of neighbouring planes along z."""
        for plane in self.slab(planes.start, planes.stop):
            yield Picture(plane, "gray")

    def slab(self, start: int, stop: int) -> np.ndarray:
        """Planes start..stop-1 along z: (stop - start, Y, X).

        Raises:
          IndexError: the bounds are not 0 <= start < stop <= Z.
          InputError: the file is damaged there.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise IndexError(f"{self.source}: no planes {start} to {stop} of {self.shape[0]}")
        bounds = [(start, stop), *((0, length) for length in self.shape[1:])]
        return self._region(bounds, f"planes {start} to {stop - 1}")

    def region(self, region: Region) -> np.ndarray:
        """A part of the volume: (Z, Y, X); formats in chunks read those that it needs.

        Args:
          region: slices with a start and a stop, not empty.

        Raises:
          IndexError: the bounds are not within the shape.
          InputError: the file is damaged there.
        """
        bounds = [(part.start, part.stop) for part in region]
        for (start, stop), length in zip(bounds, self.shape, strict=True):
            if not 0 <= start < stop <= length:
                raise IndexError(f"{self.source}: no voxels {start} to {stop} of {length}")
        z = region[0]
        return self._region(bounds, f"planes {z.start} to {z.stop - 1}")

    def _region(self, bounds: list[tuple[int, int]], what: str) -> np.ndarray:
        z, y, x = (slice(*bound) for bound in bounds)
        with self._reading(what):
            values = self._read((z, y, x))
        expected = tuple(stop - start for start, stop in bounds)
        if values.shape != expected or values.dtype != self.dtype:
            raise InputError(
                f"{self.source}: {what} is {values.dtype} {values.shape}, but the file announced "
                f"{self.dtype} {expected}; export it again"
            )
        return values

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        if self._closed:
            raise ValueError(f"{self.source}: is closed")
        try:
            yield
        except (InputError, MemoryError):
            raise
        # Every library fails in a way of its own; each means the same to the user.
        except Exception as error:
            raise InputError(
                f"{self.source}: {what} cannot be read ({one_line(error)}); the file is damaged, "
                "truncated or gone: copy or export it again"
            ) from error

    def close(self) -> None:
        """Gives back open files and temporary copies; reading afterwards is a `ValueError`."""
        self._closed = True
        self._close()

    def __enter__(self) -> "Scan":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _call, (self.reopen,)

    def __repr__(self) -> str:
        return f"<Scan {self.source}: {self.shape} {self.dtype}>"


def _call(reopen: Callable[[], Scan]) -> Scan:
    return reopen()


def open_scan(
    path: str | Path, *, number_pattern: str = LAST_NUMBER, colours: bool = False
) -> Scan:
    """Opens a file, a store or a folder of slices as a volume, without reading its pixels.

    Args:
      path: a file or folder; `file.h5::/entry/data` names a data set inside a file or store,
        `stack.tif::c=1,t=0` a channel and a time, `scan.raw::512x1024x1024,uint16,big` the shape
        (Z, Y, X), type and byte order of raw data.
      number_pattern: finds z in the names of a folder of slices: see `slices.open_folder`.
      colours: opens colour pictures and TIFF pages too, which `Scan.picture` gives; else refused.

    Raises:
      InputError: the file is missing, damaged, of an unknown kind, no volume, or holds several;
        or its reader is not installed.
    """
    source = str(path)
    place, inside = split_source(source)
    file = Path(place).expanduser()
    if not file.exists():
        link = "; it is a broken link" if file.is_symlink() else ""
        raise InputError(f"{place}: no such file or folder{link}; check the path")
    kind = find_kind(file)
    known = {"number_pattern": number_pattern, "colours": colours}
    options = {name: known[name] for name in kind.options}
    try:
        module = importlib.import_module(f"xseg_jax.scans.{kind.module}")
        scan = getattr(module, kind.function)(file, inside, source, **options)
    except (InputError, MemoryError):
        raise
    except ImportError as error:
        raise InputError(
            f"{source}: reading {kind.name} needs {error.name or error}; "
            f"pip install {' '.join(kind.packages) or error.name}"
        ) from error
    except Exception as error:
        raise InputError(
            f"{source}: cannot be read as {kind.name} ({one_line(error)}); the file is damaged, "
            "truncated or of another kind: copy or export it again"
        ) from error
    # A copy may be opened in another folder.
    whole = f"{file.absolute()}::{inside}" if inside else str(file.absolute())
    scan.reopen = functools.partial(
        open_scan, whole, number_pattern=number_pattern, colours=colours
    )
    return scan


def one_line(error: BaseException, most: int = 160) -> str:
    """What an error of a library says, on one line that is not too long."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= most else f"{said[: most - 3]}..."


def plain_dtype(dtype: np.dtype, source: str) -> np.dtype:
    """The type in native byte order.

    Raises:
      InputError: values are not plain numbers.
    """
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        remedy = f"save one volume a file, {COLOUR_REMEDY}" if dtype.names else "export it again"
        raise InputError(f"{source}: values are {dtype}, not plain numbers; {remedy}")
    return dtype.newbyteorder("=")


def some(names: list[str], most: int = 10) -> str:
    """The first of many names, with a count of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def split_source(source: str) -> tuple[str, str]:
    """The file or folder, and what is named inside; a file may itself be called a::b."""
    parts = source.split("::")
    for count in range(len(parts), 1, -1):
        place = "::".join(parts[:count])
        if Path(place).expanduser().exists():
            return place, "::".join(parts[count:])
    return parts[0], "::".join(parts[1:])


SUFFIXES = (".ome", ".seg", ".nii", ".gz", ".zarr", ".zip", ".tif", ".map", ".mrc")


def _name(source: str) -> str:
    place, inside = split_source(source)
    path = inside.partition("::")[0]
    if path and "=" not in path and "," not in path:
        return path.rstrip("/").rpartition("/")[2]
    file = Path(place)
    name = file.stem if file.is_file() or file.suffix.lower() in SUFFIXES else file.name
    while Path(name).suffix.lower() in SUFFIXES:
        name = Path(name).stem
    return name
