"""Zeiss Xradia files: .txm reconstructions and .xrm images, by olefile.

The streams and codes are those that the projects dxchange and pyxradia found.
"""

import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import olefile

from xseg_jax.errors import InputError
from xseg_jax.scans.raw import refuse_inside
from xseg_jax.scans.scan import Geometry, Region, Scan
from xseg_jax.scans.units import triple

TYPES = {3: "<u1", 5: "<u2", 10: "<f4"}
IMAGES_A_FOLDER = 100


class ZeissScan(Scan):
    """Slices that are streams of an OLE file, which stays open."""

    def __init__(self, file: Path, source: str) -> None:
        self.ole: Any = olefile.OleFileIO(str(file))
        self.lock = threading.Lock()  # Streams share one file position.
        try:
            width, height, count, code = (
                self._number(f"ImageInfo/{name}", "<i")
                for name in ("ImageWidth", "ImageHeight", "NoOfImages", "DataType")
            )
            if code not in TYPES:
                raise InputError(
                    f"{source}: data type {code} is not known; known are {sorted(TYPES)}"
                )
            size = None
            if self.ole.exists("ImageInfo/PixelSize"):
                size = triple([self._number("ImageInfo/PixelSize", "<f")] * 3)
            shape = (int(count), int(height), int(width))
            missing = [i for i in range(1, shape[0] + 1) if not self.ole.exists(_stream(i))]
            if missing:
                raise InputError(
                    f"{source}: {len(missing)} of {count} slices are missing, the first is "
                    f"{missing[0]}; the file was not written to its end: export it again"
                )
            self.stored = np.dtype(TYPES[code])
            # One radiograph has no depth.
            if size and file.suffix.lower() == ".xrm":
                size = triple([None, *size[1:]])
            geometry = Geometry(size, "um" if size else None)
            super().__init__(source, shape, self.stored.newbyteorder("="), geometry)
        except BaseException:
            self.ole.close()
            raise

    def _number(self, stream: str, form: str) -> Any:
        return struct.unpack_from(form, self.ole.openstream(stream).read())[0]

    def _read(self, region: Region) -> np.ndarray:
        z, y, x = region
        values = np.empty([part.stop - part.start for part in region], self.dtype)
        for index, plane in enumerate(range(z.start, z.stop)):
            with self.lock:
                data = self.ole.openstream(_stream(plane + 1)).read()
            read = np.frombuffer(data, self.stored, self.shape[1] * self.shape[2])
            values[index] = read.reshape(self.shape[1:])[y, x]
        return values

    def _close(self) -> None:
        self.ole.close()


def _stream(number: int) -> str:
    return f"ImageData{(number - 1) // IMAGES_A_FOLDER + 1}/Image{number}"


def open_zeiss(file: Path, inside: str, source: str) -> Scan:
    """A .txm reconstruction, or the one image of an .xrm file; voxel size in um.

    Raises:
      InputError: it holds projections (.txrm), or slices are missing.
    """
    refuse_inside(inside, source)
    if file.suffix.lower() == ".txrm":
        raise InputError(
            f"{source}: a .txrm file holds projections, not a volume; reconstruct it and open the "
            ".txm file"
        )
    return ZeissScan(file, source)
