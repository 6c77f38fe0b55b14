"""`mimar compare`: tables, JSON and the picture, of real studies."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from mimar.cli._compare import _group
from mimar.cli._study_file import open_study

ASKED = ("--trials", 24, "--max-params", "60M")


@pytest.fixture
def studies(design, tmp_path):
    names = []
    for strategy in ("random", "nsga2"):
        for seed in (0, 1):
            names.append(f"{strategy}-{seed}.db")
            assert design(*ASKED, "--strategy", strategy, "--seed", seed, "--study", names[-1]).code == 0
    return names


def test_studies_are_set_side_by_side(mimar, studies, tmp_path) -> None:
    done = mimar("compare", *studies, "--out", "curves.svg", "--json")
    assert done.code == 0, done.err
    result = done.json
    assert result["evaluations"] == 24
    assert [row["name"] for row in result["studies"]] == studies
    assert all(0 < row["hypervolume"] <= row["final"] < 1 for row in result["studies"])
    assert {row["group"]: row["studies"] for row in result["groups"]} == {"random": 2, "nsga2": 2}
    assert [row["p_value"] is None for row in result["groups"]] == [True, False]
    assert result["differ_in"] == []
    picture = ET.fromstring((tmp_path / "curves.svg").read_text())
    shown = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {name.removesuffix(".db") for name in studies} <= shown
    table = mimar("compare", *studies)
    assert table.code == 0
    for word in (*studies, "hypervolume", "wins", "rank test"):
        assert word in table.out


def test_what_else_differs_is_said(mimar, studies, design) -> None:
    assert design("--trials", 24, "--max-params", "30M", "--strategy", "random", "--study", "small.db").code == 0
    done = mimar("compare", studies[0], "small.db", "--json")
    assert done.json["differ_in"] == ["budgets"]
    assert "differ in budgets as well" in done.err


def test_searches_from_different_starts_are_different_groups(mimar, studies, design) -> None:
    for number, trial in enumerate((3, 3, 7)):
        start = f"{number}.json"
        assert mimar("export", f"{studies[0]}#{trial}", start).code == 0
        asked = ("--strategy", "nsga2", "--start", start, "--study", f"start-{number}.db", "--seed", number)
        assert design(*ASKED, *asked).code == 0
    groups = mimar("compare", *(f"start-{number}.db" for number in range(3)), "--json").json["groups"]
    assert sorted(row["studies"] for row in groups) == [1, 2]
    assert all(row["group"].startswith("nsga2 · from ") for row in groups)


def test_an_arm_that_is_the_default_is_the_same_group_typed_or_not(studies) -> None:
    settings = replace(open_study(Path(studies[0])).settings, strategy="rz-nas", llm="local")
    assert _group(settings) == _group(replace(settings, arm="batch")) == "rz-nas · batch · local"
    assert _group(replace(settings, arm="mutation")) == "rz-nas · mutation · local"


def test_scores_that_are_held_to_a_sample_of_their_own_are_not_compared_silently(mimar, design) -> None:
    small = ("--only", "num_layers=4,5", "--only", "hidden_size=256")
    asked = ("--trials", 8, "--max-params", "60M", "--strategy", "random", "--score", "rz_nas_ensemble", *small)
    for seed in (0, 1):
        assert design(*asked, "--seed", seed, "--study", f"{seed}.db").code == 0
    done = mimar("compare", "0.db", "1.db", "--json")
    assert done.json["differ_in"] == ["score_data"]
    assert "its scores mean something in one study alone" in done.err


def test_other_objectives_and_one_study_alone_are_refused(mimar, studies, design) -> None:
    mimar("compare", studies[0]).refused(2, "two or more different studies")
    assert design(*ASKED, "--objectives", "score,params", "--study", "other.db").code == 0
    mimar("compare", studies[0], "other.db").refused(2, "other.db has score, params")
    mimar("compare", *studies, "--out", "curves.png").refused(2, "ends in .svg")
    mimar("compare", studies[0], "none.db").refused(2, "no study at none.db")
    mimar("compare", *studies, Path(studies[0]).resolve()).refused(2, "one twice")


def test_names_are_shown_as_they_are(mimar, design) -> None:
    assert design(*ASKED, "--strategy", "random", "--seed", 0, "--study", "a[old].db").code == 0
    assert design(*ASKED, "--strategy", "random", "--seed", 1, "--study", "b[bold]c.db").code == 0
    table = mimar("compare", "a[old].db", "b[bold]c.db")
    assert table.code == 0, table.err
    assert "a[old].db" in table.out
    assert "b[bold]c.db" in table.out
