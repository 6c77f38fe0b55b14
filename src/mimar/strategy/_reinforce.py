"""Reinforcement learning: policies over the choices of a space, trained by REINFORCE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimar.objectives import losses
from mimar.space import Choice
from mimar.strategy._archive import Archive
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")

Picks = NDArray[np.intp]
"""Index of the option picked for each variable."""

POLICIES = 5
"""Trade-offs that are learnt side by side where there are several objectives."""

ATTEMPTS = 40
"""Draws from a policy before a search gives up on finding something new that may be evaluated."""

SMOOTHING = 0.05
"""Weight of the newest reward in a policy's running mean and variance."""


class Policy:
    """Independent categorical distributions, one for each variable, with a baseline (Williams, REINFORCE, 1992).

    Factorised as in Bender et al., Can Weight Sharing Outperform Random Architecture Search? (TuNAS), 2020. A step
    follows (reward − mean) / deviation · ∇ log π, running figures, plus `entropy` times the gradient of the entropy.
    """

    def __init__(self, options: Sequence[int], *, rate: float, entropy: float) -> None:
        self._logits = [np.zeros(count) for count in options]
        self._rate = rate
        self._entropy = entropy
        self._mean = 0.0
        self._variance = 1.0
        self._rewards = 0

    def probabilities(self) -> list[NDArray[np.float64]]:
        """Of each option of each variable."""
        raised = [np.exp(logits - logits.max()) for logits in self._logits]
        return [each / each.sum() for each in raised]

    def draw(self, rng: np.random.Generator) -> Picks:
        """One option for each variable."""
        return np.asarray([rng.choice(len(each), p=each) for each in self.probabilities()], dtype=np.intp)

    def reward(self, picks: Picks, value: float) -> None:
        """Learn that `picks` were worth `value`, more is better."""
        self._rewards += 1
        if self._rewards == 1:  # nothing to compare it with
            self._mean = value
            return
        advantage = value - self._mean
        self._mean += max(SMOOTHING, 1.0 / self._rewards) * advantage
        self._variance += max(SMOOTHING, 1.0 / (self._rewards - 1)) * (advantage**2 - self._variance)
        self._step(picks, advantage / np.sqrt(self._variance + 1e-12))

    def punish(self, picks: Picks) -> None:
        """Learn that `picks` must not be evaluated: as bad as a reward one deviation below the mean."""
        self._step(picks, -1.0)

    def _step(self, picks: Picks, advantage: float) -> None:
        for logits, pick, share in zip(self._logits, picks, self.probabilities(), strict=True):
            surprise = np.log(share + 1e-12)
            toward = -share
            toward[pick] += 1.0
            spread = -share * (surprise - share @ surprise)
            logits += self._rate * (np.clip(advantage, -3.0, 3.0) * toward + self._entropy * spread)


class ReinforcementLearning(Generic[A]):
    """Controllers over the choices, one for each trade-off, rewarded by what their candidates are worth to it.

    With several objectives each policy has weights w of its own, and its reward is the augmented Chebyshev value
    −(max_i w_i · loss_i + 0.05 · Σ w_i · loss_i) in units of the problem's frame, which also reaches concave fronts.
    What may not be evaluated (illegal, over budget) is learnt without an evaluation.
    """

    name = "rl"
    traits = Traits()

    def __init__(self, problem: Problem[A], seed: int, *, rate: float = 0.1, entropy: float = 0.02) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._weights = _trade_offs(len(problem.objectives), self._rng)
        counts = [len(options) for options in problem.space.variables.values()]
        self._policies = [Policy(counts, rate=rate, entropy=entropy) for _ in self._weights]
        self._turn = 0
        self._asked: list[tuple[int, Picks]] = []

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Draws from the policies in turn; random candidates where they draw nothing new."""
        proposals: list[Proposal[A]] = []
        self._asked = []
        for _ in range(n):
            turn, self._turn = self._turn, (self._turn + 1) % len(self._policies)
            drawn = self._draw(self._policies[turn])
            if drawn is not None:
                picks, arch = drawn
                self._asked.append((turn, picks))
                proposals.append(Proposal(arch, "rl"))
        return proposals or draw_many(self._problem, self._archive, n, self._rng)

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Reward the policies for the trials of their draws; one that was passed over tells nothing of it."""
        self._archive.add(trials)
        for trial, (turn, picks) in zip(trials, self._asked, strict=False):
            if trial.status == "complete":
                self._policies[turn].reward(picks, self._worth(trial.metrics, self._weights[turn]))
            elif trial.status == "failed":
                self._policies[turn].punish(picks)
        self._asked = []

    def _worth(self, metrics: Mapping[str, float], weights: NDArray[np.float64]) -> float:
        scaled = weights * self._problem.reference.scaled(losses([metrics], self._problem.objectives)[0])
        return -float(scaled.max() + 0.05 * scaled.sum())

    def _draw(self, policy: Policy) -> tuple[Picks, A] | None:
        """A new candidate that passes every check; what does not is held against the policy."""
        variables = self._problem.space.variables
        for _ in range(ATTEMPTS):
            picks = policy.draw(self._rng)
            choices: dict[str, Choice] = {
                name: options[pick] for (name, options), pick in zip(variables.items(), picks, strict=True)
            }
            arch = self._problem.space.from_choices(choices)
            if arch in self._archive:
                continue
            if self._problem.check(arch):
                policy.punish(picks)
                continue
            self._archive.mark(arch)
            return picks, arch
        return None


def _trade_offs(objectives: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Weights that sum to 1: evenly spread for two objectives, drawn from a simplex for more."""
    if objectives == 1:
        return [np.ones(1)]
    if objectives == 2:
        return [np.asarray([share, 1.0 - share]) for share in (np.arange(POLICIES) + 0.5) / POLICIES]
    return list(rng.dirichlet(np.ones(objectives), POLICIES))
