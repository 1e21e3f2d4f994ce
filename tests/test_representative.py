"""evaluation/representative.py: how far quantities differ between subvolumes, over their size."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solids import overlapping_balls

from xseg_jax.evaluation import representative
from xseg_jax.evaluation.parts import LEAST_SIDE, sides_of
from xseg_jax.evaluation.properties import measure_additive
from xseg_jax.evaluation.representative import MOST, cubes_of, enough, over_sizes, size_of, to_json
from xseg_jax.measure.quantities import FAMILIES, Key

CUBE = (1.0, 1.0, 1.0)
NAMES = ("pore", "solid")

sides = st.integers(1, 150)
edges = st.sampled_from([0.5, 1.0, 2.0])


@given(st.tuples(sides, sides, sides), st.tuples(edges, edges, edges))
def test_cubes_are_disjoint_inside_and_of_equal_edges(shape, spacing):
    sizes = cubes_of(shape, spacing)
    for cubes in sizes:
        assert 2 <= len(cubes) <= MOST
        assert len({sides_of(cube) for cube in cubes}) == 1
        lengths = [n * h for n, h in zip(sides_of(cubes[0]), spacing, strict=True)]
        assert max(lengths) - min(lengths) <= max(spacing)
        assert min(sides_of(cubes[0])) >= LEAST_SIDE
        for cube in cubes:
            assert all(0 <= one.start < one.stop <= n for one, n in zip(cube, shape, strict=True))
        for one, other in itertools.combinations(cubes, 2):
            assert any(
                a.stop <= b.start or b.stop <= a.start for a, b in zip(one, other, strict=True)
            )
    volumes = [math.prod(sides_of(cubes[0])) for cubes in sizes]
    assert volumes == sorted(volumes, reverse=True)


def test_a_cube_is_cut_into_27_and_64_and_so_on():
    found = {sides_of(cubes[0]): len(cubes) for cubes in cubes_of((128, 128, 128), CUBE)}
    # Of its eight halves it is known already.
    assert found == {(42, 42, 42): 27, (32, 32, 32): 64, (21, 21, 21): 64, (16, 16, 16): 64}


def test_of_large_volumes_there_are_fewer(monkeypatch):
    monkeypatch.setattr(representative, "AT_ONCE", 10 * 40**3)
    found = [len(cubes) for cubes in cubes_of((160, 160, 160), CUBE)]
    assert found == [8, 10, 36, 64]


def test_chance_alone_falls_with_the_root_of_the_volume():
    """Independent voxels: the deviation of a fraction f in n voxels is sqrt(f (1 - f) / n)."""
    rng, fraction = np.random.default_rng(0), 0.2
    class_ZYX = (rng.random((96, 96, 96)) < fraction).astype(np.uint8)
    found = over_sizes(FAMILIES["fractions"], class_ZYX, NAMES, CUBE)[
        Key("volume_fraction", "solid")
    ]
    assert [size.sides[0] for size in found] == [32, 24, 16]
    for size in found:
        expected = math.sqrt(fraction * (1 - fraction) / math.prod(size.sides))
        assert size.deviation == pytest.approx(expected, rel=0.4)
        assert size.mean == pytest.approx(fraction, abs=1e-3)


def test_a_laminate_is_known_where_cubes_are_whole_periods():
    class_ZYX = np.zeros((96, 96, 96), np.uint8)
    class_ZYX[np.arange(96) % 16 < 8] = 1
    found = over_sizes(FAMILIES["fractions"], class_ZYX, NAMES, CUBE)[
        Key("volume_fraction", "solid")
    ]
    spread = {size.sides[0]: size.deviation for size in found}
    assert spread[32] == spread[16] == 0
    assert spread[24] > 0.05


def rows_of(class_ZYX, spacing=CUBE, family="fractions"):
    sizes = over_sizes(FAMILIES[family], class_ZYX, NAMES, spacing)
    found = measure_additive(FAMILIES[family], {"a": class_ZYX}, NAMES, spacing)
    rows = [to_json(one, "a", sizes.get(one.key, ()), spacing, "um") for one in found]
    return [one for one in rows if one]


def test_balls_have_a_representative_volume_and_the_halves_belong_to_the_curve():
    class_ZYX = overlapping_balls((96, 96, 96), 3.0, 4e-3, seed=0)
    (_, solid) = rows_of(class_ZYX)
    json.dumps(solid, allow_nan=False)
    assert solid["sides"] == [[16] * 3, [24] * 3, [32] * 3, [48] * 3]
    assert solid["count"] == [64, 64, 27, 8]
    assert solid["edge"] == pytest.approx([16, 24, 32, 48])
    assert solid["relative"][0] > 2 * solid["relative"][-1]
    assert solid["enough"] == solid["edge"][[r < 0.05 for r in solid["relative"]].index(True)]
    halves = class_ZYX.reshape(2, 48, 2, 48, 2, 48).mean(axis=(1, 3, 5))
    assert solid["mean"][-1] == pytest.approx(halves.mean())
    assert solid["deviation"][-1] == pytest.approx(halves.std(ddof=1))


def test_edges_are_lengths():
    class_ZYX = overlapping_balls((48, 96, 96), 3.0, 4e-3, seed=0)
    rows = rows_of(class_ZYX, (2.0, 1.0, 1.0))
    assert rows[0]["sides"][0] == [16, 32, 32]
    assert rows[0]["edge"][0] == pytest.approx(32)


@pytest.mark.parametrize(
    ("relative", "expected"),
    [([0.2, 0.04, 0.01], 32), ([0.04, 0.2, 0.01], 64), ([0.2, 0.1, 0.05], None), ([0, 0, 0], 16)],
)
def test_it_has_to_stay_under_the_level(relative, expected):
    assert enough([16, 32, 64], relative) == expected


def test_what_is_defined_in_one_part_alone_has_no_spread():
    size = size_of((9, 9, 9), np.array([np.nan, 2.0]))
    assert size.number == 1
    assert np.isnan([size.mean, size.deviation]).all()
    assert rows_of(np.zeros((20, 20, 20), np.uint8)) == []
