"""Which writer makes what of a segmented volume, by the suffix of its name; and what all share.

NumPy in, files out. A writer is imported when its format is met. TIFF, HDF5, NIfTI and NRRD are
written plane by plane by one process (`write_volume`), OME-Zarr block by block by several
(`write_zarr.ZarrStore`).
"""

import importlib
import importlib.util
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.colours import class_rgb
from xseg_jax.errors import InputError, RunError
from xseg_jax.files import number_of, one_line, replacing, save_error
from xseg_jax.scans.kinds import KINDS as READ
from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.units import METRES

WHAT = "the volume"
"""What a `SaveError` calls it."""
DTYPES = ("uint8", "uint16", "uint32", "float32")
"""Types that every format holds: labels, probabilities, maps of doubt."""


@dataclass(frozen=True)
class OutputKind:
    """A kind of file that a volume is written to.

    Attributes:
      name: as a person calls it.
      suffixes: how names end, in lower case.
      module: in `xseg_jax.scans`; "" for a folder of slices, which is not written here.
      function: of the module: (draft, name, planes, volume) -> None; "" where blocks are written.
      packages: what `pip install` needs that requirements.txt does not have.
      blocks: several processes may write at the same time: see `write_zarr.ZarrStore`.
      opens: what shows such a file; {path} stands for its name as a shell takes it.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str = ""
    function: str = ""
    packages: tuple[str, ...] = ()
    blocks: bool = False
    opens: str = ""


FOLDER = OutputKind(
    "a folder of TIFF slices", (),
    opens="ImageJ: File > Import > Image Sequence..., {path}; or: napari {path}",
)  # fmt: skip
KINDS = (
    OutputKind(
        "OME-Zarr", (".zarr",), "write_zarr", blocks=True,
        opens="napari {path}  (pip install 'napari[all]' "
        "napari-ome-zarr); or Fiji: File > Import > HDF5/N5/Zarr/OME-NGFF...",
    ),
    OutputKind(
        "TIFF", (".tif", ".tiff", ".btf", ".tf8"), "write_tiff", "write_tiff",
        opens="ImageJ: File > Open..., {path} (from 4 GB on Fiji: File > Import > Bio-Formats); "
        "or: napari {path}",
    ),
    OutputKind(
        "HDF5", (".h5", ".hdf5", ".hdf"), "write_hdf5", "write_hdf5", ("h5py",),
        opens="silx view {path}  (pip install 'silx[full]'); or Fiji: File > Import > HDF5...; "
        "or ilastik, /segmentation",
    ),
    OutputKind(
        "NIfTI", (".nii", ".nii.gz"), "write_medical", "write_nifti", ("nibabel",),
        opens="ITK-SNAP: itksnap -g {path}; or 3D Slicer: File > Add Data; or ParaView: File > "
        "Open...",
    ),
    OutputKind(
        "NRRD", (".nrrd",), "write_medical", "write_nrrd",
        opens="3D Slicer: File > Add Data, {path}; or ParaView: File > Open...; or Fiji: File > "
        "Open...",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Legend:
    """What the values of a label volume mean. The order is that of the classes.

    Attributes:
      values: that stand in the volume, each once.
      names: of the classes.
      colours: "#rrggbb" each.

    Raises ValueError where the lengths differ, a value stands twice, or a colour is none.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]

    def __post_init__(self) -> None:
        lengths = len(self.values), len(self.names), len(self.colours)
        if len(set(lengths)) > 1 or not self.values:
            raise ValueError(f"a legend has {lengths} values, names and colours")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"a legend has a value twice: {self.values}")
        for colour in self.colours:
            if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
                raise ValueError(f"a legend has the colour {colour!r}; write #rrggbb")

    @classmethod
    def of(cls, values: Sequence[int], names: Sequence[str]) -> "Legend":
        """A legend in the colours that figures have too: class k in `colours.class_rgb(k)`."""
        colours = tuple(f"#{bytes(class_rgb(k)).hex()}" for k in range(len(values)))
        return cls(tuple(map(int, values)), tuple(names), colours)

    @property
    def rgb(self) -> tuple[tuple[int, int, int], ...]:
        """Red, green and blue, 0 to 255, of each class."""
        return tuple((c[0], c[1], c[2]) for c in (bytes.fromhex(s[1:]) for s in self.colours))

    def classes(self) -> list[dict[str, Any]]:
        """A row a class, for JSON."""
        return [
            {"value": value, "name": name, "colour": colour}
            for value, name, colour in zip(self.values, self.names, self.colours, strict=True)
        ]


