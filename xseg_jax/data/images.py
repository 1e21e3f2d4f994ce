"""One image file to gray values, one label file to label values. No TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xseg_jax.data.intensity import sample_of, usual_range
from xseg_jax.errors import InputError
from xseg_jax.scans.picture import read_picture
from xseg_jax.scans.shown import Picture

COLOUR = 1 << 24
"""Added to 0xRRGGBB, so that no colour is a plain label value."""

WHITE = 255

COARSEST = 1e-3
"""Largest error by rounding to float32, in widths of the usual range of an image's gray values."""


@dataclass(frozen=True)
class Convention:
    """How the label files of a folder are to be understood.

    Attributes:
      colours: the pixels of palette files are the colours that they show, and not their index.
      white: label value of the white pixels of files with 1 bit a pixel.
    """

    colours: bool = False
    white: int = 1


def read_image(path: Path) -> np.ndarray:
    """A grayscale slice (H, W) as uint8, uint16 or float32, its bit depth kept.

    Raises:
      InputError: as `read_picture`, and for a colour image, NaN, infinity, and gray values that
        float32 cannot hold or tell apart.
    """
    picture = read_picture(path)
    array = picture.pixels if picture.kind == "gray" else picture.colours
    if array.ndim == 3:
        if (array[..., :1] != array).any():
            raise InputError(f"{path}: is a colour image; X-ray images are grayscale: convert it")
        array = array[..., 0]
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(WHITE)
    if array.dtype in (np.uint8, np.uint16):
        return array
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"{path}: holds {bad} NaN or infinite pixels; replace them with a number")
    return _to_float32(array, path)


def _to_float32(array_HW: np.ndarray, path: Path) -> np.ndarray:
    """Gray values as float32, where that keeps what tells them apart."""
    with np.errstate(over="ignore"):  # Too large for float32 becomes infinite.
        rounded_HW = array_HW.astype(np.float32, copy=False)
    bad = int((~np.isfinite(rounded_HW)).sum())
    if bad:
        most = np.abs(array_HW).max()
        raise InputError(
            f"{path}: holds {bad} pixels beyond what float32 holds, up to {most:.3g}; replace them "
            "with a number below 3.4e38"
        )
    if array_HW.dtype.itemsize <= 2 or array_HW.dtype == np.float32:
        return rounded_HW
    low, high = usual_range(sample_of(array_HW))
    allowed = COARSEST * (high - low) if high > low else np.inf
    most = max(abs(float(array_HW.min())), abs(float(array_HW.max())))
    if most * np.finfo(np.float32).eps / 2 <= allowed:
        return rounded_HW  # Rounding changes no value by more, however large.
    error_HW = np.abs(array_HW - rounded_HW.astype(np.float64))
    error = error_HW[(array_HW >= low) & (array_HW <= high)].max(initial=0)
    if error > allowed:
        raise InputError(
            f"{path}: gray values from {low:.12g} to {high:.12g} lie so close to each other that "
            f"float32 would change them by up to {error:.3g}; subtract one number "
            "from all images, or save them as uint16"
        )
    return rounded_HW


def read_label(path: Path, convention: Convention | None = None) -> np.ndarray:
    """Label values (H, W) as int64; a colour is 0xRRGGBB plus `COLOUR`.

    Args:
      path: of the file.
      convention: of its folder; by default palette files give their index, and bits 0 and 1.

    Raises:
      InputError: as `read_label_picture`.
    """
    return label_values(read_label_picture(path), convention or Convention())


def read_label_picture(path: Path) -> Picture:
    """What a label file shows, where it can be a label.

    Raises:
      InputError: as `read_picture`, and for a lossy format, values that are not whole numbers from
        0, or colours of more than 8 bits.
    """
    picture = read_picture(path)
    if picture.lossy:
        raise InputError(
            f"{path}: is compressed as {picture.lossy}, which can change label values; save the "
            "label from its source as PNG or lossless TIFF"
        )
    array = picture.pixels
    if array.dtype.kind == "f":
        wrong = array[~np.isfinite(array) | (array != np.floor(array)) | (array < 0)]
    else:
        wrong = array[array < 0] if array.dtype.kind == "i" else array[:0]
    if wrong.size:
        raise InputError(
            f"{path}: label values must be whole numbers from 0; found {wrong.flat[0]} in "
            f"{wrong.size} pixels ({array.dtype}); give these pixels a value of their own"
        )
    most = 255 if picture.kind == "rgb" else COLOUR - 1
    if int(array.max()) > most:  # As a Python number: float16 cannot hold the limit.
        what = "colour mask with" if picture.kind == "rgb" else "label"
        remedy = "save it with 8 bits" if picture.kind == "rgb" else f"the largest is {most}"
        raise InputError(f"{path}: {what} value {array.max()}; {remedy}")
    return picture


def label_values(picture: Picture, convention: Convention) -> np.ndarray:
    """Label values (H, W) int64 of a label's picture in the convention of its folder."""
    if picture.kind == "rgb" or (picture.kind == "palette" and convention.colours):
        return packed(picture.colours)
    if picture.pixels.dtype == bool:
        return picture.pixels * np.int64(convention.white)
    return picture.pixels.astype(np.int64)


def packed(colours: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as `COLOUR` plus 0xRRGGBB, int64."""
    colours = colours.astype(np.int64)
    return COLOUR | colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
