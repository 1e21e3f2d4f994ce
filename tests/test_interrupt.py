"""A run that is stopped in any way and started again is the run that was never stopped."""

import json
import random
import re
import signal
import subprocess
import sys
import time

import forked
import jax
import numpy as np
import pytest

from configs import tiny
from xseg_jax.errors import StoppedError
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.interrupt import StopRequest, obey_signals
from xseg_jax.training.runlog import read_metrics

EPOCHS = 30  # 120 steps.
KILLS = 20
FEATURES = (4,)  # Most of the time goes into tracing the network, once a start.


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("interrupt")


def config_of(base):
    config = tiny.get_config()
    config.data.prepared_dir = str(base / "prepared")
    config.epochs = EPOCHS
    config.model.features = FEATURES
    config.log_every = 2  # Every other checkpoint holds the sums of half a line.
    config.optimizer.ema_decay = 0.9
    config.checkpoint.steps = 3
    return config


def train_here(base, workdir, pause):
    """Runs in a process of its own, and waits some seconds after every step."""
    import jax

    from xseg_jax.modes import fit, train

    forked.draw_nothing()
    add = fit.MetricLines.add

    def add_slowly(self, step, sums):
        time.sleep(pause)
        add(self, step, sums)

    fit.MetricLines.add = add_slowly
    jax.config.update("jax_num_cpu_devices", 2)
    train.run(config_of(base), workdir)


def start(base, workdir, pause=0.0):
    return forked.start(train_here, base, workdir, pause)


@pytest.fixture(scope="module")
def uninterrupted(base):
    process = start(base, base / "uninterrupted")
    process.join()
    assert process.exitcode == 0
    return base / "uninterrupted"


def final_state(workdir):
    trained = TrainedRun.load(workdir)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.latest == 4 * EPOCHS
        state, _ = checkpoints.restore(checkpoints.latest, jax.eval_shape(trained.learner.init))
    return state, trained.step, trained.variables


def assert_same_run(workdir, expected):
    for found, wanted in zip(
        jax.tree.leaves(final_state(workdir)), jax.tree.leaves(final_state(expected)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert read_metrics(workdir) == read_metrics(expected)
    results = [json.loads((run / "results.json").read_text()) for run in (workdir, expected)]
    for one in results:
        del one["seconds"]
    assert results[0] == results[1]


def lines(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def half_saved(workdir):
    return any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"))


def wait_until(happened, alive):
    while not happened() and alive():
        time.sleep(0.0005)


def test_killed_twenty_times_is_never_killed(base, uninterrupted):
    workdir, moments = base / "killed", random.Random(0)
    half = 0
    for kill in range(KILLS):
        before = lines(workdir)
        process = start(base, workdir, pause=0.02)  # Else a quick machine ends it before.
        if kill % 4 == 0:  # While it starts.
            time.sleep(moments.uniform(0, 3))
        else:
            # A line more than there were, or fewer: those after the checkpoint go first.
            wait_until(lambda n=before: lines(workdir) not in (0, n), process.is_alive)
            time.sleep(moments.uniform(0, 0.1))
            if kill % 2:  # In the middle of a save.
                wait_until(lambda: half_saved(workdir), process.is_alive)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "finished before it could be killed"
        half += half_saved(workdir)
    assert half >= 5
    process = start(base, workdir)
    process.join()
    assert process.exitcode == 0
    assert_same_run(workdir, uninterrupted)
    steps = [row["step"] for row in read_metrics(workdir) if row["split"] == "train"]
    assert steps == list(range(2, 4 * EPOCHS + 1, 2))
    assert not half_saved(workdir)


def main(base, workdir):
    config = config_of(base)
    flags = [
        "--config=configs/tiny.py", f"--workdir={workdir}",
        f"--config.data.prepared_dir={config.data.prepared_dir}", f"--config.epochs={EPOCHS}",
        "--config.log_every=2", "--config.optimizer.ema_decay=0.9",
        f"--config.model.features={FEATURES}",
    ]  # fmt: skip
    return forked.Main(*flags, devices=2, pictures=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_and_exits_with_75(base, uninterrupted, number):
    workdir = base / number.name
    process = main(base, workdir)
    wait_until(lambda: lines(workdir) > 5, lambda: process.returncode is None)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 75
    last = said.splitlines()[-1]
    (step,) = re.findall(
        r"^stopped at step (\d+) of 120, which is saved; the same command goes on$",
        last,
    )
    assert int(step) - max(row["step"] for row in read_metrics(workdir)) in (0, 1)
    assert "Traceback" not in said
    assert (workdir / "checkpoints" / step).exists()
    if number == signal.SIGINT:
        return  # Its checkpoint is as the other's.
    again = main(base, workdir)
    _, said = again.communicate()
    assert again.returncode == 0
    assert f"continuing after step {step} of 120" in said
    assert_same_run(workdir, uninterrupted)


def test_a_second_signal_does_not_wait():
    with StopRequest() as stop:
        assert stop.asked is None
        signal.raise_signal(signal.SIGINT)
        assert stop.asked == signal.SIGINT
        with pytest.raises(StoppedError, match="SIGINT"):
            signal.raise_signal(signal.SIGINT)


def test_signals_are_given_back():
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    try:
        obey_signals()
        with StopRequest():
            pass
        with pytest.raises(StoppedError, match="stopped by SIGTERM; the same command goes on"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(base, uninterrupted):
    workdir = base / "disk"
    workdir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=380k", "tmpfs", str(workdir)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        process = main(base, workdir)
        _, said = process.communicate()
        assert process.returncode == 1
        assert "Traceback" not in said
        assert re.search(
            r"^error: .*(could not be saved|cannot be written) \(.*No space left on device\)"
            r".*[Mm]ake room .*, and start the same command again( to continue)?$",
            said,
            re.MULTILINE,
        ), said
        subprocess.run(["mount", "-o", "remount,size=20m", str(workdir)], check=True)
        again = main(base, workdir)
        _, said = again.communicate()
        assert again.returncode == 0, said
        assert "continuing after step" in said
        assert_same_run(workdir, uninterrupted)
    finally:
        subprocess.run(["umount", "-l", str(workdir)], check=True)


EARLY = """
import os, signal, sys
import main
given = main.import_module
def taken(name):
    if name.startswith("xseg_jax.modes"):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException as error:  # As an extension does that is being loaded.
            raise ImportError("while initializing the extension") from error
    return given(name)
main.import_module = taken
main.FLAGS(["main.py", "--mode=predict", "--workdir=a", "--input=b", "--output=c"])
main.main(["main.py"])
"""


def test_a_signal_while_modules_are_imported_is_one_line():
    done = subprocess.run(
        [sys.executable, "-c", EARLY], cwd=forked.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == StoppedError.exit_code
    assert done.stderr == "stopped by SIGINT; the same command goes on\n"
