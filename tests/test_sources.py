"""report/sources.py: what is cited, each where it was used."""

import pytest

from xseg_jax.measure.quantities import MEANINGS
from xseg_jax.report.sources import IN_TEXT, OF_QUANTITIES, SOURCES, Cited, of_quantities


def measured(*names, dimension=3, **more):
    rows = [{"quantity": name, "interval": "95%, 8 parts", "doubt_low": None} for name in names]
    return {"dimension": dimension, "quantities": rows, "curves": []} | more


def test_each_source_has_its_citation():
    assert IN_TEXT.keys() == SOURCES.keys()
    for key, short in IN_TEXT.items():
        assert SOURCES[key].startswith(short.split()[0])
        assert short[-4:] in SOURCES[key]


def test_quantities_are_those_that_are_measured_and_their_sources_there():
    curves = {"chord_length", "thickness", "two_point_correlation"}
    assert set(OF_QUANTITIES) <= set(MEANINGS) | curves
    counted = {
        "percolating_fraction", "largest_cluster", "isolated_fraction", "cluster_density"
    }  # fmt: skip
    assert set(MEANINGS) - set(OF_QUANTITIES) == counted
    assert {key for keys in OF_QUANTITIES.values() for key in keys} <= set(SOURCES)


def test_citations_are_remembered_in_their_order():
    cite = Cited()
    assert cite("unet") == "(Ronneberger et al. 2015)"
    assert cite("adam", "unet") == "(Kingma and Ba 2015; Ronneberger et al. 2015)"
    assert list(cite.keys) == ["unet", "adam"]


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        (measured("volume_fraction"), ["fraction", "rescaled"]),
        (measured("volume_fraction", "surface_density"), ["fraction", "surface", "rescaled"]),
        (measured("tortuosity"), ["tortuosity", "parts"]),
        (measured("surface_density", dimension=2), ["stereology", "rescaled"]),
        (measured("area_fraction", dimension=2, independent=True), ["fraction", "rescaled"]),
        (measured("largest_cluster"), ["parts"]),
        (measured("volume_fraction", meshes=["ply"], objects=[1]),
         ["fraction", "rescaled", "matches", "mesh"]),
    ],
)  # fmt: skip
def test_only_what_was_measured_is_cited(found, keys):
    assert list(of_quantities(found)) == keys
