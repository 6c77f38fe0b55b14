"""What every `Executor` owes its callers, as checks to run over an implementation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mimar.errors import CandidateError
from mimar.executor import Executor, Outcome

MANY, MARKING = 1000, 0.02
"""Candidates of which the caller takes one, and the seconds that each of them takes."""


def check_executor(executor: Executor) -> None:
    """Every check below; AssertionError where `executor` breaks the contract."""
    check_every_index(executor)
    check_failures_are_data(executor)
    check_broken_system(executor)
    check_leaving_off(executor)


def check_every_index(executor: Executor) -> None:
    """Each item is evaluated once and its own metrics come back with its index, whatever the order."""
    assert list(executor.map(_square, [])) == [], "expected no outcome for no item"
    found = list(executor.map(_square, [3, 1, 4, 1, 5]))
    assert sorted(index for index, _ in found) == [0, 1, 2, 3, 4], f"expected every index once, got {found}"
    metrics = [outcome.metrics for _, outcome in sorted(found, key=_index)]
    assert metrics == [{"square": float(item * item)} for item in (3, 1, 4, 1, 5)]
    assert all(outcome.failure is None and outcome.seconds >= 0 for _, outcome in found)


def check_failures_are_data(executor: Executor) -> None:
    """A CandidateError, with or without text, and a metric that is not finite are outcomes with a reason."""
    found = dict(executor.map(_fails, ["tight", "", "nan", "fine"]))
    assert found[0].failure == "tight", f"expected the text of the error, got {found[0]}"
    for index in (1, 2):
        assert found[index].failure, f"expected a reason, got {found[index]}"
    assert all(found[index].metrics == {} for index in (0, 1, 2)), "expected no metrics of a failed candidate"
    assert found[3].failure is None, f"expected other candidates not to suffer, got {found[3]}"


def check_broken_system(executor: Executor) -> None:
    """Any other error is raised, for it is a bug and no property of the candidate."""
    try:
        list(executor.map(_breaks, [1, 0]))
    except ZeroDivisionError:
        return
    raise AssertionError("expected the evaluator's ZeroDivisionError to be raised")


def check_leaving_off(executor: Executor) -> None:
    """Where the caller takes no more, what has not begun does not begin, and the executor goes on to be of use."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        marks = [Path(folder, str(number)) for number in range(MANY)]
        outcomes = executor.map(_marks, marks)
        next(outcomes)
        del outcomes
        time.sleep(10 * MARKING)  # for what had begun
        begun = sum(mark.exists() for mark in marks)
        time.sleep(10 * MARKING)
        assert sum(mark.exists() for mark in marks) == begun < MANY, "expected the rest to be given up"
    assert len(list(executor.map(_square, [1, 2]))) == 2, "expected it to evaluate after that"


def _index(found: tuple[int, Outcome]) -> int:
    return found[0]


def _square(item: int) -> Mapping[str, float]:
    return {"square": item * item}


def _fails(item: str) -> Mapping[str, float]:
    if item in ("tight", ""):
        raise CandidateError(item)
    return {"latency": float("nan") if item == "nan" else 1.0}


def _marks(mark: Path) -> Mapping[str, float]:
    mark.touch()
    time.sleep(MARKING)
    return {}


def _breaks(item: int) -> Mapping[str, float]:
    return {"inverse": 1 / item}
