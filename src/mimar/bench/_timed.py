"""Searchers that are entered in a comparison, and what they spend."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from mimar.errors import InputError, LLMError, ReplayError
from mimar.llm import LLM, CallRecord, Recording
from mimar.objectives import Evaluator
from mimar.strategy import Problem, Strategy
from mimar.study import Study
from mimar.trial import Proposal, Trial

_log = logging.getLogger(__name__)

A = TypeVar("A")

MakeSearcher: TypeAlias = Callable[[Problem[A], int], Strategy[A]]
"""From a problem and a seed to a fresh strategy: any object with `ask` and `tell`."""


@dataclass(frozen=True, slots=True)
class GuidedSearcher(Generic[A]):
    """A searcher that asks an LLM, whose calls are counted: from a problem, a seed and the LLM to a fresh strategy."""

    llm: LLM
    make: Callable[[Problem[A], int, LLM], Strategy[A]]


Searcher: TypeAlias = MakeSearcher[A] | GuidedSearcher[A]


def begun(make: Searcher[A], problem: Problem[A], seed: int) -> TimedStrategy[A]:
    """A fresh strategy whose time and calls are kept."""
    if not isinstance(make, GuidedSearcher):
        return TimedStrategy(make(problem, seed), [])
    calls: list[CallRecord] = []
    return TimedStrategy(make.make(problem, seed, Recording(make.llm, (), calls.append)), calls, make.llm.name)


def require_budgets(budgets: Sequence[int], seeds: int) -> None:
    """InputError for budgets or seeds below 1."""
    if not budgets or min(budgets) < 1 or seeds < 1:
        raise InputError(f"budgets and seeds must be at least 1, got {list(budgets)} and {seeds}")


def searched(
    who: tuple[str, int], make: Searcher[A], problem: Problem[A], evaluator: Evaluator[A], size: tuple[int, int]
) -> tuple[Sequence[Trial[A]], TimedStrategy[A]]:
    """The trials of a fresh search, and what it spent; one whose LLM fails for good has those until then.

    who: its name and seed. size: evaluations, and candidates asked for at a time.
    """
    name, seed = who
    timed = begun(make, problem, seed)
    study = Study(problem, timed, evaluator, batch=size[1])
    try:
        study.run(size[0])
    except ReplayError:
        raise
    except LLMError as error:
        _log.warning("%s, seed %d: ended after %d evaluations: %s", name, seed, timed.evaluated, error)
    return study.trials, timed


@dataclass
class TimedStrategy(Generic[A]):
    """A strategy whose CPU time and LLM calls are kept. marks: evaluations told so far, seconds and calls then."""

    inner: Strategy[A]
    calls: Sequence[CallRecord]
    llm: str = ""
    seconds: float = 0.0
    evaluated: int = 0
    marks: list[tuple[int, float, int]] = field(default_factory=list[tuple[int, float, int]])

    @property
    def name(self) -> str:
        """The strategy's own; objects without one are welcome."""
        return str(getattr(self.inner, "name", "searcher"))

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        begin = time.process_time()
        found = self.inner.ask(n)
        self.seconds += time.process_time() - begin
        return found

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        begin = time.process_time()
        self.inner.tell(trials)
        self.seconds += time.process_time() - begin
        self.evaluated += sum(trial.status == "complete" for trial in trials)
        self.marks.append((self.evaluated, self.seconds, len(self.calls)))

    def spent_at(self, budget: int) -> tuple[float, list[CallRecord]]:
        """CPU seconds and LLM calls until `budget` evaluations or a few more were told, or until the end. What a limit
        kept from being asked is no call.
        """
        end = (self.evaluated, self.seconds, len(self.calls))
        _, seconds, count = next((mark for mark in self.marks if mark[0] >= budget), end)
        return seconds, [call for call in self.calls[:count] if call.was_made]
