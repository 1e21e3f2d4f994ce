"""Training, studies and predictions under a real SLURM on this machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    not shutil.which("slurmctld") or not shutil.which("munged") or os.geteuid() != 0,
    reason="needs root and Debian's packages slurm-wlm and munge",
)


def run(script, folder):
    """What a script of tests/slurm says."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("JAX_NUM_CPU_DEVICES", None)
    done = subprocess.run(
        [str(HERE / "slurm" / script), str(folder)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(f"SLURM does not start on this machine: {done.stdout[-2000:]}")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_preempted_job_is_queued_again_and_ends_with_the_same_numbers(tmp_path):
    said = run("run.sh", tmp_path)
    assert "Exited with exit code 75" in said
    assert "continuing after step" in said
    assert said.count("pixel accuracy: U-Net") == 2
    assert said.endswith("metrics.jsonl: the same bytes\n")


def test_a_study_is_one_job_array(tmp_path):
    said = run("sweep.sh", tmp_path)
    jobs = re.findall(r"^ *(\d+)_(\d) +debug", said, re.MULTILINE)
    assert len({array for array, _ in jobs}) == 1
    assert sorted(index for _, index in jobs) == list("012")
    assert len(list((tmp_path / "study").glob("*/seed_*/results.json"))) == 3
    assert "| base | 1 |" in (tmp_path / "study" / "study.md").read_text()


def test_a_volume_by_a_job_array_or_by_processes_of_a_job_has_the_same_bytes(tmp_path):
    said = run("predict.sh", tmp_path)
    jobs = re.findall(r"^ *(\d+)_(\d) +debug", said, re.MULTILINE)
    assert len({array for array, _ in jobs}) == 1
    assert sorted(index for _, index in jobs) == list("012")
    assert "4 blocks are shared out to 3 processes" in said
    assert said.count("of 4 blocks 0 are left") >= 1
    assert said.endswith("array: the same bytes\nsrun: the same bytes\n")
