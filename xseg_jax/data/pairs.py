"""The files of a folder, their numbers, and which image has which label. No TensorFlow."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from xseg_jax.errors import InputError
from xseg_jax.scans.picture import SUFFIXES

LAST_NUMBER = r"(\d+)(?!.*\d)"

NOISE = ("thumbs.db", "desktop.ini", ".ds_store", ".directory", ".localized")
"""Files that file managers leave in folders; so are those beginning "._"."""


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
    paths = [path for path in folder.iterdir() if _is_read(path)]
    if not paths:
        raise InputError(f"{folder}: holds no images; expected files ending {', '.join(SUFFIXES)}")
    twice = [stem for stem, count in Counter(_composed(p.stem) for p in paths).items() if count > 1]
    if twice:
        raise InputError(f"{folder}: two files are called {twice[0]!r}; keep one of them")
    # By name too, so that a01 and a1 do not come in the order of the disk.
    return {p.stem: p for p in sorted(paths, key=lambda p: (natural_key(p.stem), p.stem))}


def _is_read(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def _composed(name: str) -> str:
    """One form of a name: macOS writes an accent behind its letter, others write one character."""
    return unicodedata.normalize("NFC", name)


def left_out(folder: Path) -> str:
    """A line that names what of a folder `list_images` does not read; "" where it reads all."""
    others = [
        path.name + "/" * path.is_dir()
        for path in sorted(folder.iterdir())
        if not _is_read(path) and path.name.lower() not in NOISE and path.name[:2] != "._"
    ]
    if not others:
        return ""
    some = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
    files = "1 file is" if len(others) == 1 else f"{len(others)} files are"
    return f"{folder}: {files} of no kind that is read here, or hidden, and left out: {some}"


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that compares digits as numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.findall(r"\d+|\D+", name)]  # fmt: skip


def number_in(name: str, pattern: str = LAST_NUMBER) -> int | None:
    """The whole number that `pattern`'s first group finds in a file's stem.

    Without a pattern it is the last number. The digits behind a decimal point are no number: where
    z is written as 0.25mm, 0.5mm, 1.0mm, they would put 0.25 behind 0.5. Four and more digits are
    one, as in scan_v2.0001.

    Raises:
      InputError: the pattern is no regular expression, has no group, or finds no whole number.
    """
    try:
        found = re.search(pattern, name)
        if found and pattern == LAST_NUMBER and len(found[1]) < 4:
            before = name[: found.start(1)]
            if re.search(r"\d[.,]$", before):
                return None
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
    key_of: dict[str, str | int | None] = {stem: _composed(stem) for stem in numbers}
    if not {key_of[stem] for stem in image_of} & {key_of[stem] for stem in label_of}:
        key_of = dict(numbers)
        for folder, stems in ((images, image_of), (labels, label_of)):
            unnumbered = [stem for stem in stems if numbers[stem] is None]
            counts = Counter(numbers[stem] for stem in stems)
            twice = [stem for stem in stems if counts[numbers[stem]] > 1]
            if unnumbered or twice:
                what = "no whole number" if unnumbered else "a number that stands twice"
                raise InputError(
                    f"{folder}: no image has its label's stem, and {(unnumbered or twice)[0]!r} "
                    f"has {what}; rename the files or set "
                    "--config.data.number_pattern"
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
