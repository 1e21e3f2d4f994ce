"""What a picture shows, whatever file it came from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xseg_jax.errors import InputError

Kind = Literal["gray", "palette", "rgb"]


@dataclass(frozen=True)
class Picture:
    """One picture as viewers show it: upright, white at the largest value, without alpha.

    Attributes:
      pixels: gray values (H, W) in the type of the file, bool for 1 bit; 2 and 4 bits are spread
        over 8 as viewers spread them, other depths are not. For "palette" the index (H, W), for
        "rgb" colours (H, W, 3). In native byte order.
      kind: how the file says what its pixels show.
      palette_N3: colours by index, uint8, where kind is "palette".
      lossy: name of the compression that may have changed values; "" where none may have.
    """

    pixels: np.ndarray
    kind: Kind
    palette_N3: np.ndarray | None = None
    lossy: str = ""

    @property
    def colours(self) -> np.ndarray:
        """Colours (H, W, 3) of a palette or RGB picture."""
        return self.pixels if self.palette_N3 is None else self.palette_N3[self.pixels]


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Rows down and columns right, from the way that an orientation tag says they are stored.

    Args:
      array: (H, W) or (H, W, C).
      orientation: 1 to 8 as in TIFF 6.0, page 36, and Exif 2.3; others are no orientation.
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    down, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(array[:: -1 if down else 1, :: -1 if right else 1])


def native(array: np.ndarray) -> np.ndarray:
    """The same values in the byte order of this machine."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def refuse_transparent(name: object, transparent: np.ndarray) -> None:
    """Refuses a picture of which some pixels (H, W) are transparent, bool."""
    count = int(transparent.sum())
    if count:
        raise InputError(
            f"{name}: {count} of {transparent.size} pixels are transparent, so that what they show "
            "depends on what is behind; save it without transparency"
        )


def refuse_channels(name: object, found: int) -> None:
    """Refuses several values a pixel that no format calls colour or transparency."""
    raise InputError(
        f"{name}: has {found} channels, expected one; save the channel that is meant alone"
    )
