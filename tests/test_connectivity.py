"""Clusters, percolation and the Euler characteristic of shapes that are known."""

import doctest

import numpy as np
import pytest
from bodies import ball
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from solids import overlapping_balls

from xseg_jax.errors import InputError
from xseg_jax.measure import connectivity as module
from xseg_jax.measure.connectivity import (
    clusters,
    connectivity,
    euler_density,
    euler_inside,
    euler_number,
    percolating,
)

volumes = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=7))


def test_examples():
    assert doctest.testmod(module).failed == 0


def test_a_channel_percolates_along_its_axis_alone():
    phase_ZYX = np.zeros((9, 10, 11), bool)
    phase_ZYX[4, 3:5, :] = True
    found = connectivity(phase_ZYX)
    assert found.percolating == (0, 0, 1)
    assert (found.voxels, found.clusters, found.isolated) == (22, 1, 0)
    assert np.array_equal(percolating(phase_ZYX, 2), phase_ZYX)
    assert not percolating(phase_ZYX, 1).any()


def test_a_laminate_percolates_along_its_sheets():
    phase_ZYX = np.zeros((12, 8, 9), bool)
    phase_ZYX[::3] = True
    found = connectivity(phase_ZYX)
    assert found.percolating == (0, 1, 1)
    assert found.clusters == 4
    assert found.largest == 1 / 4


@pytest.mark.parametrize(("neighbours", "number"), [(6, 32), (26, 1)])
def test_a_checkerboard_hangs_together_by_its_edges_alone(neighbours, number):
    phase_ZYX = np.indices((4, 4, 4)).sum(axis=0) % 2 == 0
    found = connectivity(phase_ZYX, neighbours=neighbours)
    assert found.clusters == number
    assert found.percolating == (3 * (float(number == 1),))


def test_shares_of_clusters_of_known_sizes():
    phase_ZYX = np.zeros((10, 10, 10), bool)
    phase_ZYX[:, 0, 0] = True  # 10 voxels, through.
    phase_ZYX[0, 5:7, 5:10] = True  # 10 voxels at two faces, not opposite ones.
    phase_ZYX[4:8, 4, 4:9] = True  # 20 voxels that touch none.
    found = connectivity(phase_ZYX, smallest=11)
    assert found.percolating == (0.25, 0, 0)
    assert (found.percolating_any, found.largest, found.isolated) == (0.25, 0.5, 0.5)
    assert found.clusters == 1


def test_an_empty_phase_has_no_shares():
    found = connectivity(np.zeros((3, 3, 3), bool))
    assert (found.voxels, found.clusters) == (0, 0)
    assert np.isnan([*found.percolating, found.largest, found.isolated]).all()


def test_other_neighbourhoods_are_refused():
    with pytest.raises(InputError, match="neighbours is 18; it must be 6 or 26"):
        clusters(np.ones((2, 2, 2), bool), neighbours=18)


@settings(deadline=None, max_examples=40)
@given(volumes, st.sampled_from([6, 26]), st.integers(0, 2))
def test_percolation_is_that_of_the_turned_volume(phase_ZYX, neighbours, axis):
    turned = percolating(np.moveaxis(phase_ZYX, axis, 0), 0, neighbours=neighbours)
    found_ZYX = percolating(phase_ZYX, axis, neighbours=neighbours)
    assert np.array_equal(np.moveaxis(found_ZYX, axis, 0), turned)
    share = connectivity(phase_ZYX, neighbours=neighbours).percolating[axis]
    assert not phase_ZYX.any() or share == pytest.approx(found_ZYX.sum() / phase_ZYX.sum())
    assert not (percolating(phase_ZYX, neighbours=neighbours) < found_ZYX).any()


@pytest.mark.parametrize("neighbours", [6, 26])
def test_euler_numbers_of_known_bodies(neighbours):
    size = (40, 24, 24)
    solid_ZYX = ball(size, (20, 12, 12), 9)
    hollow_ZYX = solid_ZYX & ~ball(size, (20, 12, 12), 5)
    pierced_ZYX = solid_ZYX.copy()
    pierced_ZYX[:, 12, 12] = False
    two_ZYX = ball(size, (8, 12, 12), 6) | ball(size, (30, 12, 12), 6)
    bodies = (solid_ZYX, hollow_ZYX, pierced_ZYX, two_ZYX)
    assert [euler_number(body, neighbours=neighbours) for body in bodies] == [1, 2, 0, 2]
    # Nothing touches a face, so that the faces take nothing.
    assert [euler_inside(body, neighbours=neighbours) for body in bodies] == [1, 2, 0, 2]


