"""measure/keys.py: the numbers of each family, before anything is measured."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.measure import quantities
from xseg_jax.measure.keys import FAMILY_OF, OF_FAMILY, keys_of
from xseg_jax.measure.quantities import FAMILIES, MEANINGS, OF_IMAGES, OF_PLANES, Additive

CUBE = (1.0, 1.0, 1.0)


def test_every_quantity_is_of_one_family():
    assert set(OF_FAMILY) == set(FAMILIES)
    assert set(FAMILY_OF) == set(MEANINGS)
    assert sum(map(len, [*OF_FAMILY.values(), *OF_IMAGES.values()])) == len(MEANINGS)
    for family, some in OF_PLANES.items():
        assert OF_FAMILY[family] == some


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"correlation"}))
@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_they_are_those_that_are_measured(family, names, monkeypatch):
    solved = SimpleNamespace(factor=2.0, effective_diffusivity=0.2, converged=True)
    monkeypatch.setattr(quantities, "tortuosity", lambda *given: solved)  # Compiling takes long.
    if family == "triple_lines" and len(names) < 3:
        pytest.skip("three phases meet nowhere")
    class_ZYX = np.random.default_rng(0).integers(0, len(names), (10, 11, 12)).astype(np.uint8)
    kind = FAMILIES[family]
    if isinstance(kind, Additive):
        found = kind.values(kind.sums(class_ZYX, len(names), CUBE, 0, 0), names)
    else:
        found = kind.found(class_ZYX, names, CUBE).values
    expected = {key for quantity in OF_FAMILY[family] for key in keys_of(quantity, names)}
    assert set(found) == expected


@given(st.integers(2, 7))
def test_there_are_as_many_as_phases_pairs_and_triples(phases):
    names = [f"phase {n}" for n in range(phases)]
    assert len(keys_of("volume_fraction", names)) == phases
    assert len(keys_of("tortuosity", names)) == 3 * phases
    assert len(keys_of("interface_density", names)) == phases * (phases - 1) // 2
    triples = phases * (phases - 1) * (phases - 2) // 6
    assert len(keys_of("active_triple_line_density", names)) == triples
