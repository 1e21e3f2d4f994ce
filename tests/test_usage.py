"""What --help says is true: its examples parse, and it fits a screen."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from xseg_jax.modes import commandline, options, usage

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("mode", options.FLAGS)
def test_each_mode_has_an_example_with_flags_that_it_takes(mode):
    given = shlex.split(usage.command(mode))[2:]
    flags = [flag.partition("=")[0].removeprefix("--") for flag in given]
    if mode != "train":
        assert given[0] == f"--mode={mode}"
        flags = flags[1:]
    assert set(options.NEEDED[mode]) <= set(flags) <= set(options.FLAGS[mode])


def test_examples_follow_each_other():
    """What one writes the next reads, and configs that are named are there."""
    written = {"scan.tif", "labels.tif", "other.tif", "other_labels.tif", "runs/a,runs/b"}
    for mode in usage.MODES:
        values = dict(flag.split("=") for flag in usage.command(mode).split()[2:])
        for flag in ("--input", "--labels", "--workdir" if mode != "train" else "--runs"):
            if flag in values and mode != "sweep":
                assert values[flag] in written, (mode, flag)
        if config := values.get("--config"):
            assert config == "inspect/config.py" or (ROOT / config).exists()
        written |= {values.get("--output", ""), values.get("--workdir", "")}


def test_help_fits_a_screen_and_ends_at_once():
    done = subprocess.run(
        [sys.executable, "main.py", "--mode=predict", "--help"], cwd=ROOT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout == usage.usage() + "\n"
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 125
    for mode, used in options.FLAGS.items():
        assert mode in usage.MODES
        for flag in {*used} - {*usage.LAUNCHED}:
            assert f"--{flag}" in done.stdout


def test_what_each_flag_means_stands_where_help_says():
    command = [sys.executable, "main.py", "--helpshort"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    for flag in (*options.TEXTS, *options.CHOICES, *options.NUMBERS):
        assert f"--{flag}: " in done.stdout
    for flag in options.SWITCHES:
        assert f"--[no]{flag}: " in done.stdout


def test_help_is_found_among_other_flags():
    assert commandline.help_in(["main.py", "--config=x", "-h"]) == usage.usage()
    assert commandline.help_in(["main.py", "--config=x", "--output=--help"]) is None
    said = commandline.help_in(["main.py", "--help_config=model"])
    assert said is not None
    assert "  model.norm = " in said
    assert "data.crop =" not in said
