import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from result_folders import MEASURED, results, untested, whole_run, with_intervals, write_results

from xseg_jax.errors import InputError
from xseg_jax.report import page
from xseg_jax.report.slices import make_record, write_slices

SECTIONS = [
    "Methods", "Scores", "Training", "Confusion", "Calibration", "Quantities", "Robustness",
    "Slices", "Warnings", "Provenance", "How to cite",
]  # fmt: skip
LOADS = ("src", "href", "data", "poster", "srcset", "action", "xlink:href")


class Seen(HTMLParser):
    """Headings, ids, and what a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.ids, self.links, self.tags = [], [], [], []
        self._heading = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._heading = tag in ("h1", "h2", "h3")
        if self._heading:
            self.headings.append([int(tag[1]), ""])
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in LOADS]

    def handle_endtag(self, tag):
        self._heading = False

    def handle_data(self, data):
        if self._heading:
            self.headings[-1][1] += data

    def titles(self, level=2):
        return [text.strip() for found, text in self.headings if found == level]


def add_slices(folder, names=("pore", "ceramic", "metal"), size=24):
    rng = np.random.default_rng(0)
    records = [
        make_record(
            f"slice_{z:04d}",
            rng.integers(0, 60000, (size, size)).astype(np.uint16),
            rng.integers(0, 3, (size, size)).astype(np.uint8),
            label_HW=rng.integers(0, 3, (size, size)).astype(np.uint8),
            probabilities_HWK=rng.dirichlet((1, 1, 1), (size, size)),
            z=z,
        )
        for z in range(3)
    ]
    colours = [(51, 34, 136), (68, 170, 153), (221, 204, 119)]
    write_slices(folder / "slices.npz", records, names, colours, None, "pixel")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of a run that has everything."""
    folder = tmp_path_factory.mktemp("runs") / "cell"
    write_results(folder, whole_run() | {"results.json": with_intervals(results())})
    add_slices(folder)
    return page.run_page(folder)


def page_of(folder, **files):
    return page.run_page(write_results(folder, whole_run() | files))


def test_all_sections_in_order_and_listed(whole):
    seen = Seen(whole)
    assert seen.titles(1) == ["cell"]
    assert seen.titles(2) == SECTIONS
    levels = [level for level, _ in seen.headings]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    listed = re.findall(r'<li><a href="#(\w+)">(.*?)</a></li>', whole)
    assert [title for _, title in listed] == SECTIONS
    assert {id for id, _ in listed} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))


def test_nothing_is_loaded(whole):
    seen = Seen(whole)
    assert all(link.startswith(("#", "data:")) for link in seen.links)
    assert "link" not in seen.tags
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", whole)
    assert "default-src 'none'" in whole


def test_numbers_are_those_of_the_files(whole):
    found = results()
    for value in (found["accuracy"], found["miou"], found["per_class"]["metal"]["iou"]):
        assert f"{value:.4f}" in whole
    assert "0.3000 to 0.3200" in whole
    assert "holds 3 grey values far outside all others" in whole
    assert "commit 0123456789ab" in whole
    assert "4 blocks of z" in whole
    assert "surface Dice" in whole
    config = json.dumps(whole_run()["config.json"], indent=2)
    assert config.replace('"', "&#34;") in whole


def test_names_are_escaped_wherever_they_stand(tmp_path):
    names = ("<script>alert(1)</script>", '"quoted" & <u>', "metal")
    folder = tmp_path / "<img src=x onerror=alert(1)> & 'run'"
    found = results(names)
    files = whole_run() | {"results.json": found, "warnings.json": ["<i>slice</i>"]}
    files["data.json"]["label_map"] = found["label_map"]
    for one in files["measured.json"]["quantities"]:
        one["phase"] = names[0]
    files["measured.json"]["phases"] = list(names)
    write_results(folder, files)
    add_slices(folder, names)
    text = page.run_page(folder)
    for raw in ("<script>alert", "<img src=x", "<u>", "<i>slice"):
        assert raw not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<h1>&lt;img src=x onerror=alert(1)&gt; &amp; &#39;run&#39;</h1>" in text


def test_a_run_without_a_test_part(tmp_path):
    missing = dict.fromkeys(("degraded.json", "measured.json", "warnings.json"))
    text = page_of(tmp_path, **{"results.json": untested()}, **missing)
    assert Seen(text).titles() == ["Methods", "Scores", "Training", "Provenance", "How to cite"]
    assert "Not tested: the network was trained on every label." in text


def test_a_run_without_baselines_or_calibration(tmp_path):
    found = results() | {"baselines": {}, "verdict": None, "calibration": None}
    text = page_of(tmp_path, **{"results.json": found})
    assert "Calibration" not in Seen(text).titles()
    assert f"mean IoU of {found['miou']:.4f}; nothing stands beside it" in text


def test_an_evaluation_has_no_training(tmp_path):
    evaluation = {"run": "/runs/cell", "step": 8, "input": "/data/other"}
    files = {"results.json": results(), "evaluation.json": evaluation, "warnings.json": []}
    text = page.run_page(write_results(tmp_path, files))
    assert {"Training", "Robustness", "Quantities"}.isdisjoint(Seen(text).titles())
    assert "xseg_jax · Evaluation" in text
    assert "It gave none." in text


