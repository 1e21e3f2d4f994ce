"""modes/tested.py: what is said of quantities of what was scored."""

import numpy as np

from xseg_jax.data.planes import Place
from xseg_jax.evaluation.rows import HARDLY_ANY
from xseg_jax.modes.tested import ClassTally, summary


def row(label, error, phase="pore", others=None, truth=0.1, **baselines):
    beside = {name: {"error": one} for name, one in baselines.items()}
    against = {"truth": truth, "error": error, "baselines": beside}
    return {
        "quantity": label,
        "label": label,
        "phase": phase,
        "with": others,
        "axis": None,
        "against": against,
    }


def measured(*rows, dimension=2, planes=1):
    return {"dimension": dimension, "shape": [planes, 8, 8], "quantities": rows}


def test_the_largest_error_over_phases_is_told_of_each_method():
    rows = (
        row("volume fraction", -0.02, forest=0.01),
        row("volume fraction", 0.01, "metal", forest=-0.03),
        row("surface", None, others="metal", forest=0.5),
    )  # fmt: skip
    assert summary(measured(*rows, dimension=3), "network").splitlines() == [
        "largest error of a phase, from a volume:",
        "  U-Net: volume fraction 2.0% (pore)",
        "  forest: volume fraction 3.0% (metal), surface 50.0% (pore/metal)",
    ]


def test_one_slice_is_no_slices_and_images_are_images():
    rows = (row("volume fraction", 0.1),)
    assert "from 1 slice:" in summary(measured(*rows), "network")
    assert "from 9 images:" in summary(measured(*rows, planes=9), "network", "image")


def test_images_that_are_no_slices_of_a_volume_say_so():
    found = measured(row("area fraction", 0.02, "lung"), planes=9) | {"independent": True}
    assert summary(found, "network", "image").splitlines() == [
        "largest error of a phase, from 9 images, of areas alone, for they are no slices of one "
        "volume:",
        "  U-Net: area fraction 2.0% (lung)",
    ]


def test_a_tally_of_images_measures_areas_alone():
    tally = ClassTally(("fractions", "surfaces", "tortuosity"), 100, independent=True)
    label_HW = np.repeat([[0], [1]], 8, axis=0).reshape(4, 4).astype(np.uint8)
    for _ in range(20):
        tally("network", label_HW, label_HW)
    places = [Place("scan", 0, n) for n in range(20)]  # As numbered radiographs have.
    found = tally.measured(places, ("background", "lung"), None, "network")
    assert found is not None
    assert [(r["quantity"], r["value"]) for r in found["quantities"]] == [
        ("area_fraction", 0.5), ("area_fraction", 0.5),
    ]  # fmt: skip
    assert (found["dimension"], found["independent"]) == (2, True)
    assert [one["quantity"] for one in found["left_out"]] == ["surfaces", "tortuosity"]


def test_what_is_many_times_the_truth_is_a_percentage_too():
    said = summary(measured(row("interface", 6055.78, forest=-1.0, thresholding=9.99)), "network")
    assert said.splitlines()[1:] == [
        "  U-Net: interface 605,578% (pore)",
        "  forest: interface 100.0% (pore)",
        "  thresholding: interface 999.0% (pore)",
    ]


def test_what_there_is_hardly_any_of_is_not_counted_and_named():
    rows = (
        row("interface", 0.04, "clay", "quartz", truth=0.05),
        row("interface", 34.2, "clay", "heavy", truth=5e-7),
        row("interface", None, "air", "heavy", truth=0.0),
    )
    assert summary(measured(*rows), "network").splitlines()[1:] == [
        "  U-Net: interface 4.0% (clay/quartz)",
        "  no error is told of what there is hardly any of (below 1% of the largest): "
        "interface of clay/heavy",
    ]


def test_the_share_that_is_hardly_any_is_the_one_that_is_said():
    said = summary(measured(row("a", 0.1), row("a", 9.0, "ore", truth=1e-6)), "network")
    assert f"(below {HARDLY_ANY:.0%} of the largest)" in said


def test_what_is_of_all_phases_says_so():
    """As the triple-phase boundary of four phases together."""
    rows = (row("triple line", 0.2, None, None),)
    assert summary(measured(*rows), "network").endswith("  U-Net: triple line 20.0% (all)")
