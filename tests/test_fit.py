"""The training loop gives the same run however it is spread, interrupted and continued."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import tiny
from xseg_jax.modes import train
from xseg_jax.modes.run import TrainedRun
from xseg_jax.training.runlog import read_json, read_metrics

ROOT = Path(__file__).parent.parent
LAYOUTS = {"jit": 1, "pmap": 4, "shard_map": 4}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


def config_of(prepared, norm="batch", mode="pmap", **changes):
    config = tiny.get_config()
    config.epochs = 5  # 20 steps.
    config.data.prepared_dir = str(prepared)
    config.model.norm = norm
    config.parallel.mode = mode
    config.update_from_flattened_dict(changes)
    return config


def parameters(workdir):
    return TrainedRun.load(workdir).variables


def in_two_processes(config, workdir):
    """Trains in two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = [
        f"--config={ROOT / 'configs' / 'tiny.py'}", f"--workdir={workdir}",
        "--config.epochs=5", f"--config.data.prepared_dir={config.data.prepared_dir}",
        f"--config.model.norm={config.model.norm}",
        f"--config.parallel.mode={config.parallel.mode}", f"--coordinator={address}",
        "--processes=2",
    ]  # fmt: skip
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "main.py", *flags, f"--process={n}"], cwd=ROOT, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for n in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return said


def assert_same_run(workdir, expected):
    for a, b in zip(
        jax.tree.leaves(parameters(workdir)), jax.tree.leaves(parameters(expected)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
    found, wanted = (read_json(folder / "results.json") for folder in (workdir, expected))
    for key in ("accuracy", "precision", "recall", "f1", "miou", "loss"):
        assert found[key] == pytest.approx(wanted[key], rel=1e-5)
    assert found["baseline"] == wanted["baseline"]
    rows, wanted_rows = read_metrics(workdir), read_metrics(expected)
    assert [(r["step"], r["split"]) for r in rows] == [(r["step"], r["split"]) for r in wanted_rows]
    for row, wanted_row in zip(rows, wanted_rows, strict=True):
        assert row["loss"] == pytest.approx(wanted_row["loss"], rel=1e-5)


@pytest.fixture(scope="module", params=["none", "batch"])
def on_one_device(request, prepared, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("jit")
    train.run(config_of(prepared, request.param, "jit"), workdir)
    return request.param, workdir


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_four_devices_train_the_run_of_one(prepared, on_one_device, tmp_path, mode):
    norm, expected = on_one_device
    train.run(config_of(prepared, norm, mode), tmp_path)
    assert_same_run(tmp_path, expected)


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_two_processes_train_the_run_of_one(prepared, on_one_device, tmp_path, mode):
    norm, expected = on_one_device
    first, second = in_two_processes(config_of(prepared, norm, mode), tmp_path)
    assert_same_run(tmp_path, expected)
    assert "pixel accuracy" in first
    assert all(line.startswith("[Gloo]") for line in second.splitlines())
