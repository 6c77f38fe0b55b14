"""`show`, `report`, `export`, `devices` and `get-llm`."""

from __future__ import annotations

import csv
import html.parser
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path

import pytest

from mimar.cli._strategies import GUIDED, STRATEGIES
from mimar.errors import ProviderError
from mimar.hardware import load_profile, profile_names
from mimar.llm import default_model_path, fetch_default_model
from mimar.space import architecture_from_json
from mimar.storage import Event, SQLiteStorage


def table(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A finished study of one's own."""
    return Path(shutil.copy(finished, tmp_path / "mine.db"))


def test_show_gives_what_the_search_gave(mimar, design) -> None:
    found = design("--max-params", "60M", "--llm", "none").json
    del found["seconds"]  # of that run
    assert mimar("show", "study.db", "--json").json == found
    assert set(found["front"][0]) == {"id", "origin", "architecture", "metrics"}
    assert found["stopped"] == "enough trials"


def test_show_prints_the_front(mimar, study: Path) -> None:
    data = mimar("show", study, "--json").json
    assert data["trials"] == 16
    table = mimar("show", study)
    assert table.code == 0
    for member in data["front"]:
        assert f"│ {member['id']:>2} │" in table.out


def test_show_says_how_to_see_the_rest_of_a_long_front(mimar, study: Path) -> None:
    members = mimar("show", study, "--json").json["front"]
    assert len(members) > 2
    short = mimar("show", study, "--rows", 2).out
    assert short.count("\n│") < mimar("show", study).out.count("\n│")
    assert f"{len(members) - 2} more: mimar show {study} --rows {len(members)}" in " ".join(short.split())
    assert mimar("show", study, "--rows", 2, "--json").json["front"] == members
    mimar("show", study, "--rows", 0).refused(2, "--rows")


def test_report_is_one_page_that_needs_nothing_else(mimar, study: Path, tmp_path: Path) -> None:
    assert mimar("report", study).code == 0
    default = tmp_path / "mine.html"
    found = mimar("report", study, "--out", tmp_path / "deep" / "page.html", "--tokens", "3B", "--json").json
    page = Path(found["path"])
    assert page == tmp_path / "deep" / "page.html"
    assert found["bytes"] == page.stat().st_size
    loaded: list[str] = []

    class Links(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            loaded.extend(value or "" for name, value in attrs if name == "src" or (tag, name) == ("link", "href"))

    Links().feed(page.read_text(encoding="utf-8"))
    assert [link for link in loaded if not link.startswith("data:")] == []
    assert default.read_text(encoding="utf-8") != page.read_text(encoding="utf-8")  # another number of tokens


def test_report_draws_the_front_as_svg(mimar, study: Path, tmp_path: Path) -> None:
    found = mimar("report", study, "--out", tmp_path / "front.svg", "--json").json
    assert ET.parse(found["path"]).getroot().tag.endswith("svg")


def test_export_json_by_default_takes_the_best_of_the_front(mimar, study: Path) -> None:
    outcome = mimar("export", study, "--json")
    front = mimar("show", study, "--json").json["front"]
    best = max(front, key=lambda member: member["metrics"]["score"])
    assert outcome.json["id"] == best["id"]
    assert f"exporting trial {best['id']}" in outcome.err
    data = json.loads((Path(outcome.json["path"]) / "architecture.json").read_text())
    assert data["metrics"] == best["metrics"]
    assert data["estimated_metrics"]["params"] == best["metrics"]["params"]
    architecture_from_json(data)


def test_export_of_a_chosen_trial(mimar, study: Path, tmp_path: Path) -> None:
    found = mimar("export", f"{study}#3", tmp_path / "out", "--json").json
    assert (found["id"], found["form"], found["path"]) == (3, "json", str(tmp_path / "out"))
    assert "architecture.json" in found["files"]


def test_export_csv_holds_every_trial(mimar, study: Path, tmp_path: Path) -> None:
    found = mimar("export", study, "--to", "csv", "--json").json
    rows = table(found["path"])
    assert found["path"] == str(tmp_path / "mine.csv")
    assert [int(row["id"]) for row in rows] == list(range(16))
    for row in rows:
        architecture_from_json(json.loads(row["architecture"]))


def test_export_code_runs_without_mimar(mimar, study: Path, tmp_path: Path) -> None:
    found = mimar("export", study, tmp_path / "code", "--to", "code", "--json").json
    assert all(verdict.startswith("ok") for verdict in found["verdicts"].values())
    source = (tmp_path / "code" / "model.py").read_text()
    assert "import mimar" not in source
    assert "from mimar" not in source


def test_only_llamas_are_designed_for_llama_cpp(mimar, tmp_path: Path) -> None:
    options = ("--only", "llama", "--max-params", "8M", "--vocab", 256, "--ctx", 64, "--trials", 4, "--study")
    assert mimar("design", *options, tmp_path / "llama.db").code == 0
    done = mimar("export", tmp_path / "llama.db", tmp_path / "out", "--to", "gguf", "--json")
    assert done.json["verdicts"]["llama.cpp"].startswith("ok"), done.err


@pytest.mark.slow
def test_export_hf_loads_in_a_fresh_process(mimar, study: Path, tmp_path: Path) -> None:
    found = mimar("export", study, tmp_path / "hf", "--to", "hf", "--json").json
    assert all(verdict.startswith("ok") for verdict in found["verdicts"].values())
    load = (
        "import sys, transformers; "
        "m = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True); "
        "print(sum(p.numel() for p in m.parameters()))"
    )
    done = subprocess.run([sys.executable, "-c", load, found["path"]], capture_output=True, text=True, check=True)
    member = next(m for m in mimar("show", study, "--json").json["front"] if m["id"] == found["id"])
    assert int(done.stdout) == member["metrics"]["params"]


def test_an_export_is_not_put_over_other_files(mimar, study: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    mimar("export", study, tmp_path / "full").refused(2, "thesis.txt")
    mimar("export", study, study, "--json").refused(2, "mine.db")
    mimar("export", study, study, "--to", "csv").refused(2, "mine.db")
    mimar("report", study, "--out", study).refused(2, "mine.db is a study: choose another file")
    shutil.copy(study, tmp_path / "other.db")
    mimar("report", study, "--out", tmp_path / "other.db").refused(2, "other.db is a study: choose another file")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"
    assert mimar("show", study).code == 0


@pytest.mark.parametrize(
    ("reference", "words"),
    [("#99", "0 to 15"), ("#x", "STUDY#ID"), ("#", "STUDY#ID"), ("#-1", "STUDY#ID"), ("#²", "STUDY#ID")],
)
def test_export_of_a_trial_that_does_not_exist(mimar, study: Path, reference: str, words: str) -> None:
    outcome = mimar("export", f"{study}{reference}", "--json")
    outcome.refused(2, words)
    assert outcome.json == {"error": outcome.json["error"], "kind": outcome.json["kind"], "exit_code": 2}


def test_the_path_of_a_study_may_hold_the_mark_of_an_id(mimar, study: Path, tmp_path: Path) -> None:
    named = tmp_path / "try#2.db"
    shutil.copy(study, named)
    assert mimar("export", named, "whole.json").code == 0
    assert mimar("export", f"{named}#3", "three.json").code == 0


def test_export_of_a_rejected_trial_says_why(mimar, design, serve) -> None:
    stub = serve(lambda *_: (200, '{"candidates": [{"num_layers": 3}]}'))
    assert design("--llm", stub.spec, "--trials", 24).code == 0
    rows = table(mimar("export", "study.db", "--to", "csv", "--json").json["path"])
    rejected = next(row for row in rows if row["status"] == "invalid")
    mimar("export", f"study.db#{rejected['id']}").refused(2, "no architecture", "attention_type must be one of")


def test_a_training_takes_no_id(mimar, tmp_path: Path) -> None:
    mimar("export", f"{tmp_path}#3", "--to", "hf").refused(2, "is the folder of one training: leave out #3")


def test_a_whole_study_takes_no_id(mimar, study: Path) -> None:
    mimar("export", f"{study}#3", "--to", "csv").refused(2, "csv is of a whole study: leave out #3")
    mimar("export", f"{study}#3", "--to", "optuna").refused(2, "optuna is of a whole study")
    for url in (f"sqlite:///{study}", f"sqlite+pysqlite:///{study}", f"sqlite:///{study}?timeout=5"):
        mimar("export", study, url, "--to", "optuna").refused(2, "is a study of mimar: choose another file")
    other = study.with_name("other.db")
    shutil.copy(study, other)
    mimar("export", study, f"sqlite:///{other}", "--to", "optuna").refused(2, "is a study of mimar")
    assert other.read_bytes() == study.read_bytes()


def test_a_study_of_another_kind_is_named(mimar, design, tmp_path: Path) -> None:
    path, text = tmp_path / "shrunk.db", tmp_path / "text.txt"
    text.write_text("A cat sat on the mat. " * 1000)
    with closing(SQLiteStorage(path)) as storage:
        storage.append(Event("study", {"kind": "shrink"}))
        storage.append(Event("trial", {"architecture": {"kv_heads": [1], "intermediate": [8]}}))
    for command in (
        ("export", path),
        ("compare", path, path),
        ("train", f"{path}#0", "--data", text, "--out", tmp_path / "t"),
    ):
        mimar(*command).refused(2, "shrunk.db: expected a study made by `mimar design`, got one of kind 'shrink'")
    design("--study", path, "--resume").refused(2, "got one of kind 'shrink'")
    design("--llm", f"replay:{path}", "--study", "new.db").refused(2, "shrunk.db")  # which holds no calls


def test_unknown_export_form(mimar, study: Path) -> None:
    mimar("export", study, "--to", "onnx2", "--json").refused(2, "onnx2", "json, code, hf, gguf, csv")


def test_strategies_are_listed_with_what_they_declare(mimar) -> None:
    rows = {row["name"]: row for row in mimar("strategies", "--json").json["strategies"]}
    assert set(rows) == {*STRATEGIES, "rz-nas:mutation", "knapsack"}
    assert [name for name, row in rows.items() if row["code_generation"]] == ["rz-nas:mutation"]
    assert {name.partition(":")[0] for name, row in rows.items() if row["reflection"]} == {
        "adaptive",
        "rz-nas",
        "pel-nas",
    }
    assert {name for name, row in rows.items() if not row["multi_round"]} == {"random", "darts", "one-shot"}
    assert {name for name, row in rows.items() if row["llm"] == "needed"} == {*GUIDED, "rz-nas:mutation"}
    assert rows["pel-nas"]["arms"] == ["coevolution", "llm-only", "prompt-only", "sequential"]
    shown = mimar("strategies").out
    assert all(name in shown for name in (*rows, "data free", "Arms of rz-nas: batch, mutation."))


@pytest.mark.parametrize(("told", "words"), [
    (("--strategy", "random", "--arm", "batch"), ("--arm is for", "rz-nas", "pel-nas")),
    (("--strategy", "rz-nas", "--arm", "both", "--llm", "uniform"), ("arm of rz-nas", "mutation")),
    (("--strategy", "dialogue"), ("dialogue needs a language model",)),
    (("--strategy", "dialogue", "--device", "gone.toml"), ("dialogue needs a language model",)),
])  # fmt: skip
def test_an_arm_or_a_model_that_does_not_fit_is_refused(design, told: tuple[str, ...], words: tuple[str, ...]) -> None:
    design(*told).refused(2, *words)


def test_devices_lists_every_profile(mimar) -> None:
    rows = {row["name"]: row for row in mimar("devices", "--json").json["devices"]}
    assert set(rows) == set(profile_names())
    assert rows["h100"]["memory_bytes"] == load_profile("h100").memory_bytes
    assert all(row["sources"] for name, row in rows.items() if name != "this")
    table = mimar("devices").out
    assert all(name in table for name in profile_names())


def test_get_llm_of_a_file_prints_where_it_lies(mimar, tmp_path: Path) -> None:
    model = tmp_path / "small.gguf"
    model.write_bytes(b"GGUF" + bytes(60))
    assert mimar("get-llm", model, "--json").json == {"path": str(model), "licence": None, "bytes": 64}
    assert str(model) in mimar("get-llm", model).out
    mimar("get-llm", tmp_path / "none.gguf", "--json").refused(2, "none.gguf")


@pytest.fixture(scope="session")
def default_model() -> Path:
    try:
        return fetch_default_model().path
    except ProviderError as error:
        pytest.skip(f"the default model cannot be downloaded: {error}")


@pytest.fixture
def with_default_model(default_model: Path, alone: None) -> Path:
    """The offline model in the private cache of the test."""
    here = default_model_path()
    here.parent.mkdir(parents=True)
    here.symlink_to(default_model)
    return here


@pytest.mark.slow
def test_get_llm_finds_what_was_fetched_before(mimar, with_default_model: Path) -> None:
    found = mimar("get-llm", "--json").json
    assert found["path"] == str(with_default_model)
    assert found["licence"] == "Apache-2.0"
    assert found["bytes"] == with_default_model.stat().st_size


@pytest.mark.slow
def test_the_local_model_guides_a_search(design, with_default_model: Path) -> None:
    result = design("--llm", "local", "--max-params", "60M", "--trials", 24).json
    assert result["trials"] == 24
    assert result["llm"]["calls"] > 0
    assert result["llm"]["failed"] < result["llm"]["calls"]
    assert result["front"]


@pytest.mark.parametrize("command", [("show",), ("report",), ("export",), ("design", "--resume", "--study")])
def test_a_study_that_is_not_there(mimar, command: tuple[str, ...]) -> None:
    outcome = mimar(*command, "gone.db", "--json")
    outcome.refused(2, "no study at gone.db")
    assert not Path("gone.db").exists()
