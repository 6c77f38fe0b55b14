"""Worker processes: what a candidate does to its own costs that candidate, and nothing outlives the driver."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from importlib import import_module
from multiprocessing import active_children, get_context
from pathlib import Path

import psutil
import pytest

from mimar.errors import InputError, MimarError, UnknownNameError
from mimar.executor import Limits, ProcessExecutor, usable_cores

MB = 10**6


@pytest.fixture
def run():
    """(evaluate, items, workers, limits) → outcomes in the order of items."""

    def outcomes(evaluate, items, workers=2, **limits):
        with ProcessExecutor(workers, Limits(**limits)) as executor:
            found = dict(executor.map(evaluate, items))
        assert sorted(found) == list(range(len(items)))
        return [found[index] for index in range(len(items))]

    return outcomes


def behave(how):
    match how:
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            sys.exit(3)
        case "hang":
            time.sleep(600)
        case "grow":
            held = []
            while True:
                held.append(bytearray(10 * MB))
                time.sleep(0.001)
    return {"pid": os.getpid()}


def surroundings(_):
    return {
        "expendable": float(Path("/proc/self/oom_score_adj").read_text()),
        "threads": float(os.environ["OMP_NUM_THREADS"]),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what it would end first")
def test_processes_share_the_cores_and_end_before_the_search_where_memory_runs_out(run):
    for workers in (1, 2):
        (found,) = run(surroundings, [None], workers=workers)
        assert found.metrics == {"expendable": 1000.0, "threads": float(max(1, usable_cores() // workers))}


def with_help(number):
    with ProcessPoolExecutor(1) as pool:
        return {"found": pool.submit(abs, number).result()}


def test_an_evaluator_may_begin_processes_of_its_own(run):
    (found,) = run(with_help, [-3.0])
    assert found.metrics == {"found": 3.0}


def begin_a_helper(folder):
    """A process of its own that would wait for ever, told by a file."""
    pool = ProcessPoolExecutor(1, get_context("fork"))
    (Path(folder) / f"{pool.submit(os.getpid).result()}.pid").touch()
    return pool


def with_help_that_stays(how_and_folder):
    how, folder = how_and_folder
    pool = begin_a_helper(folder)
    return {**behave(how), "helpers": float(pool.submit(int, 1).result())}


def await_end_of_all(folder):
    for file in folder.glob("*.pid"):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(file.stem)).wait(timeout=30)


@pytest.mark.skipif(sys.platform == "win32", reason="needs forks")
@pytest.mark.parametrize(
    ("how", "limits", "reason"),
    [
        ("segfault", {}, "its process ended (SIGSEGV)"),
        ("hang", {"seconds": 0.5}, "took longer than 0.5 s"),
        ("fine", {}, None),
    ],
)
def test_processes_that_an_evaluator_began_end_with_its_own(run, tmp_path, how, limits, reason):
    """And do not hide that it ended."""
    (found,) = run(with_help_that_stays, [(how, tmp_path)], **limits)
    assert found.failure == reason
    assert len(list(tmp_path.glob("*.pid"))) == 1
    await_end_of_all(tmp_path)


class Delicate:
    """Ends the first process that reads it, as something might that an earlier candidate left running there."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return _read, (self.marker,)


def _read(marker):
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return "fine"


def test_a_process_that_ends_between_two_candidates_costs_none(run, tmp_path):
    first, second = run(behave, ["fine", Delicate(tmp_path / "read")], workers=1)
    assert first.failure is second.failure is None
    assert first.metrics["pid"] != second.metrics["pid"]


@pytest.mark.parametrize(
    ("how", "limits", "reason"),
    [
        ("segfault", {}, "its process ended (SIGSEGV)"),
        ("exit", {}, "its process ended (exit code 3)"),
        ("hang", {"seconds": 0.3}, "took longer than 0.3 s"),
        ("grow", {"memory_bytes": 400 * MB}, "MB of memory, the limit is 400"),
    ],
)
def test_a_bad_candidate_fails_with_its_reason_and_alone(run, how, limits, reason):
    good, bad, also_good = run(behave, ["fine", how, "fine"], **limits)
    assert reason in bad.failure
    assert bad.metrics == {}
    assert good.failure is also_good.failure is None
    assert bad.seconds >= limits.get("seconds", 0.0)


def die_until(limit_and_folder):
    """Killed from outside, as it looks, until the file holds `limit` bytes."""
    limit, file = limit_and_folder
    with file.open("ab") as log:
        log.write(b".")
    if file.stat().st_size < limit:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"begun": file.stat().st_size}


def test_a_candidate_whose_worker_was_killed_is_begun_anew(run, tmp_path):
    (found,) = run(die_until, [(3, tmp_path / "log")])
    assert found.metrics == {"begun": 3.0}


