import copy

import pytest
from result_folders import MEASURED

from xseg_jax.colours import class_rgb
from xseg_jax.report import measured
from xseg_jax.report.numbers import MINUS, NONE, TIMES


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("1", ""),
        ("um", "µm"),
        ("um^2", "µm²"),
        ("1/um", "µm⁻¹"),
        ("1/um^3", "µm⁻³"),
        ("um/um^3", "µm µm⁻³"),
        ("voxel", "voxel"),
        ("1/voxel^2", "voxel⁻²"),
        ("S/m", "S m⁻¹"),
    ],
)
def test_units(unit, words):
    assert measured.unit_words(unit) == words


def test_rows_have_value_interval_and_error():
    found = measured.quantities(MEASURED)
    first, second = found["rows"]
    assert (first["name"], first["of"], first["rgb"]) == (
        "Volume fraction",
        "of pore",
        class_rgb(0),
    )
    assert (first["value"], first["interval"]) == ("0.3100", "0.3000 to 0.3200")
    assert (first["error"], first["error_interval"]) == ("+1.0%", "+0.5% to +1.5%")
    assert first["beside"] == [{"error": f"{MINUS}5.0%", "interval": ""}]
    assert (second["of"], second["unit"], second["truth"]) == ("of pore with metal", "µm⁻¹", NONE)
    assert found["hints"] == [
        "Small: interval, 95%, 8 blocks of z.",
        "Fractions are of all labelled voxels, also of air around a sample where it has a class; "
        "--mode=measure --within=MASK measures within the sample, --config.data.ignore=VALUE "
        "without a class.",
    ]
    assert found["words"] == (
        f"Measured in three dimensions on 8 {TIMES} 32 {TIMES} 32 voxels (z, y, x); voxels of 0.05 "
        f"{TIMES} 0.05 {TIMES} 0.05 µm (z, y, x)."
    )


def test_few_parts_stand_in_place_of_an_interval():
    few = copy.deepcopy(MEASURED)
    few["quantities"][0] |= {"parts": [0.3, 0.32]}
    few["quantities"][0]["against"] |= {"truth_parts": [0.29, 0.31]}
    found = measured.quantities(few)
    first = found["rows"][0]
    assert (first["interval"], first["truth_interval"]) == ("0.3000, 0.3200", "0.2900, 0.3100")
    assert first["error_interval"] == ""
    assert found["errors"][0]["rows"][0]["marks"][0]["from"] is None
    assert found["hints"][0] == (
        "Small: values of the parts; no interval of 2 parts: 4 are the fewest."
    )


def test_images_that_are_no_slices_have_no_words_of_a_volume():
    areas = MEASURED | {"dimension": 2, "independent": True}
    words = measured.quantities(areas)["words"]
    assert words.startswith("Areas in 8 images that are no slices of one volume")
    assert "voxel" not in words


def test_a_mask_stands_where_fractions_are_told():
    found = measured.quantities(MEASURED | {"within": "/data/sample.tif"})
    assert "(z, y, x), within sample.tif; voxels of" in found["words"]
    assert found["hints"][-1] == "Fractions are of the labelled voxels within sample.tif."


def test_charts_of_errors_and_of_curves():
    found = measured.quantities(MEASURED)
    (errors,) = found["errors"]
    assert [mark["style"] for mark in errors["rows"][0]["marks"]] == [0, 1]
    assert errors["rows"][0]["marks"][1]["from"] is None
    (curve,) = found["curves"]
    assert curve["title"] == "Chord length of pore along x"
    assert curve["x"]["label"] == "chord length, µm"
    assert [line["name"] for line in curve["lines"]] == ["predicted", "labelled"]
    assert curve["lines"][0]["rgb"] == class_rgb(0)
    assert found["left_out"] == [{"name": "tortuosity of metal", "reason": "no path crosses"}]


def test_without_labels_there_are_no_errors():
    alone = copy.deepcopy(MEASURED)
    for one in alone["quantities"]:
        one["against"] = None
    alone |= {"unit": "voxel", "dimension": 2}
    found = measured.quantities(alone)
    assert not found["has_truth"]
    assert found["errors"] == found["baselines"] == []
    assert f"from 8 slices of 32 {TIMES} 32 pixels" in found["words"]
    assert "no voxel size is known" in found["words"]


def test_what_is_not_finite_has_no_chart():
    broken = copy.deepcopy(MEASURED)
    broken["curves"][0] |= {"y": [None] * 3, "truth_y": None}
    broken["quantities"][0]["against"] = {"truth": 0.3, "error": None, "baselines": {}}
    found = measured.quantities(broken)
    assert found["curves"] == found["errors"] == []


def test_many_curves_are_counted():
    many = MEASURED | {"curves": MEASURED["curves"] * 30}
    found = measured.quantities(many)
    assert len(found["curves"]) + found["more_curves"] == 30