@dataclass(frozen=True)
class Volume:
    """What a writer has to know beside the planes.

    Attributes:
      shape: (Z, Y, X).
      dtype: one of `DTYPES`.
      geometry: voxel size, unit and place.
      legend: of labels; None for measured values.
      about: where the volume comes from: anything that JSON holds.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    geometry: Geometry
    legend: Legend | None
    about: Mapping[str, Any]

    def classes(self) -> list[dict[str, Any]]:
        """A row a class, for JSON; none of measured values."""
        return self.legend.classes() if self.legend else []

    def notes(self) -> dict[str, Any]:
        """`about` and the classes, for JSON."""
        return {**self.about, **({"classes": self.classes()} if self.legend else {})}


def output_kind(path: str | Path) -> OutputKind:
    """What will be written under a name: by its suffix; without a known one a folder of slices.

    Raises:
      InputError: files of this suffix are read but not written, or a package is missing.
    """
    name = Path(path).name.lower()
    kind = next((kind for kind in KINDS if name.endswith(kind.suffixes)), None)
    if kind is None:
        known = next((kind.name for kind in READ if name.endswith(kind.suffixes)), None)
        if known:
            written = " ".join(suffix for kind in KINDS for suffix in kind.suffixes)
            raise InputError(
                f"{path}: {known} is not written; choose a name that ends in one of {written}, or "
                "a folder"
            )
        return FOLDER
    missing = [package for package in kind.packages if not importlib.util.find_spec(package)]
    if missing:
        raise InputError(
            f"{path}: writing {kind.name} needs {missing[0]}; pip install {' '.join(missing)}"
        )
    return kind


def open_with(path: str | Path) -> str:
    """One line that says how a person looks at what was written.

    Raises:
      InputError: as `output_kind`.
    """
    return output_kind(path).opens.format(path=one_line(shlex.quote(str(path))))


def label_dtype(values: Sequence[int]) -> np.dtype:
    """The smallest of uint8, uint16 and uint32 that holds the label values.

    Raises:
      InputError: a value is negative or above 4294967295.
    """
    for value in values:
        if not 0 <= value <= np.iinfo(np.uint32).max:
            raise InputError(
                f"label value {value}: cannot be written: OME-Zarr, napari and neuroglancer take "
                "labels for whole numbers from 0 to 4294967295; give the class a value among them"
            )
    return np.min_scalar_type(max(values, default=0))


def check_legend(legend: Legend | None, dtype: np.dtype, path: Path) -> None:
    """Raises ValueError where values of a legend do not fit the type of the volume."""
    if legend and (dtype.kind != "u" or max(legend.values) > np.iinfo(dtype).max):
        raise ValueError(f"{path}: {dtype} does not hold the values {legend.values} of the legend")


def in_unit(geometry: Geometry, unit: str) -> Geometry:
    """The same place in another unit; as it is where its own is not known."""
    if geometry.unit is None or geometry.unit == unit:
        return geometry
    factor = METRES[geometry.unit] / METRES[unit]

    def scaled(triple: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        return triple and (triple[0] * factor, triple[1] * factor, triple[2] * factor)

    return replace(
        geometry, unit=unit, voxel_size=scaled(geometry.voxel_size), origin=scaled(geometry.origin)
    )


def sizes_or_one(geometry: Geometry) -> tuple[float, float, float]:
    """Voxel size z, y, x with 1 where it is not known, for formats that must have a number."""
    z, y, x = (size if size == size else 1.0 for size in geometry.voxel_size or (1.0,) * 3)
    return z, y, x


def write_volume(
    path: str | Path,
    planes: Iterable[np.ndarray],
    *,
    shape: tuple[int, int, int],
    dtype: Any,
    geometry: Geometry,
    legend: Legend | None = None,
    about: Mapping[str, Any],
) -> None:
    """Writes a volume as TIFF, HDF5, NIfTI or NRRD; it appears whole or not at all.

    Memory is that of a few planes, however many there are. What each format keeps of the geometry
    docs/formats.md says.

    Args:
      path: its suffix says the format; a file of that name is replaced.
      planes: (Y, X) of `dtype`, in order of z; taken one at a time.
      shape: (Z, Y, X).
      dtype: one of `DTYPES`.
      geometry: voxel size, unit and place, as `open_scan` gives them.
      legend: values, names and colours of the classes; None for measured values.
      about: where the volume comes from (run, step, ...): anything that JSON holds.

    Raises:
      InputError: as `output_kind`.
      SaveError: the disk is full, the folder is read-only, ...: as `files.saving`.
      ValueError: the planes are not as announced, or the format is written by blocks.
    """
    kind, path = output_kind(path), Path(path)
    volume = Volume(shape, np.dtype(dtype), geometry, legend, about)
    if volume.dtype.name not in DTYPES:
        raise ValueError(f"{path}: {volume.dtype} is not written; types are {', '.join(DTYPES)}")
    check_legend(legend, volume.dtype, path)
    if not kind.function:
        raise ValueError(f"{path}: {kind.name} is not written plane by plane")
    module = importlib.import_module(f"xseg_jax.scans.{kind.module}")
    stream = _checked(planes, volume, path)
    with replacing(path, WHAT) as draft:
        try:
            some = itertools.islice(stream, shape[0])  # tifffile would ask on, and hide errors.
            getattr(module, kind.function)(draft, path.name, some, volume)
        except RunError:
            raise
        except Exception as error:  # Libraries have words of their own for a full disk.
            number = number_of(error)
            if number is None:
                raise
            raise save_error(path, WHAT, number, os.strerror(number)) from error
        next(stream, None)  # So that a plane too many is seen, and the giver comes to its end.


def _checked(planes: Iterable[np.ndarray], volume: Volume, path: Path) -> Iterator[np.ndarray]:
    """The planes in C order and little endian, if they are as announced."""
    count = 0
    for plane_YX in planes:
        if count == volume.shape[0]:
            raise ValueError(f"{path}: more planes than the {count} announced")
        if plane_YX.shape != volume.shape[1:] or plane_YX.dtype != volume.dtype:
            raise ValueError(
                f"{path}: plane {count} is {plane_YX.dtype} {plane_YX.shape}; announced were "
                f"{volume.dtype} {volume.shape[1:]}"
            )
        count += 1
        yield np.ascontiguousarray(plane_YX, volume.dtype.newbyteorder("<"))
    if count < volume.shape[0]:
        raise ValueError(f"{path}: {count} planes came, {volume.shape[0]} were announced")
