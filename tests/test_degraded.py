import csv
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from xseg_jax.report import degraded


def scores(*pairs):
    names = ("U-Net", "forest", "thresholding")
    return {
        name: {"accuracy": accuracy, "miou": miou}
        for name, (accuracy, miou) in zip(names, pairs, strict=False)
    }


def row(name, strength, *pairs, unit="spread", clean=0):
    return {
        "degradation": name, "unit": unit, "clean": clean, "strength": strength,
        "scores": scores(*pairs),
    }  # fmt: skip


FOUND = {
    "planes": 5,
    "clean": scores((0.98, 0.96), (0.97, 0.95), (0.9, 0.8)),
    "rows": [
        row("white_noise", 0.3, (0.95, 0.92), (0.96, 0.91), (0.7, 0.5)),
        row("white_noise", 0.6, (0.93, 0.90), (0.92, 0.89), (0.6, 0.4)),
        row("gain", 0.8, (0.5, 0.3), (0.4, 0.2), (0.5, 0.31), unit="factor", clean=1),
        row("gain", 1.25, (0.5, 0.3), (0.5, 0.3), (0.4, 0.2), unit="factor", clean=1),
    ],
}


def test_the_table_marks_rows_in_which_the_network_is_below_the_best_of_the_others():
    lines = degraded.degraded_table(FOUND).splitlines()
    assert lines[0] == "5 planes, made worse"
    assert lines[2].split() == ["U-Net", "forest", "thresholding"]
    assert lines[3].split() == ["degradation", "strength", *["accuracy", "mIoU"] * 3]
    cells = [line.split() for line in lines[4:9]]
    assert cells[0] == ["none", *["0.9800", "0.9600", "0.9700", "0.9500", "0.9000", "0.8000"]]
    assert cells[1][:3] == ["white_noise", "0.3", "spread"]
    assert cells[2][:4] == ["0.6", "spread", "0.9300", "0.9000"]  # The name stands once.
    assert cells[4][:3] == ["1.25", "factor", "0.5000"]
    # In accuracy alone; in mean IoU alone; a tie is not below.
    marked = [line.endswith(" <") for line in lines[4:9]]
    assert marked == [False, True, False, True, False]
    assert lines[-1] == "< U-Net below the best of the others: 2 of 5 rows"


def test_columns_stand_under_their_names():
    lines = degraded.degraded_table(FOUND).splitlines()
    ends = [match.end() for match in re.finditer(r"accuracy|mIoU", lines[3])]
    for line in lines[4:9]:
        found = [match.end() for match in re.finditer(r"\d\.\d{4}", line)]
        assert found == ends


def test_a_network_alone_is_below_nothing():
    alone = {"planes": 1, "clean": scores((0.5, 0.4)), "rows": [row("blur", 1.0, (0.3, 0.2))]}
    assert "<" not in degraded.degraded_table(alone)


def test_the_file_holds_every_score(tmp_path):
    path = tmp_path / "degraded.csv"
    degraded.write_csv(path, FOUND)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 3 * 5
    assert rows[0] == {
        "degradation": "none", "unit": "", "strength": "", "method": "U-Net", "accuracy": "0.98",
        "miou": "0.96",
    }  # fmt: skip
    assert list(rows[-1].values()) == ["gain", "factor", "1.25", "thresholding", "0.4", "0.2"]
    assert [one.name for one in tmp_path.iterdir()] == ["degraded.csv"]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws, and gives the figure."""
    kept = []
    save = degraded.save_figure
    monkeypatch.setattr(
        degraded, "save_figure", lambda f, path, formats: (kept.append(f), save(f, path, formats))
    )

    def draw(found):
        degraded.draw(tmp_path / "figures" / "degraded.png", found)
        assert (tmp_path / "figures" / "degraded.png").stat().st_size > 10_000
        return kept[-1]

    return draw


def test_the_figure_has_a_panel_for_each_score_and_degradation(drawn):
    figure = drawn(FOUND)
    assert isinstance(figure, Figure)
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["white noise", "gain"] * 2
    assert [axes.get_xlabel() for axes in panels] == ["spread", "factor"] * 2
    noise, gain, noise_iou, _ = panels
    for axes, at, network in (
        (noise, [0, 0.3, 0.6], [0.98, 0.95, 0.93]),
        (noise_iou, [0, 0.3, 0.6], [0.96, 0.92, 0.90]),
        (gain, [0.8, 1, 1.25], [0.5, 0.98, 0.5]),  # As it is stands among the strengths.
    ):
        lines = axes.get_lines()[:3]
        np.testing.assert_array_equal(lines[0].get_xdata(), at)
        np.testing.assert_array_equal(lines[0].get_ydata(), network)
        # Told apart without colour.
        assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(FOUND["clean"])


def test_panels_that_no_degradation_fills_are_left_out(drawn):
    rows = [row(f"kind{n}", 0.5, (0.5, 0.5)) for n in range(5)]
    figure = drawn({"planes": 1, "clean": scores((0.9, 0.8)), "rows": rows})
    assert [axes.get_title() for axes in figure.axes] == [f"kind{n}" for n in range(5)] * 2