def test_figures_stand_where_no_slices_were_kept(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "comparison.png").write_bytes(b"\x89PNG")
    text = page_of(tmp_path)
    assert text.count("data:image/png;base64,iVBORw==") == 1
    assert "Slices" in Seen(text).titles()


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"results\.json: no such file"):
        page.run_page(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_finds_nothing_wrong(whole, open_page, scheme):
    opened = open_page(whole, scheme=scheme)
    # What is folded is looked at too.
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert opened.violations() == []
    assert opened.messages == []
    assert opened.requests == []


@pytest.mark.parametrize("width", [320, 768])
def test_a_narrow_page_does_not_scroll_sideways(whole, open_page, width):
    opened = open_page(whole, width=width)
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert opened.overflow() <= 0


def test_long_names_do_not_widen_the_page(tmp_path, open_page):
    names = ("a" * 120, "b " * 60, "c-" * 60)
    found = results(names)
    files = whole_run() | {"results.json": found}
    files["data.json"]["label_map"] = found["label_map"]
    text = page.run_page(write_results(tmp_path / ("long" * 40), files))
    opened = open_page(text, width=320)
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert opened.overflow() <= 0


def test_copying_the_methods(whole, open_page):
    opened = open_page(whole, permissions=["clipboard-read", "clipboard-write"])
    opened.page.click("button[data-copies=methods-text]")
    copied = opened.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("The data are a synthetic tomogram of 240 slices")
    assert copied.count("\n\n") == 3
    assert "Copied" in opened.page.inner_text("button[data-copies=methods-text]")


def test_where_the_browser_refuses_the_text_is_selected(whole, open_page):
    opened = open_page(whole)
    opened.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    opened.page.click("button[data-copies=bibtex]")
    assert opened.page.evaluate("String(getSelection())").startswith("@misc{xseg_jax")
    assert "Ctrl+C" in opened.page.inner_text("button[data-copies=bibtex]")


def test_paper_shows_what_is_folded_and_no_controls(whole, open_page):
    opened = open_page(whole)
    opened.page.emulate_media(media="print")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.page.is_visible("text='batch_size'") or opened.page.is_visible("#provenance pre")
    assert not opened.page.is_visible("nav")
    assert not opened.page.is_visible("button.copy >> nth=0")
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate("document.querySelectorAll('details[open]').length") == 0


def test_the_keyboard_skips_to_the_content(whole, open_page):
    opened = open_page(whole)
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "content"


MADE = {
    "input": "/data/segmented.tif", "labels": None, "git_commit": None, "device": "2 x cpu",
    "seconds": 61.0, "packages": {"jax": "0.10.2"}, "warnings": [],
}  # fmt: skip


def long_table():
    """Quantities with numbers as long as they are, beside two baselines."""
    first = MEASURED["quantities"][0]
    ends = {"error_low": -0.0123, "error_high": 3.214}
    against = first["against"] | ends | {"truth_low": 0.007784, "truth_high": 0.008285}
    beside = {"value": 0.07, "error": 3.078} | ends
    against["baselines"] = {"forest": beside, "thresholding": beside}
    row = first | {"low": 0.007720, "high": 0.008203, "against": against, "unit": "1/um^2"}
    return MEASURED | {"quantities": [row, row | {"with": "ceramic, metal"}]}


@pytest.mark.parametrize(
    ("width", "fits"), [(320, False), (390, False), (800, False), (1200, True)]
)
def test_the_table_of_quantities_fits_or_scrolls_in_its_own_box(open_page, width, fits):
    opened = open_page(page.measured_page(long_table() | MADE), width=width)
    wider = opened.page.evaluate(
        """() => {
          const box = document.querySelector("#quantities .wide");
          return box.scrollWidth - box.clientWidth;
        }"""
    )
    assert (wider <= 0) == fits
    assert opened.overflow() <= 0
    opened.page.emulate_media(media="print")
    inside = "document.querySelector('#quantities table').getBoundingClientRect().width"
    if width == 800:  # About what paper is wide, in CSS pixels.
        assert opened.page.evaluate(inside) <= 800


def test_a_measurement_names_who_has_segmented_and_cites_what_was_measured():
    maker = {"runs": [{"run": "scan", "step": 300}], "scan": "rock.tif", "network": "U-Net"}
    text = page.measured_page(MEASURED | MADE | {"prediction": maker})
    for said in ("rock.tif", "scan (step 300)", "Baddeley", "Torquato S, Lu B"):
        assert said in text
    for idle in ("Hildebrand", "TauFactor", "Legland"):
        assert idle not in text
    assert "segmented by" not in page.measured_page(MEASURED | MADE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_measurement_has_nothing_wrong_either(open_page, scheme):
    about = {
        "input": "/data/<b>segmented</b>.tif", "labels": "/data/true.tif", "git_commit": None,
        "device": "2 x cpu", "seconds": 61.0, "packages": {"jax": "0.10.2"},
        "warnings": ["says no voxel size"],
    }  # fmt: skip
    text = page.measured_page(MEASURED | about)
    assert "<b>segmented" not in text
    assert "/data/" not in text
    opened = open_page(text, width=320, scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    headings = opened.page.locator("h2").all_inner_texts()
    assert headings == ["Quantities", "Warnings", "Provenance", "How to cite"]
    assert opened.violations() == []
    assert opened.overflow() <= 0
    assert opened.messages == []
    assert opened.requests == []
