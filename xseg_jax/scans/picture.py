"""One file -> what it shows: TIFF, PNG, JPEG, BMP, GIF, PBM and PGM, WebP, NumPy."""

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from xseg_jax.errors import InputError
from xseg_jax.scans.codestreams import (
    JPEG_LS_FRAME,
    LOSSLESS_FRAMES,
    ends_whole,
    jpeg_exif,
    jpeg_frame,
    jpeg_ls_is_lossless,
    webp_is_lossless,
)
from xseg_jax.scans.shown import (
    Kind,
    Picture,
    native,
    refuse_channels,
    refuse_transparent,
    upright,
)
from xseg_jax.scans.tiff_page import page_as_shown

SUFFIXES = (
    ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pbm", ".pgm", ".ppm", ".webp",
    ".npy",
)  # fmt: skip

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP")
"""What is left to Pillow."""

ORIENTATION = 274

Image.MAX_IMAGE_PIXELS = None  # Slices of big detectors are no decompression bombs.


def read_picture(path: Path) -> Picture:
    """What a file shows. The kind of file is told by its content, as viewers do.

    Raises:
      InputError: the file is missing, damaged, or of an unknown kind, holds several pictures, or
        viewers would not agree on what it shows.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: cannot read {suffix!r} files; use one of {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start[:4] in TIFF_STARTS:
            picture = _read_tiff(path)
        elif start == b"\x93NUMPY":
            picture = _read_numpy(path)
        else:
            picture = _read_other_jpeg(path) if start[:2] == b"\xff\xd8" else None
            picture = picture or _read_with_pillow(path)
    except (InputError, MemoryError):
        raise
    # Every codec fails in a way of its own.
    except Exception as error:
        raise InputError(f"{path}: cannot be read ({error}); {_remedy(error)}") from error
    if 0 in picture.pixels.shape:
        raise one_slice(path, f"shape {picture.pixels.shape}")
    return picture


def _remedy(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return "check the path, its link and permissions"
    text = str(error).lower()
    unknown = ("requires the", "not supported", "unsupported", "not implemented", "object arrays")
    if isinstance(error, NotImplementedError) or any(part in text for part in unknown):
        return "this form of the format is not known here: export it as plain TIFF or PNG"
    return "the file is damaged or truncated: export it again"


def one_slice(path: Path, found: str) -> InputError:
    """The refusal of a file that is more or less than one slice."""
    return InputError(
        f"{path}: has {found}, expected one slice (height, width); save a stack as one file a slice"
    )


def _read_tiff(path: Path) -> Picture:
    with tifffile.TiffFile(path) as tiff:
        # Pages of this file alone: its metadata may be of the stack that it was taken from.
        pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
        if not pages:
            raise ValueError("holds no page")
        # Some programs call the only page reduced, or a mask.
        shown = [page for page in pages if not page.is_reduced and not page.is_mask] or pages
        images = len(shown) if len(shown) != 1 else _images_behind(tiff, shown[0])
        if images != 1:
            raise one_slice(path, f"{images} images")
        for page in pages:
            if page.is_mask and page is not shown[0] and not page.is_reduced:
                refuse_transparent(path, page.asarray() == 0)
        return page_as_shown(shown[0], str(path))


def _images_behind(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> int:
    """Images that one page stands for, as ImageJ writes stacks of more than 4 GB."""
    if not page.is_final:
        return 1  # Compressed: nothing follows.
    said = [1]
    about = tiff.imagej_metadata if page.is_imagej else None
    if about:
        said.append(int(np.prod([about.get(key, 1) for key in ("slices", "frames", "channels")])))
        said.append(int(about.get("images", 1)))
    if page.is_stk:
        said.append(int((tiff.stk_metadata or {}).get("NumberPlanes", 1)))
    for about in tiff.shaped_metadata or ():
        said.append(int(np.prod(about.get("shape", ()))) // max(page.size, 1))
    room = (tiff.filehandle.size - page.dataoffsets[0]) // max(page.nbytes, 1)
    return max((count for count in said if count <= room), default=1)


def _read_numpy(path: Path) -> Picture:
    array = np.load(path, allow_pickle=False)
    if array.dtype.kind not in "buif":
        raise InputError(f"{path}: pixels are {array.dtype}, not plain numbers; export it again")
    array = native(array)
    if array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    # NumPy has no alpha: two or four values a pixel are channels.
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        refuse_channels(path, array.shape[-1])
    if array.ndim == 3 and array.shape[-1] == 3:
        return Picture(array, "rgb")
    if array.ndim != 2:
        raise one_slice(path, f"shape {array.shape}")
    return Picture(array, "gray")


def _read_other_jpeg(path: Path) -> Picture | None:
    """A JPEG of more than 8 bits, lossless, or JPEG-LS; None where it is a usual one."""
    data = path.read_bytes()
    marker, bits = jpeg_frame(data) or (None, 8)
    if marker == JPEG_LS_FRAME:
        array, lossy = imagecodecs.jpegls_decode(data), not jpeg_ls_is_lossless(data)
    elif marker in LOSSLESS_FRAMES or bits != 8:
        array, lossy = imagecodecs.jpeg_decode(data), marker not in LOSSLESS_FRAMES
    else:
        return None
    if not ends_whole(data):  # Some codecs fill what is missing.
        raise ValueError("ends before its end-of-image marker")
    exif = Image.Exif()
    exif.load(jpeg_exif(data))
    array = upright(array, exif.get(ORIENTATION, 1))
    return Picture(array, "rgb" if array.ndim == 3 else "gray", lossy="JPEG" if lossy else "")


def _read_with_pillow(path: Path) -> Picture:
    with Image.open(path, formats=FORMATS) as image:
        images = getattr(image, "n_frames", 1)
        if images > 1 and image.format != "MPO":  # MPO: a JPEG and its previews.
            raise one_slice(path, f"{images} images")
        depth = str(image.tile[0].args) if image.tile else ""
        image.load()
        lossy = ""
        if image.format in ("JPEG", "MPO"):
            lossy = "JPEG"
        elif image.format == "WEBP" and not webp_is_lossless(path.read_bytes()):
            lossy = "WebP"
        array, kind, palette_N3, alpha = _stored(image, path, depth)
        # After `load`: a PNG may say it behind its pixels.
        orientation = image.getexif().get(ORIENTATION, 1)
    if alpha is not None:
        refuse_transparent(path, alpha != np.iinfo(alpha.dtype).max)
    return Picture(upright(native(array), orientation), kind, palette_N3, lossy)


def _stored(
    image: Image.Image, path: Path, depth: str
) -> tuple[np.ndarray, Kind, np.ndarray | None, np.ndarray | None]:
    """Pixels, kind, palette and alpha (H, W) of an image, the last two None where it has none."""
    mode, transparency = image.mode, image.info.get("transparency")
    if mode == "P":
        index_HW, palette = np.asarray(image), image.getpalette("RGB") or []
        palette_N3 = np.zeros((256, 3), np.uint8)  # Viewers show black beyond a palette's end.
        palette_N3.flat[: len(palette)] = palette
        alpha = None
        if transparency is not None:
            alpha_N = np.full(256, 255, np.uint8)
            if isinstance(transparency, bytes):
                alpha_N[: len(transparency)] = list(transparency)
            else:
                alpha_N[transparency] = 0
            alpha = alpha_N[index_HW]
        return index_HW, "palette", palette_N3, alpha
    if mode not in ("1", "L", "LA", "RGB", "RGBA", "RGBX", "I", "I;16", "I;16B"):
        raise InputError(f"{path}: is a {mode} picture; convert it to grayscale or RGB colours")
    array = np.asarray(image)
    # Pillow reads 16-bit colour as 8 bits, and leaves a transparent colour to its user.
    deep = ";16" in depth and mode in ("LA", "RGB", "RGBA")
    if image.format == "PNG" and (deep or transparency is not None):
        array = imagecodecs.png_decode(path.read_bytes())
    if mode == "I":
        array = array.astype(np.uint16)  # 16-bit PGM.
    if mode == "RGBX":
        array = array[..., :3]
    alpha = array[..., -1] if array.ndim == 3 and array.shape[-1] in (2, 4) else None
    if alpha is not None:
        array = array[..., :-1]
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if mode == "1":
        array = array > 0
    return array, "rgb" if array.ndim == 3 else "gray", None, alpha
