"""The one place that knows how a step is spread over devices."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "batch"
"""Name of the axis that steps sum over."""


def one_device_a_core() -> None:
    """Makes every CPU core a device, before JAX starts.

    A U-Net's many small operations share one core each far better than they share all cores:
    on two cores a training step takes 0.8 of the time.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", cores or 1)


def devices_for(batch_size: int) -> list[Any]:
    """As many of this process's devices as divide a batch evenly."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return devices[:count]


def replicate(tree: Any, devices: Sequence[Any]) -> Any:
    """A copy of every array on each device."""
    return jax.device_put(tree, NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec()))


def spread(
    step: Callable[..., Any],
    devices: Sequence[Any],
    *,
    batched: int,
    sums: bool,
    donate: bool = False,
) -> Callable[..., Any]:
    """Compiles a step that takes one replicated argument, then arrays with a leading batch axis.

    Args:
      step: may use collectives over `AXIS`.
      devices: each takes an equal share of the batch.
      batched: number of arrays with a batch axis.
      sums: whether the step returns the same on every device, having summed over them, or else
        arrays with a batch axis.
      donate: let the result reuse the memory of the replicated argument.
    """
    mapped = jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, *[0] * batched),
        out_axes=None if sums else 0,
        devices=devices,
        donate_argnums=(0,) if donate else (),
    )
    count = len(devices)

    def call(replicated: Any, *arrays_B: np.ndarray) -> Any:
        shares = [array.reshape(count, -1, *array.shape[1:]) for array in arrays_B]
        result = mapped(replicated, *shares)
        if sums:
            return result
        return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), result)

    return call
