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
    with subprocess.Popen([*map(str, command)], text=True, env=os.environ, **pipes) as process:
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
    options = (*OPTIONS, "--llm", stub.spec)
    with running(stopped, *options, "--json") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"stopped": "interrupted"' in out
    assert "Traceback" not in err
    assert f"mimar design --study {stopped} --resume" in err
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
    resumed = design("--resume", "--seed", 4, "--max-params", "10M", "--trials", 16).json
    assert resumed["front"] == first["front"]


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
