"""report/compared.py: a comparison as data, and its page."""

from xseg_jax.report.compared import comparison
from xseg_jax.report.page import compared_page


def row(score, difference, low, high, verdict, **other):
    return {
        "score": score, "class": None, "base": "a", "variant": "<b>", "base_value": 0.9,
        "value": None if difference is None else 0.9 + difference, "difference": difference,
        "low": low, "high": high, "p": 0.0002, "verdict": verdict,
    } | other  # fmt: skip


COMPARED = {
    "of": {"a": ["/home/somebody/runs/a"], "<b>": ["/home/somebody/runs/b"]},
    "slices": 12, "pixels": 34000, "units": 4, "unit": "blocks of z", "seeds": 1,
    "tolerance": 2.0, "notes": ["trained on other data"],
    "scores": [],
    "pairs": [
        row("miou", 0.02, 0.01, 0.03, "better"),
        row("iou", -0.01, None, None, "no difference shown", p=None, **{"class": "pore"}),
        row("surface_dice", None, None, None, "not defined", p=None),
    ],
    "git_commit": None, "packages": {"jax": "0.10.2"}, "device": "2 x cpu",
}  # fmt: skip


def test_the_verdict_is_of_the_mean_iou_and_rows_have_their_digits():
    found = comparison(COMPARED)
    assert found["verdicts"] == ["<b> beside a, in mean IoU: better (+0.0200)."]
    (pair,) = found["pairs"]
    first, second, third = pair["rows"]
    assert (first["difference"], first["interval"], first["p"]) == (
        "+0.0200", "+0.0100 to +0.0300", "< 0.001",
    )  # fmt: skip
    assert (second["score"], second["interval"], second["p"]) == ("IoU of pore", "", "")
    assert third["difference"] == "\N{EN DASH}"
    assert len(pair["chart"]["rows"]) == 2  # What is not defined has no dot.
    assert found["notes"][-1] == "trained on other data"


def test_the_page_has_nothing_wrong(open_page):
    text = compared_page(COMPARED)
    assert "/home/somebody" not in text
    assert "<b> beside" not in text
    opened = open_page(text, width=320)
    assert opened.page.locator("h1").inner_text() == "a beside <b>"
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert opened.violations() == []
    assert opened.overflow() <= 0
    assert opened.messages == opened.requests == []
