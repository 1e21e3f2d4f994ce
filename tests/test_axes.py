"""Which axes of an array are z, y and x, by their names or their lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.errors import InputError
from xseg_jax.scans.axes import choose, to_volume


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((7, 9), (0, 1)), ((5, 7, 9), (0, 1, 2)), ((1, 7, 9), (0, 1, 2)), ((5, 7, 1), (0, 1, 2)),
     ((1, 5, 7, 9), (1, 2, 3)), ((5, 1, 7, 1, 9), (0, 2, 4)), ((1, 1, 7, 9), (2, 3)),
     ((1, 1, 1, 9), (2, 3)), ((1, 1, 1, 1), (2, 3)), ((2, 1, 1, 1), (0, 3))],
)  # fmt: skip
def test_axes_without_names(shape, axes):
    assert to_volume(shape, "a") == axes


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_no_voxel_is_left_out(shape):
    long = sum(length > 1 for length in shape)
    if len(shape) == 1 or (len(shape) > 3 and long > 3):
        with pytest.raises(InputError, match="expected a volume"):
            to_volume(shape, "a")
        return
    axes = to_volume(shape, "a")
    assert len(axes) in (2, 3)
    assert np.prod([shape[axis] for axis in axes]) == np.prod(shape)
    assert list(axes) == sorted(axes)


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((9,), "uint8", r"a: has shape \(9,\); expected a volume \(z, y, x\) or a slice \(y, x\)"),
        ((2, 5, 7, 9), "uint8", r"a: has shape \(2, 5, 7, 9\); expected a volume"),
        ((50, 70, 3), "uint8", r"a: has shape \(50, 70, 3\): a colour image; X-ray images are gr"),
        ((1, 50, 70, 4), "uint8", r"a: has shape \(1, 50, 70, 4\): a colour image"),
    ],
)
def test_axes_that_make_no_volume(shape, dtype, said):
    with pytest.raises(InputError, match=said):
        to_volume(shape, "a", dtype=np.dtype(dtype))
    if shape[-1] in (3, 4):  # Measured values of such a shape are a thin volume.
        assert len(to_volume(shape, "a", dtype=np.dtype("float32"))) == 3


@pytest.mark.parametrize(
    ("axes", "shape", "inside", "fixed"),
    [
        ("zyx", (5, 7, 9), "", {}),
        ("yx", (7, 9), "", {}),
        ("tzcyx", (3, 5, 2, 7, 9), "c=1,t=2", {"t": 2, "c": 1}),
        ("tzcyx", (1, 5, 1, 7, 9), "", {"t": 0, "c": 0}),
        ("tyx", (5, 7, 9), "", {}),
        ("tyx", (5, 7, 9), "t=3", {"t": 3}),
        ("tzyx", (5, 1, 7, 9), "", {"z": 0}),
        ("cyx", (2, 7, 9), "c=1", {"c": 1}),
        ("cyx", (1, 7, 9), "", {"c": 0}),
        ("qayx", (2, 5, 7, 9), "q=1", {"q": 1}),
        ("tcyx", (5, 2, 7, 9), "c=0", {"c": 0}),
    ],
)
def test_choices(axes, shape, inside, fixed):
    assert choose(axes, shape, inside, "a") == fixed


@pytest.mark.parametrize(
    ("axes", "shape", "inside", "said"),
    [
        ("cyx", (2, 7, 9), "", r"2 along c \(c: channel, t: time\); choose one volume with ::c=0$"),
        ("tzcyx", (3, 5, 2, 7, 9), "t=1", r"2 along c .* with ::c=0$"),
        ("qayx", (2, 5, 7, 9), "", r"2 along q .* with ::q=0$"),
        ("tzyx", (3, 5, 7, 9), "c=0", r"cannot choose 'c=0' of axes tzyx .*for example ::t=0$"),
        ("zyx", (5, 7, 9), "y=0", r"cannot choose 'y=0' of axes zyx .*for example ::nothing$"),
        ("tzyx", (3, 5, 7, 9), "t=-1", r"cannot choose 't=-1'"),
        ("tzyx", (3, 5, 7, 9), "t=3", r"has 3 along t, counted from 0"),
    ],
)
def test_wrong_choices(axes, shape, inside, said):
    with pytest.raises(InputError, match=said):
        choose(axes, shape, inside, "a")
