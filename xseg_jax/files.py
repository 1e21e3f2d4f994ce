"""Paths as users give them, files that are written whole or not at all, and what a disk refuses."""

import contextlib
import errno
import glob
import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from xseg_jax.errors import InputError, RunError, SaveError

_ROOM = "make room there, or choose another folder, and start the same command again"
_ALLOWED = "choose a folder that may be written to, or change its permissions"
REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _ALLOWED,
    errno.EACCES: _ALLOWED,
    errno.EPERM: _ALLOWED,
    errno.ENOTDIR: "a file stands where a folder should be; move it away, or choose another folder",
    errno.EEXIST: "a file stands where a folder should be; move it away, or choose another folder",
    errno.EISDIR: "a folder stands where a file should be; move it away, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead in a circle; choose another path",
    errno.ENOENT: "the folder is missing, or was removed; make it, or choose another one",
}
"""What a user can do about an error of the system."""
OTHERWISE = "mend the disk, or choose another folder, and start the same command again"


def user_path(text: str) -> Path:
    """A path as a user gave it: a ~ is the home folder, which shells leave alone behind --flag=.

    Raises:
      InputError: the home folder cannot be told.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{text}: the home folder cannot be told ({error}); write the whole path, or set HOME"
        ) from error


def paths_in(text: str) -> list[Path]:
    """The paths of "runs/a,runs/b"; one that exists and has a comma in its name is one path.

    Raises:
      InputError: as `user_path`.
    """
    if user_path(text).exists():
        return [user_path(text)]
    return [user_path(part.strip()) for part in text.split(",")]


def one_line(text: str) -> str:
    """Text in which a name cannot break the line, nor bytes that are no UTF-8 stop the printing."""
    text = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """A number of things: "1 plane", "2 planes"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def explain(error: OSError) -> str:
    """What the system refused, in one line with the file and the remedy."""
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}" + (f"; {remedy}" if remedy else "")


@contextlib.contextmanager
def saving(path: Path, what: str) -> Iterator[None]:
    """Turns what the system refuses into one line.

    Args:
      path: of the file or folder that is written.
      what: it is, for the message: "the metrics".

    Raises:
      SaveError: names the path, what the system said, and the remedy.
    """
    try:
        yield
    except OSError as error:
        raise save_error(path, what, error.errno, error.strerror or str(error)) from error


def save_error(path: Path, what: str, number: int | None, reason: str) -> SaveError:
    """The line of `saving`, for libraries that raise errors of their own.

    Args:
      path: of the file or folder.
      what: could not be written.
      number: of the system's error; None where it is not known.
      reason: what the system said.
    """
    remedy = REMEDIES.get(number or 0, OTHERWISE)
    return SaveError(f"{path}: {what} cannot be written ({reason}); {remedy}")


def number_of(error: BaseException | None) -> int | None:
    """The system's error at the root of a library's: by its number, or by the words it has for it.

    Libraries in C++ hand on the words alone.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in REMEDIES:
            return error.errno
        found = [number for number in REMEDIES if os.strerror(number) in str(error)]
        if found:
            return found[0]
        error = error.__cause__ or error.__context__
    return None


def make_folder(path: Path, what: str) -> None:
    """Makes a folder and those above it.

    Raises:
      SaveError: as `saving`.
    """
    with saving(path, what):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def replacing(path: Path, what: str) -> Iterator[Path]:
    """Gives a temporary name in the same folder, and at the end puts it in the place of `path`.

    The file appears whole or not at all, however the writing ends. The name is short, for `path`
    may have the longest name that there can be.

    Raises:
      SaveError: as `saving`.
    """
    name = hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()
    draft = path.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        with saving(path, what):
            yield draft
            draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str, what: str) -> None:
    """Writes a whole file or none, in UTF-8; bytes of names that are none stand there as codes.

    Raises:
      SaveError: as `saving`.
    """
    with replacing(path, what) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")


def content_hash(path: Path) -> str:
    """Names the bytes of a file.

    Raises:
      InputError: it cannot be read.
    """
    digest = hashlib.blake2b()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened ({error.strerror}); check the link or permissions"
        ) from error
    return digest.hexdigest()


class PlainName:
    """A folder under a name without anything that a library could take for a pattern.

    Orbax, tensorstore and TensorFlow search for files by patterns, and take names for UTF-8: in a
    folder called "[v1]" they find nothing. They see the folder through a link with a plain name, in
    a private folder that goes when this object does.

    Args:
      folder: that is meant; it may be made later.

    Attributes:
      path: the plain name.

    Raises:
      InputError: the folder for temporary files has such a name itself.
    """

    def __init__(self, folder: Path) -> None:
        self._target = folder.absolute()
        home = Path(tempfile.mkdtemp(prefix="xseg_jax_"))
        self.path = home / "folder"
        self._remove = weakref.finalize(self, _remove_link, self.path)
        if not str(home).isascii() or glob.escape(str(home)) != str(home):
            self.close()
            raise InputError(
                f"{home.parent}: libraries cannot work in a folder for temporary files of this "
                "name; set TMPDIR to a folder without brackets, stars, question marks and accents"
            )
        self.renew()

    def renew(self) -> None:
        """Makes the link again where somebody has swept up temporary files."""
        if not self.path.is_symlink():
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self.path.symlink_to(self._target)

    def real(self, text: str) -> str:
        """A message with the folder's own name for the plain one."""
        return text.replace(str(self.path), str(self._target))

    def close(self) -> None:
        """Removes the link, and nothing that it leads to."""
        self._remove()


def _remove_link(link: Path) -> None:
    link.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        link.parent.rmdir()


def line_of(error: RunError | OSError) -> str:
    """What ends a command, in one line: "error: " and why, or that somebody has stopped it."""
    said_as = error.said_as if isinstance(error, RunError) else RunError.said_as
    return said_as + one_line(explain(error) if isinstance(error, OSError) else str(error))
