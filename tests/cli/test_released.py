"""Studies that released versions wrote stay of use: shown, reported, exported and compared, not only opened."""

import json


def test_an_old_study_is_shown(mimar, study_of_version_1) -> None:
    front = mimar("show", study_of_version_1, "--json").json["front"]
    assert [trial["id"] for trial in front if trial["origin"] == "random"]


def test_an_old_study_is_reported(mimar, study_of_version_1, tmp_path) -> None:
    assert mimar("report", study_of_version_1, "--out", tmp_path / "r.html").code == 0
    assert "enough trials" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_an_architecture_of_an_old_study_is_exported(mimar, study_of_version_1, tmp_path) -> None:
    assert mimar("export", f"{study_of_version_1}#4", tmp_path / "out", "--to", "json").code == 0
    written = json.loads((tmp_path / "out" / "architecture.json").read_text(encoding="utf-8"))
    assert written["architecture"]["vocab_size"] == 32000


def test_an_old_study_is_compared_with_one_of_today(mimar, design, study_of_version_1) -> None:
    assert design("--study", "new.db", "--trials", 6).code == 0
    assert mimar("compare", study_of_version_1, "new.db").code == 0
