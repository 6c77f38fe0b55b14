"""The LLM among the operators of a portfolio: when to ask it, in which way, and what to do when it does not answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import LLMError, ReplayError
from mimar.strategy._archive import Archive
from mimar.strategy._bandit import Bandit, Exchange
from mimar.strategy._operator import Operator, origin_of
from mimar.trial import Proposal, Trial

A = TypeVar("A")

_log = logging.getLogger(__name__)


LEAST = 0.07
"""Share of each ask that becomes due at least while the LLM does not answer: the bandit would let it wait for ever."""


MOST = 2
"""Calls that are due at most: what an LLM did not make in time others have made, and its share may have shrunk."""


class LLMArm(Generic[A]):
    """Several ways to ask one LLM; a bandit of their own picks the next by hypervolume gained for tokens and price.

    What is allotted to the LLM waits until a call is worth making. A call that ends without a reply costs as much as an
    evaluation, and each further one in a row doubles the wait until the next: a dead LLM costs a search of n candidates
    about log2(n) calls.
    """

    def __init__(self, operators: Sequence[Operator[A]], batch: int, exchange: Exchange) -> None:
        self._operators = {origin_of(operator): operator for operator in operators}
        self._bandit = Bandit.among(tuple(self._operators))
        self._batch = batch
        self._exchange = exchange
        self._due = float(batch)  # the first call is made at once, to learn what the LLM is worth
        self._failures = 0  # in a row
        self.spent: dict[str, float] = {}

    @property
    def origins(self) -> tuple[str, ...]:
        """Of all proposals that come from here."""
        return tuple(self._operators)

    def ask(self, archive: Archive[A], n: int, due: int, rng: np.random.Generator) -> list[Proposal[A]]:
        """At most `n` good candidates of one operator once enough are due; `spent` then holds what that cost."""
        self.spent = {}
        self._due += max(due, LEAST * n) if self._failures else due
        self._due = min(self._due, MOST * self._batch)
        if self._due < self._batch:
            return []
        self._due -= self._batch
        shares = self._bandit.shares()
        origin = str(rng.choice(list(shares), p=list(shares.values())))
        try:
            batch = self._operators[origin].propose(archive, min(n, self._batch), rng)
        except ReplayError:
            raise
        except LLMError as error:
            return [self._without_reply(error, origin)]
        self._failures = 0
        tokens = batch.usage.input_tokens + batch.usage.output_tokens
        self.spent = {origin: self._exchange.cost(0, tokens, batch.usage.cost)}
        return list(batch.proposals)

    def learn(self, trials: Sequence[Trial[A]], gained: Mapping[str, float], spent: Mapping[str, float]) -> None:
        """Trials of all operators, and by origin what they gained and cost."""
        for operator in self._operators.values():
            operator.learn(trials)
        own = {origin: cost for origin, cost in spent.items() if origin in self._operators}
        self._bandit = self._bandit.updated({origin: gained.get(origin, 0.0) for origin in own}, own)

    def _without_reply(self, error: LLMError, origin: str) -> Proposal[A]:
        """Wait longer for the next call: twice as many candidates must become due as after the failure before."""
        self._due -= self._batch * (2.0**self._failures - 1)
        self._failures += 1
        self.spent = {origin: self._exchange.cost(1, 0, 0.0)}
        said = f"the search goes on without the LLM for now: {error}"
        _log.warning(said)
        return Proposal(None, origin, reasons=(said,))
