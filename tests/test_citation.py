"""How to cite: the file that GitHub and Zenodo read says what the project itself says."""

import tomllib
from pathlib import Path

import yaml

from xseg_jax.report.methods import AUTHORS, SOFTWARE, SOURCES

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


def test_the_walk_names_every_source_of_the_methods_by_its_year():
    text = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    for key in ("unet", "adam", "adamw", "batch", "forest", "thresholding", "temperature"):
        doi = SOURCES[key].rpartition("doi:")[2] if "doi:" in SOURCES[key] else SOURCES[key][:12]
        assert doi.split("&")[0] in text or SOURCES[key].split()[0] in text, key
