"""CITATION.cff: what the Citation File Format asks for, and in step with the package."""

import tomllib
from pathlib import Path

import pytest

import venom_hw

REPOSITORY = Path(__file__).resolve().parents[2]


def test_citation_file():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation), "required by the format"
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == venom_hw.__version__
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    for entry in [citation, *citation["references"]]:
        assert entry["title"] and entry["type"] and entry["authors"]
