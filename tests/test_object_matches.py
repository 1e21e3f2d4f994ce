"""evaluation/object_matches.py: known spheres that are found, split, merged, missed and false."""

import json

import numpy as np

from xseg_jax.evaluation import parts
from xseg_jax.evaluation.object_matches import matches_of, steps
from xseg_jax.modes.quantities import measure
from xseg_jax.report.measured import quantities
from xseg_jax.report.properties import measured_table, object_lines

CUBE = (1.0, 1.0, 1.0)
NAMES = ("air", "grain")
SHAPE = (48, 64, 96)


def spheres(centres, radius=8):
    grid = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    found_ZYX = np.zeros(SHAPE, np.uint8)
    for centre in centres:
        found_ZYX |= sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < radius**2
    return found_ZYX


APART = [(z, y, x) for z in (12, 36) for y in (12, 44) for x in (12, 44, 76)]


def test_known_spheres():
    near = (36, 12, 30)  # 18 voxels from its neighbour, which is sphere 6.
    true_ZYX = spheres([*APART, near])
    seen_ZYX = spheres([*APART[1:], near])  # The first is missed.
    z, y, x = APART[4]
    seen_ZYX[z - 9 : z + 9, y - 1 : y + 1, x - 9 : x + 9] = 0  # Cut in two halves.
    z, y, x = near
    seen_ZYX[z - 7 : z + 8, y - 7 : y + 8, x - 18 : x] = 1  # Joined to its neighbour.
    seen_ZYX |= spheres([(12, 28, 28), (36, 28, 60)], 5)  # Two that are not there.
    _, grain = matches_of(seen_ZYX, true_ZYX, NAMES, CUBE)
    assert grain == {
        "phase": "grain", "labelled": 13, "predicted": 14, "matched": 9, "split": 1, "merged": 2,
        "missed": 1, "false": 2, "of": "",
    }  # fmt: skip


def test_what_is_not_labelled_is_neither_missed_nor_false():
    true_ZYX, seen_ZYX = spheres(APART), spheres(APART[1:])
    true_ZYX[:24, :28, :28] = 255  # Around the first.
    seen_ZYX |= spheres([(12, 14, 14)], 4)
    _, grain = matches_of(seen_ZYX, true_ZYX, NAMES, CUBE)
    assert (grain["labelled"], grain["matched"]) == (11, 11)
    assert grain["missed"] == grain["false"] == 0


def test_of_a_large_volume_subvolumes_are_counted(monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 8 * 24**3)
    true_ZYX = spheres(APART)
    calls = []
    rows = matches_of(true_ZYX, true_ZYX, NAMES, CUBE, advance=lambda: calls.append(1))
    assert len(calls) == steps(SHAPE, 2) == 16
    assert {row["of"] for row in rows} == {"8 parts of 24 x 24 x 24"}
    assert rows[1]["matched"] == rows[1]["labelled"] > 0


def test_they_are_measured_printed_and_in_the_page():
    true_ZYX = spheres(APART)
    volumes = {"segmented": spheres(APART[1:]), "truth": true_ZYX}
    result, _ = measure(volumes, NAMES, None, ("fractions", "objects"))
    json.dumps(result, allow_nan=False)
    line = "  grain: of 12 labelled 11 found, 0 split, 0 merged, 1 missed; of 11 predicted 0 false"
    assert object_lines(result)[2] == line
    assert line in measured_table(result)
    assert quantities(result)["objects"][1]["missed"] == 1
    alone, _ = measure({"segmented": true_ZYX}, NAMES, None, ("fractions", "objects"))
    assert alone["objects"] == object_lines(alone) == []
