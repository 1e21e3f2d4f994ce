"""What the documents say to type can be typed: links lead somewhere, configs and fields exist."""

import re
import shlex
from pathlib import Path

import pytest

import main
from configs import default
from xseg_jax.training.runlog import flatten

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FIELDS = set(flatten(default.get_config().to_dict()))
FLAGS = set(main.FLAGS)


def named(path):
    return path.relative_to(ROOT).as_posix()


def anchors(path):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def commands(path):
    """Words of each command of main.py in a block of code."""
    blocks = re.findall(r"^```\n(.+?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python main.py")]


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not re.match(r"https?:|mailto:", target):
            file, _, anchor = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_commands_name_configs_fields_and_flags_that_exist(path):
    for words in commands(path):
        for word in (one for one in words[2:] if one != "..."):
            name, _, value = word.removeprefix("--").partition("=")
            if name == "config":
                assert not value.startswith("configs") or (ROOT / value.partition(":")[0]).exists()
            elif name.startswith("config."):
                field = name.removeprefix("config.").removeprefix("base.")
                assert field in FIELDS | {"seeds", "score", "blocks"}, word
            else:
                assert name.partition(".")[0] in FLAGS, word


def test_the_walk_goes_through_every_mode_of_the_way():
    said = " ".join(word for words in commands(ROOT / "docs" / "start.md") for word in words)
    for mode in ("inspect", "predict", "evaluate", "measure", "compare"):
        assert f"--mode={mode}" in said
    assert "--config=inspect/config.py --workdir=runs/scan" in said
