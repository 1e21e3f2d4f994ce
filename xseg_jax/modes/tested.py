"""Quantities of what was scored: of the network and the baselines, beside those of the labels."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place
from xseg_jax.errors import InputError
from xseg_jax.evaluation.properties import TRUTH
from xseg_jax.evaluation.rows import without_hardly_any
from xseg_jax.measure.quantities import FAMILIES
from xseg_jax.modes.quantities import measure, measure_slices
from xseg_jax.modes.run import Config
from xseg_jax.report.properties import largest_errors
from xseg_jax.scans.voxels import VoxelSize

logger = logging.getLogger(__name__)

EARLIER = ()
"""What runs of a version measured that knew no quantities."""
FEWEST = 16
"""Neighbouring planes that are measured as a volume; fewer are slices."""
MOST_PIXELS = 1 << 30
"""Of the planes that are kept to be measured."""
ACROSS = ((1, 2), (0, 2), (0, 1))
"""Axes within planes across z, y and x."""


def check_quantities(config: Config) -> tuple[str, ...]:
    """Families that a run measures of what it scores.

    Raises:
      InputError: there is none of a name.
    """
    names = tuple(config.report.get("quantities", EARLIER))
    for name in names:
        if name not in FAMILIES:
            raise InputError(
                f"config.report.quantities={names}: there is no {name!r}; choose among "
                f"{', '.join(FAMILIES)}, as --config.report.quantities=\"('fractions',)\", or () "
                "for none"
            )
    return names


class ClassTally:
    """Keeps the classes of planes that are scored, where they are to be measured.

    Args:
      wanted: families; none keeps nothing.
      pixels: of all planes together, about.
      independent: planes are images that are no slices of one volume.
    """

    def __init__(self, wanted: Sequence[str], pixels: int, *, independent: bool = False) -> None:
        self.wanted, self.independent = tuple(wanted), independent
        self._labels: list[np.ndarray] = []
        self._classes: dict[str, list[np.ndarray]] = {}
        if self.wanted and (jax.process_count() > 1 or pixels > MOST_PIXELS):
            logger.info(
                "no quantities are measured of what is scored by several processes, or is more "
                "than %d million pixels; --mode=predict and --mode=measure do it",
                MOST_PIXELS >> 20,
            )  # fmt: skip
            self.wanted = ()

    def __call__(self, name: str, label_HW: np.ndarray, class_HW: np.ndarray) -> None:
        """Adds the next plane of a method."""
        if not self.wanted:
            return
        some = self._classes.setdefault(name, [])
        if len(some) == len(self._labels):
            self._labels.append(label_HW)
        # What is not labelled is not measured either.
        some.append(np.where(label_HW == IGNORED, IGNORED, class_HW).astype(np.uint8))

    def measured(
        self,
        places: Sequence[Place],
        names: Sequence[str],
        voxel_size: VoxelSize | None,
        method: str,
    ) -> dict[str, Any] | None:
        """What `measured.json` holds of a method beside the others; None where nothing is wanted.

        Planes that are neighbours across z are a volume. Of others, slices let estimate what they
        can, and images that are no slices have areas alone. Where too little is labelled nothing is
        measured, and that is said.

        Args:
          places: of the planes.
          names: of the classes.
          voxel_size: None where it is not known.
          method: that is measured.
        """
        if not self.wanted:
            return None
        planes = {method: self._classes[method], TRUTH: self._labels} | self._classes
        shapes = [one.shape for one in self._labels]
        volume = not self.independent and are_volume(places, shapes, voxel_size)
        if voxel_size and np.isnan(voxel_size.size).any():
            voxel_size = None if np.isnan(voxel_size.size[1:]).any() else voxel_size
        try:
            if volume:
                volumes = {name: np.stack(some) for name, some in planes.items()}
                return measure(volumes, names, voxel_size, self.wanted, method)[0]
            axes = ACROSS[places[0].axis]
            return measure_slices(
                planes, names, voxel_size, self.wanted, method, axes, independent=self.independent
            )
        except InputError as error:  # Scribbles, for example. Scores are not lost for that.
            logger.warning("no quantities are measured of what was scored: %s", error)
            return None


def are_volume(
    places: Sequence[Place], shapes: Sequence[tuple[int, ...]], voxel_size: VoxelSize | None
) -> bool:
    """Whether planes lie beside each other across z of one scan, and are measured as a volume.

    Args:
      places: of the planes, in order.
      shapes: (height, width) of each.
      voxel_size: None where it is not known; not along z alone, planes are no volume.
    """
    first = places[0]
    expected = [
        None if first.number is None else Place(first.scan, 0, first.number + n)
        for n in range(len(places))
    ]
    sizes = voxel_size.size if voxel_size else (1.0, 1.0, 1.0)
    return (
        len(places) >= FEWEST
        and list(places) == expected
        and len({tuple(one) for one in shapes}) == 1
        and (bool(np.isnan(sizes[1:]).any()) or not math.isnan(sizes[0]))
    )


def summary(measured: Mapping[str, Any], method: str, noun: str = "slice") -> str:
    """As `largest_errors`; rows of earlier versions are not marked.

    Args:
      measured: as `measured.json` holds it.
      method: that was measured.
      noun: what planes are called.
    """
    rows = without_hardly_any(measured["quantities"])
    return largest_errors({**measured, "quantities": rows}, method, noun)
