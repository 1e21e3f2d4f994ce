"""Training under a real SLURM on this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(
    not shutil.which("slurmctld") or not shutil.which("munged") or os.geteuid() != 0,
    reason="needs root and Debian's packages slurm-wlm and munge",
)
def test_a_preempted_job_is_queued_again_and_ends_with_the_same_numbers(tmp_path):
    python = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{python}:{os.environ['PATH']}"}
    environment.pop("JAX_NUM_CPU_DEVICES", None)
    done = subprocess.run(
        [str(HERE / "slurm" / "run.sh"), str(tmp_path)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Exited with exit code 75" in done.stdout
    assert "continuing after step" in done.stdout
    assert done.stdout.count("pixel accuracy: U-Net") == 2
    assert done.stdout.endswith("metrics.jsonl: the same bytes\n")
