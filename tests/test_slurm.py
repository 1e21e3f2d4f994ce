"""Training, studies and predictions under a real SLURM on this machine."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import forked
import numpy as np
import pytest
import tifffile

HERE = Path(__file__).parent / "slurm"

pytestmark = pytest.mark.skipif(
    not shutil.which("slurmctld") or not shutil.which("munged") or os.geteuid() != 0,
    reason="needs root and Debian's packages slurm-wlm and munge",
)


def run(*command):
    """The exit code of a command that uses SLURM, and what it says."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("JAX_NUM_CPU_DEVICES", None)
    done = subprocess.run(
        [*map(str, command)], env=environment, text=True, cwd=forked.ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture(scope="module", autouse=True)
def _slurm(tmp_path_factory):
    """Started once for all."""
    folder = tmp_path_factory.mktemp("slurm")
    code, said = run(HERE / "start.sh", folder)
    try:
        if code == 77:
            pytest.skip(f"SLURM does not start on this machine: {said[-2000:]}")
        assert code == 0, said
        yield
    finally:
        run(HERE / "stop.sh", folder)


def ended(process):
    """What main.py says that must not fail."""
    said = "".join(process.communicate(400))
    assert process.returncode == 0, said
    return said


def tasks_of(process):
    """Array and index of each task that a call of main.py has SLURM run."""
    queue = ""
    while not queue and process.returncode is None:
        queue = run("squeue", "-h", "-r", "-o", "%.8i %.10P %.10T")[1]
        time.sleep(0.2)
    return re.findall(r"^ *(\d+)_(\d) +debug", queue, re.MULTILINE)


SLURM = ("--executor=slurm", *(
    f"--slurm.{field}" for field in ("partition=debug", "cpus_per_task=1", "mem_gb=1")
))  # fmt: skip


def test_a_preempted_job_is_queued_again_and_ends_with_the_same_numbers(tmp_path):
    code, said = run(HERE / "run.sh", tmp_path)
    assert code == 0, said
    assert "Exited with exit code 75" in said
    assert "continuing after step" in said
    assert said.count("pixel accuracy: U-Net") == 2
    assert said.endswith("metrics.jsonl: the same bytes\n")


STUDY = """
from configs.ablations import smoke


def get_config():
    config = smoke.get_config()
    # What differs is not compiled: the first run keeps its program for the others.
    config.variants = {"shorter": {"epochs": 1}, "in detail": {"log_every": 1}}
    config.seeds = (0,)
    config.base.report.baselines = ()
    return config
"""


def test_a_study_is_one_job_array(tmp_path):
    (tmp_path / "study.py").write_text(STUDY)
    study = forked.Main(
        "--mode=sweep", f"--config={tmp_path / 'study.py'}", f"--workdir={tmp_path / 'study'}",
        f"--config.base.data.prepared_dir={tmp_path / 'prepared'}", *SLURM,
    )  # fmt: skip
    tasks = tasks_of(study)
    ended(study)
    assert len({array for array, _ in tasks}) == 1
    assert sorted(index for _, index in tasks) == list("012")
    assert len(list((tmp_path / "study").glob("*/seed_*/results.json"))) == 3
    assert "| base | 1 |" in (tmp_path / "study" / "study.md").read_text()


def test_a_volume_by_a_job_array_or_by_processes_of_a_job_has_the_same_bytes(tmp_path):
    scan_ZYX = np.random.default_rng(0).integers(20000, 45000, (60, 48, 48)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "scan.tif", scan_ZYX)
    ended(forked.Main(
        "--config=configs/tiny.py", f"--workdir={tmp_path / 'run'}", "--config.epochs=1",
        "--config.report.baselines=()", f"--config.data.prepared_dir={tmp_path / 'prepared'}",
        pictures=False,
    ))  # fmt: skip

    def flags(name):
        (tmp_path / name).mkdir()
        return (
            "--mode=predict", f"--workdir={tmp_path / 'run'}", f"--input={tmp_path / 'scan.tif'}",
            f"--output={tmp_path / name / 'a.ome.zarr'}", "--uncertainty",
        )  # fmt: skip

    ended(forked.Main(*flags("alone")))

    by_array = forked.Main(*flags("array"), "--jobs=3", *SLURM)
    tasks = tasks_of(by_array)
    said = ended(by_array)
    assert "4 blocks are shared out to 3 processes" in said
    assert said.count("of 4 blocks 0 are left") >= 1
    assert len({array for array, _ in tasks}) == 1
    assert sorted(index for _, index in tasks) == list("012")

    code, said = run("srun", "-n", 2, "--mem=3000", "python", "main.py", *flags("srun"))
    assert code == 0, said

    def written(name):
        folder = tmp_path / name
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["a.ome.zarr", "a.ome.zarr.json", "a.ome.zarr.next.csv"]
        paths = [path for path in (folder / "a.ome.zarr").rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    alone = written("alone")
    assert len(alone) > 8
    assert written("array") == alone
    assert written("srun") == alone
