"""Reading one image or label file, and the file names that belong together. No TensorFlow."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from xseg_jax.errors import InputError

TIFF = (".tif", ".tiff")
PILLOW = (".png", ".jpg", ".jpeg")
SUFFIXES = (*TIFF, *PILLOW, ".npy")

Image.MAX_IMAGE_PIXELS = None  # Slices of big detectors are no decompression bombs.

LAST_NUMBER = r"(\d+)(?!.*\d)"


def read_array(path: Path) -> np.ndarray:
    """Pixels of a TIFF, PNG, JPEG or NumPy file as stored: (H, W) or (H, W, 3), alpha dropped.

    Raises:
      InputError: the file is missing, truncated, of an unknown kind, or not a single slice.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: cannot read {suffix!r} files; use one of {', '.join(SUFFIXES)}")
    images = 1
    try:
        if suffix in TIFF:
            with tifffile.TiffFile(path) as tiff:
                array = tiff.asarray()
                # A stack written page by page is many series, of which asarray gives the first.
                images = sum(not series.keyframe.is_reduced for series in tiff.series)
        elif suffix in PILLOW:
            with Image.open(path) as image:
                # Pillow would read 16-bit colour as 8 bits.
                deep = image.mode in ("RGB", "RGBA", "LA") and ";16" in str(image.tile[0].args)
                array = imagecodecs.png_decode(path.read_bytes()) if deep else np.asarray(image)
        else:
            array = np.load(path, allow_pickle=False)
    # Every codec fails in a way of its own; each means the same to the user.
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read ({error}); the file is damaged or truncated: export it again"
        ) from error
    array = np.squeeze(array) if array.ndim > 2 and 1 in array.shape else array
    if array.dtype.kind not in "buif":
        raise InputError(f"{path}: pixels are {array.dtype}, not plain numbers; export it again")
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        array = np.squeeze(array[..., :-1])
    colour = array.ndim == 3 and array.shape[-1] == 3
    if images > 1 or 0 in array.shape or not (colour or array.ndim == 2):
        found = f"{images} images" if images > 1 else f"shape {array.shape}"
        raise InputError(
            f"{path}: has {found}, expected one slice (height, width); "
            "save a stack as one file a slice"
        )
    return array


def read_image(path: Path) -> np.ndarray:
    """A grayscale slice (H, W) as uint8, uint16 or float32, its bit depth kept.

    Raises:
      InputError: as `read_array`, and for a colour image, NaN or infinity.
    """
    array = read_array(path)
    if array.ndim == 3:
        if (array[..., :1] != array).any():
            raise InputError(f"{path}: is a colour image; X-ray images are grayscale: convert it")
        array = array[..., 0]
    dtype = array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # Too large for float32 becomes infinite.
        array = array.astype(dtype if dtype in (np.uint8, np.uint16) else np.float32, copy=False)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"{path}: holds {bad} NaN or infinite pixels; replace them with a number")
    return array


def read_label(path: Path) -> np.ndarray:
    """Label values (H, W) as int64; a colour mask gives 0xRRGGBB plus `COLOUR`.

    Raises:
      InputError: as `read_array`, and for values that are not whole numbers from 0.
    """
    array = read_array(path)
    whole = np.isfinite(array).all() and (array >= 0).all() and (array == np.floor(array)).all()
    if array.dtype != bool and not whole:
        raise InputError(f"{path}: label values must be whole numbers from 0; found {array.dtype}")
    array = array.astype(np.int64)
    if array.ndim == 3:
        if array.max() > 255:
            raise InputError(f"{path}: colour mask with value {array.max()}; save it with 8 bits")
        array = COLOUR | array[..., 0] << 16 | array[..., 1] << 8 | array[..., 2]
    return array


COLOUR = 1 << 24


@dataclass(frozen=True)
class Pair:
    """An image file, its label file, and the number in the image's name if it has one."""

    name: str
    image: Path
    label: Path
    number: int | None


