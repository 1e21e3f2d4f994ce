"""Compressed files, unpacked once into a temporary file, so that any plane can be read."""

import bz2
import gzip
import shutil
import tempfile
import threading
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xseg_jax.errors import InputError

BLOCK = 1 << 22


class Unpacked:
    """A temporary file that is written when first asked for, and deleted with this object.

    Threads may ask at the same time; one of them writes.

    Args:
      source: named in errors.
      write: writes the whole content.
      suffix: of the temporary file.
    """

    def __init__(self, source: str, write: Callable[[BinaryIO], None], suffix: str = "") -> None:
        self.source, self.write, self.suffix = source, write, suffix
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._delete: weakref.finalize | None = None

    def path(self) -> Path:
        """The temporary file.

        Raises:
          InputError: the disk for temporary files is full.
        """
        with self._lock:
            if self._path is None:
                with tempfile.NamedTemporaryFile(
                    prefix="xseg_jax_", suffix=self.suffix, delete=False
                ) as file:
                    self._delete = weakref.finalize(self, Path(file.name).unlink, missing_ok=True)
                    try:
                        self.write(file.file)  # type: ignore[reportArgumentType]
                        file.flush()
                    except OSError as error:
                        self._delete()
                        if error.errno is None:  # Of the packed file, not of the disk.
                            raise
                        raise InputError(
                            f"{self.source}: cannot be unpacked into {tempfile.gettempdir()} "
                            f"({error.strerror}); set TMPDIR to a folder with space"
                        ) from error
                    except BaseException:
                        self._delete()
                        raise
                self._path = Path(file.name)
            return self._path

    def close(self) -> None:
        """Deletes the temporary file."""
        if self._delete is not None:
            self._delete()
        self._path = None


def unpack(packed: BinaryIO, coding: str, target: BinaryIO) -> None:
    """Copies what follows in an open file, decoded, block by block.

    Args:
      packed: stands at the first byte.
      coding: "gzip", "bzip2" or "zlib".
      target: where the plain bytes go.

    Raises:
      OSError, EOFError, zlib.error: the data is damaged or truncated.
    """
    if coding == "gzip":
        shutil.copyfileobj(gzip.GzipFile(fileobj=packed), target, BLOCK)
    elif coding == "bzip2":
        shutil.copyfileobj(bz2.BZ2File(packed), target, BLOCK)
    else:
        decoder = zlib.decompressobj()
        while block := packed.read(BLOCK):
            target.write(decoder.decompress(block))
        target.write(decoder.flush())
        if not decoder.eof:
            raise EOFError("compressed data ended before its end marker")


def write_text(text: BinaryIO, dtype: np.dtype, target: BinaryIO) -> None:
    """Copies numbers that are written as text, line by line, as binary numbers.

    Raises:
      ValueError: a word is no number.
    """
    for line in text:
        words = line.replace(b",", b" ").split()
        parse = float if dtype.kind == "f" else int
        np.array([parse(word) for word in words], dtype).tofile(target)
