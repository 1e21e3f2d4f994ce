"""The slices of a folder, in order, and the numbers in their names."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

from xseg_jax.errors import InputError
from xseg_jax.scans.picture import SUFFIXES

LAST_NUMBER = r"(\d+)(?!.*\d)"

DECIMAL = r"(|.*\D)(0+[.,]\d+|\d+[.,](\d{1,3}|\d+(?=[ _]?[^\W\d_])))\D*"
"""A name whose last digits stand behind a decimal point: fewer than four, before a unit, or 0.x."""

NOISE = ("thumbs.db", "desktop.ini", ".ds_store", ".directory", ".localized")
"""Files that file managers leave in folders; so are those beginning "._"."""


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
    twice = [stem for stem, count in Counter(composed(p.stem) for p in paths).items() if count > 1]
    if twice:
        raise InputError(f"{folder}: two files are called {twice[0]!r}; keep one of them")
    # By name too, so that a01 and a1 do not come in the order of the disk.
    return {p.stem: p for p in sorted(paths, key=lambda p: (natural_key(p.stem), p.stem))}


def _is_read(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def composed(name: str) -> str:
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
    a counter, as in scan_v2.0001, unless a unit or nothing but 0 makes them decimal.

    Raises:
      InputError: the pattern is no regular expression, has no group, or finds no whole number.
    """
    try:
        found = re.search(pattern, name)
        if found and pattern == LAST_NUMBER and re.fullmatch(DECIMAL, name, re.DOTALL):
            return None
        return int(found[1]) if found else None
    except (re.error, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"config.data.number_pattern={pattern!r}: gives no whole number for {name!r} "
            f"({error}); its first (...) must match digits alone"
        ) from error
