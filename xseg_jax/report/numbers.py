"""Numbers as a reader wants them: few digits, a true minus, intervals, times."""

import math

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
NONE = DASH
"""Stands where there is no number."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FEWEST, FEWEST_SEEDS = 4, 3
"""Parts, or seeds, that an interval needs, as in `evaluation.statistics`."""


def decimals(value: float | None, digits: int = 4) -> int | None:
    """Digits behind the point of a number that is written with so many significant ones.

    None where it is written with a power of ten, or is no number.
    """
    if value is None or not math.isfinite(value):
        return None
    exponent = math.floor(math.log10(abs(value))) if value else 0
    return max(0, digits - 1 - exponent) if -4 <= exponent < 7 else None


def number(value: float | None, digits: int = 4, *, places: int | None = None) -> str:
    """A number with so many significant digits; `NONE` for None and what is not finite.

    Args:
      value: to be written.
      digits: significant ones.
      places: digits behind the point, in place of significant ones.
    """
    if value is None or not math.isfinite(value):
        return NONE
    places = decimals(value, digits) if places is None else places
    if value == 0:
        return "0"
    if places is not None:
        return f"{value:,.{places}f}".replace("-", MINUS)
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = str(int(exponent)).translate(RAISED)
    return f"{mantissa}{TIMES}10{power}".replace("-", MINUS)


def score(value: float | None) -> str:
    """A score from 0 to 1, with four digits behind the point."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.4f}"


def signed(value: float | None, digits: int = 4, *, places: int | None = None) -> str:
    """A difference, with its sign; as `number`."""
    text = number(value, digits, places=places)
    return text if text.startswith(MINUS) or text in ("0", NONE) else f"+{text}"


def percent(value: float | None) -> str:
    """A share, as percent with one digit behind the point."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.1f}%"


def interval(
    low: float | None, high: float | None, digits: int = 4, *, places: int | None = None
) -> str:
    """Both ends of an interval, as `number`; "" where an end is unknown."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, digits, places=places)} to {number(high, digits, places=places)}"


def duration(seconds: float) -> str:
    """A time in the units that it is spoken of."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(n: int, what: str) -> str:
    """So many of something: "1 slice", "18 slices"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
