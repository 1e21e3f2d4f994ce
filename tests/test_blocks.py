import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.inference import blocks
from xseg_jax.inference.blocks import ALL_AXES, Block, blocks_of, chunks_of

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 600), st.integers(1, 600))
SMALL = st.tuples(*[st.integers(1, 40)] * 3)


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.sampled_from([(0,), ALL_AXES]))
def test_blocks_cover_a_volume_once_in_whole_chunks(shape, axes):
    chunks = chunks_of(shape)
    assert sum(int(np.prod(one.shape)) for one in blocks_of(shape, axes, 3)) == np.prod(shape)
    starts = set()
    for one in blocks_of(shape, axes, 3):
        starts.add(one.start)
        for start, stop, chunk, length in zip(one.start, one.stop, chunks, shape, strict=True):
            assert 0 <= start < stop <= length
            assert start % chunk == 0
            assert stop % chunk == 0 or stop == length
    assert len(starts) == len(blocks_of(shape, axes, 3))


def test_a_block_across_z_is_a_slab_of_whole_planes_however_large():
    for one in blocks_of((300, 2048, 2048), (0,), 3):
        assert one.shape[1:] == (2048, 2048)
        assert one.shape[0] <= blocks.SLAB_PLANES


@pytest.mark.parametrize("shape", [(512, 512, 512), (300, 2048, 2048), (4000, 900, 900)])
@pytest.mark.parametrize("classes", [2, 3, 11])
def test_sums_of_a_block_that_is_seen_along_all_axes_fit_and_are_not_small(shape, classes):
    sizes = [
        4 * classes * np.prod(one.shape, dtype=float) for one in blocks_of(shape, ALL_AXES, classes)
    ]
    assert max(sizes) <= blocks.SUMS_BYTES
    assert max(sizes) > blocks.SUMS_BYTES / 3


@settings(deadline=None, max_examples=40)
@given(SMALL, st.tuples(*[st.integers(0, 90)] * 3), st.data())
def test_a_widened_block_is_cut_where_the_volume_ends_and_finds_itself_again(shape, margins, data):
    one = data.draw(st.sampled_from(blocks_of(shape, (0,), 2)))
    outer = one.widened(margins, shape)
    for a, b, start, stop, margin, n in zip(
        outer.start, outer.stop, one.start, one.stop, margins, shape, strict=True
    ):
        assert a == max(0, start - margin)
        assert b == min(n, stop + margin)
    place = np.indices(outer.shape) + np.array(outer.start)[:, None, None, None]
    inner = place[(slice(None), *one.within(outer))]
    assert inner.shape[1:] == one.shape
    np.testing.assert_array_equal(inner[:, 0, 0, 0], one.start)
    np.testing.assert_array_equal(inner[:, -1, -1, -1], np.array(one.stop) - 1)


def test_a_block_indexes_its_part_of_a_volume():
    volume = np.arange(60).reshape(3, 4, 5)
    np.testing.assert_array_equal(volume[Block((1, 0, 2), (3, 4, 4)).region], volume[1:3, :, 2:4])
