"""evaluation/rows.py: which relative errors mean something."""

import pytest

from xseg_jax.evaluation.properties import TRUTH, Interval, Property
from xseg_jax.evaluation.rows import to_json, without_hardly_any
from xseg_jax.measure.keys import Key


def row(phase, truth, value, quantity="surface_density"):
    of = {"network": Interval(value), "forest": Interval(2 * truth), TRUTH: Interval(truth)}
    error = {name: Interval(of[name].value / (truth or 1) - 1) for name in ("network", "forest")}
    return to_json(Property(Key(quantity, phase), of, error, "", 0.0), "network", "um")


def test_what_there_is_hardly_any_of_has_no_error_in_any_method():
    """As the rest of a sum that should vanish, which was -70,800% in a table."""
    rows = [row("pore", 0.05, 0.06), row("metal", -1.2e-8, 8.5e-6), row("ore", 0.0, 0.1)]
    found = [one["against"] for one in without_hardly_any(rows)]
    assert [one["hardly_any"] for one in found] == [False, True, False]
    assert found[0]["error"] == pytest.approx(0.2)
    assert found[0]["baselines"]["forest"]["error"] == pytest.approx(1.0)
    assert found[1]["error"] is found[1]["baselines"]["forest"]["error"] is None
    assert found[1]["truth"] == -1.2e-8
    assert found[1]["baselines"]["forest"]["value"] == -2.4e-8


def test_each_quantity_has_its_own_largest():
    rows = [row("pore", 1000.0, 1000.0), row("pore", 0.001, 0.002, "volume_fraction")]
    assert not any(one["against"]["hardly_any"] for one in without_hardly_any(rows))


def test_numbers_below_zero_count_by_their_size():
    rows = [row("pore", -0.5, -0.4, "euler_density"), row("metal", 0.3, 0.2, "euler_density")]
    assert not any(one["against"]["hardly_any"] for one in without_hardly_any(rows))


def test_rows_without_truth_stay_as_they_are():
    one = to_json(
        Property(Key("surface_density", "pore"), {"network": Interval(1.0)}, {}, "", 0.0),
        "network", "um",
    )  # fmt: skip
    assert without_hardly_any([one]) == [one]
