"""The one place that knows how a step is spread over devices and processes."""

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xseg_jax.errors import InputError

AXIS = "batch"
"""Name of the axis that steps sum over."""

MODES = ("auto", "jit", "pmap", "shard_map")

LAUNCHERS = (  # Environment variables that hold the number of processes and a process's own.
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
)


def join_processes(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> int:
    """Joins the other processes of a run, before JAX starts; does nothing where there are none.

    What is not given is found from SLURM's srun, from Open MPI's mpirun, or on a TPU host.

    Args:
      coordinator: "host:port" that process 0 listens on.
      processes: how many there are.
      process: number of this one, from 0.

    Returns:
      The number of this process.

    Raises:
      InputError: they cannot find each other, or flags are missing.
    """
    for size, rank in LAUNCHERS:
        if size in os.environ and processes is None:
            processes, process = int(os.environ[size]), int(os.environ[rank])
    on_tpu = importlib.util.find_spec("libtpu") and (
        Path("/dev/accel0").exists() or Path("/dev/vfio/0").exists()
    )
    if processes == 1 or (processes is None and coordinator is None and not on_tpu):
        return 0
    if not on_tpu and (processes is None or process is None):
        raise InputError(
            "--coordinator, --processes and --process go together; see docs/clusters.md"
        )
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"process {process} of {processes} cannot reach the others: {reason}. Give "
            "--coordinator=HOST:PORT, a port of the machine of process 0 that all can reach"
        ) from error
    return jax.process_index()


def one_device_a_core(batch_size: int) -> None:
    """Makes as many CPU cores devices as divide a batch (all divide 0), before JAX starts.

    A U-Net's many small operations share one core each far better than they share all cores:
    on two cores a training step takes 0.8 of the time. What JAX_NUM_CPU_DEVICES says is left as
    it is, and one of several processes is one device.
    """
    config: Any = jax.config
    by_flag = "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if config.jax_num_cpu_devices > 0 or by_flag or jax.distributed.is_initialized():
        return
    count = max(n for n in range(1, cores() + 1) if batch_size % n == 0)
    jax.config.update("jax_num_cpu_devices", count)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@dataclass(frozen=True)
