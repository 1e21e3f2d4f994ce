"""A plane of a segmented volume as a picture in the colours of its classes, for any viewer."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xseg_jax.files import replacing
from xseg_jax.scans.write import Legend

WHAT = "the preview"
MOST = 256
"""Colours of a PNG's palette."""


def write_preview(path: Path, label_YX: np.ndarray, legend: Legend) -> None:
    """Writes a PNG whose palette has the colours of the classes; it appears whole or not at all.

    Args:
      path: of the file, which is replaced.
      label_YX: label values, each in the legend.
      legend: whose order is that of the palette; classes beyond its 256 have the last colour.

    Raises:
      SaveError: as `files.saving`.
    """
    order = np.argsort(legend.values)
    class_YX = order[np.searchsorted(legend.values, label_YX, sorter=order)].clip(max=MOST - 1)
    image = Image.fromarray(class_YX.astype(np.uint8)).convert("P")
    image.putpalette([part for rgb in legend.rgb[:MOST] for part in rgb])
    notes = PngInfo()
    notes.add_text("Description", json.dumps({"classes": legend.classes()}))
    with replacing(path, WHAT) as draft, draft.open("wb") as file:
        image.save(file, format="PNG", optimize=True, pnginfo=notes)
