"""How large the voxels of a scan are: what files, users, runs and results say of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.units import METRES, unit_of

ALIKE = 1.1
"""Sizes that differ by less than this factor are taken for the same."""


@dataclass(frozen=True)
class VoxelSize:
    """Edge lengths of a voxel.

    Attributes:
      size: z, y, x; NaN along an axis whose size is not known, as z is of single slices.
      unit: a key of `METRES`.
    """

    size: tuple[float, float, float]
    unit: str

    @classmethod
    def parse(cls, text: str) -> "VoxelSize":
        """From "0.5 um", or "2,0.5,0.5 um" for z, y, x.

        Raises:
          InputError: it is no such text.
        """
        sizes, _, said = text.strip().partition(" ")
        try:
            values = [float(size) for size in sizes.split(",")]
        except ValueError:
            values = []
        unit = unit_of(said)
        if len(values) not in (1, 3) or not all(0 < v < math.inf for v in values) or not unit:
            raise InputError(
                f"config.data.voxel_size={text!r}: give one size, or those along z, y, x, a blank "
                f'and one of the units {", ".join(METRES)}, as "0.5 um" or "2,0.5,0.5 um"'
            )
        z, y, x = values * (3 // len(values))
        return cls((z, y, x), unit)

    @classmethod
    def of(cls, geometries: Iterable[Geometry]) -> "VoxelSize | None":
        """The one that scans share; None where one says nothing, or they differ."""
        found = {(one.voxel_size, one.unit) for one in map(_without_nan, geometries)}
        if len(found) != 1:
            return None
        ((size, unit),) = found
        if size is None or unit is None:
            return None
        z, y, x = (math.nan if one is None else one for one in size)
        return cls((z, y, x), unit)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "VoxelSize":
        """From `to_json`."""
        z, y, x = (math.nan if one is None else one for one in fields["size"])
        return cls((z, y, x), fields["unit"])

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"size": [None if math.isnan(s) else s for s in self.size], "unit": self.unit}

    def unlike(self, other: "VoxelSize") -> bool:
        """Whether sizes that both know differ by a factor of more than `ALIKE`."""
        pairs = zip(self.size, other.size, strict=True)
        ratios = [a * METRES[self.unit] / (b * METRES[other.unit]) for a, b in pairs]
        return any(not 1 / ALIKE < ratio < ALIKE for ratio in ratios if not math.isnan(ratio))

    def __str__(self) -> str:
        known = [f"{one:.4g}" for one in self.size if not math.isnan(one)]
        return f"{' x '.join(known)} {self.unit}"


def _without_nan(geometry: Geometry) -> Any:
    """A geometry whose sizes can be compared."""
    sizes = geometry.voxel_size
    told = sizes and tuple(None if math.isnan(one) else one for one in sizes)
    return Geometry(told, geometry.unit)  # pyright: ignore[reportArgumentType]
