"""The voxel size that a TIFF file says: of ImageJ, of OME, or of its resolution tags."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import tifffile

from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.units import triple, unit_of

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
MM_OF = {2: 25.4, 3: 10.0}  # Inch and centimetre.
PRINT = (72, 96, 100, 120, 150, 200, 240, 300, 360, 400, 600, 720, 1200)
"""Dots an inch that programs write when nobody told them a size."""


def geometry_of(tiff: tifffile.TiffFile, stack: bool) -> Geometry:
    """Voxel size of ImageJ's metadata or of the resolution tags, which do not know the depth.

    ImageJ: 1 / resolution in its unit, the depth is `spacing`, or 1 where a stack says none. In
    inches and centimetres the tags count, in mm here; resolutions for printing (72, 300, ...) and
    sizes in pixels are none.
    """
    tags = tiff.pages.first.tags
    y, x = (_pixels(tags.get(code)) for code in (Y_RESOLUTION, X_RESOLUTION))
    about = tiff.imagej_metadata or {}
    code = int(getattr(tags.get(RESOLUTION_UNIT), "value", 1))
    unit = unit_of(about.get("unit"))
    if unit and code not in MM_OF:
        depth = about.get("spacing", 1.0 if stack else None)
        return Geometry(triple([depth, y and 1 / y, x and 1 / x]), unit)
    # SCIFIO writes 10000 pixels a centimetre where there is no unit.
    nothing = set(str(about.get("units", "?")).split(",")) == {"null"}
    printed = code == 2 and all(r is not None and round(r, 3) in PRINT for r in (y, x))
    if code not in MM_OF or nothing or printed:
        return Geometry()
    size = triple([None, y and MM_OF[code] / y, x and MM_OF[code] / x])
    return Geometry(size, "mm" if size else None)


def geometry_of_slice(file: Path) -> Geometry:
    """Voxel size that one file of a folder of slices says."""
    with tifffile.TiffFile(file) as tiff:
        xml = tiff.ome_metadata
        return ome_geometry(xml) if xml and "Pixels" in xml else geometry_of(tiff, stack=False)


def _pixels(tag: Any) -> float | None:
    """Pixels a unit."""
    if tag is None:
        return None
    above, below = tag.value
    return above / below if above and below else None


def ome_geometry(xml: str) -> Geometry:
    """`PhysicalSize` of the first image's pixels, in the unit of x; micrometres by default."""
    pixels = next(e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("}Pixels"))
    sizes = [pixels.attrib.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    units = [unit_of(pixels.attrib.get(f"PhysicalSize{axis}Unit", "um")) for axis in "ZYX"]
    if units[2] is None or units[1] != units[2]:
        return Geometry()
    if units[0] != units[2]:
        sizes[0] = None
    size = triple(float(size) if size else None for size in sizes)
    return Geometry(size, units[2] if size else None)
