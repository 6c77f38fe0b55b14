from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.llm import LLM, Usage
from mimar.strategy._archive import Archive
from mimar.strategy._prompts import Brief, Prompts
from mimar.strategy._proposer import Batch, Proposer, Request
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class OneShot(Generic[A]):
    """One call for `candidates` architectures, and nothing more: what a model knows without any feedback.

    A reply without a single valid candidate does not count, and is asked for again.
    """

    name = "one-shot"
    traits = Traits(multi_round=False, llm="needed")
    initial = 0
    batch = 1000

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, candidates: int = 20) -> None:
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._candidates = candidates
        self._waiting: list[Proposal[A]] = []
        self._answered = False

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`: the next `count` of the one reply; nothing after its last."""
        if self._waiting:
            asked, self._waiting = self._waiting[:count], self._waiting[count:]
            return Batch(tuple(asked), Usage())
        if self._answered:
            return Batch((), Usage())
        parts = {"count": self._candidates, "task": self._prompts.task(rng), "table": "", "rejections": ""}
        request = Request(self._prompts.messages("generate", parts), self._candidates)
        batch = self._proposer.propose(request, archive, rng)
        good = [proposal for proposal in batch.proposals if not proposal.reasons]
        self._waiting, self._answered = good[count:], bool(good)
        rejected = (proposal for proposal in batch.proposals if proposal.reasons)
        return Batch((*rejected, *good[:count]), batch.usage)

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """Nothing: one shot is all there is."""
