import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xseg_jax.inference.tiling import blend, cut, tile_count, tile_length, tile_starts

lengths = st.integers(1, 150)
tile_and_overlap = st.sampled_from([32, 64]).flatmap(
    lambda tile: st.tuples(st.just(tile), st.integers(0, tile - 1))
)


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "expected"),
    [
        (1, 64, 8, 32), (32, 64, 8, 32), (33, 64, 8, 64), (64, 64, 8, 64), (501, 512, 64, 512),
        (1000, 512, 64, 384),  # Three of 376; three of 512 would be a third more.
        (960, 512, 64, 512), (65, 64, 8, 64),
    ],
)  # fmt: skip
def test_tiles_are_the_smallest_multiples_of_32_that_do(length, tile, overlap, expected):
    assert tile_length(length, tile, overlap) == expected


@given(lengths, tile_and_overlap)
def test_smaller_tiles_are_no_more_of_them(length, options):
    tile, overlap = options
    size = tile_length(length, tile, overlap)
    assert size <= tile
    assert size % 32 == 0
    assert tile_count(length, size, overlap) == tile_count(length, tile, overlap)


@settings(deadline=None)
@given(lengths, tile_and_overlap)
def test_tiles_cover_an_axis_evenly_and_overlap(length, options):
    tile, overlap = options
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert max(starts[-1] + tile, length) == max(tile, length)
    gaps = np.diff(starts)
    assert (gaps >= 1).all()
    assert (tile - gaps >= overlap).all()
    if len(starts) > 1:
        assert gaps.max() - gaps.min() <= 1
        # One tile less could not overlap so far.
        assert (len(starts) - 1) * tile - (len(starts) - 2) * overlap < length


@settings(max_examples=50, deadline=None)
@given(lengths, lengths, tile_and_overlap, st.sampled_from([1, 3]))
@example(105, 106, (64, 63), 3)
def test_cut_and_blend_give_the_image_back(height, width, options, channels):
    rng = np.random.default_rng(height)
    image_HWC = rng.standard_normal((height, width, channels)).astype(np.float32)
    corners, tiles_ThwC = cut(image_HWC, *options)
    assert tiles_ThwC.shape[3] == channels
    for (y, x), tile_hwC in zip(corners, tiles_ThwC, strict=True):
        inside_hwC = image_HWC[y : y + tile_hwC.shape[0], x : x + tile_hwC.shape[1]]
        np.testing.assert_array_equal(
            tile_hwC[: inside_hwC.shape[0], : inside_hwC.shape[1]], inside_hwC
        )
    # What is a function of the position alone is the same in all tiles that hold a pixel.
    threes_Thw1 = np.full_like(tiles_ThwC[..., :1], 3)
    blended_HWK = blend(corners, np.concatenate([tiles_ThwC, threes_Thw1], axis=-1), height, width)
    assert blended_HWK.dtype == np.float32
    np.testing.assert_allclose(blended_HWK[..., :-1], image_HWC, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(blended_HWK[..., -1], 3, rtol=1e-6)


def test_an_image_smaller_than_a_tile_is_mirrored_and_left_as_it_is():
    image_HWC = np.random.default_rng(0).standard_normal((20, 70, 2)).astype(np.float32)
    corners, tiles_ThwC = cut(image_HWC, 128, 16)
    assert corners == [(0, 0)]
    assert tiles_ThwC.shape == (1, 32, 96, 2)
    np.testing.assert_array_equal(tiles_ThwC[0, :20, :70], image_HWC)
    np.testing.assert_array_equal(tiles_ThwC[0, 20:, :70], image_HWC[:-13:-1])
    np.testing.assert_array_equal(tiles_ThwC[0, :20, 70:], image_HWC[:, :-27:-1])
    np.testing.assert_array_equal(blend(corners, tiles_ThwC, 20, 70), image_HWC)


def test_a_tile_weighs_least_at_its_edge():
    # Two tiles of 0 and 1, that share 4 columns of weights 4:1, 3:2, 2:3 and 1:4.
    tiles_hwK = [np.full((8, 8, 1), value, np.float32) for value in (0, 1)]
    blended_HW = blend([(0, 0), (0, 4)], tiles_hwK, 8, 12)[..., 0]
    row_W = [0, 0, 0, 0, 1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1, 1]
    np.testing.assert_allclose(blended_HW, np.tile(row_W, (8, 1)), atol=1e-6)


def test_a_missing_tile_is_an_error():
    with pytest.raises(ValueError, match="shorter than argument 1"):
        blend([(0, 0), (0, 4)], [np.zeros((8, 8, 1), np.float32)], 8, 12)
