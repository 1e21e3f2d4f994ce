import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.data.planes import Place, Plane
from xseg_jax.evaluation.calibration import Fit
from xseg_jax.evaluation.evaluate import Evaluation
from xseg_jax.modes import shown
from xseg_jax.report.slices import doubt, read_slices
from xseg_jax.scans.voxels import VoxelSize


@given(st.permutations(range(30)), st.integers(shown.FEWEST, 40))
def test_the_worst_and_evenly_spread_ones(worst_first, most):
    found = shown.choose(worst_first, most)
    assert found == sorted(set(found))
    assert len(found) == min(30, most)
    assert set(worst_first[: most // 3]) <= set(found)
    if most < 30:  # Between neighbours that are kept lie the worst, and at most a stride.
        stride = -(-30 // (most - most // 3))
        assert max(b - a for a, b in pairwise(found)) <= stride + most // 3 + 1


@pytest.mark.parametrize(
    ("pixels", "planes"), [(256 * 256, 48), (1024 * 1024, 48), (2048 * 2048, 12), (10**9, 6)]
)
def test_large_planes_are_fewer(pixels, planes):
    assert shown.room(pixels) == planes


class Trained:
    """Stands for a trained run of two classes: the brighter a pixel, the likelier is class 1."""

    joint_calibration = Fit(temperature=2.0)

    class facts:
        voxel_size = VoxelSize((math.nan, 0.5, 0.25), "um")

        class label_map:
            names = ("pore", "metal")

    def segment(self, planes):
        for plane in planes:
            share_HW = plane.image_HW / 100
            yield np.stack([1 - share_HW, share_HW], axis=-1).astype(np.float32)


def test_slices_are_kept_with_label_class_and_calibrated_doubt(tmp_path):
    rng = np.random.default_rng(0)
    planes = [
        Plane(
            f"s{n}",
            rng.integers(1, 99, (8, 9, 1)).astype(np.uint16),
            rng.integers(0, 2, (8, 9)).astype(np.uint8),
            Place("scan", axis=0 if n else 1, number=3 * n),
        )
        for n in range(3)
    ]
    found = Evaluation(0.1, np.ones((3, 2, 2), np.int64))
    shown.keep_slices(tmp_path / "slices.npz", planes, Trained(), found)
    kept = read_slices(tmp_path / "slices.npz")
    assert kept.names == ["pore", "metal"]
    assert (kept.pixel_size, kept.unit) == (0.25, "um")
    assert [record.name for record in kept.records] == ["s0", "s1", "s2"]
    assert [record.z for record in kept.records] == [None, 3, 6]  # The first is across y.
    for record, plane in zip(kept.records, planes, strict=True):
        share_HW = plane.image_HW / 100
        np.testing.assert_array_equal(record.class_HW, share_HW > 0.5)
        np.testing.assert_array_equal(record.label_HW, plane.label_HW)
        odds_HWK = np.sqrt(np.stack([1 - share_HW, share_HW], axis=-1))  # Temperature 2.
        expected_HW = doubt(odds_HWK / odds_HWK.sum(axis=-1, keepdims=True))
        difference_HW = record.doubt_HW.astype(int) - expected_HW
        assert abs(difference_HW).max() <= 1
        assert record.accuracy == pytest.approx((record.class_HW == plane.label_HW).mean())
