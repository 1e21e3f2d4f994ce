import numpy as np

from benchmarks import measure
from benchmarks.structure import fingerprint, three_phases
from xseg_jax.measure.tortuosity import tortuosity


def test_the_volume_is_the_same_everywhere_and_has_three_phases():
    class_ZYX = three_phases((40, 40, 40), radii=(3, 7))
    assert fingerprint(class_ZYX) == 71578491
    assert np.bincount(class_ZYX.ravel()).min() > 0.3 * class_ZYX.size
    assert fingerprint(three_phases((40, 40, 40), radii=(3, 7), seed=1)) != 71578491


def test_a_row_is_ours_beside_theirs(monkeypatch):
    theirs = measure.Quantity(
        measure.our_tortuosity, lambda *_: (2.0, "stopped after 100 iterations"), "numpy", True
    )
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


def test_without_the_other_program_its_columns_are_empty():
    row = {"quantity": "tortuosity", "phase": 0, "axis": "z", "ours": 1.5, "seconds": 2.0}
    assert measure.cells(row) == ["tortuosity", "0", "z", "1.5000", "2.0", "", "", "", "", ""]
    assert len(measure.cells(row)) == len(measure.HEADER)