def list_images(folder: Path) -> dict[str, Path]:
    """Readable files of a folder by stem, in natural order (slice_2 before slice_10).

    Raises:
      InputError: the folder does not exist, is empty, or has one stem twice.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    paths = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    if not paths:
        raise InputError(f"{folder}: holds no images; expected files ending {', '.join(SUFFIXES)}")
    twice = [stem for stem, count in Counter(p.stem for p in paths).items() if count > 1]
    if twice:
        raise InputError(f"{folder}: two files are called {twice[0]!r}; keep one of them")
    # By name too, so that a01 and a1 do not come in the order of the disk.
    return {p.stem: p for p in sorted(paths, key=lambda p: (natural_key(p.stem), p.stem))}


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that compares digits as numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.findall(r"\d+|\D+", name)]  # fmt: skip


def number_in(name: str, pattern: str = LAST_NUMBER) -> int | None:
    """The number that `pattern`'s first group finds in a file's stem; the last one by default.

    Raises:
      InputError: the pattern is no regular expression, has no group, or finds no whole number.
    """
    try:
        found = re.search(pattern, name)
        return int(found[1]) if found else None
    except (re.error, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"config.data.number_pattern={pattern!r}: gives no whole number for {name!r} "
            f"({error}); its first (...) must match digits alone"
        ) from error


FOLDERS = {"images": ("images", "data"), "labels": ("labels", "masks")}


def folder_of(root: Path, kind: str) -> Path:
    """The folder of "images" or of "labels" below `root`.

    Raises:
      InputError: there is none, or there are two.
    """
    found = [root / name for name in FOLDERS[kind] if (root / name).is_dir()]
    if len(found) != 1:
        raise InputError(
            f"{root}: expected one folder of {kind} called {' or '.join(FOLDERS[kind])}, found "
            f"{len(found)}; rename the one that is meant"
        )
    return found[0]


def find_pairs(
    images: Path, labels: Path, *, number_pattern: str = LAST_NUMBER, skip_unlabelled: bool = False
) -> list[Pair]:
    """Pairs of image and label files, by equal stems or else by the number in the name.

    Args:
      images: folder of images.
      labels: folder of labels.
      number_pattern: regular expression whose first group is the number in a stem.
      skip_unlabelled: leave images without a label out instead of refusing them.

    Returns:
      Pairs in natural order of the image names.

    Raises:
      InputError: nothing pairs, some files have no partner, or a number stands twice.
    """
    image_of, label_of = dict(list_images(images)), dict(list_images(labels))
    numbers = {stem: number_in(stem, number_pattern) for stem in (*image_of, *label_of)}
    key_of: dict[str, str | int | None] = {stem: stem for stem in numbers}
    if not image_of.keys() & label_of.keys():
        key_of = dict(numbers)
        for folder, stems in ((images, image_of), (labels, label_of)):
            unnumbered = [stem for stem in stems if numbers[stem] is None]
            counts = Counter(numbers[stem] for stem in stems)
            twice = [stem for stem in stems if counts[numbers[stem]] > 1]
            if unnumbered or twice:
                raise InputError(
                    f"{folder}: no image has its label's stem, and {(unnumbered or twice)[0]!r} "
                    f"has {'no number' if unnumbered else 'a number that stands twice'}; rename "
                    "the files or set --config.data.number_pattern"
                )
    label_by_key = {key_of[stem]: path for stem, path in label_of.items()}
    image_by_key = {key_of[stem]: path for stem, path in image_of.items()}
    paired = [key for key in image_by_key if key in label_by_key]
    if not paired:
        raise InputError(
            f"{images} and {labels}: no image pairs with a label, for example "
            f"{next(iter(image_of))} and {next(iter(label_of))}; give both the same stem or number"
        )
    unlabelled = [path for key, path in image_by_key.items() if key not in label_by_key]
    orphans = [path for key, path in label_by_key.items() if key not in image_by_key]
    if orphans:
        raise InputError(f"{_some(orphans)}: no image for this label; remove it or add its image")
    if unlabelled and not skip_unlabelled:
        raise InputError(
            f"{_some(unlabelled)}: no label for this image; add it, or train on the labelled "
            "images alone with --config.data.skip_unlabelled=True"
        )
    return [
        Pair(stem, path, label_by_key[key_of[stem]], numbers[stem])
        for stem, path in image_of.items()
        if key_of[stem] in label_by_key
    ]


def _some(paths: list[Path]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(str(path) for path in paths[:3]) + more
