"""Volumes to write, for tests of writers."""

import numpy as np

from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.write import Legend, write_volume

LEGEND = Legend.of((0, 7, 200), ("pore", "céramique", 'a "b"\\\n'))
ABOUT = {"run": "runs/a", "step": 700}
GEOMETRY = Geometry((2.0, 0.5, 0.25), "um", (1.0, 2.0, 3.0))
# A turn about x, then about z; rows are the steps along z, y, x in z, y, x.
TURN = ((0.8, -0.6, 0.0), (0.48, 0.64, -0.6), (0.36, 0.48, 0.8))


def labels(dtype="uint8", shape=(5, 7, 9), seed=0):
    """Values of `LEGEND`, or measured ones where the type is float."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape, dtype=dtype)
    return rng.choice(np.array(LEGEND.values, dtype), shape)


def write(path, volume_ZYX, geometry=GEOMETRY, legend=LEGEND, about=ABOUT):
    """Writes a volume plane by plane."""
    write_volume(
        path,
        iter(volume_ZYX),
        shape=volume_ZYX.shape,
        dtype=volume_ZYX.dtype,
        geometry=geometry,
        legend=legend if volume_ZYX.dtype.kind == "u" else None,
        about=about,
    )
    return path
