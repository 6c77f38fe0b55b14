"""Integer programming over block scores that learn from every sub-network that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mimar.elastic import SubNetwork
from mimar.errors import BudgetError, InputError
from mimar.shrink._task import FIGURES, ShrinkTask
from mimar.shrink._within import SIZE, at_most
from mimar.strategy import RandomSearch, Traits
from mimar.trial import Proposal, Trial

if TYPE_CHECKING:
    from mimar.elastic import BlockScores

PRIOR: Final = 0.8
"""How far the scores are drawn together. With 0.5 they foretold the losses of given sub-networks best, to 1 % in the
median, but what they found best lost more: a search for the least finds what was measured too low."""

SPREAD: Final = 0.2
"""Deviation of the factors of scores before anything is measured; with 0.4 what was foretold became worse."""

NOISE: Final = 0.03
"""Deviation of what is measured from what the right factors foretell, as a share of it."""

LEAST: Final = 0.1
"""Of a factor that is drawn: no cut is for nothing."""

SMALLEST: Final = 0.5
"""Share of the largest sub-network's block parameters that smaller ones have at least."""


class Knapsack:
    """Proposes what is best within the budgets by block scores, as "Puzzle" does (Bercovich et al., 2024), and corrects
    these by what was measured.

    What a sub-network costs is taken to be the sum of the scores of its parts, each times a factor of its own. The
    factors are normal around a common one, and each trial says more about them (Bayesian linear regression). The first
    candidate of an ask is the best by the factors as they are known. Of the others, every second one is the best of a
    smaller size, where size is an objective, and the rest are the best by factors drawn from what they may be
    (Thompson, 1933).
    """

    name = "knapsack"
    traits = Traits(data_free=False, hardware_aware=True)

    def __init__(self, task: ShrinkTask, scores: BlockScores, seed: int) -> None:
        """InputError: neither loss nor divergence is an objective."""
        problem = task.problem
        judged = [number for number, each in enumerate(problem.objectives) if each.metric in FIGURES]
        if not judged:
            raise InputError(f"strategy {self.name} needs {' or '.join(FIGURES)} among the objectives")
        self._figure = problem.objectives[judged[0]].metric
        self._begin = problem.reference.ideal[judged[0]]
        self._sized = len(problem.objectives) > len(judged)
        self._task = task
        self._scores = scores.evened(PRIOR)
        self._rng = np.random.default_rng(seed)
        self._random = RandomSearch(problem, seed)
        self._parts: list[NDArray[np.float64]] = []
        self._costs: list[float] = []
        self._seen: set[SubNetwork] = set()

    def ask(self, n: int) -> Sequence[Proposal[SubNetwork]]:
        """New ones among `n` such candidates; random ones where there is none."""
        known = self._factors()
        best = self._best(known)
        largest = self._task.problem.known(best)[SIZE]
        found = {best: "best"}
        for number in range(1, n):
            if self._sized and number % 2:
                share = self._rng.uniform(SMALLEST, 1.0)
                found.setdefault(self._best(known, share * largest), "smaller")
            else:
                found.setdefault(self._best(self._factors(drawn=True)), "drawn")
        check = self._task.problem.check
        fresh = [Proposal(sub, kind, reasons=check(sub)) for sub, kind in found.items() if sub not in self._seen]
        return fresh or self._random.ask(n)

    def tell(self, trials: Sequence[Trial[SubNetwork]]) -> None:
        """Learn from their losses."""
        self._random.tell(trials)
        for trial in trials:
            if trial.proposal.architecture is not None:
                self._seen.add(trial.proposal.architecture)
            if trial.status == "complete":
                self._parts.append(self._scores.parts(trial.architecture))
                self._costs.append(trial.metrics[self._figure] - self._begin)

    def _best(self, factors: NDArray[np.float64], size: float | None = None) -> SubNetwork:
        """Within the budgets; the size gives way where nothing is as small."""
        scores = self._scores.times(factors)
        try:
            return self._task.within.best(scores, *([] if size is None else [at_most(size)]))
        except BudgetError:
            return self._task.within.best(scores)

    def _factors(self, *, drawn: bool = False) -> NDArray[np.float64]:
        """(2, layers): those that are likeliest, or drawn at random by how likely they are."""
        shape = (2, len(self._scores.mlp))
        mean, covariance = _posterior(self._parts, self._costs, shape[0] * shape[1])
        factors = self._rng.multivariate_normal(mean, covariance) if drawn else mean
        return np.asarray(np.maximum(factors, LEAST)).reshape(shape)


def _posterior(
    parts: Sequence[NDArray[np.float64]], costs: Sequence[float], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of the factors, relative to the common one, of Bayesian linear regression with a normal prior
    (Bishop, "Pattern Recognition and Machine Learning", 2006, §3.3).

    Each trial weighs the same: what it cost is taken as a share of what the common factor foretells.
    """
    foretold = np.asarray([each.sum() for each in parts])
    some = foretold > 0
    common = np.asarray(costs)[some].sum() / foretold[some].sum() if some.any() else 0.0
    precision, pull = np.eye(count) / SPREAD**2, np.full(count, SPREAD**-2)
    if common > 0:
        shares = np.asarray([each.flatten() for each in parts])[some] / foretold[some, None]
        precision += shares.T @ shares / NOISE**2
        pull += shares.T @ (np.asarray(costs)[some] / (common * foretold[some])) / NOISE**2
    covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    return covariance @ pull, covariance