def test_a_candidate_that_is_killed_every_time_fails(run, tmp_path):
    (found,) = run(die_until, [(9, tmp_path / "log")])
    assert found.failure == "its process ended 3 times (SIGKILL)"
    assert (tmp_path / "log").stat().st_size == 3


def own_pid(item):
    time.sleep(0.01)
    return {"pid": os.getpid(), "item": item}


def test_workers_stay_and_idle_ones_that_died_are_replaced():
    with ProcessExecutor(2) as executor:
        first = {outcome.metrics["pid"] for _, outcome in executor.map(own_pid, range(20))}
        again = {outcome.metrics["pid"] for _, outcome in executor.map(own_pid, range(20))}
        assert len(first) == 2
        assert again == first
        for pid in first:
            os.kill(int(pid), signal.SIGKILL)
        new = {outcome.metrics["pid"] for _, outcome in executor.map(own_pid, range(20))}
        assert len(new) == 2
        assert not new & first
    assert not any(psutil.pid_exists(int(pid)) for pid in new)


def test_workers_killed_at_random_lose_nothing_that_was_not_killed_three_times():
    rng = random.Random(0)
    killed, found = 0, {}
    with ProcessExecutor(2) as executor:
        for index, outcome in executor.map(own_pid, range(60)):
            found[index] = outcome
            if rng.random() < 0.2:
                worker = rng.choice(active_children())
                worker.kill()
                killed += 1
    assert killed >= 5
    lost = [index for index in range(60) if found[index].failure is not None]
    assert 3 * len(lost) <= killed  # it takes three kills to lose one
    assert all(found[index].failure == "its process ended 3 times (SIGKILL)" for index in lost)
    assert all(found[index].metrics["item"] == index for index in range(60) if index not in lost)


def test_leaving_off_ends_what_still_runs():
    executor = ProcessExecutor(2)
    with closing(executor), closing(executor.map(behave, ["fine", "hang", "hang"])) as outcomes:
        next(outcomes)
        assert len(active_children()) == 2
    assert active_children() == []


def raise_(error):
    raise error


def needs_two(a, b):
    return a + b


class Unportable(Exception):  # noqa: N818 - a name for its lack
    def __init__(self, a, b):
        super().__init__(needs_two(a, b))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError("x"), KeyError),
        (FileNotFoundError(2, "no such file"), FileNotFoundError),
        (EOFError("of the evaluator's own"), EOFError),
        (UnknownNameError("device", "x", ("a", "b")), UnknownNameError),
    ],
)
def test_a_broken_system_is_raised_here_with_the_traceback_of_there(run, error, expected):
    with pytest.raises(expected) as caught:
        run(raise_, [error])
    assert str(caught.value) == str(error)
    assert "raise error" in "".join(caught.value.__notes__)


def raise_unportable(item):
    raise Unportable("a", item)


def test_an_error_that_cannot_travel_is_told_in_words(run):
    with pytest.raises(RuntimeError, match="Unportable: ab"):
        run(raise_unportable, ["b"])


class ElsewhereOnly:
    """Of a package that the worker does not have."""

    def __reduce__(self):
        return import_module, ("no_such_package",)


def test_what_a_worker_cannot_load_is_a_sentence(run):
    with pytest.raises(InputError, match=r"cannot load what it is sent .*no_such_package.* the same versions"):
        run(behave, [ElsewhereOnly()])


def test_what_cannot_be_pickled_is_refused():
    with pytest.raises(InputError, match="cannot be sent to another process"):
        ProcessExecutor(1).map(lambda item: {"x": item}, [1])
    with pytest.raises(InputError, match="at least 1 worker, got 0"):
        ProcessExecutor(0)


SCRIPT = """
from tests.executor.test_process import own_pid
from mimar.executor import ProcessExecutor
print(list(ProcessExecutor(1).map(own_pid, [1])))
"""


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert MimarError.__name__ in ended.stderr
    assert 'if __name__ == "__main__":' in ended.stderr.splitlines()[-1]


DRIVER = """
import os, sys
from tests.executor.test_process import tell_and_hang
from mimar.executor import ProcessExecutor
if __name__ == "__main__":
    list(ProcessExecutor(2).map(tell_and_hang, [sys.argv[1], sys.argv[1]]))
"""


def tell_and_hang(folder):
    helper = begin_a_helper(folder)
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(600)
    return {"helper": helper}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_driver(tmp_path, how):
    (tmp_path / "driver.py").write_text(DRIVER)
    driver = subprocess.Popen(
        [sys.executable, tmp_path / "driver.py", tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(list(tmp_path.glob("*.pid"))) < 4:  # two workers, each with a process of its own
        assert driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(how)
    driver.wait(timeout=30)
    await_end_of_all(tmp_path)
