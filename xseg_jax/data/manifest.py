"""What a folder of prepared data held when it was finished, and what it has lost since."""

import json
import zlib
from pathlib import Path

from xseg_jax.files import write_text

NAME = "manifest.json"


def write(folder: Path, what: str) -> None:
    """Lists the files of a folder with size and CRC-32; where the list is, all was written.

    Raises:
      SaveError: as `files.saving`.
    """
    listed = {
        path.name: {"bytes": path.stat().st_size, "crc32": _checksum(path)}
        for path in sorted(folder.iterdir())
        if path.name != NAME
    }
    write_text(folder / NAME, json.dumps(listed, indent=2) + "\n", what)


def damage(folder: Path) -> str:
    """The first thing that a folder lost, in words; "" where it is whole."""
    try:
        listed = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{NAME} is missing"
    except ValueError:
        return f"{NAME} is cut off"
    for name, about in listed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != about["bytes"]:
            return f"{name} has {size} bytes of {about['bytes']}"
        if _checksum(path) != about["crc32"]:
            return f"{name} has changed: its checksum is wrong"
    return ""


def _checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total = zlib.crc32(block, total)
    return total