@settings(deadline=None, max_examples=60)
@given(volumes, st.sampled_from([6, 26]), st.integers(0, 2), st.data())
def test_parts_that_share_a_plane_sum_to_the_whole(phase_ZYX, neighbours, axis, data):
    cut = data.draw(st.integers(0, phase_ZYX.shape[axis] - 1))
    turned = np.moveaxis(phase_ZYX, axis, 0)
    parts = (turned[: cut + 1], turned[cut:])
    whole = euler_inside(phase_ZYX, neighbours=neighbours)
    assert sum(euler_inside(part, neighbours=neighbours) for part in parts) == whole


@settings(deadline=None, max_examples=40)
@given(volumes, st.sampled_from([6, 26]))
def test_a_phase_and_the_rest_share_their_topology(phase_ZYX, neighbours):
    """Closed by a shell, what surrounds a body has its characteristic and one of its own."""
    body_ZYX = np.pad(phase_ZYX, 2)
    rest = euler_number(~body_ZYX, neighbours=32 - neighbours)
    assert rest == euler_number(body_ZYX, neighbours=neighbours) + 1


def test_slabs_give_the_number_of_the_whole(monkeypatch):
    phase_ZYX = np.random.default_rng(0).random((40, 12, 13)) < 0.4
    whole = {n: euler_number(phase_ZYX, neighbours=n) for n in (6, 26)}
    monkeypatch.setattr(module, "PLANES", 100)
    assert {n: euler_number(phase_ZYX, neighbours=n) for n in (6, 26)} == whole


def test_the_density_is_that_of_the_pattern():
    """A simple cubic lattice of balls joined by bars has 1 - 3 a cell, wherever it is cut."""
    axis_C = np.arange(8) < 3
    thin = [np.broadcast_to(v, (8, 8, 8)) for v in np.meshgrid(*3 * [axis_C], indexing="ij")]
    cell_ZYX = (thin[0] & thin[1]) | (thin[1] & thin[2]) | (thin[0] & thin[2])
    tiled_ZYX = np.tile(cell_ZYX, (4, 4, 4))
    for start in (0, 1, 5):
        part_ZYX = tiled_ZYX[start : start + 17, start : start + 17, start : start + 17]
        assert euler_inside(part_ZYX) / 2**3 == -2
        assert euler_density(part_ZYX, (1, 0.5, 0.25)) == pytest.approx(-2 / (8 * 4 * 2))
    assert np.isnan(euler_density(tiled_ZYX[:1], (1, 1, 1)))


def smooth_field(size, width, seed):
    """White noise smoothed by a Gaussian, of mean 0 and variance 1; it continues at the faces."""
    wave_F = np.fft.fftfreq(size)
    square_F = wave_F[:, None, None] ** 2 + wave_F[:, None] ** 2 + wave_F**2
    noise_F = np.fft.fftn(np.random.default_rng(seed).normal(size=3 * (size,)))
    field_ZYX = np.fft.ifftn(noise_F * np.exp(-2 * np.pi**2 * width**2 * square_F)).real
    return field_ZYX / field_ZYX.std()


@pytest.mark.parametrize("neighbours", [6, 26])
@pytest.mark.parametrize(("width", "tolerance"), [(1.5, 0.12), (2.5, 0.06)])
def test_the_density_of_smooth_noise_above_a_level_is_known(width, tolerance, neighbours):
    """Adler and Taylor (2007), doi:10.1007/978-0-387-48116-6, chapter 11."""
    scale = (2 * width**2) ** -1.5 / (4 * np.pi**2)
    for level, shape in ((0, -1), (1, 0), (-1, 0)):
        found = [
            euler_density(smooth_field(64, width, seed) > level, (1, 1, 1), neighbours=neighbours)
            for seed in range(4)
        ]
        error = np.std(found) / scale / 4**0.5
        assert np.mean(found) / scale == pytest.approx(shape, abs=tolerance + 2 * error)


@pytest.mark.parametrize(("filled", "through"), [(0.2, False), (0.6, True)])
def test_overlapping_balls_percolate_above_their_threshold(filled, through):
    """It is a sum of volumes of 0.3418 (Lorenz and Ziff 2001, doi:10.1063/1.1338506)."""
    volume = 4 / 3 * np.pi * 4**3
    phase_ZYX = overlapping_balls(3 * (64,), 4, filled / volume, seed=0) == 1
    share = connectivity(phase_ZYX).percolating_any
    assert (share > 0.9) if through else (share == 0)
