"""What training changes: parameters, batch statistics, optimizer state, step."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct, traverse_util

from xseg_jax.errors import InputError

SCHEDULES = ("constant", "cosine")
HEAD = "head"
"""Name of the layer whose size is the number of classes."""


@struct.dataclass
class TrainState:
    """Everything a checkpoint holds.

    Attributes:
      step: steps taken, int32.
      params: network parameters, float32.
      batch_stats: running means and variances of BatchNorm; {} without it.
      opt_state: of the optax optimizer.
      ema_params: moving average of params; {} when it is off.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema_params: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What the network predicts with: the averaged parameters where there are any."""
        return {"params": self.ema_params or self.params, "batch_stats": self.batch_stats}


def init_state(
    model: nn.Module,
    tx: optax.GradientTransformation,
    *,
    seed: int,
    size: int,
    ema_decay: float,
    channels: int = 1,
) -> TrainState:
    """Fresh state for crops (size, size, channels), made by `run_once`."""
    image_BHWC = jnp.zeros((1, size, size, channels))
    variables = model.init(jax.random.key(seed), image_BHWC, train=False)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if ema_decay else {},
    )


def run_once(init: Callable[[], TrainState]) -> TrainState:
    """The state, compiled as a whole but hardly optimised: 2 s instead of 6 for what runs once."""
    return jax.jit(init, compiler_options={"xla_backend_optimization_level": 1})()


def make_optimizer(
    *,
    learning_rate: float,
    schedule: str,
    warmup_steps: int,
    clip_norm: float,
    weight_decay: float,
    steps: int,
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) with what is asked for around it.

    Args:
      learning_rate: highest rate.
      schedule: "constant", or "cosine" down to 0 at the last step.
      warmup_steps: of linear growth from 0.
      clip_norm: largest global gradient norm; 0 does not clip.
      weight_decay: decoupled (AdamW, Loshchilov and Hutter 2019), on kernels only.
      steps: of the whole run.

    Raises:
      InputError: an unknown schedule or a value out of range; names the field.
    """
    if schedule not in SCHEDULES:
        raise InputError(
            f"config.optimizer.schedule={schedule!r}: choose one of {', '.join(SCHEDULES)}"
        )
    limits = {"learning_rate": learning_rate, "clip_norm": clip_norm, "weight_decay": weight_decay}
    for field, value in limits.items():
        if not value >= 0:
            raise InputError(f"config.optimizer.{field}={value}: must not be negative")
    if not 0 <= warmup_steps < steps:
        raise InputError(
            f"config.optimizer.warmup_steps={warmup_steps}: must be below the run's {steps} steps"
        )
    if schedule == "cosine":
        after_warmup = optax.cosine_decay_schedule(learning_rate, steps - warmup_steps)
    else:
        after_warmup = optax.constant_schedule(learning_rate)
    warmup = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    rate = optax.join_schedules([warmup, after_warmup], [warmup_steps])

    def is_kernel(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    parts = [optax.scale_by_adam(), optax.scale_by_learning_rate(rate)]
    if weight_decay:
        parts.insert(1, optax.add_decayed_weights(weight_decay, is_kernel))
    if clip_norm:
        parts.insert(0, optax.clip_by_global_norm(clip_norm))
    return optax.chain(*parts)


def take_over(state: TrainState, variables: Any, *, new_head: bool) -> tuple[TrainState, list[str]]:
    """A fresh state with another network's parameters and batch statistics.

    Args:
      state: fresh.
      variables: params and batch_stats of the other network.
      new_head: keep the fresh last layer, for other classes.

    Returns:
      The state, and the names of the arrays that stayed fresh.

    Raises:
      InputError: arrays besides the head differ in shape; names them.
    """
    mine = {"params": state.params, "batch_stats": state.batch_stats}
    theirs = {"params": dict(variables["params"]), "batch_stats": variables["batch_stats"]}
    fresh = []
    if new_head:
        theirs["params"][HEAD] = state.params[HEAD]
        fresh = [f"params/{HEAD}/{name}" for name in state.params[HEAD]]
    differ = differences(theirs, mine)
    if differ:
        raise InputError(f"config.init_from: the networks are not alike; {summary(differ)}")
    params = jax.tree.map(jnp.asarray, theirs["params"])
    batch_stats = jax.tree.map(jnp.asarray, theirs["batch_stats"])
    ema_params = jax.tree.map(jnp.copy, params) if state.ema_params else {}
    return TrainState(state.step, params, batch_stats, state.opt_state, ema_params), fresh


def differences(saved: Any, wanted: Any) -> list[str]:
    """A line for each array that is missing, not wanted, or of another shape."""
    there, here = _shapes(saved), _shapes(wanted)
    return [
        f"{name} is {there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
        for name in sorted(there.keys() | here.keys(), key=lambda n: (n[:6] != "params", n))
        if there.get(name) != here.get(name)
    ]


def summary(differ: Sequence[str]) -> str:
    """The first of the differences, and how many there are."""
    more = "; ..." if len(differ) > 5 else ""
    return f"{len(differ)} arrays differ: {'; '.join(differ[:5])}{more}"


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
    return {name(path): tuple(leaf.shape) for path, leaf in leaves}


def parameter_table(params: Mapping[str, Any]) -> str:
    """One line a parameter, name, shape and size, and their sum."""
    flat: Any = traverse_util.flatten_dict(params, sep="/")
    width = max(len(name) for name in flat)
    lines = [
        f"{name:<{width}}  {' x '.join(map(str, leaf.shape)):>18}  {leaf.size:>10,}"
        for name, leaf in flat.items()
    ]
    total = sum(int(np.prod(leaf.shape)) for leaf in flat.values())
    return "\n".join([*lines, f"{'total':<{width}}  {'':>18}  {total:>10,}"])
