"""The training loop gives the same run however it is spread, interrupted and continued.

In float32 two layouts part: their sums round differently, and BatchNorm, a ReLU's edge and Adam
make more of it with every step. So that they are the same run is shown in float64, over all steps.
"""

import json
import logging
import shutil
import socket

import forked
import jax
import numpy as np
import pytest

from configs import tiny
from xseg_jax.errors import InputError
from xseg_jax.modes import fit, train
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.training.parallel import is_first_process, join_processes
from xseg_jax.training.runlog import read_json, read_metrics

pytestmark = pytest.mark.usefixtures("no_pictures")


def config_of(prepared, **changes):
    config = tiny.get_config()
    config.data.crops_per_epoch = 40  # Twice ten steps.
    config.data.prepared_dir = str(prepared)
    config.update_from_flattened_dict(changes)
    return config


def parameters(workdir):
    return TrainedRun.load(workdir).variables


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def train_in_float64(runs, devices, address, number):
    """Trains one run after the other in this process, the only one or one of two."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", devices)
    forked.draw_nothing()
    if address:
        assert join_processes(address, 2, number) == number
    for workdir, config in runs.items():
        train.run(config, workdir)
        leaves = jax.tree.leaves(parameters(workdir))
        if is_first_process():
            np.savez(workdir / "leaves.npz", *leaves)


def in_processes(count, devices, runs):
    address = free_address() if count > 1 else None
    processes = [
        forked.start(train_in_float64, runs, devices, address, number) for number in range(count)
    ]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * count


@pytest.fixture(scope="module")
def float64(prepared, tmp_path_factory):
    """Runs in float64 on one device, on four, and in two processes of two, by their names."""
    folder = tmp_path_factory.mktemp("float64")

    def runs(*names):
        """A name is a norm and a mode, and what else there is to say."""
        return {
            folder / name: config_of(
                prepared,
                **{"model.norm": name.split()[0], "parallel.mode": name.split()[1]},
                # Of one level: it is all compiled anew, and for every layout.
                **{"model.dtype": "float64", "model.features": (4,), "checkpoint.keep": 9},
            )
            for name in names
        }

    in_processes(2, 2, runs("batch pmap in two", "batch shard_map in two"))
    # As if a run of two processes had been interrupted after step 10, and one went on.
    goes_on = folder / "batch jit goes on"
    shutil.copytree(folder / "batch shard_map in two", goes_on)
    (goes_on / "results.json").unlink()
    shutil.rmtree(goes_on / "checkpoints" / "20")
    names = [f"{norm} {mode}" for norm in ("batch", "none") for mode in ("jit", "pmap")]
    in_processes(1, 4, runs(*names, "batch shard_map", goes_on.name))
    return folder


@pytest.mark.rounding
@pytest.mark.parametrize(
    "name",
    [
        "batch pmap", "batch shard_map", "none pmap", "batch pmap in two",
        "batch shard_map in two", "batch jit goes on",
    ],
)  # fmt: skip
def test_every_layout_trains_the_run_of_one_device(float64, name):
    workdir, expected = float64 / name, float64 / f"{name.split()[0]} jit"
    with np.load(workdir / "leaves.npz") as found, np.load(expected / "leaves.npz") as wanted:
        assert found.files == wanted.files
        for leaf in found.files:
            a, b = found[leaf], wanted[leaf]
            assert a.dtype == b.dtype == np.float64
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(b).max())
    found, wanted = (read_json(one / "results.json") for one in (workdir, expected))
    for key in ("confusion", "boundaries", "intervals"):
        assert found[key] == wanted[key]
    assert found["baselines"] == wanted["baselines"]
    assert found["baselines"].keys() == {"forest", "thresholding"}
    # Each sums over its planes; probabilities are float32, and one may be in the next bin.
    mine, theirs = found["calibration"], wanted["calibration"]
    assert mine["reason"] == theirs["reason"]  # So little is learned that there is no temperature.
    for key, value in theirs["fitted"].items():
        assert mine["fitted"][key] == (value and pytest.approx(value, rel=1e-5))
    for one, other in ((mine, theirs), (mine["boundary"], theirs["boundary"])):
        assert one["pixels"] == other["pixels"]
        assert one["ece_before"] == pytest.approx(other["ece_before"], abs=1e-3)
    rows, wanted_rows = read_metrics(workdir), read_metrics(expected)
    assert [(r["step"], r["split"]) for r in rows] == [(r["step"], r["split"]) for r in wanted_rows]
    for row, wanted_row in zip(rows, wanted_rows, strict=True):
        # Probabilities, and all scores with them, are float32.
        rel = 1e-9 if row["split"] == "train" else 1e-6
        for key in row.keys() - {"split"}:
            assert row[key] == pytest.approx(wanted_row[key], rel=rel)


@pytest.fixture(scope="module")
def source(prepared, tmp_path_factory):
    """A run to start from."""
    workdir = tmp_path_factory.mktemp("source")
    train.run(config_of(prepared, epochs=1), workdir)
    return workdir


def test_one_of_two_processes_speaks(prepared, tmp_path):
    flags = [
        "--config=configs/tiny.py", f"--workdir={tmp_path}",
        f"--config.data.prepared_dir={prepared}", "--config.epochs=1", "--processes=2",
        f"--coordinator={free_address()}",
    ]  # fmt: skip
    processes = [
        forked.Main(*flags, f"--process={number}", devices=2, pictures=False) for number in range(2)
    ]
    first, second = ("".join(process.communicate(300)) for process in processes)
    assert [process.returncode for process in processes] == [0, 0], (first, second)
    for spoken in ("pixel accuracy", "epoch 1", "label values"):
        assert spoken in first
        assert spoken not in second


def test_the_weights_of_another_run_start_a_run(prepared, source, tmp_path, caplog):
    config = config_of(prepared, init_from=str(source), epochs=1)
    config.optimizer.learning_rate = 0.0
    with caplog.at_level(logging.INFO, "xseg_jax"):
        train.run(config, tmp_path / "same")
    old, new = parameters(source), parameters(tmp_path / "same")
    for a, b in zip(jax.tree.leaves(old["params"]), jax.tree.leaves(new["params"]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "taken are bottom, down0, head, up0, up0_sample; fresh are none" in caplog.text

    # Two phases instead of three: the last layer is new, all others are the source's.
    config.data.phantom.fractions = (0.4, 0.6)
    config.data.phantom.attenuation = (0.0005, 0.0035)
    with caplog.at_level(logging.INFO, "xseg_jax"):
        train.run(config, tmp_path / "two")
    assert "fresh are params/head/bias, params/head/kernel" in caplog.text
    new = parameters(tmp_path / "two")["params"]
    assert new.pop("head")["kernel"].shape == (4, 2)
    for name, layer in new.items():
        jax.tree.map(np.testing.assert_array_equal, layer, old["params"][name])

    config.model.features = (4, 16)
    with pytest.raises(
        InputError, match=r"config\.init_from: the networks are not alike.*bottom"
    ) as no:
        train.run(config, tmp_path / "wide")
    assert f". Give this one those of {source}: '--config.model.features=(4,8)'" in str(no.value)
    config.init_from = str(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere/config\.json is missing"):
        train.run(config, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_run_with_its_own_checkpoint_needs_no_source_any_more(prepared, source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    config = config_of(prepared, init_from=str(tmp_path / "source"), epochs=1)
    results = train.run(config, tmp_path / "run")
    shutil.rmtree(tmp_path / "source")
    (tmp_path / "run" / "results.json").unlink()
    again = train.run(config, tmp_path / "run")
    assert results.pop("seconds") != again.pop("seconds")
    assert results == again


@pytest.mark.parametrize(
    ("miou", "told"),
    [
        ([0.5, 0.6, 0.7, 0.8], True),
        ([0.5, 0.8, 0.8, 0.802], False),
        ([0.5, 0.6, 0.8, 0.7], False),
        ([0.5, 0.6, 0.7], False),
        ([0.1, 0.5, 0.7, 0.71, 0.72, 0.75, 0.749, 0.7525], False),
    ],
)
def test_a_validation_that_still_rises_is_told(tmp_path, caplog, miou, told):
    rows = [{"split": "validation", "epoch": n + 1, "miou": one} for n, one in enumerate(miou)]
    text = "".join(f"{json.dumps(row)}\n" for row in [{"split": "train", "miou": 2.0}, *rows])
    (tmp_path / "metrics.jsonl").write_text(text)
    fit.warn_of_rising(tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == told
    if told:
        assert said[0].startswith("validation still rises: mean IoU 0.7000 after epoch 3, 0.8000")
        assert said[0].endswith("--config.epochs=8")


def test_checkpoints_are_saved_by_steps_and_by_minutes(prepared, tmp_path):
    common = {"epochs": 1, "data.crops_per_epoch": 16, "checkpoint.keep": 9}
    for name, minutes, steps in (("minutes", 1e-9, 0), ("steps", 1000.0, 3), ("epoch", 0.0, 0)):
        changes = {"checkpoint.minutes": minutes, "checkpoint.steps": steps} | common
        train.run(config_of(prepared, **changes), tmp_path / name)
    saved = {
        one.name: sorted(int(p.name) for p in (one / "checkpoints").iterdir())
        for one in tmp_path.iterdir()
    }
    assert saved == {"minutes": [1, 2, 3, 4], "steps": [3, 4], "epoch": [4]}
