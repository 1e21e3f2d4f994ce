import logging
import os
import subprocess
import sys
import warnings

import jax
import pytest

from xseg_jax.training.compilation import keep_compiled

PROGRAM = """
import jax, jax.numpy as jnp
from xseg_jax.training.compilation import keep_compiled
keep_compiled()
jax.jit(lambda x: jnp.sort(x @ x))(jnp.ones((8, 8)))
"""


@pytest.mark.parametrize("elsewhere", [False, True])
def test_compiled_code_is_kept_at_home_or_where_jax_is_told(tmp_path, elsewhere):
    named = tmp_path / "named"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"HOME": str(tmp_path / "home")}
    if elsewhere:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": str(named),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    at_home = list(tmp_path.glob("home/.cache/xseg_jax/compiled/*/*"))
    there = list(named.glob("*"))
    assert bool(at_home) != elsewhere
    assert bool(there) == elsewhere


@pytest.fixture
def fresh(monkeypatch):
    """As in a program that has just started; what is set is put back."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setattr(warnings, "showwarning", lambda *_: None)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("/proc/nothing", "No such file or directory: '/proc/nothing"),
        ("file", "Not a directory: '"),
    ],
)
def test_an_unusable_home_is_said_and_work_goes_on(
    fresh, tmp_path, monkeypatch, caplog, home, said
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / home))
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        keep_compiled()
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("compiled code is not kept, and each start takes some seconds more (")
    assert said in line
    assert line.endswith("another folder can be named by JAX_COMPILATION_CACHE_DIR")
    assert jax.config.jax_compilation_cache_dir is None


def test_a_disk_that_fills_up_is_said_once(fresh, tmp_path, monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
    monkeypatch.setenv("HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        keep_compiled()
        for name in ("step", "init"):  # The words of JAX.
            text = f"Error writing persistent compilation cache entry for '{name}': OSError: full"
            warnings.showwarning(text, UserWarning, "compiler.py", 1)
        warnings.showwarning("something else", UserWarning, "x.py", 1)
    (line,) = [record.message for record in caplog.records]
    assert "some seconds more (OSError: full); another folder" in line
    assert shown == ["something else"]
