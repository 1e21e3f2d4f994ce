"""report/properties.py: what was measured, as a table and a file."""

import csv

import pytest

from xseg_jax.report.properties import measured_table, write_csv

ROW = {
    "quantity": "volume_fraction", "label": "volume fraction", "phase": "pore", "with": None,
    "axis": None, "unit": "1", "value": 0.27, "low": 0.2, "high": 0.3, "interval": "95%, 8 parts",
    "doubt_low": None, "doubt_high": None, "seconds": 1.0,
    "against": {"truth": 0.3, "error": -0.1, "error_low": -0.2, "error_high": -0.05},
}  # fmt: skip
FOUND = {
    "shape": [3, 40, 50], "voxel_size": [0.5, 0.5, 0.25], "unit": "um", "dimension": 3,
    "quantities": [
        ROW,
        ROW | {"phase": "YSZ", "axis": "z", "value": None, "against": None, "unit": "1/um"},
    ],
    "left_out": [{"quantity": "tortuosity", "reason": "it was not asked for"}],
}  # fmt: skip


def test_a_line_a_quantity_with_its_interval_and_error():
    lines = measured_table(FOUND).split("\n")
    assert lines[0] == "3 x 40 x 50 voxels of 0.5 x 0.5 x 0.25 um"
    assert lines[3].split() == [
        "volume", "fraction", "pore", "0.27", "0.2", "to", "0.3", "0.3", "-10.0%", "-20.0%", "to",
        "-5.0%",
    ]  # fmt: skip
    assert lines[4].split()[:7] == ["volume", "fraction", "along", "z", "YSZ", "not", "defined"]
    assert lines[-3:] == [
        "intervals: 95%, 8 parts",
        "fractions are of all labelled voxels, also of air around a sample where it has a class; "
        "--mode=measure --within=MASK measures within the sample, --config.data.ignore=VALUE "
        "without a class",
        "left out: tortuosity, for it was not asked for",
    ]


def test_columns_stand_below_each_other_however_long_names_are():
    rows = [
        ROW | {"label": name * 9, "unit": unit, "phase": phase}
        for name, unit, phase in (("short", "1/voxel^2", "a" * 30), ("much longer", "1", "b"))
    ]
    lines = measured_table(FOUND | {"quantities": rows}).split("\n")
    assert (
        lines[2].index("95% interval")
        == lines[3].index("0.2 to 0.3")
        == lines[4].index("0.2 to 0.3")
    )
    assert lines[2].index("truth") + 5 == lines[3].index(" 0.3 ", lines[3].index("voxel")) + 4
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("low", [None, 0.2])
def test_few_parts_have_their_values_and_no_interval(low):
    """Earlier versions gave intervals of two parts."""
    few = ROW | {"parts": [0.25, None, 0.29], "low": low}
    text = measured_table(FOUND | {"quantities": [few]})
    assert "parts: 0.25, not defined, 0.29" in text
    assert " to " not in text
    assert "no interval of 3 parts: 4 are the fewest" in text
    assert "intervals:" not in text


def test_images_that_are_no_slices_say_so_and_reasons_stand_once():
    areas = {
        "dimension": 2,
        "independent": True,
        "voxel_size": [None, 1.0, 1.0],
        "unit": "voxel",
        "quantities": [ROW | {"quantity": "area_fraction"}],
        "left_out": [
            {"quantity": name, "phase": None, "reason": "no volume"}
            for name in ("surfaces", "triple_lines")
        ],
    }
    lines = measured_table(FOUND | areas).split("\n")
    assert lines[0] == "areas in 3 images, 40 x 50 pixels at most, that are no slices of one volume"
    assert lines[-1] == "left out: surfaces, triple lines, for no volume"


def test_what_there_is_hardly_any_of_has_no_error_and_is_named():
    few = {"truth": 1e-9, "hardly_any": True} | dict.fromkeys(("error", "error_low", "error_high"))
    rows = [ROW, ROW | {"phase": "ore", "axis": None, "against": few}]
    said = measured_table(FOUND | {"quantities": rows})
    assert [line.count("%") for line in said.splitlines()[3:5]] == [3, 0]
    assert "hardly any of (below 1% of the largest): volume fraction of ore" in said


def test_what_slices_tell_is_said_to_be_estimated():
    flat = FOUND | {"dimension": 2, "voxel_size": [None, 0.5, 0.25]}
    first = measured_table(flat).split("\n")[0]
    assert first == "estimated from 3 slices of 40 x 50 pixels of 0.5 x 0.25 um"


def test_doubt_has_a_column_where_it_is_known():
    assert "doubt leaves open" not in measured_table(FOUND)
    rows = [ROW | {"doubt_low": 0.1, "doubt_high": 0.4}]
    assert "0.1 to 0.4" in measured_table(FOUND | {"quantities": rows})


def test_a_file_holds_what_the_table_does(tmp_path):
    write_csv(tmp_path / "measured.csv", FOUND)
    with (tmp_path / "measured.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["value"], first["error"], first["doubt_low"]) == ("0.27", "-0.1", "")
    assert (second["value"], second["truth"], second["axis"]) == ("", "", "z")
