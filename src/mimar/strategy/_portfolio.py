from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import InputError, LLMError, ReplayError
from mimar.llm import LLM
from mimar.pareto import RunningFront
from mimar.strategy._archive import Archive
from mimar.strategy._bandit import Bandit, Exchange
from mimar.strategy._evolution import breed_many
from mimar.strategy._prompts import Brief
from mimar.strategy._proposer import Proposer
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._screen import EFFORT, Screen, round_size
from mimar.strategy._selection import Survivors, tournaments
from mimar.trial import Proposal, Trial

A = TypeVar("A")

_log = logging.getLogger(__name__)

FREE_ARMS = ("mutation", "crossover", "screened", "random")
"""Operators that need no LLM."""

PARENTS = 256
"""How many of the best trials the operators breed from."""


class AdaptivePortfolio(Generic[A]):
    """A portfolio of operators; a bandit gives each next batch to those that gained most hypervolume for their cost.

    Operators: mutation, crossover, predictor-screened offspring as in LINAS, random candidates and, when there is one,
    the LLM. Screened offspring are trusted at first; the others must show that they gain more.
    A strong LLM's share grows; a weak one's shrinks, though slowly where its replies are cheap, and what is allotted to
    it waits until a call is worth making. A call that ends without a reply costs as much as an evaluation, and each
    further one in a row doubles the wait until the next: a dead LLM costs a search of n candidates about log2(n) calls.

    initial: random candidates before the operators start, at least 2. llm_batch: candidates asked for in one call.
    """

    name = "adaptive"

    def __init__(
        self,
        problem: Problem[A],
        seed: int,
        proposer: Proposer[A] | None = None,
        *,
        initial: int = 6,
        llm_batch: int = 4,
        exchange: Exchange | None = None,
    ) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        if initial < 2:
            raise InputError(f"initial must be at least 2, got {initial}: the operators need parents")
        self._archive: Archive[A] = Archive(problem.objectives)
        self._best: Survivors[A] = Survivors(PARENTS, len(problem.objectives))
        self._front = RunningFront(problem.reference)
        self._screen = Screen(problem, EFFORT)
        self._proposer = proposer
        self._bandit = Bandit.among((*FREE_ARMS, *(["llm"] if proposer else [])), trusted="screened")
        self._initial = initial
        self._llm_batch = llm_batch
        self._llm_due = float(llm_batch)  # the first call is made at once, to learn what the LLM is worth
        self._llm_failures = 0  # in a row
        self._exchange = exchange or Exchange()
        self._spent: dict[str, float] = {}

    @staticmethod
    def with_llm(problem: Problem[A], seed: int, llm: LLM, brief: Brief) -> AdaptivePortfolio[A]:
        """The portfolio with an LLM among its operators."""
        return AdaptivePortfolio(problem, seed, Proposer(problem, llm, brief))

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates at first, then rounds as small as the surrogate wants them, which the bandit shares out."""
        self._spent = {}
        trials = len(self._archive.complete)
        if trials < self._initial:
            return draw_many(self._problem, self._archive, min(n, self._initial - trials), self._rng)
        size = min(n, round_size(trials))
        allotted = self._bandit.allot(size, self._rng)
        proposals = self._ask_llm(n, allotted.pop("llm", 0))
        for arm, count in allotted.items():
            room = n - sum(not proposal.reasons for proposal in proposals)
            proposals += self._free(arm, min(count, room))
        if all(proposal.reasons for proposal in proposals):  # all was allotted to the LLM, which waits or failed
            proposals += self._free("screened", size)
        return proposals

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Credit each operator with the hypervolume its trials added, in proposal order."""
        told = len(self._archive.complete)
        self._archive.add(trials)
        complete, points = self._archive.complete[told:], self._archive.losses[told:]
        self._best.add(complete, points)
        gained: dict[str, float] = {}
        for trial, point in zip(complete, points, strict=True):
            gain = self._front.add(point)
            gained[trial.proposal.origin] = gained.get(trial.proposal.origin, 0.0) + gain
        for trial in trials:
            if trial.status != "invalid":
                origin = trial.proposal.origin
                self._spent[origin] = self._spent.get(origin, 0.0) + 1.0
        if told >= self._initial:
            self._bandit = self._bandit.updated(gained, self._spent)

    def _free(self, arm: str, n: int) -> list[Proposal[A]]:
        if n <= 0:
            return []
        if arm == "random":
            return draw_many(self._problem, self._archive, n, self._rng)
        if arm == "screened":
            return self._screen.propose(self._archive, self._best, n, self._rng)
        trials = [self._best.trials[i] for i in tournaments(self._best.points, 3, 2 * n, self._rng)]
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
            return [self._without_reply(error)]
        self._llm_failures = 0
        tokens = batch.usage.input_tokens + batch.usage.output_tokens
        self._spent["llm"] = self._exchange.cost(0, tokens, batch.usage.cost)
        return list(batch.proposals)

    def _without_reply(self, error: LLMError) -> Proposal[A]:
        """Wait longer for the next call: twice as many candidates must become due as after the failure before."""
        self._llm_due -= self._llm_batch * (2.0**self._llm_failures - 1)
        self._llm_failures += 1
        self._spent["llm"] = self._exchange.cost(1, 0, 0.0)
        said = f"the search goes on without the LLM for now: {error}"
        _log.warning(said)
        return Proposal(None, "llm", reasons=(said,))
