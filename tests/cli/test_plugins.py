"""Scores and strategies that another installed package offers by its entry points."""

from __future__ import annotations

import sys

import pytest

MODULE = """
from mimar.proxies import Score
from mimar.strategy import RandomSearch


def _depth(inputs):
    return float(inputs.shapes.params)


depth = Score("theirs", frozenset({"shapes"}), "closed form", "their paper", _depth)


class Search(RandomSearch):
    name = "their-search"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package with these entry points, as far as looking them up goes."""

    def install(entry_points):
        folder = tmp_path / "site"
        info = folder / "theirs-1.2.dist-info"
        info.mkdir(parents=True)
        (folder / "their_module.py").write_text(MODULE)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))  # of worker processes

    yield install
    sys.modules.pop("their_module", None)


OURS = "[mimar.scores]\ntheirs = their_module:depth\n[mimar.strategies]\ntheir-search = their_module:Search\n"


def test_they_are_used_by_name_and_listed(package, mimar, design) -> None:
    package(OURS)
    asked = ("--score", "theirs", "--strategy", "their-search", "--trials", 8, "--study", "s.db")
    result = design(*asked).json
    assert result["strategy"] == "their-search"
    assert all(member["metrics"]["score"] == member["metrics"]["params"] for member in result["front"])
    assert design("--study", "s.db", "--resume", "--trials", 12).json["trials"] == 12
    assert mimar("show", "s.db", "--json").json["strategy"] == "their-search"
    assert mimar("strategies", "--json").json["others"] == [{"name": "their-search", "package": "theirs 1.2"}]
    assert "their-search (theirs 1.2)" in " ".join(mimar("strategies").out.split())
    mimar("design", "--score", "none").refused(2, "theirs")
    mimar("design", "--strategy", "none").refused(2, "their-search")


def test_what_its_score_found_is_shown_without_it(package, mimar, design, tmp_path) -> None:
    package(OURS)
    assert design("--score", "theirs", "--trials", 8, "--study", "s.db").code == 0
    sys.path.remove(str(tmp_path / "site"))
    assert mimar("show", "s.db").code == 0
    assert mimar("report", "s.db", "--out", "r.html").code == 0
    mimar("design", "--study", "s.db", "--resume", "--trials", 12).refused(2, "unknown score 'theirs'")


def test_without_the_package_its_names_are_unknown(mimar) -> None:
    mimar("design", "--score", "theirs").refused(2, "unknown score 'theirs'")
    mimar("design", "--strategy", "their-search").refused(2, "unknown strategy 'their-search'")


def test_a_name_of_ours_stays_ours(package, design) -> None:
    package("[mimar.scores]\nadw = their_module:depth\n[mimar.strategies]\nrandom = their_module:nothing\n")
    result = design("--strategy", "random", "--trials", 4).json
    assert all(member["metrics"]["score"] != member["metrics"]["params"] for member in result["front"])


@pytest.mark.parametrize("value", ["their_module:nothing", "no_such_module:x"])
def test_one_that_cannot_be_loaded_is_a_sentence(package, mimar, value) -> None:
    package(f"[mimar.strategies]\nbroken = {value}\n")
    mimar("design", "--device", "laptop-cpu", "--strategy", "broken").refused(2, "broken", value, "of theirs 1.2")
