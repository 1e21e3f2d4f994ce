import os
import subprocess
import sys
from pathlib import Path

import pytest

from xseg_jax import memory

ROOT = Path(__file__).parent.parent
PROGRAM = """
import os, sys
from xseg_jax.memory import use_huge_pages
print(os.getpid(), *sys.argv[1:], os.environ.get("GLIBC_TUNABLES"))
use_huge_pages()
"""


@pytest.fixture
def choice(tmp_path, monkeypatch):
    """Lets a test say what Linux does with huge pages."""
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(memory, "CHOICE", tmp_path / "enabled")
    memory.CHOICE.write_text("always [madvise] never\n")
    return memory.CHOICE


def test_asked_for_where_linux_leaves_it_to_us(choice):
    assert memory.huge_pages() == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def test_other_settings_stay(choice, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    assert memory.huge_pages() == {
        "GLIBC_TUNABLES": "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"
    }


@pytest.mark.parametrize("said", ["[always] madvise never", "always madvise [never]"])
def test_left_alone_where_linux_has_decided(choice, said):
    choice.write_text(said)
    assert memory.huge_pages() == {}


def test_left_alone_where_the_user_has_decided(choice, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert memory.huge_pages() == {}


def test_left_alone_without_glibc_or_linux(choice, monkeypatch):
    choice.unlink()
    assert memory.huge_pages() == {}
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    choice.write_text("[madvise]")
    assert memory.huge_pages() == {}


@pytest.mark.skipif(not memory.huge_pages(), reason="huge pages are set, or not on offer here")
def test_a_program_starts_again_once_as_the_same_process():
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--flag=1 2"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    before, after = said
    assert before.endswith("--flag=1 2 None")
    assert after == before.removesuffix("None") + "glibc.malloc.hugetlb=1"
