"""An LLM as an operator of a search, and the strategy that consists of one such operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from mimar.errors import CostLimitError, LLMError, MissingKeyError, ReplayError
from mimar.strategy._archive import Archive
from mimar.strategy._proposer import Batch
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")

FAILURES = 5
"""Asks in a row that may end without a reply before a search that has nothing but its LLM gives up."""


ATTEMPTS = 8
"""Candidates in a row that may be rejected before an ask ends without a good one."""


class Operator(Protocol[A]):
    """Asks an LLM for candidates in its own way. Its proposals have the origin ``llm-`` and its name.

    traits: as declared by the strategy of this name. initial: random candidates that it needs to begin.
    batch: candidates that it asks for at a time, at most.
    """

    @property
    def name(self) -> str: ...

    @property
    def traits(self) -> Traits: ...

    @property
    def initial(self) -> int: ...

    @property
    def batch(self) -> int: ...

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """At most `count` good candidates, and rejected ones, from one call or a few.

        Good ones are marked in `archive`. Raises an LLMError when there is no reply.
        """
        ...

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """Trials in proposal order, those of other operators included; `archive` holds them already."""
        ...


class LLMSearch(Generic[A]):
    """A strategy that leaves every candidate to one operator, but for the random ones that this needs to begin."""

    def __init__(self, problem: Problem[A], seed: int, operator: Operator[A]) -> None:
        self._problem = problem
        self._operator = operator
        self._archive: Archive[A] = Archive(problem.objectives)
        self._rng = np.random.default_rng(seed)
        self._failures = 0

    @property
    def name(self) -> str:
        """The operator's."""
        return self._operator.name

    @property
    def traits(self) -> Traits:
        """The operator's."""
        return self._operator.traits

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """The operator's proposals; one that makes a few at a time goes on until one is good or several are rejected.

        Raises the LLMError of the last of several asks in a row without a reply, and at once one that asking again
        cannot help (no key, cost limit, replay).
        """
        missing = self._operator.initial - len(self._archive.complete)
        if missing > 0:
            return draw_many(self._problem, self._archive, min(n, missing), self._rng)
        proposals: list[Proposal[A]] = []
        while len(proposals) < ATTEMPTS and all(proposal.reasons for proposal in proposals):
            try:
                found = self._proposed(n)
            except LLMError as error:
                if not proposals or isinstance(error, ReplayError):
                    raise
                break  # what was rejected before is told first; the next ask meets the error again
            proposals += found
            if not found or self._failures:
                break
        return proposals

    def _proposed(self, n: int) -> Sequence[Proposal[A]]:
        try:
            batch = self._operator.propose(self._archive, min(n, self._operator.batch), self._rng)
        except (CostLimitError, MissingKeyError, ReplayError):
            raise
        except LLMError as error:
            self._failures += 1
            if self._failures >= FAILURES:
                raise
            return (Proposal(None, origin_of(self._operator), reasons=(str(error),)),)
        self._failures = 0
        return batch.proposals

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Let the operator learn."""
        self._archive.add(trials)
        self._operator.learn(trials)


def origin_of(operator: Operator[A]) -> str:
    """Of the operator's proposals."""
    return f"llm-{operator.name}"
