"""Levels of a pyramid: which axes are halved, and what a voxel of a level is."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.scans.pyramid import factors_of_levels, majority, mean, shapes_of_levels


@pytest.mark.parametrize(
    ("shape", "sizes", "expected"),
    [
        ((100, 256, 256), (1, 1, 1), [(1, 1, 1)]),
        ((100, 257, 256), (1, 1, 1), [(1, 1, 1), (2, 2, 2)]),
        ((1024, 1024, 1024), (1, 1, 1), [(1, 1, 1), (2, 2, 2), (4, 4, 4)]),
        # Planes four times as far apart as their pixels wait for these.
        ((200, 2048, 2048), (4, 1, 1), [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]),
        # 1.5 is nearer to 2 than to 1, as factors go; 1.4 is not.
        ((300, 300, 300), (1.5, 1, 1), [(1, 1, 1), (1, 2, 2), (2, 4, 4)]),
        ((300, 300, 300), (1.4, 1, 1), [(1, 1, 1), (2, 2, 2)]),
        # One plane has no depth to halve; nor does its distance hold the others back.
        ((1, 600, 600), (0.1, 1, 1), [(1, 1, 1), (1, 2, 2), (1, 4, 4)]),
    ],
)
def test_only_the_finer_axes_are_halved(shape, sizes, expected):
    assert factors_of_levels(shape, sizes) == expected


sides, lengths = st.integers(1, 5000), st.floats(1e-3, 1e3)


@given(st.tuples(sides, sides, sides), st.tuples(lengths, lengths, lengths))
def test_levels_end_small_and_voxels_do_not_become_longer_than_before(shape, sizes):
    factors = factors_of_levels(shape, sizes)
    shapes = shapes_of_levels(shape, factors)
    assert (factors[0], shapes[0]) == ((1, 1, 1), shape)
    assert max(shapes[-1]) <= 256
    assert all(max(shape) > 256 for shape in shapes[:-1])
    for before, after in itertools.pairwise(factors):
        assert {b // a for a, b in zip(before, after, strict=True)} <= {1, 2}
        assert before != after
    # Where every axis can be halved, voxels become cubes, but for a factor of 2 between sides.
    if min(shapes[-1]) > 1:
        spread = [max(v) / min(v) for v in (np.multiply(sizes, f) for f in factors)]
        assert all(b <= max(a, 2) * (1 + 1e-9) for a, b in itertools.pairwise(spread))


steps = st.tuples(*[st.integers(1, 2)] * 3)
shapes = st.tuples(*[st.integers(1, 7)] * 3)


def covered(block_ZYX, step):
    """The voxels of each voxel of the next level, by the plainest way."""
    sides = [-(-length // by) for length, by in zip(block_ZYX.shape, step, strict=True)]
    for place in np.ndindex(*sides):
        key = tuple(slice(k * by, (k + 1) * by) for k, by in zip(place, step, strict=True))
        yield place, block_ZYX[key].ravel()


@given(shapes, steps, st.integers(1, 4), st.sampled_from(["uint8", "uint16", "uint32"]),
       st.integers(0, 99))  # fmt: skip
def test_majority(shape, step, classes, dtype, seed):
    values = np.array([3, 250, 0, 77], dtype)[:classes]
    block_ZYX = np.random.default_rng(seed).choice(values, shape)
    result_zyx = majority(block_ZYX, step)
    assert result_zyx.dtype == dtype
    count = 0
    for place, found in covered(block_ZYX, step):
        # np.unique sorts, so that argmax takes the smaller of two as frequent.
        known, times = np.unique(found, return_counts=True)
        assert result_zyx[place] == known[times.argmax()]
        count += 1
    assert result_zyx.size == count


@given(shapes, steps, st.sampled_from(["uint8", "uint16", "uint32", "float32"]), st.integers(0, 99))
def test_mean(shape, step, dtype, seed):
    random = np.random.default_rng(seed)
    if dtype == "float32":
        block_ZYX = random.random(shape, dtype)
    else:
        block_ZYX = random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    result_zyx = mean(block_ZYX, step)
    assert result_zyx.dtype == dtype
    for place, found in covered(block_ZYX, step):
        exact = np.mean(found, dtype=np.float64)
        if dtype == "float32":
            assert result_zyx[place] == pytest.approx(exact, rel=1e-6)
        else:
            assert result_zyx[place] == np.floor(exact + 0.5)


def test_the_mean_of_the_largest_values_does_not_overflow():
    full_ZYX = np.full((3, 3, 3), 2**32 - 1, np.uint32)
    assert (mean(full_ZYX, (2, 2, 2)) == 2**32 - 1).all()
