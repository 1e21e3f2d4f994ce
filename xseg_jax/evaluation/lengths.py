"""Distances of boundaries as lengths, where it is known how large pixels are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xseg_jax.data.planes import Place
from xseg_jax.scans.voxels import VoxelSize

SAME = 1e-3
"""Edges of a pixel that differ by less, relatively, are equal: files round them."""
DISTANCES = ("hd95", "mean_distance")


class Pixel(NamedTuple):
    """A square pixel: its edge, and the unit of that."""

    edge: float
    unit: str


def pixel_of(places: Sequence[Place], voxel_size: VoxelSize | None) -> Pixel | None:
    """The pixels of planes; None where their size is not known, and where no one size holds.

    Planes across y of voxels that are no cubes have pixels that are not square: a distance in
    pixels is no length there.

    Args:
      places: of the planes.
      voxel_size: of their scan.
    """
    if voxel_size is None:
        return None
    axes = {axis for place in places for axis in range(3) if axis != place.axis}
    edges = np.array([voxel_size.size[axis] for axis in axes])
    if not (np.isfinite(edges).all() and edges.size and np.ptp(edges) <= SAME * edges.min()):
        return None
    return Pixel(float(edges.mean()), voxel_size.unit)


def with_lengths(scores: Mapping[str, Any], pixel: Pixel | None) -> dict[str, Any]:
    """Scores of boundaries in pixels, and beside them as lengths.

    Args:
      scores: as `boundary_scores` gives them.
      pixel: None where no size is known: then nothing is added.

    Returns:
      Also pixel_size, unit, tolerance_length, and per_class hd95_length and mean_distance_length,
      in the unit; None where the distance is.
    """
    if pixel is None:
        return dict(scores)
    per_class = {}
    for name, row in scores["per_class"].items():
        lengths = {
            f"{key}_length": None if row[key] is None else row[key] * pixel.edge
            for key in DISTANCES
        }
        per_class[name] = row | lengths
    return dict(scores) | {
        "pixel_size": pixel.edge,
        "unit": pixel.unit,
        "tolerance_length": scores["tolerance"] * pixel.edge,
        "per_class": per_class,
    }
