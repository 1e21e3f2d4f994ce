"""Parts within labelled planes: none closer than the gap, each class in training."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place
from xseg_jax.data.slabs import cut

FRACTIONS = (0.6, 0.15, 0.25)
SHAPE = (30, 80, 60)  # z, y, x.


def volume(seed=0, classes=2):
    return np.random.default_rng(seed).integers(0, classes, SHAPE).astype(np.uint8)


def planes_of(labels, *places):
    return list(places), [np.take(labels, p.number, axis=p.axis) for p in places]


def slabs_of(places, labels, *, gap=5, classes=2):
    return cut(places, lambda n: labels[n], classes=classes, fractions=FRACTIONS, gap=gap)


def voxels_of(slabs, part, places, labels):
    """Coordinates in the scan of what a part may see of each plane."""
    found = set()
    for place, label_HW in zip(places, labels, strict=True):
        rows, columns = np.nonzero(slabs.mask(part, place, label_HW) != IGNORED)
        coordinates = [rows.tolist(), columns.tolist()]
        coordinates.insert(place.axis, [place.number] * len(rows))
        found |= {(place.scan, *zyx) for zyx in zip(*coordinates, strict=True)}
    return found


ONE = [Place("a", 0, 7)]
ORTHOGONAL = [Place("a", 0, 12), Place("a", 1, 40), Place("a", 2, 30)]
TWO_SCANS = [Place("a", 0, 12), Place("b", 1, 40)]


@pytest.mark.parametrize("places", [ONE, ORTHOGONAL, TWO_SCANS, [Place("a", 2, 3)]])
@pytest.mark.parametrize("gap", [1, 5, 50])
def test_parts_are_apart(places, gap):
    places, labels = planes_of(volume(), *places)
    slabs = slabs_of(places, labels, gap=gap)
    parts = [voxels_of(slabs, part, places, labels) for part in range(3)]
    assert all(parts)
    assert slabs.gap <= gap
    for scan, axis in slabs.axis.items():
        spans = [[zyx[axis + 1] for zyx in part if zyx[0] == scan] for part in parts]
        spans = sorted((min(span), max(span)) for span in spans)
        assert all(b[0] - a[1] >= slabs.gap for a, b in pairwise(spans))
        extent = spans[-1][1] - spans[0][0] + 1
        assert slabs.gap == max(1, min(gap, extent // 10)) or len(slabs.axis) > 1


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 99), classes=st.integers(2, 5), axis=st.integers(0, 2))
def test_shares_are_near_the_fractions_and_training_has_every_class(seed, classes, axis):
    places, labels = planes_of(volume(seed, classes), Place("a", axis, 5))
    slabs = slabs_of(places, labels, gap=1, classes=classes)
    counts = [
        np.bincount(slabs.mask(part, places[0], labels[0]).ravel(), minlength=256)[:classes]
        for part in range(3)
    ]
    shares = np.array(counts).sum(axis=1) / np.sum(counts)
    np.testing.assert_allclose(shares, FRACTIONS, atol=0.08)
    assert counts[0].all()


def test_a_class_at_one_end_is_in_training():
    label_HW = np.zeros((100, 50), np.uint8)
    label_HW[90:] = 1  # Columns share both classes out; rows do not.
    slabs = slabs_of([Place("a", 0, 3)], [label_HW])
    assert slabs.axis == {"a": 2}
    for part in range(3):
        assert set(np.unique(slabs.mask(part, Place("a", 0, 3), label_HW))) == {0, 1, IGNORED}


def test_scribbles_are_shared_out_by_what_is_labelled():
    label_HW = np.full((200, 300), IGNORED, np.uint8)
    label_HW[20:80, 50] = 0
    label_HW[20:80, 250] = 1
    slabs = slabs_of([Place("a", 0, 3)], [label_HW])
    assert slabs.axis == {"a": 1}
    counts = [(slabs.mask(part, Place("a", 0, 3), label_HW) != IGNORED).sum() for part in range(3)]
    assert counts[0] > counts[2] > counts[1] > 10
    assert sum(counts) >= 120 * 0.8


@pytest.mark.parametrize("kind", ["empty", "one pixel", "classes apart"])
def test_labels_that_cannot_be_shared_out(kind):
    label_HW = np.full((60, 40), IGNORED, np.uint8)
    if kind == "one pixel":
        label_HW[3, 4] = 1
    if kind == "classes apart":
        label_HW[0, 0], label_HW[59, 39] = 0, 1
    assert slabs_of([Place("a", 0, 3)], [label_HW]) is None
