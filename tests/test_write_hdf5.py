"""HDF5, opened by h5py: chunks, attributes as other programs know them, the place for ours."""

import json

import h5py
import numpy as np
import pytest
from written import ABOUT, LEGEND, TURN, labels, write

from xseg_jax.scans.scan import Geometry, open_scan


def test_what_other_programs_read(tmp_path):
    expected_ZYX = labels("uint16", (6, 300, 20))
    with h5py.File(write(tmp_path / "a.h5", expected_ZYX)) as file:
        assert list(file) == ["segmentation"]
        data = file["segmentation"]
        np.testing.assert_array_equal(data[...], expected_ZYX)
        assert (data.chunks, data.compression, data.dtype) == ((4, 256, 20), "gzip", "<u2")
        assert data.attrs["element_size_um"].tolist() == [2.0, 0.5, 0.25]
        assert [dimension.label for dimension in data.dims] == ["z", "y", "x"]
        tags = json.loads(data.attrs["axistags"])["axes"]
        assert [tag["key"] for tag in tags] == ["z", "y", "x"]
        assert data.attrs["class_values"].tolist() == list(LEGEND.values)
        assert data.attrs["class_names"].tolist() == list(LEGEND.names)
        assert data.attrs["class_colours"].tolist() == list(LEGEND.colours)
        assert json.loads(data.attrs["about"]) == {**ABOUT, "classes": LEGEND.classes()}


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_the_last_slab_may_be_short(tmp_path, count):
    expected_ZYX = labels(shape=(count, 6, 7))
    with h5py.File(write(tmp_path / "a.h5", expected_ZYX)) as file:
        np.testing.assert_array_equal(file["segmentation"][...], expected_ZYX)


def test_the_place_comes_back_in_micrometres(tmp_path):
    placed = Geometry((2.0, 0.5, 0.25), "mm", (10.0, -20.0, 30.0), TURN)
    with open_scan(write(tmp_path / "a.h5", labels(), placed)) as scan:
        assert scan.unit == "um"
        np.testing.assert_allclose(scan.voxel_size, (2000, 500, 250))
        np.testing.assert_allclose(scan.geometry.origin, (10000, -20000, 30000))
        assert scan.geometry.direction == TURN


def test_a_size_without_unit_is_not_called_micrometres(tmp_path):
    with open_scan(write(tmp_path / "a.h5", labels(), Geometry((2.0, 0.5, 0.25)))) as scan:
        assert scan.geometry == Geometry()


def test_a_narrow_volume_is_not_taken_for_colours(tmp_path):
    # Without the names of its axes 5 x 7 x 3 of 8 bits would be an RGB image.
    with open_scan(write(tmp_path / "a.h5", labels(shape=(5, 7, 3)))) as scan:
        np.testing.assert_array_equal(scan.slab(0, 5), labels(shape=(5, 7, 3)))


def test_measured_values_have_no_classes(tmp_path):
    with h5py.File(write(tmp_path / "a.h5", labels("float32"))) as file:
        assert "class_names" not in file["segmentation"].attrs
