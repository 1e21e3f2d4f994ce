"""What a prediction wrote and from what, so that it knows its own files again."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from xseg_jax.files import content_hash, replacing, saving

NAME = "predictions.jsonl"
WHAT = "this prediction"


class Record:
    """Lines of `predictions.jsonl`: a file, a hash of what it was made from, and of its own bytes.

    A line is on disk before its file appears. So a file without a line is somebody else's, and a
    file with other bytes than its lines say was changed.

    Args:
      folder: of the files.
      process: number of this process; each adds to a file of its own, and reads all.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        stem, _, suffix = NAME.partition(".")
        self._path = folder / (f"{stem}_{process}.{suffix}" if process else NAME)
        self._lines: dict[str, set[tuple[str, str]]] = {}
        for path in sorted(folder.glob(f"{stem}*.{suffix}")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # Cut off by a kill.
                    fields = json.loads(line)
                    self._add(fields["file"], fields["made_from"], fields["content"])

    def __contains__(self, path: Path) -> bool:
        return path.name in self._lines

    def __iter__(self) -> Iterator[str]:
        """Names of all files that were written."""
        return iter(self._lines)

    def unchanged(self, path: Path) -> bool:
        """Whether a file has the bytes that were written.

        Raises:
          InputError: it cannot be read.
        """
        content = hash_of(path)
        return any(written == content for _, written in self._lines.get(path.name, ()))

    def made_from(self, path: Path, source: str) -> bool:
        """Whether a file, as it is, was made from something, by the hash that `writing` was given.

        Raises:
          InputError: it cannot be read.
        """
        return (source, hash_of(path)) in self._lines.get(path.name, ())

    @contextlib.contextmanager
    def writing(self, path: Path, source: str) -> Iterator[Path]:
        """Gives a temporary name; what is written there takes the place of `path`.

        Args:
          path: of the file.
          source: hash of what it is made from.

        Raises:
          SaveError: as `files.saving`.
        """
        with replacing(path, WHAT) as draft:
            yield draft
            content = hash_of(draft)
            if (source, content) in self._lines.get(path.name, ()):
                return  # Made again, to the bit.
            line = {"file": path.name, "made_from": source, "content": content}
            with saving(self._path, WHAT), self._path.open("ab") as file:
                # A line that a kill cut off stays a line of its own.
                start = b"\n" if self._ends_within_a_line() else b""
                file.write(start + json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._add(path.name, source, content)

    def _add(self, name: str, source: str, content: str) -> None:
        self._lines.setdefault(name, set()).add((source, content))

    def _ends_within_a_line(self) -> bool:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                return False
            file.seek(size - 1)
            return file.read(1) != b"\n"


def hash_of(path: Path) -> str:
    """Names the bytes of a file that something is made from.

    Raises:
      InputError: it cannot be read.
    """
    return content_hash(path)[:32]
