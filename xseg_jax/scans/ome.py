"""The metadata of OME-Zarr 0.4 and 0.5 (https://ngff.openmicroscopy.org): axes, levels, labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xseg_jax.colours import class_rgb
from xseg_jax.scans.pyramid import Factors
from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.write import Legend, sizes_or_one

VERSIONS = ("0.4", "0.5")
UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter",
         "m": "meter", "angstrom": "angstrom", "inch": "inch"}  # fmt: skip
METHODS = {
    True: ("mode", "the most frequent label; of two as frequent the smaller value"),
    False: ("mean", "the mean"),
}


def attributes(
    *,
    version: str,
    name: str,
    geometry: Geometry,
    factors: Sequence[Factors],
    legend: Legend | None,
    channels: Sequence[str],
    dtype: np.dtype,
) -> dict[str, Any]:
    """What makes a group an image of several levels, called "0", "1", ...

    Args:
      version: "0.4" or "0.5".
      name: of the image.
      geometry: sizes that are not known are 1, an origin 0; there is no place for a direction.
      factors: of each level, as `pyramid.factors_of_levels`.
      legend: of labels; None for measured values.
      channels: names along an axis c before z, y, x; empty without one.
      dtype: of the values.
    """
    how, what = METHODS[legend is not None]
    image: dict[str, Any] = {
        "name": name,
        "axes": _axes(geometry, bool(channels)),
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": _transformations(geometry, factor, bool(channels)),
            }
            for level, factor in enumerate(factors)
        ],
        "type": how,
        "metadata": {"description": what},
    }
    more: dict[str, Any] = {}
    if legend:
        more["image-label"] = _image_label(legend)
    if channels:
        more["omero"] = {"channels": _channels(channels, dtype)}
    if version == "0.5":
        return {"ome": {"version": version, "multiscales": [image], **more}}
    if legend:
        more["image-label"]["version"] = version
    return {"multiscales": [{"version": version, **image}], **more}


def _axes(geometry: Geometry, channels: bool) -> list[dict[str, str]]:
    axes = [{"name": "c", "type": "channel"}] if channels else []
    sizes = geometry.voxel_size or (float("nan"),) * 3
    for axis, size in zip("zyx", sizes, strict=True):
        # A size that is made up has no unit; an origin alone has one all the same.
        known = size == size or (geometry.voxel_size is None and geometry.origin is not None)
        unit = {"unit": UNITS[geometry.unit]} if geometry.unit and known else {}
        axes.append({"name": axis, "type": "space", **unit})
    return axes


def _transformations(geometry: Geometry, factor: Factors, channels: bool) -> list[dict[str, Any]]:
    """Scale and translation of a level; its first voxel lies amid those that it covers."""
    sizes, origin = sizes_or_one(geometry), geometry.origin or (0.0, 0.0, 0.0)
    scale = [float(size * by) for size, by in zip(sizes, factor, strict=True)]
    shift = [
        float(first + size * (by - 1) / 2)
        for first, size, by in zip(origin, sizes, factor, strict=True)
    ]
    return [
        {"type": "scale", "scale": [1.0] * channels + scale},
        {"type": "translation", "translation": [0.0] * channels + shift},
    ]


def _image_label(legend: Legend) -> dict[str, Any]:
    return {
        "colors": [
            {"label-value": value, "rgba": [*rgb, 255]}
            for value, rgb in zip(legend.values, legend.rgb, strict=True)
        ],
        "properties": [
            {"label-value": value, "name": name}
            for value, name in zip(legend.values, legend.names, strict=True)
        ],
    }


def _channels(names: Sequence[str], dtype: np.dtype) -> list[dict[str, Any]]:
    """What viewers call each channel, its colour, and the range of its values."""
    most = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    window = {"start": 0.0, "end": most, "min": 0.0, "max": most}
    return [
        {"label": name, "color": bytes(class_rgb(k)).hex(), "window": window, "active": True}
        for k, name in enumerate(names)
    ]
