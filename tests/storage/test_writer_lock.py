"""A study has one writer at a time and any number of readers; whatever ends the writer frees the study."""

import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from mimar.errors import ForeignFileError, InputError, StorageError
from mimar.storage import Event, SQLiteStorage

REFUSED = r"another process is writing to .*study.db, or this one already: wait for it to end"
WRITER = """
import sys
from pathlib import Path
from mimar.storage import Event, SQLiteStorage

storage = SQLiteStorage(Path(sys.argv[1]))
for number in range(3):
    storage.append(Event("trial", {"id": number}))
print("writing", flush=True)
for line in sys.stdin:
    storage.append(Event("trial", {"said": line.strip()}))
    print("stored", flush=True)
storage.close()
"""
TRIALS = [Event("trial", {"id": number}) for number in range(3)]


def test_a_folder_whose_system_has_no_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    storage = SQLiteStorage(tmp_path / "study.db")
    storage.append(Event("trial", {"id": 0}))
    storage.close()
    assert len(read(tmp_path / "study.db")) == 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


@contextmanager
def writer(path):
    """A process that has stored three trials and waits for lines to store."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], text=True, **pipes) as process:
        assert process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def say(process, line):
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "stored\n"


def read(path):
    storage = SQLiteStorage(path, read_only=True)
    events = list(storage.events())
    storage.close()
    return events


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_process_is_refused_at_once_and_the_first_goes_on(path):
    with writer(path) as first:
        before = contents(path.parent)
        with pytest.raises(StorageError, match=REFUSED):
            SQLiteStorage(path)
        assert contents(path.parent) == before
        say(first, "undisturbed")
        assert read(path) == [*TRIALS, Event("trial", {"said": "undisturbed"})]
        first.stdin.close()
        assert first.wait() == 0
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_writer_leaves_the_study_free(path, end):
    with writer(path) as first:
        first.send_signal(end)
        first.wait()
    assert path.with_name("study.db-lock").exists()
    assert read(path) == TRIALS
    storage = SQLiteStorage(path)
    storage.append(Event("stop", {}))
    storage.close()
    assert read(path) == [*TRIALS, Event("stop", {})]
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]


FORKING = """
import os, sys, time
from pathlib import Path
from mimar.storage import Event, SQLiteStorage

storage = SQLiteStorage(Path(sys.argv[1]))
storage.append(Event("trial", {"id": 0}))
child = os.fork()
if not child:
    time.sleep(600)
print(child, flush=True)
time.sleep(600)
"""


def test_what_a_killed_writer_has_begun_does_not_hold_the_study(path):
    with subprocess.Popen([sys.executable, "-c", FORKING, str(path)], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            SQLiteStorage(path).close()
        finally:
            os.kill(child, signal.SIGKILL)
    assert read(path) == TRIALS[:1]


def test_a_link_to_the_study_leads_to_the_same_lock_and_the_same_log(path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    with writer(link):
        assert read(link) == read(path) == TRIALS
        for name in (link, path):
            with pytest.raises(StorageError, match="another process is writing"):
                SQLiteStorage(name)


def test_a_second_writer_of_the_same_process_is_refused_until_the_first_is_closed(path):
    first = SQLiteStorage(path)
    with pytest.raises(StorageError, match=REFUSED):
        SQLiteStorage(path)
    first.append(Event("stop", {}))
    first.close()
    first.close()
    second = SQLiteStorage(path)
    first.close()
    with pytest.raises(StorageError, match=REFUSED):
        SQLiteStorage(path)
    second.close()
    assert read(path) == [Event("stop", {})]


def test_of_many_that_open_and_close_at_once_never_two_are_in(path):
    """The lock's file comes and goes all the time here; a writer that got in has it for itself."""
    inside, most, wanted = [0], [0], 5

    def compete():
        written = 0
        while written < wanted:
            try:
                storage = SQLiteStorage(path)
            except StorageError:
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            storage.append(Event("ask", {"n": 1}))
            written += 1
            inside[0] -= 1
            storage.close()

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert read(path) == [Event("ask", {"n": 1})] * (wanted * len(threads))
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]


def test_sqlites_own_locks_last_while_the_study_is_read_in_the_same_process(path):
    """Else another program that closes the file takes away the log that is being written."""
    storage = SQLiteStorage(path)
    storage.append(TRIALS[0])
    assert read(path) == TRIALS[:1]
    with pytest.raises(StorageError, match=REFUSED):
        SQLiteStorage(path)
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); print(*db.execute('SELECT count(*) FROM events'))"
    subprocess.run([sys.executable, "-c", f"{code}; db.close()", path], check=True, capture_output=True)
    assert path.with_name("study.db-wal").exists()
    storage.close()


def make_text(path):
    path.write_text("notes\n" * 300)
    return ForeignFileError


def make_short(path):
    path.write_text("notes\n")
    return ForeignFileError


def make_table(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title TEXT)")
    return ForeignFileError


def make_folder(path):
    path.mkdir()
    return StorageError


def make_nothing(path):
    return InputError


@pytest.mark.parametrize("make", [make_text, make_short, make_table, make_folder, make_nothing])
def test_a_file_that_is_refused_leaves_nothing_beside_it(path, make):
    error = make(path)
    before = os.listdir(path.parent)
    with pytest.raises(error):
        SQLiteStorage(path, create=False)
    assert os.listdir(path.parent) == before


def test_a_study_that_cannot_be_made_leaves_no_file(path, monkeypatch):
    connect = sqlite3.connect

    def on_a_full_disk(*arguments, **options):
        db = connect(*arguments, **options)
        db.execute("PRAGMA max_page_count = 1")
        return db

    monkeypatch.setattr(sqlite3, "connect", on_a_full_disk)
    with pytest.raises(StorageError, match="no room left"):
        SQLiteStorage(path)
    assert list(path.parent.iterdir()) == []


def test_a_new_study_that_was_never_begun_leaves_no_file_and_an_older_one_stays(path):
    SQLiteStorage(path).close()
    assert list(path.parent.iterdir()) == []
    path.touch()
    SQLiteStorage(path).close()
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]
