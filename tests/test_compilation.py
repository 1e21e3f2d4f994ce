import os
import subprocess
import sys

import pytest

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
