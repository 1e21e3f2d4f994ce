"""One page of a TIFF file as viewers show it."""

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFrame, TiffPage

from xseg_jax.errors import InputError
from xseg_jax.scans.codestreams import (
    LOSSLESS_FRAMES,
    jpeg_2000_is_lossless,
    jpeg_frame,
    webp_is_lossless,
)
from xseg_jax.scans.shown import Picture, native, refuse_channels, refuse_transparent, upright

SPREAD = {2: 85, 4: 17}
"""Factors from few bits to 8. Deeper samples in wider types, as 12 bits, are measured values."""

SAMPLES: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
}
"""Samples a pixel, of what is read, before alpha."""

ORIENTATION, PHOTOMETRIC_TAG = 274, 262
UNSPECIFIED = 0  # ExtraSamples of TIFF 6.0; 1 and 2 are alpha, multiplied in and not.

JPEG = (COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)
JPEG_2000 = (
    COMPRESSION.APERIO_JP2000_YCBC,
    COMPRESSION.JPEG_2000_LOSSY,
    COMPRESSION.APERIO_JP2000_RGB,
    COMPRESSION.JPEG2000,
)
LOSSY: dict[int, str] = {
    COMPRESSION.JPEG_LOSSY: "JPEG",
    COMPRESSION.JPEGXR: "JPEG XR",
    COMPRESSION.JPEGXR_NDPI: "JPEG XR",
    COMPRESSION.JPEGXL: "JPEG XL",
    COMPRESSION.JPEGXL_DNG: "JPEG XL",
    COMPRESSION.LERC: "LERC",
}
"""Compressions that may change values and do not say simply whether they did."""


def page_as_shown(page: TiffPage | TiffFrame, name: object) -> Picture:
    """What a page shows.

    Args:
      page: of a file that is open.
      name: of the file, for messages.

    Raises:
      InputError: viewers would not agree on what it shows, or it is no gray, palette or RGB page.
      Exception: what tifffile raises for damaged files and codecs that it lacks.
    """
    keyframe = page if isinstance(page, TiffPage) else page.keyframe
    assert keyframe is not None  # A frame is a page that leaves to another what they share.
    # TIFF 6.0 requires the tag; files without it are taken as measured, black at zero.
    known = PHOTOMETRIC_TAG in keyframe.tags
    photometric = keyframe.photometric if known else PHOTOMETRIC.MINISBLACK
    if photometric == PHOTOMETRIC.YCBCR and keyframe.compression in JPEG:
        photometric = PHOTOMETRIC.RGB  # As tifffile decodes it.
    colours = SAMPLES.get(photometric)
    if colours is None:
        raise InputError(
            f"{name}: is a {getattr(photometric, 'name', photometric)} picture; convert it to "
            "grayscale or RGB colours"
        )
    bits = keyframe.bitspersample
    if not isinstance(bits, int):
        raise InputError(f"{name}: channels have {bits} bits; save it with 8 bits a channel")
    if keyframe.dtype is None or keyframe.dtype.kind not in "buif":
        raise InputError(f"{name}: pixels are {keyframe.dtype}, not plain numbers; export it again")
    array = native(page.asarray())
    # Depth, height, width and samples in this order; planes of colour become channels.
    array = array.reshape(*keyframe.shaped)
    array_DHWS = np.concatenate(array, axis=-1) if len(array) > 1 else array[0]
    if len(array_DHWS) > 1:
        raise InputError(
            f"{name}: has shape {array_DHWS.shape[:3]}, expected one slice (height, width); save a "
            "stack as one file a slice"
        )
    orientation = getattr(keyframe.tags.get(ORIENTATION), "value", 1)
    array_HWS = upright(array_DHWS[0], orientation)
    array_HWS = _without_alpha(array_HWS, colours, keyframe, name)
    if photometric == PHOTOMETRIC.MINISWHITE:
        array_HWS = _white_up(array_HWS, bits, name)
    if photometric != PHOTOMETRIC.PALETTE and array_HWS.dtype == np.uint8 and bits in SPREAD:
        array_HWS = array_HWS * np.uint8(SPREAD[bits])
    lossy = _lossy(page, keyframe.compression)
    if colours == 3:
        return Picture(array_HWS, "rgb", lossy=lossy)
    if photometric == PHOTOMETRIC.PALETTE:
        palette_N3 = _palette(keyframe, name)
        index_HW = array_HWS[..., 0].astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
        return Picture(index_HW, "palette", palette_N3, lossy)
    return Picture(array_HWS[..., 0], "gray", lossy=lossy)


def _without_alpha(array_HWS: np.ndarray, colours: int, page: TiffPage, name: object) -> np.ndarray:
    """The first samples; the others must be alpha, and opaque."""
    samples = array_HWS.shape[-1]
    extra = [int(kind) for kind in page.extrasamples]
    # Writers that forget the tag mean channels by the samples that are too many.
    if samples < colours or samples - colours != len(extra) or UNSPECIFIED in extra:
        if samples != colours:
            refuse_channels(name, samples)
    elif extra:
        alpha_HWA = array_HWS[..., colours:]
        if alpha_HWA.dtype.kind == "f":
            opaque = 1.0
        elif alpha_HWA.dtype.kind == "b":
            opaque = True
        else:
            opaque = (1 << int(page.bitspersample) - (alpha_HWA.dtype.kind == "i")) - 1
        refuse_transparent(name, (alpha_HWA != opaque).any(axis=-1))
    return array_HWS[..., :colours]


def _white_up(array: np.ndarray, bits: int, name: object) -> np.ndarray:
    """Samples of a file in which 0 is white, with 0 for black."""
    if array.dtype.kind == "b":
        return ~array
    if array.dtype.kind != "u":
        raise InputError(
            f"{name}: says that its least value is white, which programs understand in different "
            f"ways where pixels are {array.dtype}; save it with black at the least value"
        )
    return array.dtype.type((1 << bits) - 1) - array


def _palette(page: TiffPage, name: object) -> np.ndarray:
    """Colours (N, 3) uint8 of a palette page."""
    if page.colormap is None:
        raise InputError(f"{name}: is a palette picture without palette; export it again")
    palette_N3 = page.colormap.T
    # As libtiff's tools: some programs write 8 bits where the format has 16.
    return (palette_N3 >> 8 if palette_N3.max() > 255 else palette_N3).astype(np.uint8)


def _lossy(page: TiffPage | TiffFrame, compression: int) -> str:
    """Name of a compression that may have changed values, or ""."""
    if compression in JPEG:
        found = jpeg_frame(_first_segment(page))
        return "" if found and found[0] in LOSSLESS_FRAMES else "JPEG"
    if compression in JPEG_2000:
        return "" if jpeg_2000_is_lossless(_first_segment(page)) else "JPEG 2000"
    if compression == COMPRESSION.WEBP:
        return "" if webp_is_lossless(_first_segment(page)) else "WebP"
    return LOSSY.get(compression, "")


def _first_segment(page: TiffPage | TiffFrame) -> bytes:
    handle = page.parent.filehandle
    handle.seek(page.dataoffsets[0])
    return handle.read(page.databytecounts[0])
