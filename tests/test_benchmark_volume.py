"""benchmarks/volume.py: cubes, and what is told of them."""

import numpy as np
import pytest
import tifffile

from benchmarks import volume
from benchmarks.volume import LIMIT, OURS, Timed, make_cube, summary


def test_a_cube_has_three_phases_and_repeats_itself(tmp_path):
    cube_ZYX = tifffile.imread(make_cube(tmp_path / "cube.tif", 80))
    assert cube_ZYX.shape == (80, 80, 80)
    assert cube_ZYX.dtype == np.uint16
    np.testing.assert_array_equal(cube_ZYX[:16], cube_ZYX[volume.PERIOD :])
    shares, _ = np.histogram(cube_ZYX, [0, 13_500, 22_500, 65_535])
    assert shares.min() > 0.25 * cube_ZYX.size


def test_a_large_cube_takes_no_place_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(volume, "FILLED", 32)
    path = make_cube(tmp_path / "cube.tif", 64)
    assert path.stat().st_size > 2 * 64**3
    assert path.stat().st_blocks * 512 < 0.2 * 2 * 64**3
    assert not tifffile.imread(path).any()


def test_a_row_has_the_medians_of_the_rounds_and_the_highest_peak():
    rounds = [
        {LIMIT: Timed(1.0, 0.5), OURS: Timed(2.0, 0.4, 0.5, 0.1)},
        {LIMIT: Timed(3.0, 0.7), OURS: Timed(4.0, 0.6, 1.0, 0.1)},
    ]
    row = summary(10, OURS, rounds)
    assert row["voxels_per_second"] == pytest.approx(1000 / 3.0)
    assert row["of_the_limit"] == pytest.approx(2.0 / 3.0)
    assert row["peak_gib"] == 0.6
    assert row["read"] == pytest.approx(0.25)
    assert np.isnan(summary(10, LIMIT, rounds)["read"])
