"""Files that know whether somebody has changed them: those stay as they are."""

import hashlib
from pathlib import Path

from xseg_jax.errors import InputError
from xseg_jax.files import write_text

MARK = "<!-- xseg_jax {} -->\n"
"""The last line, a comment in HTML and Markdown, with a hash of what stands above it."""


def sign(text: str) -> str:
    """A text with its hash as the last line."""
    text = text if text.endswith("\n") else f"{text}\n"
    # As it stands in a file, where names that are no UTF-8 are written as codes.
    content = text.encode(errors="backslashreplace")
    return text + MARK.format(hashlib.blake2b(content, digest_size=16).hexdigest())


def is_as_written(path: Path) -> bool:
    """Whether a file is what `write_signed` wrote, to the byte.

    Raises:
      InputError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); move it away, or check its permissions"
        ) from error
    # What sign adds has the same length for every text.
    end = len(content) - len(MARK.format("0" * 32))
    try:
        return end > 0 and sign(content[:end].decode()).encode() == content
    except UnicodeDecodeError:
        return False


def write_signed(path: Path, text: str, what: str) -> bool:
    """Writes a file, unless one stands there that somebody has changed, or that is somebody's own.

    Args:
      path: of the file.
      text: its contents, to which a comment is added.
      what: it is, for messages.

    Returns:
      Whether it was written.

    Raises:
      InputError: what stands there cannot be read.
      SaveError: the disk is full, or failed.
    """
    if path.exists() and not is_as_written(path):
        return False
    write_text(path, sign(text), what)
    return True
