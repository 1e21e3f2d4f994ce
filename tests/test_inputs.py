"""From what a user names to scans, and what is said of them."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs import scan, tiny
from xseg_jax.data.sources import open_sources
from xseg_jax.errors import InputError
from xseg_jax.modes.inputs import (
    describe_phantom,
    describe_sources,
    images_in,
    kind_of_scored,
    sources_of,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_a_volume_is_described_by_its_shape_and_type(tmp_path, shape, dtype):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric="minisblack")
    depth, height, width = shape
    said = describe_sources(open_sources(str(path)))
    assert said == f"{depth} slices of {height} x {width}, {dtype}"


def test_slices_images_and_scans_are_told_apart(write_folder, write, tmp_path):
    images, _ = write_folder(tmp_path / "a", 4, shape=(12, 10), dtype=np.uint16)
    config = scan.get_config()
    assert describe_sources(sources_of(config, str(images))) == "4 slices of 12 x 10, uint16"
    config.data.split.kind = "group"
    assert describe_sources(sources_of(config, str(images))) == "4 images of 12 x 10, uint16"
    write(images / "slice_009.tif", np.zeros((9, 9), np.uint16))
    said = describe_sources(sources_of(config, str(images)))
    assert said == "5 images of several sizes, as 12 x 10, uint16"
    sources = sources_of(config, str(images))
    (images / "slice_009.tif").write_bytes(b"damaged")  # Not for this to say.
    assert describe_sources(sources) == "5 images of 12 x 10, uint16"
    (images / "slice_000.tif").write_bytes(b"damaged")
    assert describe_sources(sources) == "5 images"
    for name, depth in (("one", 2), ("two", 3)):
        array = np.zeros((depth, 8, 7), np.uint8)
        write(tmp_path / "scans" / f"{name}.npy", array)
    said = describe_sources(sources_of(config, str(tmp_path / "scans")))
    assert said == "2 scans, 5 slices of 8 x 7, uint8"


def test_a_phantom_is_described_by_its_config():
    config = tiny.get_config()
    assert describe_phantom(config) == "synthetic tomogram, 20 slices of 48 x 48, uint16"
    config.data.phantom.z_step = 3
    assert describe_phantom(config) == "synthetic tomogram, 14 slices of 48 x 48, uint16"


@pytest.mark.parametrize(
    ("independent", "kind", "expected"),
    [(True, "z", "group"), (True, "group", "group"), (False, "z", "z"), (False, "none", "none"),
     (False, "group", "z")],
)  # fmt: skip
def test_what_is_scored_is_what_it_is_and_not_what_was_trained_on(
    write_folder, tmp_path, independent, kind, expected
):
    images, _ = write_folder(tmp_path, 3)
    assert kind_of_scored(open_sources(str(images), independent=independent), kind) == expected


def test_the_folder_above_images_is_as_good_as_theirs(write_folder, tmp_path):
    images, labels = write_folder(tmp_path / "root", 2)
    assert images_in(tmp_path / "root") == str(images)
    assert images_in(images) == str(images)
    assert images_in(images / "slice_000.tif") == str(images / "slice_000.tif")
    assert images_in(labels.parent / "nowhere") == str(labels.parent / "nowhere")
    (tmp_path / "root" / "data").mkdir()
    with pytest.raises(InputError, match="expected one folder of images called images or data"):
        images_in(tmp_path / "root")
