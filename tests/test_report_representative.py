"""report/representative.py: at which size a quantity is known, as words, a file and charts."""

import csv

from result_folders import MEASURED

from xseg_jax.report import representative
from xseg_jax.report.measured import quantities


def row(phase, relative, enough, **changed):
    sizes = len(relative)
    edges = [8.0, 16.0, 32.0][:sizes]
    return {
        "quantity": "volume_fraction", "label": "volume fraction", "phase": phase, "with": None,
        "axis": None, "unit": "1", "sides": [[int(edge)] * 3 for edge in edges], "edge": edges,
        "count": [64, 27, 8][:sizes], "mean": [0.3] * sizes,
        "deviation": [0.3 * value for value in relative], "relative": relative, "enough": enough,
    } | changed  # fmt: skip


FOUND = MEASURED | {
    "representative": {
        "level": 0.05,
        "quantities": [
            row("pore", [0.2, 0.04, 0.01], 16.0),
            row("metal", [0.4, 0.2, 0.1], None),
            row("pore", [0.3], None, quantity="tortuosity", label="tortuosity factor", axis="z"),
        ],
    }
}


def test_a_line_says_from_which_size_on_or_that_it_never_does():
    assert representative.lines(FOUND) == [
        "volume fraction: under 5% from an edge of 16 um (pore) on; not under 5% up to 32 um: "
        "10.0% (metal)"
    ]


def test_the_file_has_a_line_for_each_quantity_and_size(tmp_path):
    representative.write_csv(tmp_path / "representative.csv", FOUND)
    with (tmp_path / "representative.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(one["quantity"], one["phase"], one["edge"], one["count"]) for one in rows] == [
        ("volume_fraction", "pore", "8.0", "64"), ("volume_fraction", "pore", "16.0", "27"),
        ("volume_fraction", "pore", "32.0", "8"), ("volume_fraction", "metal", "8.0", "64"),
        ("volume_fraction", "metal", "16.0", "27"), ("volume_fraction", "metal", "32.0", "8"),
        ("tortuosity", "pore", "8.0", "64"),
    ]  # fmt: skip
    assert (rows[-1]["axis"], rows[-1]["with"], rows[-1]["edge_unit"]) == ("z", "", "um")
    assert float(rows[1]["relative"]) == 0.04


def test_the_page_draws_what_was_measured_in_several_sizes():
    found = quantities(FOUND)["representative"]
    assert found["lines"] == representative.lines(FOUND, "µm")
    (chart,) = found["charts"]
    assert chart["x"]["label"] == "edge of the subvolume, µm"
    assert [line["name"] for line in chart["lines"]] == ["pore", "metal", "5%"]
    assert chart["table"]["rows"][1][1:3] == ["4", "20"]
    assert quantities(MEASURED)["representative"] is None
