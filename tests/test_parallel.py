"""A step on several devices is the step on one."""

import functools
import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from configs import default
from xseg_jax.errors import InputError
from xseg_jax.model.augment import augment
from xseg_jax.model.losses import cross_entropy_dice
from xseg_jax.model.unet import UNet
from xseg_jax.training import parallel
from xseg_jax.training.parallel import AXIS, Parallel, join_processes
from xseg_jax.training.state import init_state, run_once
from xseg_jax.training.steps import train_step

AUGMENT = dict(default.get_config().augment) | {
    "chance": 1.0, "brightness": 0.1, "noise": 0.1, "own_spread": False,
}  # fmt: skip
ONE = Parallel("jit", tuple(jax.devices()[:1]))


def batch():
    rng = np.random.default_rng(0)
    image_BHWC = rng.normal(size=(8, 16, 16, 1)).astype(np.float32)
    label_BHW = rng.integers(0, 3, (8, 16, 16)).astype(np.uint8)
    label_BHW[0, :8] = 255  # Devices, and parts of a batch, weigh differently.
    return image_BHWC, label_BHW


def one_step(layout, norm, accumulate=1):
    # Of one level: devices see nothing of more, and every layout compiles it anew.
    model = UNet(classes=3, features=(4,), norm=norm, dropout=0.2, axis_name=AXIS)
    # Plain descent: Adam divides by the gradient, and would make rounding look like a difference.
    tx = optax.sgd(0.1)
    step = functools.partial(
        train_step, model=model, tx=tx, loss=cross_entropy_dice, seed=0, ema_decay=0.9,
        accumulate=accumulate,
        augment=functools.partial(
            augment, **AUGMENT
        ),
    )  # fmt: skip
    state = run_once(functools.partial(init_state, model, tx, seed=0, size=16, ema_decay=0.9))
    take = layout.spread(step, in_axes=(None, 0, 0), sums=True)
    return jax.device_get(take(layout.replicate(state), *batch()))


@pytest.fixture(scope="module")
def on_one():
    return {norm: one_step(ONE, norm) for norm in ("none", "batch")}


