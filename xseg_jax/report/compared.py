"""A comparison of runs, as data for a page."""

from collections.abc import Mapping
from typing import Any

from xseg_jax.report.comparison import footnote, has_intervals, label
from xseg_jax.report.leaks import noun
from xseg_jax.report.numbers import count, score, signed
from xseg_jax.report.plots import Axis, Dot, dot_chart

Json = Mapping[str, Any]
Section = dict[str, Any]

DECIDES = "miou"
"""The score that a verdict in words is of."""


def comparison(compared: Json) -> Section:
    """What the template `compared.html` shows.

    Args:
      compared: what `compared.json` holds.
    """
    couples = list(dict.fromkeys((row["base"], row["variant"]) for row in compared["pairs"]))
    slices, pixels = count(compared["slices"], noun(compared)), f"{compared['pixels']:,} pixels"
    return {
        "name": " beside ".join(compared["of"]),
        "words": f"{slices}, {pixels}, scored by all.",
        "verdicts": [_in_words(row) for row in compared["pairs"] if row["score"] == DECIDES],
        "pairs": [_pair(compared, base, variant) for base, variant in couples],
        "notes": [*footnote(compared).split("\n"), *compared["notes"]],
    }


def _in_words(row: Json) -> str:
    base, variant, verdict = row["base"], row["variant"], row["verdict"]
    between = f"{variant} beside {base}"
    return f"{between}, in mean IoU: {verdict} ({signed(row['difference'], places=4)})."


def _pair(compared: Json, base: str, variant: str) -> Section:
    rows = [row for row in compared["pairs"] if (row["base"], row["variant"]) == (base, variant)]
    known = [row for row in rows if row["difference"] is not None]
    return {
        "base": base,
        "variant": variant,
        "rows": [_row(row) for row in rows],
        "chart": dot_chart(
            f"{variant} minus {base}",
            ["difference"],
            [(label(row), [Dot(0, row["difference"], row["low"], row["high"])]) for row in known],
            Axis("difference"),
            says=f"Differences of {count(len(known), 'score')}"
            + (", with their intervals." if has_intervals(compared) else "."),
            zero=True,
        ),
    }


def _row(row: Json) -> Section:
    low, high, p = row["low"], row["high"], row["p"]
    ends = (signed(end, places=4) for end in (low, high))
    return {
        "score": label(row),
        "base": score(row["base_value"]),
        "variant": score(row["value"]),
        "difference": signed(row["difference"], places=4),
        "interval": "" if low is None or high is None else " to ".join(ends),
        "p": "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        "verdict": row["verdict"],
    }
