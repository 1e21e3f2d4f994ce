import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.evaluation import statistics
from xseg_jax.report import numbers

MINUS, NONE, TIMES = numbers.MINUS, numbers.NONE, numbers.TIMES


def test_reports_leave_out_the_intervals_that_statistics_leave_out():
    assert numbers.FEWEST == statistics.FEWEST
    assert numbers.FEWEST_SEEDS == statistics.FEWEST_SEEDS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.31, "0.3100"),
        (12.5, "12.50"),
        (-0.0123456, f"{MINUS}0.01235"),
        (1234567.8, "1,234,568"),
        (1.5e9, f"1.500{TIMES}10⁹"),
        (-2.5e-7, f"{MINUS}2.500{TIMES}10⁻⁷"),
        (5e-324, f"4.941{TIMES}10⁻³²⁴"),
        (9.99999e9, f"1.000{TIMES}10¹⁰"),
        (None, NONE),
        (math.nan, NONE),
        (math.inf, NONE),
    ],
)
def test_four_digits(value, text):
    assert numbers.number(value) == text


@given(st.floats(-1e12, 1e12))
def test_what_is_written_is_near_the_value(value):
    text = numbers.number(value).replace(MINUS, "-").replace(",", "").replace(f"{TIMES}10", "e")
    text = text.translate({raised: chr(plain) for plain, raised in numbers.RAISED.items()})
    assert float(text) == pytest.approx(value, rel=1e-3, abs=1e-300)


@given(st.floats(1e-4, 9e6))
def test_an_error_with_the_places_of_its_value_has_its_last_digit(value):
    places = numbers.decimals(value)
    assert numbers.number(value, places=places) == numbers.number(value)


def test_a_difference_has_its_sign():
    assert numbers.signed(0.01, 3) == "+0.0100"
    assert numbers.signed(-0.01, places=4) == f"{MINUS}0.0100"
    assert numbers.signed(0.0) == "0"
    assert numbers.signed(None) == numbers.NONE


def test_an_interval_without_an_end_is_none():
    assert numbers.interval(0.3, 0.32, 3) == "0.300 to 0.320"
    assert numbers.interval(None, 0.32) == numbers.interval(0.3, math.inf) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59.4, "59 s"), (60, "1 min 0 s"), (155.6, "2 min 36 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds, text):
    assert numbers.duration(seconds) == text


def test_counts_shares_and_scores():
    assert [numbers.count(n, "slice") for n in (1, 2, 1200)] == ["1 slice", "2 slices",
                                                                  "1,200 slices"]  # fmt: skip
    assert (numbers.percent(0.1234), numbers.score(0.98765)) == ("12.3%", "0.9877")
    assert numbers.percent(math.nan) == numbers.score(None) == numbers.NONE
