from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import InputError
from mimar.llm import LLM
from mimar.pareto import RunningFront
from mimar.strategy._archive import Archive
from mimar.strategy._bandit import Bandit, Exchange
from mimar.strategy._evolution import breed_many
from mimar.strategy._llm_arm import LLMArm
from mimar.strategy._llm_nas import LLMNAS
from mimar.strategy._operator import Operator
from mimar.strategy._pel_nas import PELNAS
from mimar.strategy._prompts import Brief
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._rz_nas import RZNAS
from mimar.strategy._screen import EFFORT, Screen, round_size
from mimar.strategy._selection import Survivors, tournaments
from mimar.strategy._traits import Traits
from mimar.strategy._zerolm import ZeroLM
from mimar.trial import Proposal, Trial

A = TypeVar("A")

FREE_ARMS = ("mutation", "crossover", "screened", "random")
"""Operators that need no LLM."""

LLM_ARM = "llm"
"""The bandit's name for all ways to ask the LLM together."""

PARENTS = 256
"""How many of the best trials the operators breed from."""


class AdaptivePortfolio(Generic[A]):
    """A portfolio of operators; a bandit gives each next batch to those that gained most hypervolume for their cost.

    Operators: mutation, crossover, predictor-screened offspring as in LINAS, random candidates and, when there is one,
    the LLM, which is asked in several ways (`LLMArm`). Screened offspring are trusted at first; the others must show
    that they gain more. A strong LLM's share grows; a weak one's shrinks, though slowly where its replies are cheap.

    llm_operators: ways to ask the LLM. initial: random candidates before the operators start, at least 2. llm_batch:
    candidates asked for in one call. fill: behind gates, which sort most candidates out before they cost much, every
    ask is answered in full.
    """

    name = "adaptive"
    traits = Traits(data_free=False, hardware_aware=True, reflection=True, llm="optional")

    def __init__(
        self,
        problem: Problem[A],
        seed: int,
        llm_operators: Sequence[Operator[A]] = (),
        *,
        initial: int = 6,
        llm_batch: int = 4,
        exchange: Exchange | None = None,
        fill: bool = False,
    ) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        if initial < 2:
            raise InputError(f"initial must be at least 2, got {initial}: the operators need parents")
        self._archive: Archive[A] = Archive(problem.objectives)
        self._best: Survivors[A] = Survivors(PARENTS, len(problem.objectives))
        self._front = RunningFront(problem.reference)
        self._screen = Screen(problem, EFFORT)
        self._llm = LLMArm(llm_operators, llm_batch, exchange or Exchange()) if llm_operators else None
        self._bandit = Bandit.among((*FREE_ARMS, *([LLM_ARM] if self._llm else [])), trusted="screened")
        self._initial = initial
        self._fill = fill

    @staticmethod
    def with_llm(problem: Problem[A], seed: int, llm: LLM, brief: Brief, *, fill: bool = False) -> AdaptivePortfolio[A]:
        """The portfolio with an LLM among its operators, asked as ZeroLM, RZ-NAS, LLM-NAS and PEL-NAS ask it."""
        operators: list[Operator[A]] = [kind(problem, llm, brief) for kind in (ZeroLM[A], RZNAS[A], LLMNAS[A])]
        return AdaptivePortfolio(problem, seed, [*operators, PELNAS(problem, llm, brief, seed=seed)], fill=fill)

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates at first, then rounds as small as the surrogate wants them, which the bandit shares out."""
        trials = len(self._archive.complete)
        if trials < self._initial:
            count = n if self._fill else min(n, self._initial - trials)
            return draw_many(self._problem, self._archive, count, self._rng)
        size = n if self._fill else min(n, round_size(trials))
        allotted = self._bandit.allot(size, self._rng)
        due = allotted.pop(LLM_ARM, 0)
        proposals = self._llm.ask(self._archive, n, due, self._rng) if self._llm else []
        for arm, count in allotted.items():
            proposals += self._free(arm, min(count, n - _good(proposals)))
        if self._fill:  # the LLM gives a few at a time, and others may not find as many as they are asked for
            for arm in ("screened", "random"):
                proposals += self._free(arm, n - _good(proposals))
        elif not _good(proposals):  # all was allotted to the LLM, which waits or failed
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
            origin = trial.proposal.origin
            gained[origin] = gained.get(origin, 0.0) + self._front.add(point)
        spent = dict(self._llm.spent) if self._llm else {}
        for trial in trials:
            if trial.status != "invalid":
                spent[trial.proposal.origin] = spent.get(trial.proposal.origin, 0.0) + 1.0
        if self._llm:
            self._llm.learn(trials, gained, spent)
        if told >= self._initial:
            self._bandit = self._bandit.updated(self._by_arm(gained), self._by_arm(spent))

    def _by_arm(self, amounts: Mapping[str, float]) -> dict[str, float]:
        """Amounts by origin, those of all ways to ask the LLM together."""
        origins = self._llm.origins if self._llm else ()
        found: dict[str, float] = {}
        for origin, amount in amounts.items():
            arm = LLM_ARM if origin in origins else origin
            found[arm] = found.get(arm, 0.0) + amount
        return found

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


def _good(proposals: Sequence[Proposal[A]]) -> int:
    return sum(not proposal.reasons for proposal in proposals)