def assert_same_step(found, expected):
    (state, sums), (expected_state, expected_sums) = found, expected
    for key, value in expected_sums.items():
        np.testing.assert_allclose(sums[key], value, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected_state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.rounding
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_four_devices_take_the_step_of_one(on_one, mode, norm):
    assert_same_step(one_step(Parallel(mode, tuple(jax.devices())), norm), on_one[norm])


@pytest.mark.rounding
@pytest.mark.parametrize(("mode", "devices"), [("jit", 1), ("pmap", 4)])
def test_a_batch_in_parts_takes_the_step_of_the_whole(on_one, mode, devices):
    layout = Parallel(mode, tuple(jax.devices()[:devices]))
    # An example's part depends on the device count, its random numbers and gradient do not.
    assert_same_step(one_step(layout, "none", accumulate=2), on_one["none"])


def test_a_step_that_forgets_to_sum_does_not_compile_on_one_device():
    forgetful = ONE.spread(lambda x_B: x_B.sum(), in_axes=(0,), sums=True)
    with pytest.raises(ValueError, match="out_axes"):
        forgetful(np.ones(4, np.float32))


@pytest.mark.rounding
@pytest.mark.parametrize("mode", ["jit", "pmap", "shard_map"])
def test_batched_results_keep_their_order(mode):
    layout = Parallel(mode, tuple(jax.devices()[: 1 if mode == "jit" else 4]))
    double = layout.spread(lambda scale, x_B3: scale * x_B3, in_axes=(None, 0), sums=False)
    x_B3 = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    np.testing.assert_array_equal(double(layout.replicate(np.float32(2)), x_B3)(), 2 * x_B3)


@pytest.mark.parametrize(
    ("mode", "batch_size", "chosen", "count"),
    [("auto", 8, "pmap", 4), ("jit", 7, "jit", 1), ("shard_map", 4, "shard_map", 4)],
)
def test_all_devices_are_used_but_by_jit(mode, batch_size, chosen, count):
    layout = Parallel.choose(mode, batch_size)
    assert (layout.mode, len(layout.devices)) == (chosen, count)
    assert layout.local == layout


@pytest.mark.parametrize(
    ("mode", "batch_size", "accumulate", "message"),
    [
        ("pjit", 8, 1, "config.parallel.mode='pjit': choose one of auto, jit, pmap, shard_map"),
        ("auto", 6, 1, "config.batch_size=6: does not divide among 4 devices; the nearest that "
         "do are 4 or 8"),
        ("auto", 3, 1, "config.batch_size=3: does not divide among 4 devices; the nearest that "
         "do are 4"),
        ("auto", 12, 2, "config.batch_size=12: does not divide among 4 devices in 2 parts; the "
         "nearest that do are 8 or 16"),
        ("jit", 8, 3, "config.parallel.accumulate=3: must be at least 1 and divide "
         "config.batch_size=8"),
        ("jit", 8, 0, "config.parallel.accumulate=0: must be at least 1 and divide "
         "config.batch_size=8"),
    ],
)  # fmt: skip
def test_what_does_not_divide_is_refused_with_sizes_that_do(mode, batch_size, accumulate, message):
    with pytest.raises(InputError) as caught:
        Parallel.choose(mode, batch_size, accumulate)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("batch_size", "variables", "count"),
    [(16, {}, 4), (6, {}, 3), (5, {}, 1), (None, {}, 4), (16, {"JAX_NUM_CPU_DEVICES": "2"}, 2)],
)
def test_as_many_cores_are_devices_as_divide_the_batch(batch_size, variables, count):
    code = (
        "import os; os.sched_getaffinity = lambda pid: range(4)\n"
        "from xseg_jax.training.parallel import Parallel\n"
        f"print(len(Parallel.choose('auto', {batch_size}).devices))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(count)]


@pytest.fixture
def joined(monkeypatch):
    """What `jax.distributed.initialize` is called with, in an environment without launchers."""
    calls = []
    for names in parallel.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given: calls.append(given))
    return calls


@pytest.mark.parametrize(
    ("variables", "flags", "call"),
    [
        ({}, (), None),
        ({}, ("node1:1234", 2, 1), ("node1:1234", 2, 1)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}, (), (None, 4, 3)),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, (), None),
        ({"SLURM_NTASKS": "4"}, (), None),  # In the job's script, before srun.
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, ("a:1",), ("a:1", 2, 0)),
    ],
)
def test_processes_are_found_from_launchers_or_flags(joined, monkeypatch, variables, flags, call):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert join_processes(*flags) == 0
    assert joined == ([] if call is None else [call])


@pytest.mark.rounding
def test_sums_over_processes_keep_all_bits(monkeypatch):
    """JAX cuts numbers to 32 bits on their way between processes, as it does here."""

    def to_all(sent):
        assert sent.dtype.itemsize <= 4
        return np.asarray(jax.numpy.stack([sent, sent]))

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(parallel.multihost_utils, "process_allgather", to_all)
    tree = {
        "whole": np.array([[2**40 + 1], [-5]]).T, "real": np.array([1 / 3, -1e300, 0.0]),
        "one": np.array(2**33), "small": np.array([3, 4], np.int32),
    }  # fmt: skip
    found = parallel.sum_over_processes(tree)
    for key, value in tree.items():
        np.testing.assert_array_equal(found[key], 2 * value)
        assert found[key].dtype.kind == value.dtype.kind


def test_flags_of_processes_go_together(joined):
    with pytest.raises(InputError, match=r"--coordinator, --processes and --process go together"):
        join_processes("node1:1234", 2)
    assert joined == []


def test_processes_that_do_not_meet_say_so(joined, monkeypatch):
    def fails(*given):
        raise RuntimeError("DEADLINE_EXCEEDED: barrier\nmore")

    monkeypatch.setattr(jax.distributed, "initialize", fails)
    with pytest.raises(InputError, match=r"process 1 of 2 cannot reach the others: DEADLINE_EXC"):
        join_processes("node1:1234", 2, 1)
