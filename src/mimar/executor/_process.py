"""Candidates in processes of their own: what one does to its process costs that candidate alone."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Final, Self, TypeVar, final

import psutil

from mimar.errors import InputError, MimarError
from mimar.executor._contract import NO_LIMITS, Limits, Outcome
from mimar.executor._worker import BEGUN, end_group, serve

T = TypeVar("T")

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Read by numerical libraries when they are loaded."""

TICK: Final = 0.05
"""Seconds between two looks at the limits."""

ATTEMPTS: Final = 3
"""Times that a candidate is handed out whose worker is killed from outside, which need not be its own doing."""

LAST_BREATH: Final = 5.0
"""Seconds that a worker which has closed its pipe has until its end."""

FROM_OUTSIDE: Final = (-signal.SIGTERM, -9)
"""Exit codes of a worker that the system or a person killed; one that crashes ends with others."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@final
class ProcessExecutor:
    """Worker processes of this machine, each with one candidate at a time; a context manager that ends them.

    workers: how many. threads: of each worker's computing; by default they share the cores evenly. limits: a candidate
    beyond them fails with that reason.
    A worker that crashes costs its candidate. Where it was killed from outside, as the system does when memory runs
    out, the candidate is begun anew, at most 3 times in all. Workers stay for later calls, with what evaluators keep,
    and end when this process does, however that happens; processes that evaluators began end with their worker.
    Evaluators and candidates must be picklable. A script guards what starts a search by ``if __name__ == "__main__":``,
    since each worker imports the script.
    """

    def __init__(self, workers: int, limits: Limits = NO_LIMITS, *, threads: int | None = None) -> None:
        if workers < 1:
            raise InputError(f"expected at least 1 worker, got {workers}")
        self._count = workers
        self._threads = threads or max(1, usable_cores() // workers)
        self._limits = limits
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; a later `map` starts new ones."""
        while self._workers:
            self._workers.pop().end()

    def map(self, evaluate: Callable[[T], Mapping[str, float]], items: Sequence[T]) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) as candidates finish.

        InputError where something cannot be pickled, MimarError where workers cannot even begin.
        """
        return self.map_pickled(_pickled(evaluate), [_pickled(item) for item in items])

    def map_pickled(self, evaluator: bytes, candidates: Sequence[bytes]) -> Iterator[tuple[int, Outcome]]:
        """`map` of what is pickled already."""
        waiting = deque(_Job(index, candidate) for index, candidate in enumerate(candidates))
        try:
            while waiting or self._busy():
                self._hand_out(waiting, evaluator)
                for worker, job in self._heard():
                    try:
                        found = worker.news(self._limits)
                    except _KilledError:
                        waiting.appendleft(job)
                    else:
                        if found is not None:
                            yield job.index, found
        finally:  # of an error, or where the caller leaves off
            for worker, _ in self._busy():
                worker.end()

    def _busy(self) -> list[tuple[_Worker, _Job]]:
        return [(worker, worker.job) for worker in self._workers if worker.job is not None]

    def _hand_out(self, waiting: deque[_Job], evaluator: bytes) -> None:
        """A job for each worker that has none, while there are some; idle workers that were killed are replaced."""
        self._workers = [worker for worker in self._workers if worker.job is not None or worker.is_alive]
        while waiting and len(self._busy()) < self._count:
            idle = next((worker for worker in self._workers if worker.job is None), None)
            if idle is None:
                idle = _Worker(self._threads)
                self._workers.append(idle)
            idle.begin(waiting.popleft(), evaluator)

    def _heard(self) -> list[tuple[_Worker, _Job]]:
        """The busy, once one of them has news (its end is such) or it is time to look at the limits."""
        busy = self._busy()
        wait([worker.pipe for worker, _ in busy], None if self._limits == NO_LIMITS else TICK)
        return busy


@dataclass(slots=True)
class _Job:
    """A candidate, pickled, and how often it was begun."""

    index: int
    candidate: bytes
    attempts: int = 0


class _KilledError(Exception):
    """A worker is gone, and its candidate is to be begun anew."""


class _Worker:
    """A process and what it is busy with: `job`, None where it waits for one."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        with _environment(dict.fromkeys(THREADS, str(threads))):
            self._process.start()
        theirs.close()  # else the pipe would not end with the process
        self.job: _Job | None = None
        self._evaluator = b""
        self._begun_at: float | None = None
        self._done = 0

    @property
    def is_alive(self) -> bool:
        """Whether it can be given a job; one without any may have been killed, too."""
        return self._process.is_alive()

    def begin(self, job: _Job, evaluator: bytes) -> None:
        """Send a candidate, with its evaluator if that is another one than last time."""
        job.attempts += 1
        self.job, self._begun_at = job, None
        with suppress(OSError):  # it was killed just now: `news` will say so
            self.pipe.send((None if evaluator == self._evaluator else evaluator, job.candidate))
        self._evaluator = evaluator

    def news(self, limits: Limits) -> Outcome | None:
        """What came of the job where that is known by now; the worker then has none.

        Raises _KilledError, and what ended the evaluation where that is no CandidateError.
        """
        try:
            answer = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):  # OSError where it was killed amid an answer
            return self._obituary()
        if answer == BEGUN:
            self._begun_at, answer = time.monotonic(), None
        if answer is None:
            return self._given_up(limits)
        self.job, self._done = None, self._done + 1
        if isinstance(answer, BaseException):
            raise answer
        if answer.seconds > limits.seconds:  # it was over before anybody looked
            return Outcome(failure=_too_long(limits), seconds=answer.seconds)
        return answer

    def end(self) -> None:
        """Kill the process, and what evaluators have begun in it, and wait until it is gone."""
        self.job = None
        end_group(self._process.pid)
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _obituary(self) -> Outcome:
        """What the death of the process means for its job."""
        job, begun = self.job, self._begun_at is not None
        assert job is not None, "only a busy worker is listened to"
        self._process.join(LAST_BREATH)
        self.end()
        code = self._process.exitcode or 0
        again = code in FROM_OUTSIDE or (not begun and self._done > 0)  # what an earlier candidate left behind
        if again and job.attempts < ATTEMPTS:
            raise _KilledError
        if not begun and not again:
            raise MimarError(
                f"a worker process ended before it began ({_ending(code)}): see what it printed; a script that starts "
                'a search needs `if __name__ == "__main__":` before what does so'
            )
        often = f"{ATTEMPTS} times " if again else ""
        return Outcome(failure=f"its process ended {often}({_ending(code)})", seconds=self._seconds())

    def _given_up(self, limits: Limits) -> Outcome | None:
        """The outcome of a candidate that broke a limit; the process ends then.

        What earlier candidates left in the memory of the process is not held against this one: it is begun anew.
        """
        seconds, taken = self._seconds(), self._memory_bytes()
        if seconds > limits.seconds:
            reason = _too_long(limits)
        elif taken > limits.memory_bytes:
            reason = f"took {taken / 1e6:.0f} MB of memory, the limit is {limits.memory_bytes / 1e6:.0f}"
        else:
            return None
        job = self.job
        self.end()
        if seconds <= limits.seconds and self._done and job is not None:
            job.attempts -= 1
            raise _KilledError
        return Outcome(failure=reason, seconds=seconds)

    def _seconds(self) -> float:
        """Since the candidate was begun, loading aside."""
        return 0.0 if self._begun_at is None else time.monotonic() - self._begun_at

    def _memory_bytes(self) -> float:
        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:  # it is just gone
            return 0.0


def _too_long(limits: Limits) -> str:
    return f"took longer than {limits.seconds:g} s"


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    """What a process that is started meanwhile finds in its environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ending(code: int) -> str:
    """An exit code in words: ``SIGSEGV`` or ``exit code 3``."""
    names = {-number: number.name for number in signal.Signals}
    return names.get(code, f"exit code {code}")


def _pickled(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"this cannot be sent to another process ({error}): evaluate with `SerialExecutor`, or define functions "
            "and classes at the top of a module"
        ) from error
