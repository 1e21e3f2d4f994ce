"""The conductances of a volume on ever coarser grids.

Cells of a coarser grid are blocks of 2 x 2 x 2 finer ones, and the conductance between two of them
is the sum of those between their voxels: the Galerkin product for piecewise constant interpolation
(Braess 1995, Computing 55:379). Where voxels are no cubes, fewer axes are joined at first.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

COARSEST = 512
"""Cells of a grid that is solved by its inverse, at most."""
ALIKE = 1.5
"""Axes are coarsened together whose cells differ in length by less than this factor."""
Plan = tuple[tuple[int, ...], ...]
"""For each grid but the coarsest, the axes along which two of its cells become one."""


class Grid(NamedTuple):
    """One grid of the hierarchy; cells without conductance are empty, and stay 0.

    Attributes:
      diagonal_ZYX: sum of the conductances of a cell.
      links: for each axis, conductances to the cell before and to the cell after, (Z, Y, X) each;
        empty on the first grid, where an axis has one conductance.
    """

    diagonal_ZYX: jax.Array
    links: tuple[tuple[jax.Array, jax.Array], ...]


class System(NamedTuple):
    """What does not change while a volume is solved.

    Attributes:
      conductance_A: between neighbours along z, y, x, on the first grid.
      grids: from fine to coarse.
      inverse_NN: of the coarsest grid.
    """

    conductance_A: jax.Array
    grids: tuple[Grid, ...]
    inverse_NN: jax.Array


def plan(shape: Sequence[int], spacing: Sequence[float]) -> Plan:
    """Which axes are coarsened, grid by grid.

    Where cells are longer along one axis, they are first joined along the others: what is coupled
    weakly is not smoothed well (Trottenberg et al. 2001, Multigrid, section 5.1).
    """
    lengths, cells, axes = list(spacing), list(shape), []
    while math.prod(cells) > COARSEST:
        shortest = min(h for h, count in zip(lengths, cells, strict=True) if count > 1)
        joined = tuple(a for a in range(3) if cells[a] > 1 and lengths[a] < ALIKE * shortest)
        for a in joined:
            lengths[a] *= 2
            cells[a] = -(-cells[a] // 2)
        axes.append(joined)
    return tuple(axes)


def shifted(x_ZYX: jax.Array, axis: int, by: int) -> jax.Array:
    """Values of the cell before (`by` 1) or after (-1) along an axis; 0 outside."""
    pads = [(0, 0, 0)] * 3
    pads[axis] = (by, -by, 0)
    return lax.pad(x_ZYX, jnp.zeros((), x_ZYX.dtype), pads)


def _part(axis: int, start: int, step: int) -> tuple[slice, ...]:
    return tuple(slice(start, None, step) if a == axis else slice(None) for a in range(3))


def _even(x_ZYX: jax.Array, axes: Sequence[int]) -> jax.Array:
    """With an empty plane at the end of these axes where their length is odd."""
    odd = [int(a in axes and x_ZYX.shape[a] % 2) for a in range(3)]
    return jnp.pad(x_ZYX, [(0, more) for more in odd]) if any(odd) else x_ZYX


def restricted(x_ZYX: jax.Array, axes: Sequence[int]) -> jax.Array:
    """Sums over the cells that become one."""
    x_ZYX = _even(x_ZYX, axes)
    for a in axes:
        x_ZYX = x_ZYX[_part(a, 0, 2)] + x_ZYX[_part(a, 1, 2)]
    return x_ZYX


def spread(x_ZYX: jax.Array, axes: Sequence[int], shape: Sequence[int]) -> jax.Array:
    """Each value in all the cells of a finer grid that its cell was made of."""
    wide = [n for a in range(3) for n in (x_ZYX.shape[a], 1 + (a in axes))]
    x_Z1Y1X1 = jnp.expand_dims(x_ZYX, (1, 3, 5))
    even = [wide[2 * a] * wide[2 * a + 1] for a in range(3)]
    full_ZYX = jnp.broadcast_to(x_Z1Y1X1, wide).reshape(even)
    return full_ZYX[tuple(slice(n) for n in shape)]


def _coarse_links(links: Sequence[jax.Array], axes: Sequence[int]) -> tuple[jax.Array, ...]:
    """Conductances between blocks: sums of those that cross from one to the next."""
    coarse = []
    for a, link_ZYX in enumerate(links):
        crossing_ZYX = _even(link_ZYX, axes)
        if a in axes:
            crossing_ZYX = crossing_ZYX[_part(a, 1, 2)]
        coarse.append(restricted(crossing_ZYX, [b for b in axes if b != a]))
    return tuple(coarse)


def _both(links: Sequence[jax.Array]) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Of links to the cell after: those before too, kept since each shift would be a copy."""
    return tuple((shifted(link, a, 1), link) for a, link in enumerate(links))


