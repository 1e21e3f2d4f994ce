"""How to cite: the file that GitHub and Zenodo read says what the project itself says."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from xseg_jax.report.methods import AUTHORS, SOFTWARE
from xseg_jax.report.sources import SOURCES

ROOT = Path(__file__).parent.parent


def test_the_citation_is_of_this_version_and_licence():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["cff-version"] == "1.2.0"
    # What the schema asks for, in every file.
    assert found.keys() >= {"authors", "cff-version", "message", "title"}
    assert (found["version"], found["license"]) == (project["version"], project["license"])
    assert found["title"] == SOFTWARE
    assert found["authors"] == [{"name": AUTHORS}]


def test_its_references_are_those_of_the_page():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (unet,) = found["references"]
    assert unet["doi"] in SOURCES["unet"]
    assert unet["title"] in SOURCES["unet"]


@pytest.mark.parametrize(
    "key",
    ["unet", "adam", "adamw", "batch", "forest", "thresholding", "temperature", "pigeonhole"],
)
def test_the_walk_names_the_sources_of_the_usual_run(key):
    """First author and year, in one line."""
    author, year = SOURCES[key].split()[0], re.search(r"\((\d{4})\)", SOURCES[key])[1]
    lines = (ROOT / "docs" / "start.md").read_text(encoding="utf-8").splitlines()
    assert any(author in line and year in line for line in lines)
