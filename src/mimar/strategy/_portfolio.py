from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import LLMError, ReplayError
from mimar.llm import LLM
from mimar.strategy._archive import Archive
from mimar.strategy._bandit import Bandit, Exchange
from mimar.strategy._evolution import breed_many
from mimar.strategy._prompts import Brief
from mimar.strategy._proposer import Proposer
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._screen import screened
from mimar.strategy._selection import tournaments
from mimar.trial import Proposal, Trial

A = TypeVar("A")

_log = logging.getLogger(__name__)

FREE_ARMS = ("mutation", "crossover", "screened", "random")
"""Operators that need no LLM."""


class AdaptivePortfolio(Generic[A]):
    """A portfolio of operators; a bandit gives each next batch to those that gained most hypervolume for their cost.

    Operators: mutation, crossover, predictor-screened offspring, random candidates and, when there is one, the LLM.
    A strong LLM's share grows; a weak one's shrinks, though slowly where its replies are cheap, and what is allotted to
    it waits until a call is worth making. After a call that ends without a reply the search goes on without it.

    initial: random candidates before the operators start. llm_batch: candidates asked for in one call.
    """

    name = "adaptive"

    def __init__(
        self,
        problem: Problem[A],
        seed: int,
        proposer: Proposer[A] | None = None,
        *,
        initial: int = 16,
        llm_batch: int = 4,
        exchange: Exchange | None = None,
    ) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._proposer = proposer
        self._bandit = Bandit.among((*FREE_ARMS, *(["llm"] if proposer else [])))
        self._initial = initial
        self._llm_batch = llm_batch
        self._llm_due = float(llm_batch)  # the first call is made at once, to learn what the LLM is worth
        self._exchange = exchange or Exchange()
        self._spent: dict[str, float] = {}

    @staticmethod
    def with_llm(problem: Problem[A], seed: int, llm: LLM, brief: Brief) -> AdaptivePortfolio[A]:
        """The portfolio with an LLM among its operators."""
        return AdaptivePortfolio(problem, seed, Proposer(problem, llm, brief))

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates at first, then what the bandit allots."""
        self._spent = {}
        if len(self._archive.complete) < self._initial:
            return draw_many(self._problem, self._archive, n, self._rng)
        allotted = self._bandit.allot(n, self._rng)
        proposals = self._ask_llm(n, allotted.pop("llm", 0))
        for arm, count in allotted.items():
            room = n - sum(not proposal.reasons for proposal in proposals)
            proposals += self._free(arm, min(count, room))
        return proposals

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Credit each operator with the hypervolume its trials added, in proposal order."""
        before = self._archive.losses
        self._archive.add(trials)
        gains = self._problem.reference.gains(self._archive.losses)[len(before) :]
        gained: dict[str, float] = {}
        for trial, gain in zip(self._archive.complete[len(before) :], gains, strict=True):
            gained[trial.proposal.origin] = gained.get(trial.proposal.origin, 0.0) + float(gain)
        for trial in trials:
            if trial.status != "invalid":
                origin = trial.proposal.origin
                self._spent[origin] = self._spent.get(origin, 0.0) + 1.0
        if len(before) >= self._initial:
            self._bandit = self._bandit.updated(gained, self._spent)

    def _free(self, arm: str, n: int) -> list[Proposal[A]]:
        if n <= 0:
            return []
        if arm == "random":
            return draw_many(self._problem, self._archive, n, self._rng)
        if arm == "screened":
            return screened(self._problem, self._archive, n, self._rng)
        winners = tournaments(self._archive.losses, 3, 2 * n, self._rng)
        trials = [self._archive.complete[i] for i in winners]
        pairs = zip(trials[::2], trials[1::2], strict=True)
        groups = [(a, b) if arm == "crossover" and a is not b else (a,) for a, b in pairs]
        return breed_many(self._problem, self._archive, groups, arm, self._rng)

    def _ask_llm(self, n: int, due: int) -> list[Proposal[A]]:
        """One call once enough candidates are due; what is not yet due waits for a later batch."""
        self._llm_due += due
        if self._proposer is None or self._llm_due < self._llm_batch:
            return []
        self._llm_due -= self._llm_batch
        try:
            batch = self._proposer.propose(self._archive, min(n, self._llm_batch), self._rng)
        except ReplayError:
            raise
        except LLMError as error:
            _log.warning("the search goes on without the LLM: %s", error)
            self._proposer = None
            self._bandit = self._bandit.without("llm")
            return [Proposal(None, "llm", reasons=(f"the search goes on without the LLM: {error}",))]
        tokens = batch.usage.input_tokens + batch.usage.output_tokens
        self._spent["llm"] = self._exchange.cost(0, tokens, batch.usage.cost)
        return list(batch.proposals)
