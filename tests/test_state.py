import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xseg_jax.errors import InputError
from xseg_jax.model.unet import UNet
from xseg_jax.training.state import (
    TrainState,
    init_state,
    make_optimizer,
    parameter_table,
    run_once,
)

pytestmark = pytest.mark.rounding

PLAIN: dict[str, Any] = {
    "learning_rate": 0.1, "schedule": "constant", "warmup_steps": 0, "clip_norm": 0.0,
    "weight_decay": 0.0, "steps": 6,
}  # fmt: skip
RNG = np.random.default_rng(0)
PARAMS = {
    "kernel": RNG.standard_normal((2, 3)).astype(np.float32),
    "bias": RNG.standard_normal(3).astype(np.float32),
}
GRADS = [
    jax.tree.map(lambda p, s=scale: s * RNG.standard_normal(p.shape).astype(np.float32), PARAMS)
    for scale in (0.1, 10.0, 1.0, 3.0)
]


def descended(tx, grads: Any = GRADS, params: Any = PARAMS) -> Any:
    """Parameters after a step down each gradient."""
    update = jax.jit(tx.update)
    opt_state = tx.init(params)
    for grad in grads:
        updates, opt_state = update(grad, opt_state, params)
        params = optax.apply_updates(params, updates)
    return params


def assert_close(one, other):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), one, other)


def rates(steps, **options) -> Any:
    """Learning rate of each step: Adam moves by the rate alone while the gradient is constant."""
    update = make_optimizer(**PLAIN | {"steps": steps} | options)
    places = [descended(update, [np.float32(1)] * n, np.float32(0)) for n in range(steps + 1)]
    return -np.diff(np.array(places))


def test_constant_schedule_with_warmup():
    np.testing.assert_allclose(rates(4), [0.1] * 4, rtol=1e-4)
    np.testing.assert_allclose(
        rates(5, warmup_steps=2), [0, 0.05, 0.1, 0.1, 0.1], rtol=1e-4, atol=1e-7
    )


def test_cosine_schedule_falls_to_zero_after_the_last_step():
    # Two steps of warmup, then a quarter of the half wave a step.
    expected = [0, 0.05, *(0.05 * (1 + np.cos(np.pi * np.arange(4) / 4)))]
    found = rates(6, schedule="cosine", warmup_steps=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    # A step beyond the run would have the rate 0.
    tx = make_optimizer(**PLAIN | {"schedule": "cosine", "warmup_steps": 2})
    six, seven = (descended(tx, [np.float32(1)] * n, np.float32(0)) for n in (6, 7))
    assert float(seven) == float(six)


def test_plain_is_adam():
    assert_close(descended(make_optimizer(**PLAIN)), descended(optax.adam(0.1)))


def test_weight_decay_is_decoupled_and_on_kernels_only():
    decay: Any = {"weight_decay": 0.3}
    params = descended(make_optimizer(**PLAIN | decay))
    decayed = descended(optax.adamw(0.1, weight_decay=0.3))
    plain = descended(optax.adam(0.1))
    assert_close(params, {"kernel": decayed["kernel"], "bias": plain["bias"]})
    assert np.abs(params["kernel"] - plain["kernel"]).max() > 0.01


def test_clipping_bounds_the_global_norm_before_adam():
    clipped = []
    for grad in GRADS:
        norm = np.sqrt(sum((leaf**2).sum() for leaf in grad.values()))
        clipped.append(jax.tree.map(lambda leaf, n=norm: leaf * min(1, 1 / n), grad))
    clip: Any = {"clip_norm": 1.0}
    params = descended(make_optimizer(**PLAIN | clip))
    assert_close(params, descended(optax.adam(0.1), clipped))
    assert np.abs(params["kernel"] - descended(optax.adam(0.1))["kernel"]).max() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "step"}, r"optimizer\.schedule='step': choose one of constant, cosine$"),
        ({"learning_rate": -1.0}, r"optimizer\.learning_rate=-1\.0: must not be negative$"),
        ({"clip_norm": float("nan")}, r"optimizer\.clip_norm=nan: must not be negative$"),
        ({"weight_decay": -0.1}, r"optimizer\.weight_decay=-0\.1: must not be negative$"),
        ({"warmup_steps": 6}, r"optimizer\.warmup_steps=6: must be below the run's 6 steps$"),
        ({"warmup_steps": -1}, r"optimizer\.warmup_steps=-1: "),
    ],
)
def test_make_optimizer_names_the_field(change, message):
    with pytest.raises(InputError, match=message):
        make_optimizer(**PLAIN | change)


def test_parameter_table_sums_up():
    model = UNet(classes=3)
    image_BHWC = jnp.zeros((1, 32, 32, 1))
    init = functools.partial(model.init, train=False)
    lines = parameter_table(jax.eval_shape(init, jax.random.key(0), image_BHWC)["params"]).split(
        "\n"
    )
    assert lines[-1].split() == ["total", "482,483"]
    rows = [line.split() for line in lines[:-1]]
    assert sum(int(row[-1].replace(",", "")) for row in rows) == 482_483
    assert ["bottom/conv1/kernel", "3", "x", "3", "x", "128", "x", "128", "147,456"] in rows
    assert len({len(line) for line in lines}) == 1


@pytest.fixture(scope="module")
def state():
    model = UNet(classes=3, features=(4, 8))
    init = functools.partial(init_state, model, optax.adam(0.1), seed=3, size=16, ema_decay=0.9)
    return run_once(init)


def test_initial_state(state):
    assert int(state.step) == 0
    assert state.step.dtype == np.int32
    assert state.batch_stats["down0"]["norm0"]["mean"].shape == (4,)
    jax.tree.map(np.testing.assert_array_equal, state.params, state.ema_params)
    # Buffers of their own: a donated state must not hold one buffer twice.
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(buffers)) == len(buffers)
    moments = jax.tree.leaves(state.opt_state[0].mu)
    assert sum(float(jnp.abs(leaf).sum()) for leaf in moments) == 0


def test_the_network_predicts_with_the_average_where_there_is_one():
    fields = {"step": 0, "batch_stats": {"b": 3}, "opt_state": (), "params": {"k": 1}}
    averaged, plain = TrainState(**fields, ema_params={"k": 2}), TrainState(**fields, ema_params={})
    assert averaged.variables == {"params": {"k": 2}, "batch_stats": {"b": 3}}
    assert plain.variables == {"params": {"k": 1}, "batch_stats": {"b": 3}}
