"""A preview shows each class in its colour, whatever its value."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from written import LEGEND, labels

from xseg_jax.errors import SaveError
from xseg_jax.scans.preview import write_preview
from xseg_jax.scans.write import Legend


def test_each_class_has_its_colour_and_its_name(tmp_path):
    label_YX = labels()[0]
    write_preview(tmp_path / "a.png", label_YX, LEGEND)
    with Image.open(tmp_path / "a.png") as image:
        assert json.loads(image.text["Description"])["classes"] == LEGEND.classes()
        shown = np.asarray(image.convert("RGB"))
    for value, rgb in zip(LEGEND.values, LEGEND.rgb, strict=True):
        assert (label_YX == value).any()
        assert (shown[label_YX == value] == rgb).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@given(
    values=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300, unique=True),
    seed=st.integers(0, 99),
)
def test_any_values_in_any_order(tmp_path_factory, values, seed):
    legend = Legend.of(values, [f"c{value}" for value in values])
    rng = np.random.default_rng(seed)
    label_YX = rng.choice(np.array(values, np.uint32), (5, 7))
    path = tmp_path_factory.mktemp("p") / "a.png"
    write_preview(path, label_YX, legend)
    with Image.open(path) as image:
        shown = np.asarray(image.convert("RGB"))
    for value, rgb in zip(legend.values[:256], legend.rgb[:256], strict=True):
        assert (shown[label_YX == value] == rgb).all()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SaveError, match=r"a\.png"):
        write_preview(tmp_path / "none" / "a.png", labels()[0], LEGEND)
