"""A TIFF stack, deflated: ImageJ's form where it allows type and size, else OME-TIFF; or one image.

ImageJ knows uint8, uint16 and float32 and no BigTIFF; OME-TIFF
(https://docs.openmicroscopy.org/ome-model) has all types of `write.DTYPES` and any size.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.write import Legend, Volume, in_unit, sizes_or_one

IMAGEJ_TYPES = ("uint8", "uint16", "float32")
BIG = (1 << 32) - (1 << 25)
"""Bytes of planes from which on offsets need 64 bits: 4 GB, less what stands beside pixels."""
BESIDE = 1 << 13
"""Bytes of a page that are no pixels: its directory, colours, places of its strips."""
BUFFER = 1 << 24
"""Bytes of planes that are compressed at a time, or one plane."""
COLOUR_MAP, SHORT = 320, 3
OME_UNIT = {"um": "µm", "angstrom": "Å", "inch": "in"}


def write_tiff(draft: Path, name: str, planes: Iterator[np.ndarray], volume: Volume) -> None:
    """Writes a page a plane.

    A voxel size is kept with its unit only; metres become micrometres, which ImageJ can show. A
    size that is not known is 1 in ImageJ's form. Labels of 8 bits have their colours in ImageJ,
    and are values in every other program: the colour map stands in pages that are gray.

    Args:
      draft: the file.
      name: how it will be called; .ome.tif asks for OME-TIFF.
      planes: (Y, X), Z of them.
      volume: what is known beside them.
    """
    length, height, width = volume.shape
    big = length * (height * width * volume.dtype.itemsize + BESIDE) >= BIG
    ome = big or volume.dtype.name not in IMAGEJ_TYPES or ".ome.tif" in name.lower()
    about: dict[str, Any] = (_ome if ome else _imagej)(volume)
    tags = []
    if volume.legend and volume.dtype == np.uint8:
        tags = [(COLOUR_MAP, SHORT, 768, _colour_map(volume.legend), False)]
    with tifffile.TiffWriter(draft, bigtiff=big, byteorder="<", imagej=not ome, ome=ome) as tiff:
        tiff.write(
            planes,
            # tifffile takes a last axis of ImageJ's that is 1 for samples.
            shape=volume.shape if ome else (1, length, 1, height, width, 1),
            dtype=volume.dtype,
            photometric="minisblack",
            compression="zlib",
            buffersize=BUFFER,
            software="xseg_jax",
            extratags=tags,
            **about,
        )


def write_image(
    draft: Path,
    array: np.ndarray,
    *,
    legend: Legend | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Writes one image, deflated, with what it holds as JSON in ImageDescription.

    Labels of 8 bits have a palette, so that no viewer shows them black: what is read is the value
    (Pillow, tifffile, scikit-image, ImageJ, MATLAB), but in ITK and OpenCV, which read the colours.

    Args:
      draft: the file.
      array: labels (H, W), their colours (H, W, 3) uint8, or measured values (H, W) or (K, H, W).
      legend: of labels that are values.
      about: what the image holds: anything that JSON holds.
    """
    bytes_, colours = array.dtype == np.uint8, array.ndim == 3
    palette = None
    if legend and bytes_ and not colours:
        palette = np.reshape(_colour_map(legend), (3, 256)).astype(np.uint16)
    plain = "rgb" if bytes_ and colours else "minisblack"
    tifffile.imwrite(
        draft,
        array,
        compression="zlib",
        photometric=plain if palette is None else "palette",
        colormap=palette,
        description=json.dumps(about) if about else None,
        metadata=None,
        software="xseg_jax",
    )


def _imagej(volume: Volume) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TZCYXS", "Info": _text(volume)}
    if volume.legend:  # Info is for ImageJ's eyes alone; this stands in ImageDescription.
        metadata["classes"] = json.dumps(volume.classes())
    if volume.legend and volume.dtype != np.uint8:  # Over 8 bits it would stretch the colours.
        metadata |= {"min": 0, "max": max(1, *volume.legend.values)}
    geometry = _with_unit(volume)
    if geometry is None:
        return {"metadata": metadata}
    z, y, x = sizes_or_one(geometry)
    metadata |= {"spacing": z, "unit": geometry.unit}
    return {"metadata": metadata, "resolution": (1 / x, 1 / y)}


def _ome(volume: Volume) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "ZYX", "Description": _text(volume)}
    geometry = _with_unit(volume)
    if geometry and geometry.voxel_size and geometry.unit:
        unit = OME_UNIT.get(geometry.unit, geometry.unit)
        for axis, size in zip("ZYX", geometry.voxel_size, strict=True):
            if math.isfinite(size):
                metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    return {"metadata": metadata}


def _with_unit(volume: Volume) -> Geometry | None:
    """The geometry if it has a voxel size and a unit; without one readers would guess it."""
    geometry = volume.geometry
    if geometry.voxel_size is None or geometry.unit is None:
        return None
    return in_unit(geometry, "um") if geometry.unit == "m" else geometry


def _text(volume: Volume) -> str:
    """What ImageJ shows as Info: a line a class, and a line a note."""
    lines = [f"class {c['value']}: {c['name']} {c['colour']}" for c in volume.classes()]
    lines += [f"{key}: {json.dumps(value)}" for key, value in volume.about.items()]
    return "\n".join(lines)


def _colour_map(legend: Legend) -> tuple[int, ...]:
    """Red, green and blue of 256 values, 16 bits each; values in no class are black.

    ImageJ takes it for the colours of an 8-bit page that is gray too (TiffDecoder.getColorMap).
    """
    map_3V = np.zeros((3, 256), int)
    map_3V[:, legend.values] = np.transpose(legend.rgb) * 257
    return tuple(map_3V.ravel().tolist())
