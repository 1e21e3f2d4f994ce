import json
import subprocess
import sys
from pathlib import Path

import pytest
from result_folders import results, whole_run, write_results

from xseg_jax import locks
from xseg_jax.errors import InputError
from xseg_jax.modes import report

ROOT = Path(__file__).parent.parent


def main(*flags):
    return subprocess.run(
        [sys.executable, "main.py", *flags], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command_writes_page_and_card(tmp_path):
    folder = write_results(tmp_path / "a run & more", whole_run())
    before = {path.name for path in folder.iterdir()}
    said = main("--mode=report", f"--workdir={folder}")
    assert said.returncode == 0, said.stderr
    written = {path.name for path in folder.iterdir()} - before
    assert written == {"report.html", "model_card.md"}
    assert said.stdout == (
        f"results: {folder}, a run\n\npage: {folder}/report.html\ncard: {folder}/model_card.md\n"
    )
    assert "<h1>a run &amp; more</h1>" in (folder / "report.html").read_text()
    # What somebody has changed stays, and that is said; the rest is made anew.
    card = folder / "model_card.md"
    card.write_text("license: mit\n" + card.read_text())
    page = (folder / "report.html").stat().st_mtime_ns
    said = main("--mode=report", f"--workdir={folder}")
    assert "model_card.md: was changed by somebody and stays as it is" in said.stdout + said.stderr
    assert card.read_text().startswith("license: mit")
    assert (folder / "report.html").stat().st_mtime_ns > page


def test_an_evaluation_has_a_page_and_no_card(tmp_path):
    evaluation = {"run": "/runs/cell", "step": 8, "input": "/data/other"}
    report.run(write_results(tmp_path, {"results.json": results(), "evaluation.json": evaluation}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evaluation.json", "report.html", "results.json",
    ]  # fmt: skip


def test_a_mistake_is_one_line(tmp_path):
    said = main("--mode=report", f"--workdir={tmp_path / 'nowhere'}")
    assert said.returncode == 1
    assert "nowhere/results.json: no such file; --workdir must be the folder" in said.stderr
    assert said.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_and_files_of_another_version_are_refused(tmp_path):
    write_results(tmp_path, whole_run())
    with locks.hold(tmp_path, "--workdir"), pytest.raises(InputError, match="--workdir"):
        report.run(tmp_path)
    config = whole_run()["config.json"]
    del config["data"]["context"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"its files lack 'context', .*another version"):
        report.run(tmp_path)
    assert not (tmp_path / "report.html").exists()
