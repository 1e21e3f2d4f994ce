"""evaluation/parts.py: which parts of a volume are measured."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.evaluation import parts
from xseg_jax.evaluation.parts import halves_of, said_of, subvolumes

shapes = st.tuples(*[st.integers(1, 90)] * 3)


@given(shapes)
def test_parts_are_alike_and_share_no_voxel(shape):
    count_ZYX = np.zeros(shape, int)
    for part in halves_of(shape):
        count_ZYX[part] += 1
    assert count_ZYX.max(initial=0) <= 1
    sizes = {tuple(one.stop - one.start for one in part) for part in halves_of(shape)}
    assert len(sizes) <= 1
    long = sum(n >= 2 * parts.LEAST_SIDE for n in shape)
    assert len(halves_of(shape)) == (2**long if long else 0)


@given(shapes)
def test_what_is_too_large_is_measured_in_pieces_within_its_halves(shape):
    whole, pieces = subvolumes(shape)
    assert whole
    assert pieces == halves_of(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "AT_ONCE", 8 * 1000)
        whole, pieces = subvolumes(shape)
        assert whole == (math.prod(shape) <= 8000)
        if not whole:
            for piece, half in zip(pieces, halves_of(shape) or [parts.all_of(shape)], strict=True):
                sides = [one.stop - one.start for one in piece]
                assert 1 <= math.prod(sides) <= 1000
                assert all(
                    a.start <= b.start < b.stop <= a.stop for a, b in zip(half, piece, strict=True)
                )


def test_parts_in_words():
    assert said_of(halves_of((64, 33, 20))) == "4 parts of 32 x 16 x 20"
    assert said_of([]) == ""