class Parallel:
    """Devices that share the work, and how a step is lifted onto them.

    Attributes:
      mode: "jit" on one device, "pmap", or "shard_map" under jit.
      devices: those of each process stand together, in the order of processes.
    """

    mode: str
    devices: tuple[Any, ...]

    @classmethod
    def choose(cls, mode: str, batch_size: int | None = None, accumulate: int = 1) -> "Parallel":
        """All devices of all processes, or one in mode "jit".

        Args:
          mode: one of `MODES`; "auto" is "pmap" on several devices, else "jit".
          batch_size: examples in a step, of which every device takes an equal share; None for
            any.
          accumulate: parts that a share is taken in.

        Raises:
          InputError: the mode is unknown, or the batch does not divide; suggests sizes that do.
        """
        if mode not in MODES:
            raise InputError(f"config.parallel.mode={mode!r}: choose one of {', '.join(MODES)}")
        if accumulate < 1 or (batch_size or 0) % accumulate:
            raise InputError(
                f"config.parallel.accumulate={accumulate}: must be at least 1 and divide "
                f"config.batch_size={batch_size}"
            )
        one_device_a_core(1 if mode == "jit" else (batch_size or 0) // accumulate)
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        if mode == "auto":
            mode = "pmap" if len(devices) > 1 else "jit"
        if mode == "jit":
            if jax.process_count() > 1:
                raise InputError(
                    f"config.parallel.mode='jit': uses one device of one process, but there are "
                    f"{jax.process_count()} processes; choose pmap or shard_map"
                )
            devices = devices[:1]
        multiple = len(devices) * accumulate
        if batch_size and batch_size % multiple:
            below = batch_size - batch_size % multiple
            sizes = " or ".join(str(size) for size in (below, below + multiple) if size)
            raise InputError(
                f"config.batch_size={batch_size}: does not divide among {len(devices)} devices"
                + (f" in {accumulate} parts" if accumulate > 1 else "")
                + f"; the nearest that do are {sizes}"
            )
        return cls(mode, tuple(devices))

    @property
    def local(self) -> "Parallel":
        """The same on this process's devices alone."""
        mine = jax.process_index()
        return Parallel(self.mode, tuple(d for d in self.devices if d.process_index == mine))

    def replicate(self, tree: Any) -> Any:
        """A copy of every array on each device."""
        # pmap takes and gives arrays of this process; jit over a mesh those of all.
        devices = self.devices if self.mode == "shard_map" else self.local.devices
        return jax.device_put(tree, NamedSharding(_mesh(devices), PartitionSpec()))

    def spread(
        self,
        step: Callable[..., Any],
        *,
        in_axes: Sequence[int | None],
        sums: bool,
        donate: bool = False,
    ) -> Callable[..., Any]:
        """Compiles a step that may use collectives over `AXIS`.

        Args:
          step: of replicated arguments and of arrays with a leading batch axis, of which each
            device gets an equal share.
          in_axes: for each argument None where it is replicated, 0 where it has a batch axis.
          sums: whether the step returns the same on every device, having summed over them, or
            else arrays with a batch axis.
          donate: let the result reuse the memory of the first argument.

        Returns:
          A function of this process's part of the batch, which does not wait for the devices. It
          returns their arrays where the step sums, and else a function that waits and returns
          NumPy arrays.
        """
        donated = (0,) if donate else ()
        if self.mode == "shard_map":
            mesh = _mesh(self.devices)
            whole, shared = PartitionSpec(), PartitionSpec(AXIS)
            lifted = jax.shard_map(
                step,
                mesh=mesh,
                in_specs=tuple(whole if axis is None else shared for axis in in_axes),
                out_specs=whole if sums else shared,
                check_vma=False,  # The step sums its gradients itself, as pmap wants it.
            )
            mapped = jax.jit(lifted, donate_argnums=donated)
            sharding = NamedSharding(mesh, shared)

            def share(array_B: np.ndarray) -> Any:
                return jax.make_array_from_process_local_data(sharding, array_B)

            def gather(array_B: Any) -> np.ndarray:
                return np.asarray(array_B)

        else:
            axes: Any = {"in_axes": tuple(in_axes), "out_axes": None if sums else 0}
            if self.mode == "pmap":
                mapped = jax.pmap(step, AXIS, devices=self.devices, donate_argnums=donated, **axes)
            else:
                lifted = jax.vmap(step, axis_name=AXIS, axis_size=1, **axes)
                mapped = jax.jit(lifted, donate_argnums=donated)
            count = len(self.local.devices)

            def share(array_B: np.ndarray) -> Any:
                return array_B.reshape(count, -1, *array_B.shape[1:])

            def gather(array_B: Any) -> np.ndarray:
                return np.asarray(array_B).reshape(-1, *array_B.shape[2:])

        def call(*arguments: Any) -> Any:
            placed = (
                argument if axis is None else share(argument)
                for axis, argument in zip(in_axes, arguments, strict=True)
            )
            result = mapped(*placed)
            return result if sums else functools.partial(jax.tree.map, gather, result)

        return call


def _mesh(devices: Sequence[Any]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,))


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def share_of(things: Sequence[Any]) -> range:
    """Places of the things that this process works on; each process takes every so many."""
    return range(jax.process_index(), len(things), jax.process_count())


def sum_over_processes(tree: Any) -> Any:
    """Sums of NumPy arrays, the same in every process; none loses digits on the way."""
    if jax.process_count() == 1:
        return tree

    def total(x: np.ndarray) -> np.ndarray:
        # As 32 bit and 32 bit: JAX, where it is not told otherwise, cuts numbers of 64 bit.
        wide = x.dtype.itemsize == 8
        sent = np.ascontiguousarray(x)[..., None].view(np.uint32) if wide else x
        found_P = np.asarray(multihost_utils.process_allgather(sent))
        if wide:
            found_P = np.ascontiguousarray(found_P).view(x.dtype)[..., 0]
        return found_P.sum(axis=0)

    return jax.tree.map(total, tree)


def any_process(*wishes: bool) -> tuple[bool, ...]:
    """For each wish whether any process has it."""
    return tuple(bool(count) for count in sum_over_processes(np.array(wishes, np.int32)))


def wait_for_processes(reason: str) -> None:
    """Returns when every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(reason)
