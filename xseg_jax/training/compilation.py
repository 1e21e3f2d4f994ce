"""Keeps what XLA compiled from one process to the next."""

import errno
import hashlib
import logging
import os
import platform
import warnings
from pathlib import Path
from typing import Any

import jax

from xseg_jax.errors import InputError
from xseg_jax.files import user_path

logger = logging.getLogger(__name__)

FOLDER = "~/.cache/xseg_jax/compiled"
NOT_KEPT = (
    "compiled code is not kept, and each start takes some seconds more (%s); another folder can be "
    "named by JAX_COMPILATION_CACHE_DIR"
)


def keep_compiled() -> None:
    """Turns on JAX's persistent compilation cache, before anything is compiled.

    JAX's own `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=0` turns it off. The folder is of this kind of processor alone:
    code compiled for another one may hold instructions that this one lacks, and clusters share
    home folders. Where it cannot be written to, work goes on without, and one line says so.
    """
    _say_once()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        folder = user_path(FOLDER) / _processor()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    except (OSError, InputError) as error:
        logger.warning(NOT_KEPT, error)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _say_once() -> None:
    """Makes one line of JAX's warning, a paragraph for each function that it could not keep."""
    show, said = warnings.showwarning, []

    def show_once(message: Warning | str, *arguments: Any, **options: Any) -> None:
        reason = str(message).partition(" persistent compilation cache entry for ")[2]
        if not reason:
            show(message, *arguments, **options)
        elif not said:
            said.append(reason)
            logger.warning(NOT_KEPT, reason.partition(": ")[2])

    warnings.showwarning = show_once


def _processor() -> str:
    """Names the instructions that the processor has."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = f"{platform.machine()} {platform.processor()} {flags}"
    return hashlib.blake2b(kind.encode(), digest_size=8).hexdigest()
