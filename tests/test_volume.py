import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from xseg_jax.inference.blocks import ALL_AXES, Block, blocks_of
from xseg_jax.inference.volume import (
    BETWEEN_AXES,
    BETWEEN_RUNS,
    LABEL,
    PROBABILITIES,
    UNCERTAINTY,
    disagreement,
    entropy,
    images_across,
    margins_of,
    planes_to_segment,
    scaled,
    segment_block,
)

CLASSES = 3
MAPS = (LABEL, PROBABILITIES, UNCERTAINTY, BETWEEN_AXES, BETWEEN_RUNS)


def volume(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def networks(images):
    """Two that see each pixel, its neighbours along H and W, and those in other planes."""
    for image_HWC in images:
        middle_HW = image_HWC[..., image_HWC.shape[-1] // 2].astype(np.float64)
        down_HW, right_HW = (np.roll(middle_HW, 1, axis) for axis in (0, 1))
        logits = [
            np.stack([8 * middle_HW, 6 * down_HW + image_HWC[..., 0], 5 * right_HW], axis=-1),
            np.stack([5 * middle_HW, 9 * image_HWC[..., -1], 4 + 0 * middle_HW], axis=-1),
        ]
        yield softmax(np.stack(logits), axis=-1).astype(np.float32)


def directly(gray_ZYX, axes, context):
    """Probabilities (A, M, Z, Y, X, K) of all planes across each axis."""
    found = []
    for axis in axes:
        last = gray_ZYX.shape[axis] - 1
        planes = [
            np.stack(
                [
                    gray_ZYX.take(min(max(n + d, 0), last), axis)
                    for d in range(-context, context + 1)
                ],
                axis=-1,
            )
            for n in range(last + 1)
        ]
        found.append(np.stack(list(networks(planes)), axis=1 + axis))
    return np.stack(found)


def whole(gray_ZYX, axes, context):
    inner = tuple(slice(0, n) for n in gray_ZYX.shape)
    return segment_block(
        gray_ZYX, inner, networks, axes=axes, context=context, maps=MAPS, classes=CLASSES
    )


@pytest.mark.parametrize("axes", [(0,), ALL_AXES])
@pytest.mark.parametrize("context", [0, 2])
def test_a_block_is_the_mean_over_axes_and_networks(axes, context):
    gray_ZYX = volume((4, 5, 6))
    found, each = whole(gray_ZYX, axes, context), directly(gray_ZYX, axes, context)
    mean_ZYXK = each.mean(axis=(0, 1))
    np.testing.assert_array_equal(found[LABEL], mean_ZYXK.argmax(axis=-1))
    near = {"atol": 1}  # Of 255: rounded from sums in another order.
    np.testing.assert_allclose(
        found[PROBABILITIES].astype(int), np.rint(255 * mean_ZYXK).transpose(3, 0, 1, 2), **near
    )

    def h(p):
        return -(p * np.log(p)).sum(axis=-1) / np.log(CLASSES)

    total = h(mean_ZYXK)
    of_axes = total - h(each.mean(axis=1)).mean(axis=0)
    of_runs = (h(each.mean(axis=1)) - h(each).mean(axis=1)).mean(axis=0)
    for name, expected in ((UNCERTAINTY, total), (BETWEEN_AXES, of_axes), (BETWEEN_RUNS, of_runs)):
        np.testing.assert_allclose(found[name].astype(int), np.rint(255 * expected), **near)
    assert found[BETWEEN_RUNS].max() > 20  # They do disagree.
    assert (found[BETWEEN_AXES].max() > 20) == (len(axes) > 1)


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.sampled_from([(0,), ALL_AXES]), st.integers(0, 2))
def test_blocks_with_margins_are_the_whole(shape, axes, context):
    """The network sees one pixel further, so that a margin of two holds all that it needs."""
    gray_ZYX = volume(shape, seed=1)
    expected, margins = whole(gray_ZYX, axes, context), margins_of(axes, context, overlap=2)
    for start in np.ndindex(*(-(-n // 4) for n in shape)):
        z, y, x = (4 * k for k in start)
        if axes == (0,):
            block = Block((z, 0, 0), (z + 4, *shape[1:])).cut(shape)
        else:
            block = Block((z, y, x), (z + 4, y + 4, x + 4)).cut(shape)
        outer = block.widened(margins, shape)
        found = segment_block(
            gray_ZYX[outer.region], block.within(outer), networks, axes=axes, context=context,
            maps=MAPS, classes=CLASSES,
        )  # fmt: skip
        # What np.roll brings from the other side is no neighbour.
        away = tuple(slice(max(1 - a, 0), None) for a in block.start)
        for name, values in found.items():
            there = expected[name][(..., *block.region)]
            np.testing.assert_array_equal(values[(..., *away)], there[(..., *away)], err_msg=name)


def test_only_what_is_wanted_is_made_and_every_plane_is_counted():
    gray_ZYX, count = volume((4, 5, 6)), []
    found = segment_block(
        gray_ZYX, (slice(1, 3), slice(0, 5), slice(2, 6)), networks, axes=ALL_AXES, context=0,
        maps=(LABEL, UNCERTAINTY), classes=CLASSES, advance=lambda: count.append(1),
    )  # fmt: skip
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(
        (LABEL, UNCERTAINTY), (2, 5, 4)
    )
    assert len(count) == 2 + 5 + 4 == planes_to_segment([Block((1, 0, 2), (3, 5, 6))], ALL_AXES)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_has_its_neighbours_in_order_and_the_last_ones_twice(axis):
    gray_ZYX = volume((3, 4, 5))
    images = list(images_across(gray_ZYX, axis, slice(0, gray_ZYX.shape[axis]), 1))
    assert len(images) == gray_ZYX.shape[axis]
    np.testing.assert_array_equal(images[1][..., 2], gray_ZYX.take(2, axis))
    np.testing.assert_array_equal(images[0][..., 0], gray_ZYX.take(0, axis))
    np.testing.assert_array_equal(images[-1][..., 2], gray_ZYX.take(-1, axis))


def test_entropy_is_0_where_the_network_is_sure_and_1_where_it_knows_nothing():
    sure, unknown = np.array([0, 1, 0], np.float32), np.full(3, 1 / 3, np.float32)
    np.testing.assert_allclose(entropy(np.stack([sure, unknown])), [0, 1], atol=1e-6)
    assert entropy(np.array([0.5, 0.5, 0], np.float32)) == pytest.approx(np.log(2) / np.log(3))
    # Two that are sure of different classes disagree as far as two can.
    other = np.array([1, 0, 0], np.float32)
    assert disagreement(np.stack([sure, other])) == pytest.approx(np.log(2) / np.log(3))
    assert disagreement(np.stack([unknown, unknown])) == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(scaled(np.array([-0.1, 0.5, 1.0001])), [0, 128, 255])


def test_slabs_need_the_neighbours_of_their_planes_and_blocks_what_tiles_overlap_by():
    assert margins_of((0,), 2, 64) == (2, 0, 0)
    assert margins_of(ALL_AXES, 2, 64) == (64, 64, 64)
    assert margins_of(ALL_AXES, 3, 1) == (3, 3, 3)
    assert len(blocks_of((40, 8, 8), (0,), 2)) == 3
