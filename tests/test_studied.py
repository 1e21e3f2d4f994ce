"""report/studied.py: a study as data, and its page."""

import json

import numpy as np
import pandas as pd
import pytest

from xseg_jax.errors import InputError
from xseg_jax.modes import report
from xseg_jax.report.page import study_page
from xseg_jax.report.studied import studied
from xseg_jax.report.study import Compared, to_json

ERROR = "tortuosity_error/pore/z"
PROVENANCE = {"git_commit": None, "packages": {"jax": "0.10.2"}, "device": "2 x cpu"}


def study_of(tmp_path, values=(1, 3, 10), field="data.train_slices", undefined=False):
    """Two scores, three seeds; the last variant is not finished."""
    runs, variants = [], {"miou": [], ERROR: []}
    rng = np.random.default_rng(0)
    names = ["base", *(f"{field.rpartition('.')[2]}={value}" for value in values[:-1]), "failed"]
    places = dict(zip(names, (values[-1], *values), strict=False))
    for name in names[:-1]:
        for seed in range(3):
            folder = tmp_path / name / f"seed_{seed}"
            folder.mkdir(parents=True)
            if seed == 0:
                (folder / "report.html").touch()
            runs.append({
                "variant": name, "seed": seed, field: places[name], "miou": 0.9 + rng.normal() / 99,
                ERROR: np.nan if undefined else 0.05 + rng.normal() / 999, "forest_miou": 0.8,
                f"forest_{ERROR}": 0.2, "seconds": 90.0, "folder": str(folder),
            })  # fmt: skip
    table = pd.DataFrame(runs)
    for score, rows in variants.items():
        for n, name in enumerate(names):
            mine = table[table["variant"] == name][score]
            known = n > 0 and len(mine) and not (undefined and score == ERROR)
            rows.append({
                "score": score, "variant": name, "runs": len(mine), "mean": mine.mean(skipna=False),
                "std": mine.std(skipna=False), "forest": 0.8 if score == "miou" else 0.2,
                "difference": 0.01 if known else np.nan, "low": -0.01 if known else np.nan,
                "high": 0.03 if known else np.nan, "p": 0.2 if known else np.nan, "parameters": 9,
                "seconds": 90.0, "verdict": ["base", "no difference shown", "worse", "failed"][n],
            })  # fmt: skip
    compared = [
        Compared("miou", "mean IoU", False, "4 blocks of z", ["forest"],
                 pd.DataFrame(variants["miou"])),
        Compared(ERROR, "error of the tortuosity factor (pore, z)", True, "8 parts", ["forest"],
                 pd.DataFrame(variants[ERROR])),
    ]  # fmt: skip
    content = to_json("How many <b>slices</b>?", compared, table, field) | PROVENANCE
    return json.loads(json.dumps(content, allow_nan=False))


def test_verdicts_tables_and_runs(tmp_path):
    found = studied(study_of(tmp_path))
    assert found["verdicts"][1] == (
        "By error of the tortuosity factor (pore, z), against the base: no difference shown: "
        "train_slices=1; worse: train_slices=3; failed: failed."
    )
    assert found["words"] == "9 runs of 4 variants, by 2 scores."
    miou, error = found["scores"]
    assert miou["rows"][1]["difference"] == "+0.0100"
    assert error["rows"][1]["interval"] == "\N{MINUS SIGN}1.00% to +3.00%"
    assert error["baselines"] == [{"name": "forest", "value": "20.00%"}]
    assert "over seeds and 8 parts" in error["note"]
    row = found["runs"]["rows"][3]
    assert (row["variant"], row["seed"], row["minutes"]) == ("train_slices=1", 0, "1.5")
    assert row["link"] == "train_slices%3D1/seed_0/report.html"
    assert found["runs"]["rows"][4]["link"] is None


def test_a_numeric_field_is_a_curve_and_others_are_rows(tmp_path):
    study = study_of(tmp_path)
    curve, differences = studied(study)["scores"][0]["charts"]
    assert [line["name"] for line in curve["lines"]] == ["U-Net", "forest"]
    means = [np.mean([r["miou"] for r in study["runs"] if r["data.train_slices"] == n])
             for n in (1, 3, 10)]  # fmt: skip
    shown = [float(row[1]) for row in curve["table"]["rows"]]
    np.testing.assert_allclose(shown, means, rtol=1e-3)
    assert len(differences["rows"]) == 2
    rows, _ = studied(study | {"axis": ""})["scores"][0]["charts"]
    assert [row["name"] for row in rows["rows"]] == ["base", "train_slices=1", "train_slices=3"]


def test_a_score_that_no_run_has_draws_nothing(tmp_path):
    _, error = studied(study_of(tmp_path, undefined=True))["scores"]
    assert error["charts"] == []
    assert error["rows"][0]["mean"] == "\N{EN DASH}"


def test_the_page_has_nothing_wrong(tmp_path, open_page):
    text = study_page(study_of(tmp_path))
    assert str(tmp_path) not in text
    assert "<b>slices" not in text
    opened = open_page(text, width=320)
    assert opened.page.locator("h1").inner_text() == "How many <b>slices</b>?"
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert opened.page.locator("h2").all_inner_texts() == [
        "Variants", "Runs", "Provenance", "How to cite",
    ]  # fmt: skip
    assert opened.violations() == []
    assert opened.overflow() <= 0
    assert opened.messages == []
    assert opened.requests == []


def test_the_page_of_a_study_is_made_again_from_its_folder(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(study_of(tmp_path)))
    report.run(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.startswith(study_page(json.loads((tmp_path / "study.json").read_text())))
    assert not (tmp_path / "model_card.md").exists()
    with pytest.raises(InputError, match=r"results\.json: no such file"):
        report.run(tmp_path / "base")
