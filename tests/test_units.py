"""Units of length as programs spell them."""

import math

import pytest

from xseg_jax.scans.units import METRES, SPELLINGS, triple, unit_of


@pytest.mark.parametrize(
    ("text", "unit"),
    [("um", "um"), ("\u00b5m", "um"), ("\u03bcm", "um"), ("\\u00B5m", "um"), ("micron", "um"),
     ("Micrometer", "um"), (b"mm", "mm"), (" NM ", "nm"), ('"mm"', "mm"), ("inch", "inch"),
     ("\u00c5", "angstrom"), ("m", "m"), ("pixel", None), ("", None), (None, None), ("deg", None)],
)  # fmt: skip
def test_spellings(text, unit):
    assert unit_of(text) == unit


def test_every_unit_has_a_length():
    assert METRES.keys() == SPELLINGS.keys()
    assert METRES["angstrom"] < METRES["nm"] < METRES["um"] < METRES["mm"] < METRES["inch"]


def test_triples():
    assert triple([1, 2, 3]) == (1.0, 2.0, 3.0)
    assert triple([-1.0, 2.0, 3.0]) == (1.0, 2.0, 3.0)  # Some programs count downwards.
    z, y, x = triple([None, 2.0, 0.0]) or ()
    assert math.isnan(z)
    assert y == 2.0
    assert math.isnan(x)
    z, y, x = triple([2.0, 3.0]) or ()
    assert math.isnan(z)
    assert (y, x) == (2.0, 3.0)
    assert triple([None, math.nan, 0]) is None
    assert triple([math.inf] * 3) is None
    assert triple(None) is None
