"""Studies: from one file to runs, tables and figures."""

import functools
import json
import operator
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pandas as pd
import pytest

from configs import default
from configs.ablations import smoke
from configs.ablations.study import study
from xseg_jax.errors import InputError
from xseg_jax.model.metrics import macro_scores
from xseg_jax.modes import sweep
from xseg_jax.modes.sweep import expand

ROOT = Path(__file__).parent.parent
STUDIES = sorted(
    path.stem for path in (ROOT / "configs" / "ablations").glob("*.py") if path.stem != "study"
)


def load(name, *base):
    return __import__(f"configs.ablations.{name}", fromlist=["get_config"]).get_config(*base)


def test_the_studies_that_are_shipped():
    assert STUDIES == [
        "augmentation", "capacity", "labels", "learning_rate", "loss", "noise", "norm",
                "properties", "recipe",
        "skip", "smoke", "split",
    ]  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_question_and_configs_that_training_takes(name):
    from xseg_jax.modes.train import check_config

    config = load(name)
    assert config.question.count("?") == 1
    variants = expand(config)
    assert next(iter(variants)) == "base"
    assert len(variants) >= 2
    for variant in variants.values():
        check_config(variant)


def test_the_study_that_means_nothing_says_so():
    assert load("smoke").note.startswith("These scores mean nothing")
    assert not any(load(name).note for name in STUDIES if name != "smoke")


def test_a_study_can_have_another_base():
    config = load("labels", "soc")
    assert config.base.data.classes == "0:pore,128:YSZ,255:nickel"
    assert config.base.data.crops_per_epoch == 160


def test_variants_and_grids_become_configs_without_the_base_twice():
    config = study(
        "Why?",
        default.get_config(),
        variants={"no skip": {"model.skip": False}},
        grid={"batch_size": (8, 16), "loss.name": ("dice", "cross_entropy")},
    )
    variants = expand(config)
    assert list(variants) == [
        "base", "no skip", "batch_size=8, name=dice", "batch_size=8, name=cross_entropy",
        "batch_size=16, name=dice",
    ]  # fmt: skip
    assert not variants["no skip"].model.skip
    assert variants["base"].model.skip
    assert variants["batch_size=8, name=dice"].loss.name == "dice"


@pytest.mark.parametrize(
    ("delta", "message"),
    [
        (
            {"model.skips": False},
            r"config\.model\.skips: no such field; did you mean config\.model\.sk",
        ),
        ({"batch_size": "many"}, r"variant 'x'.*batch_size"),
    ],
)
def test_fields_that_do_not_exist_fail_before_anything_starts(tmp_path, delta, message):
    config = smoke.get_config()
    config.variants = {"x": delta}
    with pytest.raises(InputError, match=message):
        sweep.run(config, tmp_path / "study", executor="local", jobs=1, slurm={})
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", "dice"),
        ("variants", {"base": {}}),
        ("seeds", (1, 1)),
        ("seeds", ()),
        ("blocks", 0),
        ("base.report.formats", ("gif",)),
    ],
)
def test_other_mistakes_in_a_study(tmp_path, field, value):
    config = smoke.get_config()
    *way, last = field.split(".")
    functools.reduce(operator.getitem, way, config)[last] = value
    with pytest.raises(InputError, match=rf"config\.{field}"):
        sweep.run(config, tmp_path / "study", executor="local", jobs=1, slurm={})


STUDY = """
from configs.ablations import smoke


def get_config():
    config = smoke.get_config()
    config.variants = {"dice": {"loss.name": "dice", "model.skip": False}}
    return config
"""


def main(workdir, *flags):
    study = workdir.parent / "study.py"
    study.write_text(STUDY)
    return forked.Main(
        "--mode=sweep", f"--config={study}", f"--workdir={workdir}",
        f"--config.base.data.prepared_dir={workdir.parent / 'prepared'}", *flags, fork=True,
    )  # fmt: skip


def said_by(process):
    return "".join(process.communicate(300))


def finished(workdir):
    return {
        path.parent.relative_to(workdir).as_posix(): path.stat().st_mtime_ns
        for path in workdir.glob("*/*/results.json")
    }


@pytest.fixture(scope="module")
def smoked(tmp_path_factory):
    """A study of four runs, stopped half-way and started again: what was finished, and said."""
    workdir = tmp_path_factory.mktemp("study") / "smoke"
    process = main(workdir, "--jobs=2")
    deadline = time.monotonic() + 200
    while not finished(workdir) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = said_by(process)
    assert process.returncode == 75, said
    before = finished(workdir)
    assert 1 <= len(before) < 4
    again = main(workdir, "--jobs=2")
    said = said_by(again)
    assert again.returncode == 0, said
    return workdir, before, said


def test_a_study_that_was_stopped_repeats_nothing(smoked):
    workdir, before, said = smoked
    after = finished(workdir)
    assert set(after) == {f"{v}/seed_{s}" for v in ("base", "dice") for s in (0, 1)}
    assert {name: after[name] for name in before} == before
    assert said.startswith(
        "data:     synthetic tomogram, 20 slices of 48 x 48, uint16\n"
        f"study:    {workdir}, 2 variants, 2 seeds of each\n"
        f"runs:     {len(before)} of 4 runs are finished\nexecutor: local, 2 at a time\n"
    )
    assert (
        f"\n\nresults: {workdir}/study.csv, {workdir}/study.md\nfigures: {workdir}/study.png\n"
        f"page:    {workdir}/report.html\nruns:    {workdir}\n" in said
    )


