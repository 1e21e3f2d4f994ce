"""Keeps what XLA compiled from one process to the next."""

import hashlib
import os
import platform
from pathlib import Path

import jax

FOLDER = "~/.cache/xseg_jax/compiled"


def keep_compiled() -> None:
    """Turns on JAX's persistent compilation cache, before anything is compiled.

    JAX's own `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=0` turns it off. The folder is of this kind of processor alone:
    code compiled for another one may hold instructions that this one lacks, and clusters share
    home folders.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(FOLDER).expanduser() / _processor()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _processor() -> str:
    """Names the instructions that the processor has."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = f"{platform.machine()} {platform.processor()} {flags}"
    return hashlib.blake2b(kind.encode(), digest_size=8).hexdigest()
