"""evaluation/doubt.py: masks that are drawn from probabilities, and what they leave open."""

import numpy as np
import pytest

from xseg_jax.evaluation.doubt import intervals_of_doubt, masks, masks_for
from xseg_jax.measure.quantities import FAMILIES, Key

NAMES = ("pore", "solid", "metal")
CUBE = (1.0, 1.0, 1.0)


def reading(share_KZYX):
    return lambda region: share_KZYX[(slice(None), *region)]


def test_a_class_is_drawn_as_often_as_it_is_probable():
    share_K = np.array([51, 153, 51])  # 0.2, 0.6, 0.2
    share_KZYX = np.broadcast_to(share_K[:, None, None, None], (3, 1, 1, 1)).astype(np.uint8)
    drawn = masks(reading(share_KZYX), (1, 1, 1), 3, draws=4000)
    found = [int(one[0:1, 0:1, 0:1][0, 0, 0]) for one in drawn]
    assert np.bincount(found) / 4000 == pytest.approx(share_K / 255, abs=0.02)


def test_where_the_network_is_certain_nothing_is_open():
    label_ZYX = np.random.default_rng(0).integers(0, 3, (6, 7, 8))
    share_KZYX = (label_ZYX == np.arange(3)[:, None, None, None]).astype(np.uint8) * 255
    drawn = masks(reading(share_KZYX), label_ZYX.shape, 3)
    for one in drawn[:3]:
        np.testing.assert_array_equal(one[1:5, 0:7, 2:8], label_ZYX[1:5, :, 2:8])
    found = intervals_of_doubt(FAMILIES["fractions"], drawn, NAMES, CUBE)
    for k, name in enumerate(NAMES):
        interval = found[Key("volume_fraction", name)]
        share = (label_ZYX == k).mean()
        assert (interval.low, interval.value, interval.high) == pytest.approx((share,) * 3)


@pytest.mark.parametrize("family", ["connectivity", "tortuosity"])
def test_what_sees_a_whole_volume_has_its_doubt_too(family):
    """A channel that is certain in half of its width: if wide it conducts better."""
    share_ZYX = np.zeros((8, 24, 24), np.uint8)
    share_ZYX[:, 6:18] = 128
    share_ZYX[:, 9:15] = 255
    drawn = masks(reading(np.stack([255 - share_ZYX, share_ZYX])), share_ZYX.shape, 2)
    found = intervals_of_doubt(FAMILIES[family], drawn, ("solid", "pore"), CUBE)
    assert len(masks_for(FAMILIES[family], drawn)) == 4
    if family == "connectivity":
        whole = found[Key("percolating_fraction", "pore", axis="x")]
        assert (whole.low, whole.value, whole.high) == (1, 1, 1)  # It crosses in any case.
    else:
        conducts = found[Key("effective_diffusivity", "pore", axis="x")]
        assert 0 <= conducts.low < 6 / 24 + 1e-6 < conducts.value < 12 / 24 < conducts.high <= 1
        straight = found[Key("tortuosity", "pore", axis="x")]
        assert (straight.low, straight.high) == pytest.approx((1, 1), abs=0.01)


def test_more_doubt_leaves_more_open():
    """A ball whose surface is blurred: the wider, the less is its volume known."""
    z, y, x = np.ogrid[-16:16, -16:16, -16:16]
    outside_ZYX = np.sqrt(z**2 + y**2 + x**2) - 9
    widths = []
    for blur in (0.3, 1.0, 3.0):
        solid_ZYX = 1 / (1 + np.exp(outside_ZYX / blur))
        share_KZYX = np.rint(255 * np.stack([1 - solid_ZYX, solid_ZYX])).astype(np.uint8)
        drawn = masks(reading(share_KZYX), (32, 32, 32), 2)
        found = intervals_of_doubt(FAMILIES["fractions"], drawn, NAMES[:2], CUBE)
        interval = found[Key("volume_fraction", "solid")]
        widths.append(interval.high - interval.low)
        # Smooth masks: each surface is that of a ball, not of noise.
        surface = intervals_of_doubt(FAMILIES["surfaces"], drawn, NAMES[:2], CUBE)
        radius = 9 + 2 * blur
        area = surface[Key("surface_density", "solid")].value * 31**3
        assert 0.5 * 4 * np.pi * 9**2 < area < 2 * 4 * np.pi * radius**2
    assert widths[0] < widths[1] < widths[2]


def test_masks_are_the_same_each_time():
    share_KZYX = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 6)).astype(np.uint8)
    first, again = (masks(reading(share_KZYX), (4, 5, 6), 2) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[0:4, 0:5, 0:6], other[0:4, 0:5, 0:6])
