"""The tortuosity factor of a phase: how much its shape hinders diffusion through it."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from xseg_jax.measure import grids, laplace
from xseg_jax.measure.connectivity import percolating

logger = logging.getLogger(__name__)

ITERATIONS_AT_A_TIME = 3
"""Between two looks at the flux: a look costs half an iteration."""
MOST_ITERATIONS = 300
BYTES_PER_VOXEL = 48
"""Most that is held at once, beside the volume of classes: measured with `memory_analysis`."""
SWEEPS = 200
"""A solution takes as long as so many products with the matrix: measured, 9 iterations."""
TIMED_CELLS, TIMED_SWEEPS = 128, 8
"""Edge of the largest volume that `estimate` times, and how often: more than a cache holds."""


@dataclass(frozen=True)
class Tortuosity:
    """Tortuosity factor of a phase along an axis, and how well it is solved.

    Attributes:
      factor: fraction / effective_diffusivity, 1 or more but for rounding; infinite where nothing
        percolates.
      effective_diffusivity: of the volume relative to that within the phase, Deff / D0; 0 where
        nothing percolates.
      fraction: of the phase in the volume.
      percolating_fraction: of the phase in clusters that touch both faces; 0 without a phase.
      iterations: of conjugate gradients.
      residual: estimate of the error of the potential relative to the potential, in the energy
        norm; that of effective_diffusivity is about its square.
      flux_imbalance: difference between the largest and the smallest flux through a plane, relative
        to the mean of the planes.
      tolerance: that was asked for.
      seconds: that it took, with compiling.
    """

    factor: float
    effective_diffusivity: float
    fraction: float
    percolating_fraction: float
    iterations: int
    residual: float
    flux_imbalance: float
    tolerance: float
    seconds: float

    @property
    def converged(self) -> bool:
        """Whether residual and flux imbalance are within the tolerance."""
        return max(self.residual, self.flux_imbalance) <= self.tolerance


@dataclass(frozen=True)
class Estimate:
    """What one tortuosity factor is expected to take on this machine as busy as it is.

    Attributes:
      bytes: of memory, beside the volume.
      seconds: without compiling.
    """

    bytes: int
    seconds: float


def tortuosity(
    phase_ZYX: np.ndarray,
    axis: int,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    tolerance: float = 1e-3,
    progress: Callable[[int, float], None] | None = None,
) -> Tortuosity:
    """Tortuosity factor of a phase along an axis: fraction * D0 / Deff.

    Deff follows from the steady diffusion through the phase alone, with potential 1 on one outer
    face of the volume, 0 on the opposite one, and no flux through the other faces:

        div grad u = 0 in the phase,    Deff / D0 = (flux * length) / (area of the face * 1)

    Every voxel is a cell of a finite volume method with 6 neighbours. The definition is that of
    Epstein 1989 (Chem. Eng. Sci. 44:777) and of Cooper et al. 2016 (TauFactor, SoftwareX 5:203,
    doi:10.1016/j.softx.2016.09.002): the factor, not the ratio of path lengths, which is its
    square root in a single pore. As there, the fraction counts the whole phase, with clusters that
    carry nothing.

    Deff is the energy of the potential, which is never below the true one (Dirichlet's principle)
    and whose error is of second order in that of the potential.

    Args:
      phase_ZYX: bool, the voxels of the phase.
      axis: along which it is measured, 0, 1 or 2 for z, y or x.
      spacing: edge lengths (z, y, x) of a voxel, in any unit.
      tolerance: iterations end once fluxes through all planes agree to this part of their mean, and
        so does the estimated error of the potential.
      progress: called from time to time with the iterations done and the flux imbalance.

    Returns:
      The factor; one that is not `converged` after 300 iterations is said in the log.

    Raises:
      ValueError: an argument is no volume, axis, spacing or tolerance.

    >>> layers_ZYX = np.zeros((4, 8, 16), bool)
    >>> layers_ZYX[:, :2] = True
    >>> along = tortuosity(layers_ZYX, axis=2)
    >>> round(along.factor, 4), round(along.effective_diffusivity, 4), along.fraction
    (1.0, 0.25, 0.25)
    >>> tortuosity(layers_ZYX, axis=1).factor
    inf
    """
    began = time.perf_counter()
    _check(phase_ZYX, axis, spacing, tolerance)
    order = (axis, *(a for a in range(3) if a != axis))
    # Shapes, and so compiled code, are the same along all axes of a cube.
    turned_ZYX = np.ascontiguousarray(phase_ZYX.transpose(order))
    lengths = [float(spacing[a]) for a in order]
    open_ZYX = percolating(turned_ZYX, 0)
    count, carrying = int(turned_ZYX.sum()), int(open_ZYX.sum())
    fraction = count / turned_ZYX.size
    if not carrying:
        seconds = time.perf_counter() - began
        return Tortuosity(math.inf, 0.0, fraction, 0.0, 0, 0.0, 0.0, tolerance, seconds)

    axes = grids.plan(open_ZYX.shape, lengths)
    system = grids.make_system(open_ZYX, lengths)
    state = laplace.start(system)
    iterations, residual, imbalance, energy = 0, math.inf, math.inf, math.nan
    while max(residual, imbalance) > tolerance and iterations < MOST_ITERATIONS:
        state = laplace.iterate(system, axes, state, ITERATIONS_AT_A_TIME)
        iterations += ITERATIONS_AT_A_TIME
        flux_P, energy = laplace.flux_and_energy(system, state)
        imbalance = float((flux_P.max() - flux_P.min()) / flux_P.mean())
        residual = math.sqrt(max(float(state.rz), 0.0) / energy)
        if progress:
            progress(iterations, imbalance)
        if residual <= tolerance < imbalance:  # Solved, as far as rounded residuals tell.
            state = laplace.refine(system, state)
    planes, rows, columns = open_ZYX.shape
    diffusivity = energy * planes / (rows * columns)
    found = Tortuosity(
        factor=fraction / diffusivity,
        effective_diffusivity=diffusivity,
        fraction=fraction,
        percolating_fraction=carrying / count,
        iterations=iterations,
        residual=residual,
        flux_imbalance=imbalance,
        tolerance=tolerance,
        seconds=time.perf_counter() - began,
    )
    if not found.converged:
        logger.warning(
            "The tortuosity factor %.4g along %s is not solved to %g after %d iterations: "
            "fluxes through planes differ by %.2g",
            found.factor, "zyx"[axis], tolerance, iterations, imbalance,
        )  # fmt: skip
    return found


def estimate(shape: Sequence[int]) -> Estimate:
    """What one tortuosity factor of a volume of this shape takes, from a few timed sweeps.

    Args:
      shape: voxels along z, y, x.
    """
    edges = [min(length, TIMED_CELLS) for length in shape]
    x_ZYX = jnp.ones(edges, jnp.float32)
    sweeps = jax.jit(laplace.sweeps, static_argnums=1)
    jax.block_until_ready(sweeps(x_ZYX, TIMED_SWEEPS))
    began = time.perf_counter()
    jax.block_until_ready(sweeps(x_ZYX, TIMED_SWEEPS))
    seconds = (time.perf_counter() - began) / (TIMED_SWEEPS * x_ZYX.size)
    voxels = math.prod(shape)
    return Estimate(BYTES_PER_VOXEL * voxels, SWEEPS * seconds * voxels)


def _check(phase_ZYX: np.ndarray, axis: int, spacing: Sequence[float], tolerance: float) -> None:
    if phase_ZYX.dtype != bool or phase_ZYX.ndim != 3 or not phase_ZYX.size:
        raise ValueError(
            f"phase_ZYX is {phase_ZYX.dtype} of shape {phase_ZYX.shape}; it must be bool (Z, Y, X)"
        )
    if axis not in (0, 1, 2):
        raise ValueError(f"axis is {axis!r}; it must be 0, 1 or 2 for z, y or x")
    if len(spacing) != 3 or not all(math.isfinite(h) and h > 0 for h in spacing):
        raise ValueError(f"spacing is {spacing!r}; it must be three lengths above 0")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance!r}; it must be above 0")
