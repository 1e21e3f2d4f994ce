"""DICOM files and series, by SimpleITK, which applies the rescale slope and intercept.

A series is ordered by the position of its slices along their normal; a file is one slice, or the
frames of a multi-frame file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from xseg_jax.errors import InputError
from xseg_jax.scans.raw import Layout, RawScan, refuse_inside
from xseg_jax.scans.scan import Geometry, Region, Scan, plain_dtype, some
from xseg_jax.scans.shown import COLOUR_REMEDY
from xseg_jax.scans.units import triple
from xseg_jax.scans.unpack import Unpacked

POSITION, ORIENTATION, NUMBER = "0020|0032", "0020|0037", "0020|0013"
PIXEL_SPACING, IMAGER_SPACING = "0028|0030", "0018|1164"
SLICE_SPACING, SLICE_THICKNESS = "0018|0088", "0018|0050"


@dataclass(frozen=True)
class _Header:
    """What a file says without its pixels."""

    file: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    tags: dict[str, str]

    def numbers(self, key: str) -> list[float]:
        return [float(part) for part in self.tags.get(key, "").split("\\") if part.strip()]


def _header(file: Path, source: str) -> _Header:
    reader = _reader(file)
    reader.LoadPrivateTagsOff()
    reader.ReadImageInformation()
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{source}: {file.name} is a colour image; X-ray images are grayscale: convert it; "
            f"save {COLOUR_REMEDY}"
        )
    width, height, depth = (*reader.GetSize(), 1)[:3]
    keys = set(reader.GetMetaDataKeys())
    wanted = (POSITION, ORIENTATION, NUMBER, PIXEL_SPACING, IMAGER_SPACING, SLICE_SPACING,
              SLICE_THICKNESS)  # fmt: skip
    tags = {key: reader.GetMetaData(key) for key in wanted if key in keys}
    if depth > 1:
        # Only the reader knows where frames keep their spacing.
        tags[SLICE_SPACING] = str(reader.GetSpacing()[2])
        tags[PIXEL_SPACING] = "\\".join(str(s) for s in reader.GetSpacing()[1::-1])
    dtype = sitk.GetArrayViewFromImage(sitk.Image([1, 1], reader.GetPixelID())).dtype
    return _Header(file, (depth, height, width), plain_dtype(dtype, source), tags)


def _reader(file: Path) -> sitk.ImageFileReader:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    return reader


class SeriesScan(Scan):
    """Slices of a series, each read from its file when asked for; holds nothing open."""

    def __init__(self, source: str, headers: list[_Header], geometry: Geometry) -> None:
        dtype = np.result_type(*(header.dtype for header in headers))
        super().__init__(source, (len(headers), *headers[0].shape[1:]), dtype, geometry)
        self.files = [header.file for header in headers]

    def _read(self, region: Region) -> np.ndarray:
        z, y, x = region
        return np.stack([self._slice(self.files[index])[y, x] for index in range(z.start, z.stop)])

    def _slice(self, file: Path) -> np.ndarray:
        array = sitk.GetArrayFromImage(_reader(file).Execute())
        return array.reshape(self.shape[1:]).astype(self.dtype, copy=False)


def open_dicom(file: Path, inside: str, source: str) -> Scan:
    """One DICOM file: a slice, or the frames of a multi-frame file.

    Raises:
      InputError: it is a colour image, or of a compression that SimpleITK does not read.
    """
    refuse_inside(inside, source)
    header = _header(file, source)
    if header.shape[0] == 1:
        return SeriesScan(source, [header], _geometry([header], source))

    def write(target: BinaryIO) -> None:  # Frames cannot be read one by one.
        sitk.GetArrayFromImage(_reader(file).Execute()).tofile(target)

    layout = Layout(Unpacked(source, write), 0, header.shape, header.dtype)
    return RawScan(source, layout, _geometry([header], source))


def open_series(folder: Path, inside: str, source: str) -> Scan:
    """The DICOM series of a folder, which must hold one; `folder::UID` chooses of several.

    Raises:
      InputError: there are several series, sizes differ, or a slice is missing or there twice.
    """
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    known = list(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))
    if inside:
        if inside not in known:
            raise InputError(f"{source}: no such series; there are {some(known)}")
        known = [inside]
    if len(known) != 1:
        example = f"; choose one with {folder}::{known[0]}" if known else ""
        raise InputError(
            f"{source}: holds {len(known)} DICOM series, expected one: {some(known, 3)}{example}"
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), known[0])
    headers = [_header(Path(name), source) for name in files]
    first = headers[0]
    for header in headers:
        if header.shape != first.shape or header.shape[0] != 1:
            raise InputError(
                f"{source}: {header.file.name} is {header.shape}, but {first.file.name} is "
                f"{first.shape}; expected one slice a file, all of one size: move the others away"
            )
    return SeriesScan(source, (ordered := _ordered(headers)), _geometry(ordered, source))


def _normal(header: _Header) -> np.ndarray | None:
    across = header.numbers(ORIENTATION)
    return np.cross(across[:3], across[3:]) if len(across) == 6 else None


def _places(headers: list[_Header]) -> np.ndarray | None:
    """Where slices are along their normal, or None where the files do not tell them apart."""
    normal = _normal(headers[0])
    positions = [header.numbers(POSITION) for header in headers]
    if normal is None or any(len(position) != 3 for position in positions):
        return None
    places = np.array(positions) @ normal
    return places if len(headers) > 1 and np.ptp(places) > 0 else None


def _ordered(headers: list[_Header]) -> list[_Header]:
    places = _places(headers)
    if places is not None:
        return [headers[index] for index in np.argsort(places, kind="stable")]
    return sorted(headers, key=lambda header: (header.numbers(NUMBER), header.file.name))


def _geometry(headers: list[_Header], source: str) -> Geometry:
    """Voxel size in mm, and origin and direction in z, y, x of L, P, S."""
    first = headers[0]
    places = _places(headers)
    depth = None
    if places is not None:
        gaps = np.diff(places)
        depth = float(np.median(gaps))
        wrong = np.flatnonzero(np.abs(gaps - depth) > 0.1 * depth + 1e-6)
        if wrong.size or depth <= 0:
            at = int(wrong[0]) if wrong.size else 0
            pair = f"{headers[at].file.name} and {headers[at + 1].file.name}"
            raise InputError(
                f"{source}: slices are {depth:.6g} mm apart, but {gaps[at]:.6g} mm between {pair}; "
                "a slice is missing or there twice: complete the series"
            )
    else:
        depth = next(iter(first.numbers(SLICE_SPACING) or first.numbers(SLICE_THICKNESS)), None)
    spacing = first.numbers(PIXEL_SPACING) or first.numbers(IMAGER_SPACING) or [None, None]
    voxel_size = triple([depth, *spacing[:2]])
    origin, across, normal = first.numbers(POSITION), first.numbers(ORIENTATION), _normal(first)
    unit = "mm" if voxel_size else None
    if len(origin) != 3 or normal is None:
        return Geometry(voxel_size, unit)
    steps = (normal, np.array(across[3:]), np.array(across[:3]))  # Rows follow the second vector.
    z, y, x = (tuple(float(part) for part in step[::-1]) for step in steps)
    return Geometry(voxel_size, unit, (origin[2], origin[1], origin[0]), (z, y, x))  # type: ignore[arg-type]
