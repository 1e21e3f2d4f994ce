"""Labelled planes are found in volumes of labels, whatever axis they are across."""

import numpy as np
import pytest

from xseg_jax.data.sparse import find_planes, parse_planes
from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan

SHAPE = (24, 30, 36)


def labels_of(tmp_path, planes, *, fill=0, values=(0, 1, 2), scribble=1.0):
    """A volume in which the planes (axis, index) hold values and the rest is one value."""
    rng = np.random.default_rng(0)
    truth = rng.choice(np.array(values, np.uint8), SHAPE)
    labels = np.full(SHAPE, fill, np.uint8)
    for axis, index in planes:
        window = [slice(None)] * 3
        window[axis] = index
        drawn = rng.random(SHAPE)[tuple(window)] < scribble
        labels[tuple(window)] = np.where(drawn, truth[tuple(window)], labels[tuple(window)])
    path = tmp_path / "labels.npy"
    np.save(path, labels)
    return open_scan(path)


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ([(0, 5)], "z = 5"),
        ([(0, 5), (0, 6), (0, 7), (0, 20)], "z = 5-7, 20"),
        ([(1, 29)], "y = 29"),
        ([(2, 0), (2, 13)], "x = 0, 13"),
        ([(0, 12), (1, 15), (2, 18)], "z = 12; y = 15; x = 18"),
        ([(0, 12), (2, 18), (2, 30)], "z = 12; x = 18, 30"),
    ],
)
@pytest.mark.parametrize(("fill", "ignored"), [(0, ()), (0, (0,)), (255, ()), (255, (255,))])
def test_planes_that_are_labelled(tmp_path, planes, expected, fill, ignored):
    labels = labels_of(tmp_path, planes, fill=fill, values=(1, 2) if ignored == (0,) else (0, 1, 2))
    assert str(find_planes(labels, ignored)) == expected


def test_every_plane(tmp_path):
    labels = labels_of(tmp_path, [(0, z) for z in range(24)])
    found = find_planes(labels, ())
    assert found.indices == (tuple(range(24)), (), ())
    assert found.why == "all are labelled"


def test_a_margin_around_the_sample_makes_no_planes_across_y(tmp_path):
    labels = labels_of(tmp_path, [(0, z) for z in range(24)])
    values = labels.slab(0, 24)
    values[:, :6] = values[:, -6:] = 0
    values[:2] = 0
    np.save(tmp_path / "margin.npy", values)
    found = find_planes(open_scan(tmp_path / "margin.npy"), ())
    assert found.indices == (tuple(range(2, 24)), (), ())


def test_scribbles_in_some_planes(tmp_path):
    labels = labels_of(tmp_path, [(0, 3), (0, 9)], fill=0, values=(1, 2), scribble=0.05)
    assert str(find_planes(labels, (0,))) == "z = 3, 9"


@pytest.mark.parametrize("ignored", [(), (7,)])
def test_nothing_labelled(tmp_path, ignored):
    labels = labels_of(tmp_path, [], fill=7)
    with pytest.raises(InputError, match="every voxel is 7, which is no label; label some planes"):
        find_planes(labels, ignored)


def test_planes_that_somebody_names():
    found = parse_planes("z=10,5; y = 29 ;x=0-2", SHAPE)
    assert found.indices == ((5, 10), (29,), (0, 1, 2))
    assert str(found) == "z = 5, 10; y = 29; x = 0-2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10,50", "must be an axis and numbers of planes, as in z=10,50; y=30"),
        ("z=", "must be an axis"),
        ("w=3", "must be an axis"),
        ("z=3-", "must be an axis"),
        ("z=24", "the labels have planes z = 0 to 23"),
        ("x=4-2", "the labels have planes x = 0 to 35"),
        (";", "names no plane"),
    ],
)
def test_names_of_planes_that_are_none(text, message):
    with pytest.raises(InputError, match=f"config.data.labelled='{text}': .*{message}"):
        parse_planes(text, SHAPE)