def _diagonal(links: Sequence[jax.Array], outside_ZYX: jax.Array) -> jax.Array:
    return outside_ZYX + sum(link + shifted(link, a, 1) for a, link in enumerate(links))


@functools.partial(jax.jit, static_argnames="axes")
def _hierarchy(open_ZYX: jax.Array, conductance_A: jax.Array, axes: Plan) -> tuple[Grid, ...]:
    """All grids. The first has its links only where it is the coarsest too."""
    open_ZYX = open_ZYX.astype(jnp.float32)
    links = tuple(conductance_A[a] * open_ZYX * shifted(open_ZYX, a, -1) for a in range(3))
    # From the centre of an outer voxel to its face is half the way to the next centre.
    outside_ZYX = jnp.zeros_like(open_ZYX).at[0].add(2 * conductance_A[0] * open_ZYX[0])
    outside_ZYX = outside_ZYX.at[-1].add(2 * conductance_A[0] * open_ZYX[-1])
    grids = [Grid(_diagonal(links, outside_ZYX), () if axes else _both(links))]
    for joined in axes:
        links = _coarse_links(links, joined)
        outside_ZYX = restricted(outside_ZYX, joined)
        grids.append(Grid(_diagonal(links, outside_ZYX), _both(links)))
    return tuple(grids)


def _inverse(grid: Grid) -> np.ndarray:
    """Inverse matrix (N, N) of the coarsest grid, float32; 0 for empty cells."""
    diagonal_ZYX = np.asarray(grid.diagonal_ZYX, np.float64)
    matrix_NN = np.diag(diagonal_ZYX.ravel())
    cell_ZYX = np.arange(diagonal_ZYX.size).reshape(diagonal_ZYX.shape)
    for a, (_, link) in enumerate(grid.links):
        link_ZYX = np.asarray(link, np.float64)
        one_N = np.delete(cell_ZYX, -1, a).ravel()
        next_N = np.delete(cell_ZYX, 0, a).ravel()
        matrix_NN[one_N, next_N] = matrix_NN[next_N, one_N] = -np.delete(link_ZYX, -1, a).ravel()
    filled = np.flatnonzero(diagonal_ZYX)
    inverse_NN = np.zeros_like(matrix_NN)
    inverse_NN[np.ix_(filled, filled)] = np.linalg.inv(matrix_NN[np.ix_(filled, filled)])
    return inverse_NN.astype(np.float32)


def make_system(open_ZYX: np.ndarray, spacing: Sequence[float]) -> System:
    """Conductances of a volume and of all its coarser grids.

    Args:
      open_ZYX: bool, where something flows. Every cluster of voxels must touch the first or the
        last plane, or the system has no solution.
      spacing: edge lengths of a voxel; only their ratios matter.
    """
    lengths = np.array(spacing, np.float64)
    conductance_A = jnp.asarray((lengths[0] / lengths) ** 2, jnp.float32)
    grids = _hierarchy(jnp.asarray(open_ZYX), conductance_A, plan(open_ZYX.shape, spacing))
    return System(conductance_A, grids, jnp.asarray(_inverse(grids[-1])))
