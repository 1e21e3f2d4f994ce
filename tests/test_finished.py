"""A finished run is shown at once, and only where it is surely the same run."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from forked import ROOT

from configs import tiny
from xseg_jax.errors import InputError
from xseg_jax.modes import finished
from xseg_jax.training.runlog import write_json


def config_of(root=""):
    config = tiny.get_config()
    if root:
        config.data.source, config.data.root = "folder", str(root)
    return config


@pytest.fixture
def scan(write_folder, tmp_path):
    write_folder(tmp_path / "scan", 3)
    return tmp_path / "scan"


def finish(workdir, config):
    """What a finished run leaves, as far as it matters here."""
    workdir.mkdir()
    write_json(workdir / "config.json", config.to_dict())
    finished.keep_inputs(config, workdir, "3 slices", finished.files_of(config))
    (workdir / "results.txt").write_text("test: 3 slices\n\nmean ± 0.5\n", encoding="utf-8")
    (workdir / "results.json").write_text("{}")
    (workdir / "report.html").touch()
    return workdir


def test_the_table_is_shown_as_it_was_printed(scan, tmp_path, capsys):
    config = config_of(scan)
    run = finish(tmp_path / "run", config)
    assert finished.show(config, run)
    assert capsys.readouterr().out == (
        f"data: 3 slices\nrun:  {run}\ntest: 3 slices\n\nmean ± 0.5\n\n"
        f"results: {run}/results.json\npage:    {run}/report.html\n"
    )
    config.log_every = 99  # It says nothing of what the run is.
    assert finished.show(config, run)


def test_what_is_not_finished_is_not_shown(scan, tmp_path):
    config = config_of(scan)
    run = finish(tmp_path / "run", config)
    for name in ("results.json", "inputs.json"):
        text = (run / name).read_text()
        (run / name).unlink()
        assert not finished.show(config, run)
        (run / name).write_text(text)
    assert finished.show(config, run)
    assert not finished.show(config, tmp_path / "nowhere")
    # Interrupted before its page was written.
    (run / "report.html").unlink()
    (run / "slices.npz").touch()
    assert not finished.show(config, run)
    config.report.page = False
    assert finished.show(config, run)


def replace(scan):
    (scan / "images" / "slice_001.tif").write_bytes(b"changed")


def touch(scan):
    os.utime(scan / "labels" / "slice_001.png", ns=(1, 1))


def swap(scan):
    one, other = (scan / "labels" / f"slice_00{n}.png" for n in (0, 1))
    one.rename(scan / "x")
    other.rename(one)
    (scan / "x").rename(other)


@pytest.mark.parametrize("change", [replace, touch, swap])
def test_data_that_changed_are_compared_by_training(scan, tmp_path, change):
    for place, name in enumerate(("slice_000.png", "slice_001.png"), 1):
        os.utime(scan / "labels" / name, ns=(place, place))
    config = config_of(scan)
    run = finish(tmp_path / "run", config)
    if change is touch:
        os.utime(scan / "labels" / "slice_001.png", ns=(9, 9))
    change(scan)
    assert not finished.show(config, run)


def test_files_are_found_through_links_and_beside_their_header(scan, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("images", "labels"):
        (linked / name).symlink_to(scan / name)
    (linked / "again").symlink_to(linked)  # Ends nowhere.
    config = config_of(linked)
    before = finished.files_of(config)
    assert list(before) == [str(linked)]
    replace(scan)
    assert finished.files_of(config) != before

    (tmp_path / "s.mhd").write_text("header")
    (tmp_path / "s.raw").write_bytes(b"1")
    config.data.root, config.data.images = "", f"{tmp_path / 's.mhd'}"
    before = finished.files_of(config)
    (tmp_path / "s.raw").write_bytes(b"12")
    assert finished.files_of(config) != before
    config.data.images = f"{tmp_path / 's.raw'}::1x1x2,uint8"
    assert len(finished.files_of(config)) == 1


def test_a_simulated_tomogram_reads_no_files():
    assert finished.files_of(config_of()) == {}


def test_data_that_change_while_they_are_read_are_not_kept(scan, tmp_path):
    config = config_of(scan)
    before = finished.files_of(config)
    replace(scan)
    finished.keep_inputs(config, tmp_path, "3 slices", before)
    assert not (tmp_path / "inputs.json").exists()


def test_more_epochs_are_offered_as_a_command_that_can_be_pasted(tmp_path):
    run = finish(tmp_path / "my run", config_of())
    (tmp_path / "my run_2").mkdir()
    more = config_of()
    more.epochs = 7
    with pytest.raises(InputError, match=r"^config\.epochs=7: .* is finished after 2 epochs") as no:
        finished.show(more, run)
    flags = shlex.split(str(no.value).rpartition(": ")[2])
    assert flags == [
        "python", "main.py", f"--config=configs/from_run.py:{run}", "--config.epochs=5",
        f"--config.init_from={run}", f"--workdir={run}_3",
    ]  # fmt: skip
    # Its flags are understood: nothing is wrong but that this run has no checkpoint.
    done = subprocess.run(
        [sys.executable, *flags[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert re.match(r"error: config\.init_from='.*my run': is no trained run, for ", done.stderr)
    assert not (tmp_path / "my run_3").exists()


@pytest.mark.parametrize("changes", [{"epochs": 1}, {"epochs": 9, "seed": 3}, {"seed": 3}])
def test_another_run_is_refused(tmp_path, changes):
    run = finish(tmp_path / "run", config_of())
    other = config_of()
    other.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match=r"this folder holds another run.*Fields that differ: "):
        finished.show(other, run)
    (run / "results.json").unlink()
    with pytest.raises(InputError, match="this folder holds another run"):
        finished.check_same(other, run)


def test_a_run_of_an_earlier_version_has_its_table_made_of_its_numbers(tmp_path, capsys):
    run = finish(tmp_path / "run", config_of())
    (run / "results.txt").unlink()
    (run / "results.json").write_text(json.dumps({"slices": 0}))
    finished.print_again(config_of(), run)
    assert capsys.readouterr().out.startswith("not tested: the network was trained on every label")


def test_showing_imports_nothing_of_training():
    program = (
        "import sys, xseg_jax.modes.finished; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    slow = {"tensorflow", "tensorflow_datasets", "skimage", "sklearn", "orbax", "matplotlib"}
    assert set(said.stdout.split()).isdisjoint(slow)
