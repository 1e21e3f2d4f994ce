"""evaluation/lengths.py: boundaries in the unit of the voxel size."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.data.planes import Place
from xseg_jax.evaluation.boundaries import boundary_scores, boundary_sums
from xseg_jax.evaluation.lengths import Pixel, pixel_of, with_lengths
from xseg_jax.scans.voxels import VoxelSize

ACROSS_Z = [Place("a", 0, n) for n in range(3)]


def shifted(by):
    label_HW, guess_HW = np.zeros((2, 40, 40), np.uint8)
    label_HW[:, :15], guess_HW[:, : 15 + by] = 1, 1
    return boundary_sums(label_HW, guess_HW, 2, tolerance=2.0)


@given(st.integers(0, 8), st.floats(1e-3, 1e3))
def test_distances_are_pixels_times_their_edge(by, edge):
    found = with_lengths(boundary_scores(shifted(by), ["a", "b"]), Pixel(edge, "nm"))
    assert (found["unit"], found["pixel_size"]) == ("nm", edge)
    assert found["tolerance_length"] == pytest.approx(2 * edge)
    for row in found["per_class"].values():
        assert row["hd95_length"] == pytest.approx(by * edge, rel=1e-6)
        assert row["mean_distance_length"] == pytest.approx(by * edge, rel=1e-6)


def test_what_has_no_distance_has_no_length_and_without_a_size_nothing_is_added():
    label_HW = np.zeros((20, 20), np.uint8)
    scores = boundary_scores(boundary_sums(label_HW, label_HW, 2), ["a", "b"])
    assert with_lengths(scores, Pixel(0.5, "um"))["per_class"]["a"]["hd95_length"] is None
    assert with_lengths(scores, None) == scores


@pytest.mark.parametrize(
    ("axis", "size", "expected"),
    [
        (0, (2.0, 0.5, 0.5), 0.5),
        (0, (math.nan, 0.5, 0.5), 0.5),  # Single slices.
        (0, (2.0, 0.5, 0.5001), 0.50005),
        (0, (0.5, 0.5, 0.6), None),
        (1, (2.0, 0.5, 0.5), None),  # Pixels are no squares.
        (2, (0.5, 0.5, 2.0), 0.5),
        (0, (0.5, math.nan, 0.5), None),
    ],
)
def test_pixels_have_a_size_where_they_are_squares_and_known(axis, size, expected):
    found = pixel_of([Place("a", axis, 3)], VoxelSize(size, "um"))
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.edge == pytest.approx(expected)
        assert found.unit == "um"


def test_planes_across_several_axes_need_cubes():
    places = [*ACROSS_Z, Place("a", 1, 0)]
    assert pixel_of(places, VoxelSize((1.0, 0.5, 0.5), "um")) is None
    assert pixel_of(places, VoxelSize((0.5, 0.5, 0.5), "um")) == Pixel(0.5, "um")
    assert pixel_of(places, None) is None
