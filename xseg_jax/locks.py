"""A folder that one process at a time writes to."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xseg_jax.errors import InputError
from xseg_jax.files import saving

logger = logging.getLogger(__name__)

NAME = ".lock"
PATIENCE_SECONDS = 2.0
"""A job that is started again may come while the one before is ending."""
UNKNOWN = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems say that have no locks."""


@contextlib.contextmanager
def hold(folder: Path, flag: str) -> Iterator[None]:
    """Keeps other processes out of a folder, which is made if missing.

    The system drops the lock of a process that dies, on network file systems too. A folder in
    which nothing was written is removed again.

    Args:
      folder: to be written to.
      flag: that names it on the command line, for the remedy.

    Raises:
      InputError: another process is at work there; names it.
      SaveError: the folder cannot be written to.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / NAME
    try:
        with saving(folder, "this folder"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder, flag)
        try:
            yield
        finally:
            # Removed before it is unlocked: who opens it from here on makes a file of his own.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(lock)
    finally:
        with contextlib.suppress(OSError):  # It holds something, and stays.
            for one in missing:
                one.rmdir()


def _lock(folder: Path, flag: str) -> int:
    """Descriptor of the locked file, which says who holds it."""
    path, until = folder / NAME, time.monotonic() + PATIENCE_SECONDS
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _is_locked(lock, folder) and _is_at(lock, path):
                os.ftruncate(lock, 0)
                os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return lock
            holder = os.pread(lock, 999, 0).decode(errors="replace")
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        if time.monotonic() > until:
            raise InputError(
                f"{folder}: is in use by {holder or 'another process'}; wait until it ends, or "
                f"choose another {flag}. If there is no such process any more, remove {path}"
            )
        time.sleep(0.05)


def wait_for(lock: IO[str], *, alone: bool, notice: str = "") -> None:
    """Waits for a file's lock, which goes when the file is closed.

    Args:
      lock: open for writing.
      alone: or together with others that do not want to be alone.
      notice: said where it has to wait.
    """
    how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if notice:
                logger.info("%s", notice)
            fcntl.flock(lock, how)
    except OSError as error:
        _warn_or_raise(error, Path(lock.name).parent)


def _is_locked(lock: int, folder: Path) -> bool:
    """Locks a file, or says that it cannot be; False where another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        _warn_or_raise(error, folder)
    return True


def _warn_or_raise(error: OSError, folder: Path) -> None:
    if error.errno not in UNKNOWN:
        raise error
    logger.warning(
        "%s: this file system has no locks (%s); start no second process there",
        folder, error.strerror,
    )  # fmt: skip


def _is_at(lock: int, path: Path) -> bool:
    """Whether a file is still there, and not just removed by the process before."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False
