import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.measure import grids


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 3000)] * 3),
    spacing=st.tuples(*[st.floats(0.01, 100)] * 3),
)
def test_the_coarsest_grid_is_small_and_nothing_is_joined_alone(shape, spacing):
    cells, lengths = list(shape), list(spacing)
    for joined in grids.plan(shape, spacing):
        assert joined
        assert all(cells[a] > 1 for a in joined)
        others = [lengths[a] for a in range(3) if a not in joined and cells[a] > 1]
        assert not others or min(others) >= grids.ALIKE * min(lengths[a] for a in joined)
        for a in joined:
            cells[a], lengths[a] = -(-cells[a] // 2), 2 * lengths[a]
    assert np.prod(cells) <= grids.COARSEST


def test_restriction_keeps_the_sum_and_is_the_transpose_of_spreading():
    rng = np.random.default_rng(0)
    fine_ZYX, coarse_ZYX = rng.random((5, 4, 7)), rng.random((3, 4, 4))
    summed_ZYX = np.asarray(grids.restricted(jnp.asarray(fine_ZYX), (0, 2)))
    np.testing.assert_allclose(summed_ZYX.sum(), fine_ZYX.sum(), rtol=1e-6)
    wide_ZYX = np.asarray(grids.spread(jnp.asarray(coarse_ZYX), (0, 2), fine_ZYX.shape))
    np.testing.assert_allclose(
        np.vdot(summed_ZYX, coarse_ZYX), np.vdot(fine_ZYX, wide_ZYX), rtol=1e-6
    )
