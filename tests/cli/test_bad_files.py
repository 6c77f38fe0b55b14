"""Study files that are damaged, foreign, newer or in a place that cannot be written; a disk that is full."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mimar.cli._study_file import open_study


def newer(path: Path, finished: Path) -> None:
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def foreign(path: Path, _: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE customers (name TEXT)")


def noise(path: Path, _: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(5000))


def truncated(path: Path, finished: Path) -> None:
    path.write_bytes(finished.read_bytes()[: finished.stat().st_size // 2])


def overwritten(path: Path, finished: Path) -> None:
    """The middle of the file is noise."""
    content = bytearray(finished.read_bytes())
    content[4096:12288] = random.Random(1).randbytes(8192)
    path.write_bytes(content)


def edited(path: Path, finished: Path) -> None:
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET body = '{}' WHERE position = 3")


def not_json(path: Path, finished: Path) -> None:
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET body = 'Dear diary' WHERE position = 3")


def reworded(path: Path, finished: Path, field: str, value: str) -> None:
    """A field of the settings, or of the first trial where it has it, is another value."""
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE events SET body = json_set(body, ?, json(?)) WHERE position = "
            "(SELECT min(position) FROM events WHERE json_type(body, ?) IS NOT NULL)",
            (f"$.{field}", value, f"$.{field}"),
        )


def no_frame(path: Path, finished: Path) -> None:
    reworded(path, finished, "reference", "null")


def no_metrics(path: Path, finished: Path) -> None:
    reworded(path, finished, "metrics", "{}")


def no_objective(path: Path, finished: Path) -> None:
    reworded(path, finished, "objectives[0]", "7")


def wordy_metric(path: Path, finished: Path) -> None:
    reworded(path, finished, "metrics.params", '"many"')


def odd_architecture(path: Path, finished: Path) -> None:
    reworded(path, finished, "architecture", '{"layers": "twelve"}')


def deep(path: Path, finished: Path) -> None:
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET body = ? WHERE position = 3", ("[" * 100_000 + "]" * 100_000,))


def no_context(path: Path, finished: Path) -> None:
    reworded(path, finished, "architecture.context_length", "0")


def wordless_stop(path: Path, finished: Path) -> None:
    reworded(path, finished, "reason", "null")


def endless_stop(path: Path, finished: Path) -> None:
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE events SET body = replace(body, '\"seconds\":', '\"seconds\": NaN, \"was\":') WHERE kind = 'stop'"
        )


DAMAGES = [
    newer, foreign, noise, truncated, overwritten, edited, not_json, no_frame, no_metrics, wordy_metric,
    odd_architecture, deep, no_context, wordless_stop, endless_stop, no_objective,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", [("show",), ("report",), ("export",), ("design", "--resume", "--study")])
def test_a_file_that_is_no_readable_study(mimar, finished: Path, tmp_path: Path, damage, command) -> None:
    path = tmp_path / "bad.db"
    damage(path, finished)
    before = path.read_bytes()
    outcome = mimar(*command, path, "--json")
    outcome.refused(3, "bad.db")
    assert outcome.json["exit_code"] == 3
    assert outcome.json["kind"] == ("NewerVersionError" if damage is newer else "ForeignFileError")
    assert path.read_bytes() == before


def test_weights_and_figures_that_are_none(mimar, finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.db"
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE events SET body = json_set(body, '$.weights', json(?)) WHERE kind = 'study'", ('{"a": "x"}',)
        )
    for command in (("show", path), ("compare", path, finished)):
        mimar(*command).refused(3, "bad.db is damaged")
    number = mimar("show", finished, "--json").json["front"][0]["id"]
    for figure, value in (("flops", None), ("decode_tokens_per_second", 0)):
        shutil.copy(finished, path)
        with closing(sqlite3.connect(path)) as db, db:
            change = "json_remove(body, ?)" if value is None else "json_set(body, ?, 0)"
            where = "WHERE kind = 'trial' AND json_extract(body, '$.id') = ?"
            assert db.execute(f"UPDATE events SET body = {change} {where}", (f"$.metrics.{figure}", number)).rowcount
        done = mimar("export", f"{path}#{number}", tmp_path / "out", "--to", "json")
        done.refused(3, "bad.db is damaged", "lacks its figures")


def test_a_score_without_what_it_needs(mimar, finished: Path, tmp_path: Path) -> None:
    """The sample that its parts are held to is not in the study."""
    path = tmp_path / "bad.db"
    reworded(path, finished, "score", '"rz_nas_ensemble"')
    assert mimar("show", path, "--json").code == 0
    for command in (("report", path), ("design", "--study", path, "--resume", "--trials", 20)):
        mimar(*command).refused(3, "its score rz_nas_ensemble is damaged")


def test_calls_that_cost_words(mimar, design, tmp_path: Path) -> None:
    assert design("--llm", "uniform", "--strategy", "zerolm").code == 0
    reworded(tmp_path / "bad.db", tmp_path / "study.db", "usage.input_tokens", '"many"')
    for command in ("show", "report"):
        mimar(command, tmp_path / "bad.db").refused(3, "bad.db is damaged")


@pytest.mark.parametrize("damage", [newer, foreign, noise])
def test_a_search_does_not_begin_in_a_file_of_others(design, finished: Path, tmp_path: Path, damage) -> None:
    damage(tmp_path / "study.db", finished)
    before = (tmp_path / "study.db").read_bytes()
    design().refused(3, "study.db")
    assert (tmp_path / "study.db").read_bytes() == before


def test_an_empty_file_becomes_a_study(design, mimar, tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    mimar("show", "study.db").refused(3, "empty")
    assert design().code == 0


def test_a_study_without_events(design, mimar, finished: Path, tmp_path: Path) -> None:
    """A search that was killed before it began."""
    shutil.copy(finished, tmp_path / "study.db")
    with closing(sqlite3.connect(tmp_path / "study.db")) as db, db:
        db.execute("DELETE FROM events")
    for command in ("show", "report", "export"):
        mimar(command, "study.db").refused(2, "holds no study yet", "mimar design")
    design("--resume").refused(2, "holds no study yet")
    assert design().code == 0


def test_a_study_without_trials(mimar, finished: Path, tmp_path: Path) -> None:
    """A search that was killed before its first trial."""
    path = tmp_path / "young.db"
    shutil.copy(finished, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM events WHERE position > 0")
    assert mimar("show", path, "--json").json["front"] == []
    assert mimar("show", path).code == 0
    assert mimar("report", path).code == 0
    mimar("export", path).refused(2, "no evaluated trial", "--resume")
    mimar("export", f"{path}#0").refused(2, "trial")
    assert mimar("design", "--study", path, "--resume", "--trials", 16, "--json").code == 0
    assert [t.metrics for t in open_study(path).trials] == [t.metrics for t in open_study(finished).trials]


@pytest.mark.parametrize("command", [("show",), ("report",), ("export",), ("design", "--device", "h100", "--study")])
def test_a_directory_in_place_of_a_study(mimar, tmp_path: Path, command) -> None:
    outcome = mimar(*command, tmp_path, "--json")
    assert outcome.json["exit_code"] in (2, 3)
    outcome.refused(outcome.json["exit_code"], str(tmp_path))


def test_a_folder_that_does_not_exist_or_is_a_file(design, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("gone/study.db", "file/study.db"):
        design("--study", place).refused(3, place, "folder exists")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 160 kB; only the superuser can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_loses_nothing_and_the_search_goes_on_with_room(
    design, mimar, small_disk: Path, tmp_path: Path
) -> None:
    path = small_disk / "study.db"
    full = design("--study", path, "--trials", 500)
    full.refused(3, "no room left", "--resume")
    assert full.json["kind"] == "StorageFullError"
    shutil.copytree(small_disk, tmp_path / "moved")
    stored = len(open_study(tmp_path / "moved" / "study.db").trials)
    assert stored > 8
    resumed = design("--study", tmp_path / "moved" / "study.db", "--resume", "--trials", stored + 8)
    assert resumed.json["front"] == design("--trials", stored + 8).json["front"]


def limited_to_200_kilobytes() -> None:
    """Files of this process cannot grow further, as under a quota: the write fails, no signal ends the process."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_quota_loses_nothing(process, mimar, tmp_path: Path) -> None:
    options = ("--device", "laptop-cpu", "--ctx", 256, "--seed", 2)
    done = process("design", *options, "--trials", 500, "--json", preexec_fn=limited_to_200_kilobytes)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert '"exit_code": 3' in done.stdout
    stored = len(open_study(tmp_path / "study.db").trials)
    assert stored > 8
    assert mimar("design", "--study", "study.db", "--resume", "--trials", stored + 8, "--json").code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written(design, mimar, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    shutil.copy(finished, folder / "old.db")
    folder.chmod(0o500)
    try:
        design("--study", folder / "study.db").refused(3, "writable")
        assert mimar("show", folder / "old.db").code == 0
    finally:
        folder.chmod(0o700)


def test_a_read_only_disk(design, mimar, finished: Path, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    shutil.copy(finished, place / "old.db")
    if subprocess.run(["mount", "--bind", "-o", "ro", place, place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        design("--study", place / "study.db").refused(3, "writable")
        assert mimar("show", place / "old.db", "--json").json["trials"] == 16
        mimar("report", place / "old.db").refused(6, "Read-only")
        assert mimar("report", place / "old.db", "--out", tmp_path / "page.html").code == 0
    finally:
        subprocess.run(["umount", place], check=True)
