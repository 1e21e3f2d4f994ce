"""HDF5: one chunked data set, packed by gzip, which every HDF5 library reads without a plugin."""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from xseg_jax.scans.write import Volume, in_unit

DATA_SET = "segmentation"
CHUNK = (4, 256, 256)
"""Longest sides of a chunk; so many planes are held at a time."""
PACKING = 4


def write_hdf5(draft: Path, name: str, planes: Iterator[np.ndarray], volume: Volume) -> None:
    """Writes `/segmentation` (Z, Y, X).

    Its attributes: `element_size_um` z, y, x (as ilastik and Fiji know it), `origin_um` z, y, x and
    `direction` (rows z, y, x) where they are known, with their unit; `axistags` (ilastik) and the
    labels of the dimensions; `class_values`, `class_names`, `class_colours`; `about` as JSON.

    Args:
      draft: the file.
      name: how it will be called.
      planes: (Y, X), Z of them.
      volume: what is known beside them.
    """
    chunks = tuple(min(most, length) for most, length in zip(CHUNK, volume.shape, strict=True))
    # Never read again: the cache would only hold what is on its way out.
    with h5py.File(draft, "w", rdcc_nbytes=0) as file:
        data = file.create_dataset(
            DATA_SET,
            volume.shape,
            volume.dtype.newbyteorder("<"),
            chunks=chunks,
            compression="gzip",
            compression_opts=PACKING,
        )
        _describe(data, volume)
        slab_ZYX = np.empty((chunks[0], *volume.shape[1:]), data.dtype)
        for z, plane_YX in enumerate(planes):
            slab_ZYX[z % chunks[0]] = plane_YX
            count = z % chunks[0] + 1
            if count == chunks[0] or z == volume.shape[0] - 1:
                data[z + 1 - count : z + 1] = slab_ZYX[:count]


def _describe(data: h5py.Dataset, volume: Volume) -> None:
    # Without a unit a size cannot be said in micrometres.
    geometry = in_unit(volume.geometry, "um") if volume.geometry.unit else None
    if geometry and geometry.voxel_size:
        data.attrs["element_size_um"] = geometry.voxel_size
    if geometry and geometry.origin:
        data.attrs["origin_um"] = geometry.origin
    if volume.geometry.direction:
        data.attrs["direction"] = volume.geometry.direction
    for axis, letter in enumerate("zyx"):
        data.dims[axis].label = letter
    tags = [{"key": key, "typeFlags": 2, "resolution": 0, "description": ""} for key in "zyx"]
    data.attrs["axistags"] = json.dumps({"axes": tags})  # 2: an axis of space (vigra).
    if volume.legend:
        data.attrs["class_values"] = np.array(volume.legend.values, np.uint32)
        data.attrs["class_names"] = list(volume.legend.names)
        data.attrs["class_colours"] = list(volume.legend.colours)
    data.attrs["about"] = json.dumps(volume.notes())
