from dataclasses import replace

import numpy as np
import pytest

from benchmarks import measure
from benchmarks.structure import fingerprint, three_phases
from xseg_jax.measure.fractions import fraction_sums, volume_fractions
from xseg_jax.measure.tortuosity import tortuosity


def test_the_volume_is_the_same_everywhere_and_has_three_phases():
    class_ZYX = three_phases((40, 40, 40), radii=(3, 7))
    assert fingerprint(class_ZYX) == 71578491
    assert np.bincount(class_ZYX.ravel()).min() > 0.3 * class_ZYX.size
    assert fingerprint(three_phases((40, 40, 40), radii=(3, 7), seed=1)) != 71578491


def test_a_row_is_ours_beside_theirs(monkeypatch):
    theirs = replace(
        measure.QUANTITIES["tortuosity"],
        theirs=lambda *_: (2.0, "stopped after 100 iterations"), package="numpy",
    )  # fmt: skip
    monkeypatch.setitem(measure.QUANTITIES, "tortuosity", theirs)
    class_ZYX = np.zeros((6, 6, 6), np.uint8)
    class_ZYX[:, 3:] = 1
    first, second = measure.measured("tortuosity", class_ZYX, [0, 1], [0], 1.0)
    assert first["ours"] == second["ours"] == tortuosity(class_ZYX == 0, 0).factor
    assert first["first_seconds"] > 0
    assert "first_seconds" not in second
    shown = measure.cells(second)
    assert shown[3] == "1.0000"
    assert shown[6] == "2.0000"
    assert shown[7].startswith("> ")
    assert shown[8] == "-50.00%"
    assert shown[10] == "numpy"


def test_each_quantity_has_a_row_for_what_it_is_of(monkeypatch):
    monkeypatch.setattr(measure.util, "find_spec", lambda name: None)
    class_ZYX = three_phases((24, 24, 24), radii=(3, 5))
    known = {"fraction": volume_fractions(fraction_sums(class_ZYX, 3)).tolist()}
    for name, rows in {"axis": 6, "phase": 2, "volume": 1}.items():
        for quantity in measure.QUANTITIES:
            if measure.QUANTITIES[quantity].per == name and quantity != "tortuosity":
                found = measure.measured(quantity, class_ZYX, [0, 1], [0, 1, 2], 1.0)
                assert len(found) == rows
                assert all(np.isfinite(row["ours"]) and row["ours"] > 0 for row in found)
                if quantity in known:
                    assert [row["ours"] for row in found] == known[quantity][:2]


def test_without_the_other_program_its_columns_are_empty_and_it_says_how_to_get_it(monkeypatch):
    row = {"quantity": "tortuosity", "phase": 0, "axis": "z", "ours": 1.5, "seconds": 2.0}
    assert measure.cells(row) == ["tortuosity", "0", "z", "1.5000", "2.00", *[""] * 6]
    assert len(measure.cells(row)) == len(measure.HEADER)
    monkeypatch.setattr(measure.util, "find_spec", lambda name: None)
    assert measure.missing(["fraction", "surface", "tortuosity"]) == [
        "porespy is not installed, and its columns stay empty: pip install porespy",
        "taufactor is not installed, and its columns stay empty: pip install taufactor",
    ]
    monkeypatch.setattr(measure.util, "find_spec", lambda name: name)
    assert measure.missing(list(measure.QUANTITIES)) == []


def test_a_quantity_that_there_is_none_of():
    with pytest.raises(SystemExit, match="--quantities=torsion: choose among fraction, surface"):
        measure.chosen("torsion")
    assert measure.chosen("all") == list(measure.QUANTITIES)
