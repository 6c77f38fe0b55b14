"""A search that is stopped, killed or out of trials goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import heed_interrupts

from mimar.cli._study_file import open_study

ENDLESS = 5000
"""More trials than any test waits for."""


def trials_of(path: Path) -> list[tuple[Any, ...]]:
    """Everything of a study's trials but how long they took."""
    return [(t.id, t.proposal, t.status, dict(t.metrics), t.reasons) for t in open_study(path).trials]


def stored(path: Path) -> int:
    """Trials that another process has stored so far."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events WHERE kind = 'trial'").fetchone()[0])
        except sqlite3.OperationalError:  # no table yet
            return 0


@contextmanager
def running(path: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A search without end, once it has stored 12 trials."""
    command = [sys.executable, "-m", "mimar", "design", "--study", path, "--trials", ENDLESS, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    heed = {"preexec_fn": heed_interrupts}
    with subprocess.Popen([*map(str, command)], text=True, env=os.environ, **pipes, **heed) as process:
        try:
            end = time.monotonic() + 60
            while stored(path) < 12:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < end
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


OPTIONS = ("--device", "laptop-cpu", "--ctx", 256, "--max-params", "60M", "--seed", 5)


@pytest.mark.parametrize("strategy", ["adaptive", "nsga2"])
def test_a_killed_search_resumes_to_the_trials_of_one_never_stopped(mimar, tmp_path: Path, strategy: str) -> None:
    killed, whole = tmp_path / "killed.db", tmp_path / "whole.db"
    options = (*OPTIONS, "--strategy", strategy)
    with running(killed, *options) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    target = stored(killed) + 16
    resumed = mimar("design", "--study", killed, "--resume", "--trials", target, "--json")
    straight = mimar("design", "--study", whole, *options, "--trials", target, "--json")
    assert trials_of(killed) == trials_of(whole)
    assert resumed.json["front"] == straight.json["front"]
    assert resumed.json["hypervolume"] == straight.json["hypervolume"]


def test_ctrl_c_says_how_to_go_on_and_the_search_resumes(mimar, serve, good_llm, tmp_path: Path) -> None:
    stub = serve(good_llm)
    stopped, whole = tmp_path / "stopped.db", tmp_path / "whole.db"
    options, place = (*OPTIONS, "--llm", stub.spec), ("--executor", "process", "--candidate-time", "1.5e2")
    with running(stopped, *options, *place, "--json") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"stopped": "interrupted"' in out
    assert "Traceback" not in err
    assert f"mimar design --study {stopped} --resume" in err
    assert err.rstrip().endswith(" ".join(place))
    target = stored(stopped) + 16
    assert mimar("design", "--study", stopped, "--resume", "--trials", target, "--json").code == 0
    assert mimar("design", "--study", whole, *options, "--trials", target, "--json").code == 0
    assert trials_of(stopped) == trials_of(whole)
    assert [stop.partition(" ")[0] for stop in open_study(stopped).stops] == ["interrupted", "enough"]


def test_a_finished_study_takes_more_trials(design, tmp_path: Path) -> None:
    assert design("--study", "grown.db", "--trials", 16).json["trials"] == 16
    grown = design("--study", "grown.db", "--resume", "--trials", 32)
    assert grown.json["trials"] == 32
    again = design("--study", "grown.db", "--resume", "--trials", 32)
    assert again.json["front"] == grown.json["front"]
    assert design("--study", "whole.db", "--trials", 32).json["front"] == grown.json["front"]
    assert trials_of(tmp_path / "grown.db") == trials_of(tmp_path / "whole.db")


def test_a_resumed_study_keeps_the_settings_it_was_started_with(design) -> None:
    first = design("--seed", 3, "--max-params", "60M").json
    resumed = design("--resume", "--seed", 4, "--max-params", "10M", "--per-layer", "--trials", 16)
    assert resumed.json["front"] == first["front"]
    note = next(line for line in resumed.err.splitlines() if line.startswith("note: "))
    assert "study.db keeps the settings it was started with and ignores --max-params, --seed, --per-layer:" in note


def test_a_resumed_study_aims_at_the_trials_of_its_start(design, mimar) -> None:
    assert design("--trials", 12).json["trials"] == 12
    assert mimar("design", "--study", "study.db", "--resume", "--json").json["trials"] == 12


def test_a_start_that_says_nonsense_is_as_good_as_none(design, mimar, tmp_path: Path) -> None:
    assert design("--trials", 12).code == 0
    with closing(sqlite3.connect(tmp_path / "study.db")) as db, db:
        command = "mimar design --trials many"
        db.execute("UPDATE events SET body = json_set(body, '$.command', ?) WHERE kind = 'study'", (command,))
    assert mimar("design", "--study", "study.db", "--resume", "--json", "--max-params", "60M").code == 0


@pytest.mark.parametrize("typed", [(), ("--seed", 3, "--max-params", "60M", "--strategy", "adaptive", "--max-cost", 1)])
def test_resuming_with_the_options_of_the_start_says_nothing_of_them(design, typed: tuple[Any, ...]) -> None:
    assert design("--seed", 3, "--max-params", "60M").code == 0
    assert "ignores" not in design("--resume", *typed, "--trials", 24).err


@pytest.mark.parametrize("command", ["", "a notebook", "mimar design --ctx 'open"])
def test_options_are_named_where_the_start_is_no_command_line(design, command: str) -> None:
    assert design().code == 0
    with closing(sqlite3.connect("study.db")) as db, db:
        db.execute("UPDATE events SET body = json_set(body, '$.command', ?) WHERE kind = 'study'", (command,))
    resumed = design("--resume")
    assert resumed.code == 0
    assert "ignores --device, --ctx" in resumed.err


def test_a_study_is_never_overwritten_by_accident(design, tmp_path: Path) -> None:
    assert design().code == 0
    before = trials_of(tmp_path / "study.db")
    refused = design("--seed", 9)
    refused.refused(2, "already holds a study", "--resume")
    assert refused.json["kind"] == "InputError"
    assert trials_of(tmp_path / "study.db") == before


def test_a_missing_study_is_not_resumed(design, tmp_path: Path) -> None:
    design("--resume", "--study", "nowhere.db").refused(2, "no study at nowhere.db")
    assert not (tmp_path / "nowhere.db").exists()


@pytest.mark.parametrize(
    "wrong", [("--llm", "local:nowhere.gguf"), ("--max-params", "1K"), ("--llm", "openai:gpt-4.1")], ids=lambda w: w[1]
)
def test_a_search_refused_before_it_begins_leaves_no_file(design, tmp_path: Path, wrong: tuple[str, str]) -> None:
    assert design(*wrong).code in (2, 4)
    assert not (tmp_path / "study.db").exists()
    assert design().code == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_second_search_is_refused_and_the_first_goes_on(mimar, tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "study.db"
    with running(path, *OPTIONS) as first:
        for options in (["--resume"], OPTIONS):
            second = mimar("design", "--study", path, "--trials", 9000, "--json", *options)
            second.refused(3, "another process is writing to", "study.db", "wait for it to end")
            assert second.json["kind"] == "StorageError"
        assert mimar("show", path, "--json").json["trials"] > 0
        assert mimar("report", path).code == 0
        seen, limit = stored(path), time.monotonic() + 60
        while stored(path) < seen + 8:
            assert first.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        first.send_signal(end)
        first.communicate(timeout=60)
    target = stored(path) + 8
    assert mimar("design", "--study", path, "--resume", "--trials", target, "--json").json["trials"] == target
    assert {file.name for file in tmp_path.iterdir()} == {"study.db", "study.html"}
