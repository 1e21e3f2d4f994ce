"""Labelled planes: what is trained on and scored."""

from dataclasses import dataclass

import numpy as np

AXES = "zyx"


@dataclass(frozen=True)
class Place:
    """Where a plane lies.

    Attributes:
      scan: name of the scan.
      axis: that the plane is across: 0 for z, 1 for y, 2 for x.
      number: of the plane along that axis, in voxels; None where it is not known.
    """

    scan: str = ""
    axis: int = 0
    number: int | None = None


@dataclass(frozen=True)
class Plane:
    """A plane of a scan with its label.

    Attributes:
      name: of the plane, as results call it.
      image_HWC: grey values, uint8, uint16 or float32, of the plane in the middle and of its
        neighbours, in order along the axis that the plane is across.
      label_HW: class indices, uint8; 255 is ignored.
      place: where it lies.
    """

    name: str
    image_HWC: np.ndarray
    label_HW: np.ndarray
    place: Place = Place()

    @property
    def image_HW(self) -> np.ndarray:
        """Grey values of the plane itself."""
        return self.image_HWC[..., self.image_HWC.shape[-1] // 2]
