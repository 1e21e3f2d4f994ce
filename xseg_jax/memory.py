"""How this process gets its memory from the operating system."""

import os
import platform
import sys
from pathlib import Path

SETTING = "glibc.malloc.hugetlb=1"
CHOICE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_pages() -> dict[str, str]:
    """Environment in which a new process takes large arrays in huge pages; {} where none is needed.

    XLA gives the memory of a training step back after it. Taking 300 MB again in pages of 4 KiB
    costs a sixth of the next step. Where Linux leaves huge pages to those who ask, as Ubuntu
    does, glibc 2.35 and later ask if this is set before the process starts.
    """
    settings = os.environ.get("GLIBC_TUNABLES", "")
    asks = "glibc.malloc.hugetlb" in settings
    if asks or platform.libc_ver()[0] != "glibc" or not CHOICE.exists():
        return {}
    if "[madvise]" not in CHOICE.read_text():
        return {}
    return {"GLIBC_TUNABLES": ":".join(filter(None, [settings, SETTING]))}


def use_huge_pages() -> None:
    """Starts this program again, at once and as the same process, with `huge_pages`."""
    if environment := huge_pages():
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | environment)
