"""The first and the last lines of every mode: what it uses, and where things are when it ends."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from xseg_jax.files import one_line
from xseg_jax.training.parallel import Parallel


def first_lines(**uses: object) -> None:
    """Prints what a mode uses, a line each: its data, its folder, its devices.

    Args:
      **uses: by what it is called; what is None or "" is left out.
    """
    _print({name: str(value) for name, value in uses.items() if value not in (None, "")})


def last_lines(**places: Path | Sequence[Path]) -> None:
    """Prints where things are, a line each below an empty one; what is not there is left out.

    Args:
      **places: a file or folder, or several, by what is in there.
    """
    found = {}
    for name, paths in places.items():
        there = [path for path in ([paths] if isinstance(paths, Path) else paths) if path.exists()]
        if there:
            found[name] = ", ".join(map(str, there))
    if found:
        print()
        _print(found)


def devices_of(parallel: Parallel) -> str:
    """The devices that share the work, in words: "2 cpu, by pmap"."""
    count = len(parallel.devices)
    how = f", by {parallel.mode}" if count > 1 else ""
    return f"{count} {parallel.devices[0].platform}{how}"


def _print(lines: Mapping[str, str]) -> None:
    width = max(map(len, lines), default=0)
    for name, value in lines.items():
        print(f"{name + ':':<{width + 2}}{one_line(value)}")
