"""A population of prompts: instructions to the designer, kept by what designs made under them gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

ENTRANTS = 3
"""Pairs of parents and instruction that compete to be used next."""

PRIOR = 1.0
"""Thousand tokens at the average rate that every rate is mixed with, so that one lucky use decides little."""

Parent = int | None
"""Id of a parent trial, None where designs are made from nothing."""


@dataclass(slots=True)
class Spent:
    """Hypervolume gained for thousand tokens spent."""

    gain: float = 0.0
    tokens: float = 0.0

    def rate(self, expected: float) -> float:
        """Gain for a thousand tokens, mixed with what is `expected` of anything."""
        return (self.gain + PRIOR * expected) / (self.tokens + PRIOR)


@dataclass
class Instructions:
    """Texts with a fitness for each of them and for each pair of a parent and a text: fitness[architecture, prompt]."""

    texts: list[str]
    _by_text: dict[str, Spent] = field(default_factory=dict[str, Spent])
    _by_pair: dict[tuple[Parent, str], Spent] = field(default_factory=dict[tuple[Parent, str], Spent])

    def fitness(self, text: str, parent: Parent = None) -> float:
        """Gain for a thousand tokens of a text; of a pair, where it was used, mixed with that of its text."""
        everything = list(self._by_text.values())
        average = sum(spent.gain for spent in everything) / max(PRIOR, sum(spent.tokens for spent in everything))
        rate = self._by_text.get(text, Spent()).rate(average)
        return self._by_pair.get((parent, text), Spent()).rate(rate)

    def pick(self, parents: Sequence[Parent], rng: np.random.Generator) -> tuple[Parent, str]:
        """The fittest of a few random pairs."""
        entrants = [
            (parents[int(rng.integers(len(parents)))], self.texts[int(rng.integers(len(self.texts)))])
            for _ in range(ENTRANTS)
        ]
        return max(entrants, key=lambda pair: self.fitness(pair[1], pair[0]))

    def credit(self, pair: tuple[Parent, str], gain: float, tokens: int) -> None:
        """What the designs of one call gained, and what it consumed."""
        for spent in (self._by_text.setdefault(pair[1], Spent()), self._by_pair.setdefault(pair, Spent())):
            spent.gain += gain
            spent.tokens += tokens / 1000

    def ranked(self) -> list[str]:
        """Texts, the fittest first."""
        return sorted(self.texts, key=lambda text: -self.fitness(text))

    def admit(self, text: str) -> None:
        """Let a new text take the place of the least fit one that was ever used."""
        used = [known for known in self.ranked() if known in self._by_text]
        if used and text and text not in self.texts:
            self.texts[self.texts.index(used[-1])] = text
