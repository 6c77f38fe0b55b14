"""Which operator gets the next candidates: by hypervolume gained for what was spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an evaluation is worth: so many tokens, or so many US dollars at list price, count as one evaluation."""

    tokens: float = 1000.0
    dollars: float = 0.01

    def cost(self, evaluations: float, tokens: float, dollars: float) -> float:
        """The total in evaluations."""
        return evaluations + tokens / self.tokens + dollars / self.dollars


TRUST = 2.0
DOUBT = 0.2
"""What is expected of a trusted operator, and of the others beside one, in average rates."""

SHARPNESS = 3.0
"""Power of a rate in an operator's share: in proportion to rates, the poor operators together would take most."""


@dataclass(frozen=True, slots=True)
class Bandit:
    """Gain and cost of each operator, older ones fading, so that an operator can lose or win back its share.

    gain: hypervolume added, by operator. cost: spent, in evaluations, by operator. expected: rate of each operator
    before it has been tried, in average rates. floor: least share of every operator. fade: factor on the past at each
    update.
    """

    gain: Mapping[str, float]
    cost: Mapping[str, float]
    expected: Mapping[str, float]
    floor: float = 0.02
    fade: float = 0.9

    @staticmethod
    def among(arms: Sequence[str], trusted: str | None = None) -> Bandit:
        """All `arms` equal, or most for the `trusted` one until others gain more."""
        expected = {arm: 1.0 if trusted is None else TRUST if arm == trusted else DOUBT for arm in arms}
        return Bandit(dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0.0), expected)

    def shares(self) -> dict[str, float]:
        """Probability of each operator: by the cube of its gain per cost, at least `floor`.

        What is expected counts as much as two evaluations, so that one lucky or unlucky candidate decides little.
        """
        total, gained = sum(self.cost.values()), sum(self.gain.values())
        average = (gained / total if total > 0 else 0.0) or 1.0  # of nothing gained nothing is learnt
        prior = 2.0
        rate = {
            arm: (self.gain[arm] + prior * average * self.expected[arm]) / (self.cost[arm] + prior) for arm in self.gain
        }
        best = max(rate.values())
        weight = {arm: (value / best) ** SHARPNESS for arm, value in rate.items()}
        scale, free = sum(weight.values()), 1.0 - self.floor * len(rate)
        return {arm: self.floor + free * value / scale for arm, value in weight.items()}

    def updated(self, gain: Mapping[str, float], cost: Mapping[str, float]) -> Bandit:
        """After a batch: the past of each operator that was used fades, the batch's gains and costs are added."""
        fade = {arm: self.fade if arm in cost else 1.0 for arm in self.gain}
        return replace(
            self,
            gain={arm: fade[arm] * old + gain.get(arm, 0.0) for arm, old in self.gain.items()},
            cost={arm: fade[arm] * old + cost.get(arm, 0.0) for arm, old in self.cost.items()},
        )

    def allot(self, n: int, rng: np.random.Generator) -> dict[str, int]:
        """`n` candidates shared out at random by `shares`."""
        shares = self.shares()
        counts = rng.multinomial(n, list(shares.values()))
        return {arm: int(count) for arm, count in zip(shares, counts, strict=True)}
