import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xseg_jax.measure import grids, laplace

SHAPE = (11, 12, 13)
SPACING = (1.4, 1.0, 1.0)


@pytest.fixture(scope="module")
def system():
    """Three quarters of a volume; all clusters are joined by its first plane."""
    open_ZYX = np.random.default_rng(0).random(SHAPE) < 0.75
    open_ZYX[0] = True
    return grids.make_system(open_ZYX, SPACING), grids.plan(SHAPE, SPACING)


def test_a_coarser_grid_is_the_galerkin_product(system):
    system, axes = system
    assert axes == ((0, 1, 2),)
    coarse_ZYX = np.random.default_rng(1).standard_normal((6, 6, 7), np.float32)
    fine_ZYX = grids.spread(jnp.asarray(coarse_ZYX), axes[0], SHAPE)
    filled_ZYX = system.grids[0].diagonal_ZYX > 0
    expected_ZYX = grids.restricted(
        laplace._balance(system, 0, jnp.where(filled_ZYX, fine_ZYX, 0)), axes[0]
    )
    found_ZYX = laplace._balance(system, 1, jnp.asarray(coarse_ZYX))
    np.testing.assert_allclose(found_ZYX, expected_ZYX, atol=2e-5)


def test_the_coarsest_grid_is_solved_exactly(system):
    system, axes = system
    x_ZYX = np.random.default_rng(2).standard_normal((6, 6, 7), np.float32)
    x_ZYX[np.asarray(system.grids[1].diagonal_ZYX) == 0] = 0
    found_ZYX = laplace._solved(system, axes, laplace._balance(system, 1, jnp.asarray(x_ZYX)), 1)
    np.testing.assert_allclose(found_ZYX, x_ZYX, atol=1e-4)


def test_the_cycle_above_the_coarsest_grid_is_symmetric_and_positive(system):
    system, axes = system
    filled_ZYX = np.asarray(system.grids[0].diagonal_ZYX) > 0
    x_ZYX, y_ZYX = np.random.default_rng(3).standard_normal((2, *SHAPE), np.float32) * filled_ZYX
    cycle = jax.jit(lambda b_ZYX: laplace._cycle(system, axes, b_ZYX))
    cycled_x_ZYX, cycled_y_ZYX = np.asarray(cycle(x_ZYX)), np.asarray(cycle(y_ZYX))
    assert np.vdot(y_ZYX, cycled_x_ZYX) == pytest.approx(np.vdot(x_ZYX, cycled_y_ZYX), rel=1e-4)
    assert np.vdot(x_ZYX, cycled_x_ZYX) > 0
    assert not cycled_x_ZYX[~filled_ZYX].any()


def test_iterations_meet_the_energy_that_flows(system):
    system, axes = system
    state = laplace.start(system)
    energies = []
    for _ in range(6):
        state = laplace.iterate(system, axes, state, 3)
        flux_P, energy = laplace.flux_and_energy(system, state)
        energies.append(energy)
    # The energy falls, and every flux becomes what it falls to.
    assert (np.diff(energies) <= 1e-6 * energies[0]).all()
    np.testing.assert_allclose(flux_P, energies[-1], rtol=1e-5)


def test_a_refined_potential_is_the_same_with_an_exact_residual(system):
    system, axes = system
    state = laplace.iterate(system, axes, laplace.start(system), 4)
    before_ZYX = np.asarray(state.base_ZYX, np.float64) + np.asarray(state.correction_ZYX)
    updated_ZYX = np.asarray(state.residual_ZYX)
    state = laplace.refine(system, state)
    after_ZYX = np.asarray(state.base_ZYX, np.float64) + np.asarray(state.correction_ZYX)
    np.testing.assert_array_equal(after_ZYX, before_ZYX)
    np.testing.assert_allclose(state.residual_ZYX, updated_ZYX, atol=3e-6)
    assert np.abs(np.asarray(state.correction_ZYX)).max() < 1e-7


def test_a_sweep_is_a_product_with_the_matrix():
    x_ZYX = jnp.zeros((5, 5, 5)).at[2, 2, 2].set(1.0)
    swept_ZYX = laplace.sweeps(x_ZYX, 1) * 12
    assert swept_ZYX[2, 2, 2] == pytest.approx(7)  # 6 of the matrix, and 1 of x.
    assert swept_ZYX[1, 2, 2] == pytest.approx(-1)
    assert float(swept_ZYX.sum()) == pytest.approx(1)