def test_a_study_ends_with_a_line_a_run_and_a_row_a_variant(smoked):
    workdir, _, said = smoked
    runs = pd.read_csv(workdir / "study.csv")
    assert len(runs) == 4
    for row in runs.to_dict("records"):
        results = json.loads((Path(row["folder"]) / "results.json").read_text())
        assert row["miou"] == results["miou"]
        for name in ("forest", "thresholding"):
            assert row[f"{name}_miou"] == results["baselines"][name]["miou"]
        assert row["loss.name"] == ("dice" if row["variant"] == "dice" else "cross_entropy")
        assert row["model.skip"] == (row["variant"] != "dice")
        config = json.loads((Path(row["folder"]) / "config.json").read_text())
        assert config["seed"] == row["seed"]
    text = (workdir / "study.md").read_text()
    assert text.startswith("# Does a study run?")
    for name, group in runs.groupby("variant"):
        mean, std = group["miou"].mean(), group["miou"].std()
        assert f"| {name} | 2 | {mean:.4f} ± {std:.4f} |" in text
        assert f"| {name} | 2 | {mean:.4f} ± {std:.4f} |" in said
    gain = (
        runs[runs["variant"] == "dice"]["miou"].mean()
        - runs[runs["variant"] == "base"]["miou"].mean()
    )
    # Two seeds of two slices: a difference, and no interval.
    (found,) = re.findall(r"\| dice \|.*\| ([+-][\d.]+) \|  \|.*too few seeds and blocks to", text)
    assert float(found) == pytest.approx(gain, abs=1e-4)
    assert (workdir / "study.png").stat().st_size > 10_000


def test_slices_add_up_to_the_results(smoked):
    workdir, _, _ = smoked
    run = workdir / "base" / "seed_0"
    results = json.loads((run / "results.json").read_text())
    methods = json.loads((run / "slices.json").read_text())
    tested = json.loads((run / "data.json").read_text())["split"]["test"]
    assert list(methods) == ["network", "forest", "thresholding"]
    for method, slices in methods.items():
        found = results if method == "network" else results["baselines"][method]
        total_KK = np.sum(list(slices.values()), axis=0)
        np.testing.assert_array_equal(total_KK, found["confusion"])
        for name, value in macro_scores(total_KK).items():
            assert float(value) == found[name]
        assert list(slices) == tested


def test_a_broken_variant_stops_no_other_and_is_tried_again(smoked):
    workdir, _, _ = smoked
    broken = workdir / "dice" / "seed_1"
    kept = finished(workdir)
    results = (broken / "results.json").read_bytes()
    (broken / "results.json").unlink()
    (broken / "data.json").write_text("{")
    process = main(workdir, "--jobs=2")
    said = said_by(process)
    assert process.returncode == 1
    assert f"failed: {broken}" in said
    assert "data.json: is no JSON" in said  # The end of its log.
    assert "1 of 4 runs failed" in said.splitlines()[-1]
    assert "| dice | 1 |" in (workdir / "study.md").read_text()
    del kept["dice/seed_1"]
    assert finished(workdir) == kept
    (broken / "data.json").unlink()
    process = main(workdir, "--jobs=2")
    said = said_by(process)
    assert process.returncode == 0, said
    seconds = re.compile(rb'"seconds": [\d.]+')
    assert seconds.sub(b"", (broken / "results.json").read_bytes()) == seconds.sub(b"", results)


def test_a_folder_of_another_study_is_refused(smoked):
    workdir, _, _ = smoked
    process = main(workdir, "--config.base.epochs=3")
    said = said_by(process)
    assert process.returncode == 1
    assert "holds another run" in said
    assert "epochs: 2 there, 3 here" in said


def test_several_runs_share_the_cores():
    from xseg_jax.modes.executors import Command, run_here

    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        pytest.skip("needs two cores")
    log = Path(os.devnull)
    count = f"import os, sys; sys.exit(len(os.sched_getaffinity(0)) != {cores // 2})"
    commands = [Command((sys.executable, "-c", count), log) for _ in range(3)]
    assert list(run_here(commands, 2)).count(commands[0]) == 3


def test_a_study_may_be_in_a_folder_whose_name_is_no_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"lat\xe4in")
    folder.mkdir()
    scores = dict.fromkeys(sweep.SCORES, 0.5) | {"baselines": {}, "parameters": 9, "seconds": 1.0}
    (folder / "results.json").write_text(json.dumps(scores))
    (folder / "data.json").write_text(json.dumps({"split": {"train": ["a"]}}))
    row = sweep.row_of(sweep.Run("base", folder, default.get_config()), ["seed"], [])
    table: Any = pd.DataFrame([row])
    assert table["folder"].tolist() == [f"{tmp_path}/lat\\udce4in"]
    assert table["miou"].tolist() == [0.5]
