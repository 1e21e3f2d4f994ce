"""modes/study_scores.py: what runs of a study are compared by, checked before they are trained."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from configs import tiny
from configs.ablations import properties
from configs.ablations.study import study
from xseg_jax.errors import InputError
from xseg_jax.modes import sweep
from xseg_jax.modes.study_scores import SCORES, check_scores, scores_of

PHASES = ["pore", "ceramic", "metal"]
SLICES = [f"slice_{z}" for z in range(16)]


def small(**data):
    """A study of two variants whose test is a volume, or with z_step=2 is none."""
    base = tiny.get_config()
    base.data.phantom.z_step = 1
    base.data.phantom.depth = 80
    base.data.split.gap = 4
    base.data.phantom.update(data)
    config = study("How many?", base, grid={"data.train_slices": (1,)}, axis="train_slices")
    config.score = "volume_fraction_error/pore"
    return config


def measured(error, rng, dimension=3):
    """What a run with about such an error has measured: fractions, and a tortuosity factor."""
    rows = []
    for quantity, phase, axis in [
        *(("volume_fraction", phase, None) for phase in PHASES), ("tortuosity", "pore", "z"),
    ]:  # fmt: skip
        truth_P = rng.uniform(0.9, 1.1, 8)
        value_P = truth_P * (1 + error + 0.001 * rng.normal(size=8))
        beside = {"value": 1.3 * truth_P.mean(), "parts": (1.3 * truth_P).tolist()}
        rows.append({
            "quantity": quantity, "phase": phase, "with": None, "axis": axis,
            "value": value_P.mean(), "parts": value_P.tolist(),
            "against": {
                "truth": truth_P.mean(), "truth_parts": truth_P.tolist(),
                "baselines": {"thresholding": beside},
            },
        })  # fmt: skip
    return {"phases": PHASES, "dimension": dimension, "quantities": rows}


def finish(folder, found):
    """A run as training leaves it, as far as studies read it."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = dict.fromkeys(SCORES, 0.5) | {"parameters": 9, "seconds": 60.0}
    beside = {"thresholding": dict.fromkeys(SCORES, 0.4)}
    contents = {
        "results.json": scores | {"baselines": beside},
        "data.json": {"split": {"train": ["a"]}},
        "slices.json": {"network": {name: np.eye(3).tolist() for name in SLICES}},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    if found:
        (folder / "measured.json").write_text(json.dumps(found))


def simulate(workdir, config, errors):
    """All runs of a study with these errors of variants, without training."""
    for variant, error in errors.items():
        for seed in config.seeds:
            rng = np.random.default_rng(seed)  # The same truth for all variants.
            folder = workdir / variant / f"seed_{seed}"
            finish(folder, None if error is None else measured(error + 0.002 * seed, rng))


def test_a_study_tells_which_variant_errs_less(tmp_path):
    config = small()
    config.base.report.quantities = ("fractions", "tortuosity")
    config.score = "volume_fraction_error, tortuosity_error/pore/z, miou"
    workdir = tmp_path / "study"
    simulate(workdir, config, {"base": 0.01, "train_slices=1": -0.08})
    summary = sweep.run(config, workdir, executor="local", jobs=1, slurm={})
    by_score = {name: rows.set_index("variant") for name, rows in summary.groupby("score")}
    for name in ("volume_fraction_error", "tortuosity_error/pore/z"):
        found = by_score[name]
        assert found.loc["base", "mean"] == pytest.approx(0.012, abs=1e-3)
        assert found.loc["train_slices=1", "difference"] == pytest.approx(0.066, abs=2e-3)
        assert found.loc["train_slices=1", "verdict"] == "worse"
        np.testing.assert_allclose(found["thresholding"], 0.3)
    assert by_score["miou"].loc["train_slices=1", "verdict"] == "no difference shown"
    text = (workdir / "study.md").read_text()
    assert text.count("| variant | runs |") == 3
    assert re.search(r"\| train_slices=1 \| 3 \| 7\.8\d% ± 0\.\d\d% \| \+6\.6\d% \[", text)
    assert "| thresholding |  | 30.00% |" in text
    assert "absolute relative error of the tortuosity factor (pore, z), of the whole test" in text
    assert "over seeds and 8 parts of the tested volume" in text
    assert "over seeds and 4 blocks of z" in text
    runs = pd.read_csv(workdir / "study.csv")
    means = runs.groupby("variant")["tortuosity_error/pore/z"].mean()
    np.testing.assert_allclose(means["base"], by_score["tortuosity_error/pore/z"]["mean"]["base"])
    np.testing.assert_allclose(runs["thresholding_volume_fraction_error"], 0.3)
    assert (workdir / "report.html").read_text().count("<h3>") >= 3
    for name in ("study.png", "study_2.png", "study_3.png"):
        assert (workdir / name).stat().st_size > 5_000


def test_another_score_of_the_same_runs_needs_no_training(tmp_path):
    config = small()
    config.base.report.quantities = ("fractions", "tortuosity")
    workdir = tmp_path / "study"
    simulate(workdir, config, {"base": 0.01, "train_slices=1": 0.0})
    for score, verdict in [("tortuosity_error", "better"), ("f1", "no difference shown")]:
        config.score = score
        summary = sweep.run(config, workdir, executor="local", jobs=1, slurm={})
        assert summary["verdict"].tolist() == ["base", verdict]
        assert not list(workdir.glob("*/*/run.log"))


def test_a_run_that_has_nothing_measured_loses_nobody_the_rest(tmp_path):
    config = small()
    config.score = "volume_fraction_error, f1"
    workdir = tmp_path / "study"
    simulate(workdir, config, {"base": 0.01, "train_slices=1": 0.0})
    (workdir / "train_slices=1" / "seed_2" / "measured.json").unlink()
    summary = sweep.run(config, workdir, executor="local", jobs=1, slurm={})
    assert summary["verdict"].tolist() == ["base", "not compared", "base", "no difference shown"]
    assert "| train_slices=1 | 3 | not defined |" in (workdir / "study.md").read_text()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("tortuosity", "choose one of accuracy, precision, recall, f1, miou, or the error"),
        ("torsion_error", "there is no such error.*choose one of volume_fraction_error"),
        ("f1, f1", "name each once"),
        ("tortuosity_error/pore/z",
         r"config.base.report.quantities=\('fractions', 'surfaces', 'triple_lines'\) does not "
         r"measure tortuosity; add --config.base.report.quantities=\"\('fractions', 'surfaces', "
         r"'triple_lines', 'tortuosity'\)\""),
    ],
)  # fmt: skip
def test_a_wrong_score_is_refused_before_anything_starts(tmp_path, score, message):
    config = small()
    config.score = score
    with pytest.raises(InputError, match=message):
        sweep.run(config, tmp_path / "study", executor="local", jobs=1, slurm={})
    assert not (tmp_path / "study").exists()


