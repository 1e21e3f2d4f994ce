"""Metadata of OME-Zarr as its schemas of 0.4 and 0.5 ask for them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import GEOMETRY, LEGEND

from xseg_jax.scans import ome
from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.write import Legend

FACTORS = [(1, 1, 1), (1, 2, 2), (2, 4, 4)]
# The words for lengths that image.schema has, as far as scans can have them.
WORDS = {"angstrom", "nanometer", "micrometer", "millimeter", "centimeter", "meter", "inch"}


def attributes(version="0.4", geometry=GEOMETRY, legend=LEGEND, channels=(), dtype="uint8"):
    said = ome.attributes(
        version=version,
        name="a",
        geometry=geometry,
        factors=FACTORS,
        legend=legend,
        channels=channels,
        dtype=np.dtype(dtype),
    )
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    return said


def valid(said, version):
    """Checks what the strict schemas of image and label require; gives the multiscale image."""
    if version == "0.5":
        assert set(said) == {"ome"}
        said = said["ome"]
        assert said["version"] == "0.5"
    (image,) = said["multiscales"]
    assert image.get("version") == ("0.4" if version == "0.4" else None)
    assert {"name", "type", "axes", "datasets"} <= set(image)
    kinds = [axis["type"] for axis in image["axes"]]
    assert kinds[-3:] == ["space"] * 3
    assert kinds[:-3] in ([], ["channel"])
    assert [axis["name"] for axis in image["axes"]] == list("czyx"[-len(kinds) :])
    assert {axis["unit"] for axis in image["axes"] if "unit" in axis} <= WORDS
    for level, data in enumerate(image["datasets"]):
        assert data["path"] == str(level)
        scale, translation = data["coordinateTransformations"]
        assert (scale["type"], translation["type"]) == ("scale", "translation")
        assert len(scale["scale"]) == len(translation["translation"]) == len(kinds)
        assert all(isinstance(size, float) and size > 0 for size in scale["scale"])
    if "image-label" in said:
        label = said["image-label"]
        assert label.get("version") == ("0.4" if version == "0.4" else None)
        for rows in (label["colors"], label["properties"]):
            found = [row["label-value"] for row in rows]
            assert len(set(found)) == len(found) >= 1
            assert all(isinstance(value, int) for value in found)
        for row in label["colors"]:
            assert len(row["rgba"]) == 4
            assert all(isinstance(part, int) and 0 <= part <= 255 for part in row["rgba"])
    for channel in said.get("omero", {}).get("channels", ()):
        assert set(channel["window"]) == {"start", "end", "min", "max"}
        assert len(bytes.fromhex(channel["color"])) == 3
    return image


geometries = st.builds(
    Geometry,
    st.none() | st.tuples(*[st.floats(1e-9, 1e9) | st.just(float("nan"))] * 3),
    st.none() | st.sampled_from(sorted(ome.UNITS)),
    st.none() | st.tuples(*[st.floats(-1e9, 1e9)] * 3),
)


@given(
    st.sampled_from(ome.VERSIONS),
    geometries,
    st.none() | st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30, unique=True),
    st.lists(st.text(), max_size=15),
)
def test_any_image_is_valid(version, geometry, values, channels):
    legend = Legend.of(values, ["é"] * len(values)) if values else None
    dtype = "uint32" if values else "float32"
    image = valid(attributes(version, geometry, legend, channels, dtype), version)
    assert len(image["axes"]) == (4 if channels else 3)


@pytest.mark.parametrize("version", ome.VERSIONS)
def test_scale_translation_and_unit(version):
    image = valid(attributes(version), version)
    assert [axis["unit"] for axis in image["axes"]] == ["micrometer"] * 3
    steps = [data["coordinateTransformations"] for data in image["datasets"]]
    assert [scale["scale"] for scale, _ in steps] == [[2, 0.5, 0.25], [2, 1, 0.5], [4, 2, 1]]
    # The first voxel of a level lies amid those that it covers.
    assert [shift["translation"] for _, shift in steps] == [
        [1.0, 2.0, 3.0], [1.0, 2.25, 3.125], [2.0, 2.75, 3.375],
    ]  # fmt: skip
    assert image["type"] == "mode"
    assert valid(attributes(version, legend=None), version)["type"] == "mean"


def test_what_is_not_known_is_1_without_a_unit():
    image = valid(attributes(geometry=Geometry((float("nan"), 0.5, 0.25), "nm")), "0.4")
    assert [axis.get("unit") for axis in image["axes"]] == [None, "nanometer", "nanometer"]
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 0.5, 0.25]
    image = valid(attributes(geometry=Geometry()), "0.4")
    assert [axis.get("unit") for axis in image["axes"]] == [None] * 3
    assert image["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 2.0, 2.0]


def test_labels_and_channels():
    label = attributes()["image-label"]
    assert label["colors"][1] == {"label-value": 7, "rgba": [68, 170, 153, 255]}
    assert label["properties"][1] == {"label-value": 7, "name": "céramique"}
    said = attributes(legend=None, channels=("pore", "metal"), dtype="float32")
    assert "image-label" not in said
    rows = said["omero"]["channels"]
    assert [row["label"] for row in rows] == ["pore", "metal"]
    assert [row["color"] for row in rows] == ["332288", "44aa99"]
    assert rows[0]["window"]["max"] == 1.0
    said = attributes(legend=None, channels=("pore",), dtype="uint8")
    assert said["omero"]["channels"][0]["window"]["end"] == 255.0
