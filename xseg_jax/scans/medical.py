"""NIfTI, FreeSurfer and MINC, by nibabel.

NIfTI and FreeSurfer count x, y, z, which is turned into (Z, Y, X); MINC counts z, y, x itself.
Planes stay as they are stored, whatever the patient's orientation, which `Geometry.direction`
keeps. nibabel applies slope and intercept, once; without them values keep their type.
"""

import math
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.kinds import GZIP
from xseg_jax.scans.raw import refuse_inside
from xseg_jax.scans.scan import Geometry, Region, Scan, plain_dtype
from xseg_jax.scans.units import triple, unit_of
from xseg_jax.scans.unpack import Unpacked, unpack


class NibabelScan(Scan):
    """A volume that nibabel opens; a compressed one is unpacked when first read."""

    def __init__(self, file: Path, source: str) -> None:
        image: Any = nibabel.load(file)
        self.minc = file.suffix.lower() == ".mnc"
        stored = image.shape
        while len(stored) > 3 and stored[-1] == 1:
            stored = stored[:-1]
        if len(stored) not in (2, 3):
            raise InputError(
                f"{source}: has shape {tuple(map(int, image.shape))}; expected one volume of 2 or "
                "3 axes: save one volume (one time or direction) a file"
            )
        self.dimensions = len(stored)
        shape = stored if self.minc else stored[::-1]
        self.image, self.extra = image, len(image.shape) - len(stored)
        self.unpacked = None
        data = Path(image.file_map["image"].filename)
        with data.open("rb") as opened:
            packed = opened.read(2) == GZIP
        # A pair of header and image is read through gzip: alone, an image does not say its shape.
        if packed and len(set(image.file_map)) == 1:
            suffix = ".mgh" if file.suffix.lower() == ".mgz" else ".nii"
            self.unpacked = Unpacked(source, _unpacker(file), suffix)
        elif not packed and not self.minc:
            _check_end(image, data, source)
        # What a slope makes of the type, only nibabel knows.
        dtype = image.dataobj[(slice(0, 1),) * len(image.shape)].dtype
        super().__init__(
            source,
            (1,) * (3 - len(shape)) + shape,
            plain_dtype(dtype, source),
            _geometry(image, self.dimensions, self.minc),
        )

    def _read(self, region: Region) -> np.ndarray:
        image: Any = self.image
        if self.unpacked is not None:
            image = nibabel.load(self.unpacked.path())
        z, y, x = region
        lengths = [part.stop - part.start for part in region]
        values = np.empty(lengths, self.dtype)
        # Plane by plane: nibabel reads all between the first and the last voxel.
        for index, plane in enumerate(range(z.start, z.stop)):
            parts = (plane, y, x)[3 - self.dimensions :]
            key = parts if self.minc else (*parts[::-1], *(0,) * self.extra)
            read = np.asarray(image.dataobj[key])
            values[index] = read if self.minc else read.T
        return values

    def _close(self) -> None:
        if self.unpacked is not None:
            self.unpacked.close()


def _check_end(image: Any, data: Path, source: str) -> None:
    """Refuses a file that ends before its last voxel; nibabel says so when it reads that one."""
    proxy = image.dataobj
    end = proxy.offset + math.prod(map(int, image.shape)) * proxy.dtype.itemsize
    found = data.stat().st_size
    if found < end:
        raise InputError(
            f"{source}: is truncated: {data.name} has {found} bytes, but the last voxel ends at "
            f"{end}; copy or export it again"
        )


def _unpacker(file: Path) -> Any:
    def write(target: BinaryIO) -> None:
        with file.open("rb") as opened:
            unpack(opened, "gzip", target)

    return write


def _geometry(image: Any, dimensions: int, minc: bool) -> Geometry:
    zooms = [float(zoom) for zoom in image.header.get_zooms()[:dimensions]]
    if minc:
        return Geometry(triple(zooms), "mm")
    units = getattr(image.header, "get_xyzt_units", lambda: ("mm",))()
    voxel_size, unit = triple(reversed(zooms)), unit_of(units[0])
    codes = [int(image.header.get(key, 1)) for key in ("qform_code", "sform_code")
             if key in image.header]  # fmt: skip
    # Without a code the affine is nibabel's invention.
    if dimensions != 3 or (codes and not any(codes)):
        return Geometry(voxel_size, unit)
    lps = np.diag([-1.0, -1.0, 1.0]) @ image.affine[:3]
    steps = lps[:, :3] / np.linalg.norm(lps[:, :3], axis=0)
    z, y, x = (tuple(float(part) for part in steps[::-1, axis]) for axis in (2, 1, 0))
    oz, oy, ox = (float(part) for part in lps[::-1, 3])
    return Geometry(voxel_size, unit, (oz, oy, ox), (z, y, x))  # type: ignore[arg-type]


def open_nibabel(file: Path, inside: str, source: str) -> Scan:
    """NIfTI 1 and 2, Analyze, FreeSurfer and MINC volumes.

    Raises:
      InputError: more than three axes are longer than 1, or values are colours or complex.
    """
    refuse_inside(inside, source)
    return NibabelScan(file, source)
