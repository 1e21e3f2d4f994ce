"""What planes of a scan have in common: by their distance, and beside images that are no slices."""

import itertools

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from xseg_jax.data.resemblance import (
    THUMBNAIL,
    air_around,
    correlation_by_distance,
    forgotten_after,
    resemblance,
    thumbnail,
)
from xseg_jax.data.sources import Slices

DEPTH = 24


def structure(depth=DEPTH, side=64, seed=0):
    """Correlated noise in deviations, (Z, Y, X)."""
    noise_DHW = np.random.default_rng(seed).standard_normal((depth, side, side))
    smooth_DHW = gaussian_filter(noise_DHW, 2.0, mode="wrap")
    return smooth_DHW / smooth_DHW.std()


def in_a_core(volume_DHW, radius=0.75):
    """The same within a cylinder, with air around."""
    position = np.linspace(-1, 1, volume_DHW.shape[1])
    inside_HW = position**2 + position[:, None] ** 2 < radius**2
    return np.where(inside_HW, 20 + volume_DHW, 0)


def measured(volume_DHW):
    small = [thumbnail(image_HW) for image_HW in volume_DHW]
    air = [air_around(one) for one in small]
    return correlation_by_distance(range(len(small)), small, air)


def test_the_outline_of_a_core_does_not_make_planes_resemble_each_other():
    free, core = (measured(one) for one in (structure(), in_a_core(structure())))
    assert free[1] > 0.85
    assert abs(free[12]) < 0.1
    assert core == pytest.approx(free, abs=0.12)
    assert forgotten_after(core, 0.0) == pytest.approx(forgotten_after(free, 0.0), abs=2)
    small = [thumbnail(image_HW) for image_HW in in_a_core(structure())]
    whole = correlation_by_distance(range(DEPTH), small, [np.zeros(THUMBNAIL, bool)] * DEPTH)
    assert min(whole.values()) > 0.8  # What was said of them before.


@settings(deadline=None)
@given(numbers=st.lists(st.none() | st.integers(0, 9), max_size=6))
def test_distances_are_those_of_numbers_that_ascend(numbers):
    small = list(np.random.default_rng(0).standard_normal((len(numbers), *THUMBNAIL)))
    found = correlation_by_distance(numbers, small, [np.zeros(THUMBNAIL, bool)] * len(numbers))
    pairs = itertools.combinations(numbers, 2)
    assert set(found) == {b - a for a, b in pairs if None not in (a, b) and b > a}
    assert all(-1 <= value <= 1 for value in found.values())


def test_planes_that_are_air_are_compared_with_nothing():
    small = list(structure(3))
    air = [np.zeros(THUMBNAIL, bool), np.ones(THUMBNAIL, bool), np.zeros(THUMBNAIL, bool)]
    assert list(correlation_by_distance([0, 1, 3], small, air)) == [3]


def test_where_planes_are_forgotten():
    curve = {d: 0.3 + 0.7 * np.exp(-d / 5) for d in range(1, 60)}
    # It falls to a tenth at d = 5 ln 10 = 11.5.
    assert forgotten_after(curve, 0.3) == 12
    outline = {d: 0.6 + 0.4 * np.exp(-d / 5) for d in range(1, 60)}
    assert forgotten_after(outline, 0.3) == 12
    assert forgotten_after({d: 1 - d / 100 for d in range(1, 60)}, 0.3) is None
    assert forgotten_after({1: 0.3}, 0.3) is None


def test_slices_resemble_their_neighbours_and_independent_images_do_not(tmp_path):
    files = []
    for z, image_HW in enumerate(structure()):
        files.append(tmp_path / f"z{z:03d}.tif")
        tifffile.imwrite(files[-1], image_HW)
    order = np.random.default_rng(0).permutation(DEPTH)
    near, other = resemblance(Slices("scan", files, list(range(DEPTH))))
    assert near > 0.8
    assert abs(other) < 0.3
    near, other = resemblance(Slices("images", [files[k] for k in order], list(range(DEPTH))))
    assert abs(near - other) < 0.2
    # Far numbers, or none, say nothing.
    assert resemblance(Slices("far", files, list(range(0, 50 * DEPTH, 50)))) is None
    assert resemblance(Slices("none", files, [None] * DEPTH)) is None
