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
from xseg_jax.report.numbers import count
from xseg_jax.report.properties import hardly_any, phases_of
from xseg_jax.scans.voxels import VoxelSize

logger = logging.getLogger(__name__)

NETWORK, MEASURED = "network", "measured.json"
"""The name of the network among the methods that are scored; the file of quantities."""
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
    """The largest errors of each method, over phases, in a line each.

    Args:
      measured: as `measured.json` holds it.
      method: that was measured.
      noun: what planes are called.
    """
    rows = without_hardly_any(measured["quantities"])  # Those of earlier versions are not marked.
    worst: dict[str, dict[str, tuple[float, str]]] = {}
    for row in rows:
        against = row["against"]
        errors = {method: against["error"]}
        errors |= {name: one["error"] for name, one in against["baselines"].items()}
        for name, error in errors.items():
            if error is not None:
                of_method = worst.setdefault(name, {})
                found = abs(error), phases_of(row)
                of_method[row["label"]] = max(found, of_method.get(row["label"], found))
    what = "a volume" if measured["dimension"] == 3 else f"{count(measured['shape'][0], noun)}"
    if measured.get("independent"):  # Earlier versions took everything for slices of a volume.
        what += ", of areas alone, for they are no slices of one volume"
    lines = [f"largest error of a phase, from {what}:"]
    for name, errors in worst.items():
        found = (
            f"{label} {_in_words(error)} ({phases})" for label, (error, phases) in errors.items()
        )
        lines.append(f"  {'U-Net' if name == method else name}: {', '.join(found)}")
    if left := hardly_any(rows):
        lines.append(f"  {left}")
    return "\n".join(lines)


def _in_words(error: float) -> str:
    """An absolute relative error."""
    return f"{error:.1%}" if error < 10 else f"{error:,.0%}"