def check(config, tmp_path):
    config.base.data.prepared_dir = str(tmp_path / "prepared")
    variants = sweep.expand(config)
    folders = dict.fromkeys(variants, tmp_path / "nothing")
    check_scores(scores_of(config.score, 4), variants, folders)


def test_phases_are_looked_up_in_the_data_before_training(tmp_path):
    config = small()
    config.score = "volume_fraction_error/nickel"
    with pytest.raises(InputError, match="among the phases pore, ceramic, metal"):
        check(config, tmp_path)


@pytest.mark.parametrize("z_step", [1, 2])
def test_slices_that_are_no_volume_are_refused_where_one_is_needed(tmp_path, z_step):
    config = small(z_step=z_step, depth=80 * z_step)
    config.base.report.quantities = ("fractions", "tortuosity")
    check(config, tmp_path)  # Fractions are told by slices, too.
    config.score = "volume_fraction_error, tortuosity_error/pore/z"
    if z_step == 1:
        check(config, tmp_path)
        return
    with pytest.raises(
        InputError, match=r"tortuosity_error/pore/z.*are no volume.*16 or more neig"
    ):
        check(config, tmp_path)


def test_estimates_from_slices_are_not_compared_to_a_volume(tmp_path):
    config = small()
    config.grid = {}
    config.variants = {"sparse": {"data.phantom.z_step": 2}}
    with pytest.raises(InputError, match="the test slices of sparse are no volume"):
        check(config, tmp_path)


def test_a_run_that_is_finished_tells_what_it_has(tmp_path):
    config = small()
    config.base.report.quantities = ("fractions", "tortuosity")
    config.score = "tortuosity_error/pore/z"
    finish(tmp_path, measured(0.1, np.random.default_rng(0), dimension=2))
    variants = sweep.expand(config)
    with pytest.raises(InputError, match="are no volume"):
        check_scores(scores_of(config.score, 4), variants, dict.fromkeys(variants, tmp_path))


@pytest.mark.parametrize("independent", [False, True])
def test_areas_are_of_images_and_fractions_of_a_volume(tmp_path, independent):
    config = small()
    folder, names = tmp_path / "run", ("volume_fraction_error", "area_fraction_error")
    finish(folder, measured(0.1, np.random.default_rng(0), 2) | {"independent": independent})
    variants = sweep.expand(config)
    for name in names:
        score, folders = scores_of(name, 4), dict.fromkeys(variants, folder)
        if name == names[independent]:
            check_scores(score, variants, folders)
            continue
        with pytest.raises(InputError, match=f"{name}'.*choose {names[independent]}"):
            check_scores(score, variants, folders)


@pytest.mark.parametrize("data", ["default", "soc"])
def test_the_study_of_properties_measures_what_it_compares(data):
    config = properties.get_config(data)
    for one in scores_of(config.score, 4):
        assert one.lower_is_better
        assert one.score.family in config.base.report.quantities
    assert config.base.data.normalize == "scan"
    assert config.base.checkpoint.use == "last"
    if data == "soc":
        assert config.base.data.split.test == (321, 384)
        one.score.check(["pore", "YSZ", "nickel"])
