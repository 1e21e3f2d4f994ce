import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.voxels import VoxelSize

sizes = st.floats(1e-6, 1e6)


def test_what_a_user_writes_is_read():
    assert VoxelSize.parse("0.5 um") == VoxelSize((0.5, 0.5, 0.5), "um")
    assert VoxelSize.parse("2,0.5,0.25 nm") == VoxelSize((2.0, 0.5, 0.25), "nm")
    assert VoxelSize.parse(" 1e-3 mm ") == VoxelSize((1e-3, 1e-3, 1e-3), "mm")


@pytest.mark.parametrize("text", ["0.5", "um", "0.5 parsec", "1,2 um", "0 um", "-1 um", "nan um"])
def test_what_is_no_voxel_size_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"config.data.voxel_size='.*as \"0.5 um\""):
        VoxelSize.parse(text)


def test_scans_share_a_voxel_size_or_have_none():
    one, other = Geometry((2.0, 0.5, 0.5), "um"), Geometry((1.0, 0.5, 0.5), "um")
    assert VoxelSize.of([one, one]) == VoxelSize((2.0, 0.5, 0.5), "um")
    assert VoxelSize.of([one, other]) is None
    assert VoxelSize.of([one, Geometry()]) is None
    assert VoxelSize.of([Geometry((1.0, 1.0, 1.0), None)]) is None
    # Single slices say nothing along z, and NaN is not NaN.
    flat = VoxelSize.of([Geometry((math.nan, 0.5, 0.5), "um")] * 2)
    assert flat is not None
    assert flat.size[1:] == (0.5, 0.5)
    assert math.isnan(flat.size[0])
    assert str(flat) == "0.5 x 0.5 um"


@given(st.tuples(st.none() | sizes, sizes, sizes), st.sampled_from(["nm", "um", "inch"]))
def test_json_holds_it(size, unit):
    z, y, x = size
    known = VoxelSize((math.nan if z is None else z, y, x), unit)
    again = VoxelSize.from_json(json.loads(json.dumps(known.to_json(), allow_nan=False)))
    assert (again.size[1:], again.unit) == (known.size[1:], unit)
    assert math.isnan(again.size[0]) if z is None else again.size[0] == z


def test_sizes_are_compared_whatever_their_units():
    assert not VoxelSize.parse("1 um").unlike(VoxelSize.parse("1000 nm"))
    assert not VoxelSize.parse("1.09 um").unlike(VoxelSize.parse("1 um"))
    assert VoxelSize.parse("1.2 um").unlike(VoxelSize.parse("1 um"))
    assert VoxelSize.parse("1,1,2 um").unlike(VoxelSize.parse("1 um"))
    assert not VoxelSize((math.nan, 1.0, 1.0), "um").unlike(VoxelSize.parse("9,1,1 um"))
