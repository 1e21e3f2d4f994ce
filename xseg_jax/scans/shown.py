"""What a picture shows, whatever file it came from."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from xseg_jax.errors import InputError

Kind = Literal["gray", "palette", "rgb"]
COLOUR_REMEDY = "colour labels as RGB pages of a TIFF"
"""What errors say of formats that are read as volumes of one value a voxel."""


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


def crossing(pictures: Iterable[Picture], index: int, axis: int, name: object) -> Picture:
    """The plane across y or x of a stack of pictures.

    Args:
      pictures: along z, of one size.
      index: of the plane.
      axis: 1 for y, 2 for x.
      name: of the stack, for messages.

    Returns:
      A picture of one line a picture of the stack. Where the palettes of these differ it shows the
      colours.

    Raises:
      InputError: some show gray values and others colours.
    """
    lines: list[Picture] = []
    for picture in pictures:
        line = picture.pixels.take(index, axis - 1)[None]
        lines.append(replace(picture, pixels=line))
    first = lines[0]
    kinds = sorted({line.kind for line in lines})
    lossy = next((line.lossy for line in lines if line.lossy), "")
    if "gray" in kinds and len(kinds) > 1:
        raise InputError(
            f"{name}: some planes are {' and others '.join(kinds)} pictures, so that those across "
            f"{'zyx'[axis]} are neither; save all planes alike"
        )
    palettes = [line.palette_N3 for line in lines if line.palette_N3 is not None]
    same = all(np.array_equal(palette_N3, palettes[0]) for palette_N3 in palettes)
    if len(kinds) == 1 and same:
        pixels = np.concatenate([line.pixels for line in lines])
        return Picture(pixels, first.kind, first.palette_N3, lossy)
    return Picture(np.concatenate([line.colours for line in lines]), "rgb", lossy=lossy)


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
