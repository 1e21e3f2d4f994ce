"""Which of the scored planes a page shows, kept beside the scores as a page needs them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xseg_jax.colours import class_rgb
from xseg_jax.data.planes import Plane
from xseg_jax.data.splits import choose_evenly
from xseg_jax.evaluation.calibration import calibrate
from xseg_jax.evaluation.evaluate import Evaluation
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.report.slices import make_record, write_slices
from xseg_jax.scans.voxels import VoxelSize

MOST = 48
"""Planes that are kept."""
FEWEST = 6
MOST_PIXELS = 48 * 1024 * 1024
"""Pixels that are kept in all: large planes are fewer, for each is segmented once more."""


def keep_slices(
    path: Path, planes: Sequence[Plane], trained: TrainedRun, found: Evaluation
) -> None:
    """Writes image, label, class and doubt of planes that were scored.

    All are kept where they are few; else the worst, and with them evenly spread ones. Doubt is
    that of the probabilities at the run's temperature.

    Args:
      path: of the file, `slices.npz`.
      planes: that were scored.
      trained: what was scored.
      found: its scores.

    Raises:
      SaveError: the disk is full, or failed.
    """
    names = trained.facts.label_map.names
    chosen = choose(found.worst(len(planes)), room(planes[0].image_HW.size))
    temperature = trained.joint_calibration.temperature or 1.0
    items = [planes[index] for index in chosen]
    records = []
    for item, probability_HWK in zip(items, trained.segment(items), strict=True):
        calibrated_HWK = calibrate(probability_HWK, temperature)
        place = item.place
        records.append(
            make_record(
                item.name,
                item.image_HW,
                probability_HWK.argmax(axis=-1).astype(np.uint8),
                label_HW=item.label_HW,
                probabilities_HWK=calibrated_HWK,
                z=place.number if place.axis == 0 else None,
            )
        )
    colours = [class_rgb(k) for k in range(len(names))]
    known = trained.facts.voxel_size
    # Where planes differ, one size would be wrong.
    sizes = {pixel_size(known, item.place.axis) for item in items}
    size = sizes.pop() if len(sizes) == 1 else None
    write_slices(path, records, names, colours, size, known.unit if known else "pixel")


def pixel_size(known: VoxelSize | None, axis: int) -> float | None:
    """Length of a pixel along the rows of a plane, in the unit of the voxel size.

    Args:
      known: size of the voxels.
      axis: that the plane is across.

    Returns:
      None where it is not known.
    """
    # Rows of planes across x run along y.
    size = known.size[1 if axis == 2 else 2] if known else math.nan
    return None if math.isnan(size) else size


def room(pixels: int) -> int:
    """How many planes of so many pixels are kept at most."""
    return max(FEWEST, min(MOST, MOST_PIXELS // pixels))


def choose(worst_first: Sequence[int], most: int) -> list[int]:
    """Indices of the planes that are kept, ascending: a third of them the worst, the rest spread.

    Args:
      worst_first: indices of all planes.
      most: how many are kept; all where there are no more.
    """
    worst = worst_first[: most // 3] if len(worst_first) > most else worst_first
    others = sorted(set(worst_first) - set(worst))
    return sorted({*worst, *choose_evenly(others, min(most - len(worst), len(others)))})
