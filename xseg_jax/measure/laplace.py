"""Steady diffusion through the marked voxels of a volume: a Laplace solver in JAX.

Finite volumes: a voxel is a cell, and two marked voxels that share a face are joined by the
conductance of the way between their centres. The linear system is solved by conjugate gradients
with a multigrid cycle as preconditioner, on the grids of `grids.py`.
A coarser grid is solved by two flexible conjugate gradient iterations with the next as
preconditioner (K-cycle: Notay and Vassilevski 2008, Numer. Linear Algebra Appl. 15:473), which
keeps the preconditioner positive whatever the shape; a W-cycle with enlarged corrections failed
where voxels are not cubes.
Smoothing is a Chebyshev polynomial of the Jacobi iteration (Adams et al. 2003, J. Comput. Phys.
188:593): symmetric, and the same on every device.

Grids are dense: on two cores a gather costs more than the empty voxels that it saves. Numbers are
float32; a potential is the sum of two, since behind a narrow neck its differences are smaller than
the last digit of one.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xseg_jax.measure.grids import Grid, Plan, System, restricted, shifted, spread

SMOOTHED = (0.4, 2.0)
"""Eigenvalues of the Jacobi iteration that smoothing damps: none is above 2."""


class State(NamedTuple):
    """Conjugate gradients between two iterations. The potential is base + correction, 1 above the
    first plane and 0 below the last.

    Attributes:
      base_ZYX: leading digits of the potential; 0 in empty voxels.
      correction_ZYX: what iterations added to it.
      residual_ZYX: what flows into each voxel and not out.
      direction_ZYX: of the next step.
      rz: residual times preconditioned residual.
    """

    base_ZYX: jax.Array
    correction_ZYX: jax.Array
    residual_ZYX: jax.Array
    direction_ZYX: jax.Array
    rz: jax.Array


def _around(x_ZYX: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """Values of the cells before and after each cell, axis by axis; 0 outside.

    One padded copy that all six look at: shifted by itself, each would be computed or copied anew.
    """
    padded_ZYX = lax.optimization_barrier(jnp.pad(x_ZYX, 1))

    def moved(axis: int, by: int) -> jax.Array:
        starts = [1 + by * (a == axis) for a in range(3)]
        return padded_ZYX[
            tuple(slice(first, first + n) for first, n in zip(starts, x_ZYX.shape, strict=True))
        ]

    return [(moved(a, -1), moved(a, 1)) for a in range(3)]


def _balance(system: System, number: int, x_ZYX: jax.Array) -> jax.Array:
    """What flows out of each cell of a grid at potential x, (Z, Y, X)."""
    diagonal_ZYX, links = system.grids[number]
    pairs = list(enumerate(_around(x_ZYX)))
    if links:
        flows = [
            before * x_before + after * x_after
            for (before, after), (_, (x_before, x_after)) in zip(links, pairs, strict=True)
        ]
        return diagonal_ZYX * x_ZYX - sum(flows)
    neighbours_ZYX = sum(system.conductance_A[a] * (before + after) for a, (before, after) in pairs)
    return jnp.where(diagonal_ZYX > 0, diagonal_ZYX * x_ZYX - neighbours_ZYX, 0)


def _smoothed(
    system: System, number: int, b_ZYX: jax.Array, x_ZYX: jax.Array | None = None
) -> jax.Array:
    """A Chebyshev polynomial of second degree, from x or from 0."""
    diagonal_ZYX = system.grids[number].diagonal_ZYX
    low, high = SMOOTHED
    middle, half = (high + low) / 2, (high - low) / 2
    rho = half / middle
    second = 1 / (2 / rho - rho)

    def scaled(r_ZYX: jax.Array) -> jax.Array:
        return jnp.where(diagonal_ZYX > 0, r_ZYX / jnp.maximum(diagonal_ZYX, 1e-30), 0)

    if x_ZYX is None:
        x_ZYX = step_ZYX = scaled(b_ZYX) / middle
    else:
        step_ZYX = scaled(b_ZYX - _balance(system, number, x_ZYX)) / middle
        x_ZYX = x_ZYX + step_ZYX
    left_ZYX = b_ZYX - _balance(system, number, x_ZYX)
    return x_ZYX + second * (rho * step_ZYX + 2 / half * scaled(left_ZYX))


def _cycle(system: System, axes: Plan, b_ZYX: jax.Array, number: int = 0) -> jax.Array:
    """The preconditioner of a grid: smoothed, corrected by the coarser grids, smoothed."""
    if number == len(axes):
        return (system.inverse_NN @ b_ZYX.ravel()).reshape(b_ZYX.shape)
    x_ZYX = _smoothed(system, number, b_ZYX)
    left_ZYX = restricted(b_ZYX - _balance(system, number, x_ZYX), axes[number])
    coarse_ZYX = _solved(system, axes, left_ZYX, number + 1)
    fine_ZYX = spread(coarse_ZYX, axes[number], b_ZYX.shape)
    filled_ZYX = system.grids[number].diagonal_ZYX > 0
    # Enlarging the correction, as is done without these iterations, saves none: measured, 1 to 1.9.
    x_ZYX = x_ZYX + jnp.where(filled_ZYX, fine_ZYX, 0)
    return _smoothed(system, number, b_ZYX, x_ZYX)


def _solved(system: System, axes: Plan, b_ZYX: jax.Array, number: int) -> jax.Array:
    """Two flexible conjugate gradient iterations from 0 on a coarser grid."""
    if number == len(axes):  # Solved exactly.
        return _cycle(system, axes, b_ZYX, number)

    def step(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        x_ZYX, left_ZYX, direction_ZYX, flow_ZYX, uphill = carry
        scaled_ZYX = _cycle(system, axes, left_ZYX, number)
        scaled_flow_ZYX = _balance(system, number, scaled_ZYX)
        turn = _ratio(_sum(scaled_ZYX * flow_ZYX), uphill)
        direction_ZYX = scaled_ZYX - turn * direction_ZYX
        flow_ZYX = scaled_flow_ZYX - turn * flow_ZYX
        uphill = _sum(direction_ZYX * flow_ZYX)
        length = _ratio(_sum(direction_ZYX * left_ZYX), uphill)
        x_ZYX, left_ZYX = x_ZYX + length * direction_ZYX, left_ZYX - length * flow_ZYX
        return x_ZYX, left_ZYX, direction_ZYX, flow_ZYX, uphill

    zero_ZYX = jnp.zeros_like(b_ZYX)
    # A loop, not two copies: code would double from grid to grid.
    return lax.fori_loop(0, 2, step, (zero_ZYX, b_ZYX, zero_ZYX, zero_ZYX, jnp.float32(0)))[0]


def _sum(x_ZYX: jax.Array) -> jax.Array:
    """A sum that is not one long row of additions: 10 million of them would lose digits."""
    return lax.optimization_barrier(x_ZYX.sum(-1)).sum()


def _ratio(top: jax.Array, bottom: jax.Array) -> jax.Array:
    """A quotient; 0 where nothing is left to do, and both are 0."""
    return jnp.where(bottom > 0, top / jnp.where(bottom > 0, bottom, 1), 0)


def _drops(system: System, state: State) -> tuple[list[jax.Array], jax.Array, jax.Array]:
    """How far the potential drops from each voxel to the next.

    Returns:
      For each axis (Z, Y, X), 0 where one of the two is empty; from above into the first plane
      (Y, X); from the last plane to below (Y, X).
    """
    base_ZYX, correction_ZYX = state.base_ZYX, state.correction_ZYX
    filled_ZYX = (system.grids[0].diagonal_ZYX > 0).astype(jnp.float32)
    inner = []
    for a in range(3):
        both_ZYX = filled_ZYX * shifted(filled_ZYX, a, -1)
        # Of neighbours the bases are close, so that their difference is exact.
        drop_ZYX = base_ZYX - shifted(base_ZYX, a, -1)
        drop_ZYX = drop_ZYX + (correction_ZYX - shifted(correction_ZYX, a, -1))
        inner.append(both_ZYX * drop_ZYX)
    first_YX = filled_ZYX[0] * ((1 - base_ZYX[0]) - correction_ZYX[0])
    return inner, first_YX, base_ZYX[-1] + correction_ZYX[-1]


@functools.partial(jax.jit, donate_argnums=1)
def refine(system: System, state: State) -> State:
    """Starts anew from the potential that is reached; `state` is used up.

    The residual of conjugate gradients is updated, not computed, and rounding takes it away from
    the truth; here it is what the differences of the potential say.
    """
    whole_ZYX = state.base_ZYX + state.correction_ZYX
    rest_ZYX = state.correction_ZYX - (whole_ZYX - state.base_ZYX)
    state = state._replace(base_ZYX=whole_ZYX, correction_ZYX=rest_ZYX)
    drops, first_YX, last_YX = _drops(system, state)
    residual_ZYX = sum(
        system.conductance_A[a] * (shifted(drop, a, 1) - drop) for a, drop in enumerate(drops)
    )
    residual_ZYX = jnp.asarray(residual_ZYX).at[0].add(2 * system.conductance_A[0] * first_YX)
    residual_ZYX = residual_ZYX.at[-1].add(-2 * system.conductance_A[0] * last_YX)
    return State(
        whole_ZYX, rest_ZYX, residual_ZYX, jnp.zeros_like(whole_ZYX), jnp.zeros_like(state.rz)
    )


def start(system: System) -> State:
    """The potential of an empty box."""
    diagonal_ZYX = system.grids[0].diagonal_ZYX
    planes = diagonal_ZYX.shape[0]
    ramp_Z = 1 - (jnp.arange(planes, dtype=jnp.float32) + 0.5) / planes
    base_ZYX = jnp.where(diagonal_ZYX > 0, ramp_Z[:, None, None], 0)
    zeros = [jnp.zeros_like(base_ZYX) for _ in range(3)]
    return refine(system, State(base_ZYX, *zeros, rz=jnp.float32(0)))


@functools.partial(jax.jit, static_argnames=("axes", "count"), donate_argnums=2)
def iterate(system: System, axes: Plan, state: State, count: int) -> State:
    """So many iterations of flexible conjugate gradients; `state` is used up.

    The first after a start has no direction yet, and only finds it.
    """

    def step(_: int, state: State) -> State:
        flow_ZYX = _balance(system, 0, state.direction_ZYX)
        uphill = _sum(state.direction_ZYX * flow_ZYX)
        length = _ratio(state.rz, uphill)
        residual_ZYX = state.residual_ZYX - length * flow_ZYX
        scaled_ZYX = _cycle(system, axes, residual_ZYX)
        turn = _ratio(_sum(scaled_ZYX * flow_ZYX), uphill)
        return State(
            state.base_ZYX,
            state.correction_ZYX + length * state.direction_ZYX,
            residual_ZYX,
            scaled_ZYX - turn * state.direction_ZYX,
            _sum(residual_ZYX * scaled_ZYX),
        )

    return lax.fori_loop(0, count, step, state)


@jax.jit
def _sums(system: System, state: State) -> tuple[jax.Array, jax.Array]:
    """Flux into each plane and out of the last (Z + 1, Y); energy of each row (Z, Y)."""
    along = system.conductance_A[0]
    drops, first_YX, last_YX = _drops(system, state)
    flux_ZY = along * jnp.concatenate([
        2 * first_YX.sum(-1)[None], drops[0].sum(-1)[:-1], 2 * last_YX.sum(-1)[None]
    ])  # fmt: skip
    energy_ZYX = sum(system.conductance_A[a] * drop**2 for a, drop in enumerate(drops))
    energy_ZY = jnp.asarray(energy_ZYX).sum(-1)
    energy_ZY = energy_ZY.at[0].add(2 * along * (first_YX**2).sum(-1))
    return flux_ZY, energy_ZY.at[-1].add(2 * along * (last_YX**2).sum(-1))


def flux_and_energy(system: System, state: State) -> tuple[np.ndarray, float]:
    """Flux through each plane between voxels along z (Z + 1), and the energy that flows; float64.

    Both in units of the conductance between two voxels along z, for a drop of the potential by 1.
    At the solution every flux is the energy.
    """
    flux_ZY, energy_ZY = _sums(system, state)
    # Short sums in float32 on the device, long ones here.
    return np.asarray(flux_ZY, np.float64).sum(1), float(np.asarray(energy_ZY, np.float64).sum())


def sweeps(x_ZYX: jax.Array, count: int) -> jax.Array:
    """So many products with a matrix of the first grid, which is what iterations wait for."""
    system = System(jnp.ones(3), (Grid(6 + x_ZYX, ()),), jnp.zeros((0, 0)))
    return lax.fori_loop(0, count, lambda _, y_ZYX: _balance(system, 0, y_ZYX) / 12, x_ZYX)
