from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.llm import LLM
from mimar.strategy._archive import Archive
from mimar.strategy._prompts import Brief, Prompts, rejection_list
from mimar.strategy._proposer import Batch, Proposer, Request
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.trial import Trial

A = TypeVar("A")


class ZeroLM(Generic[A]):
    """The ZeroLM loop: prompt, JSON candidates, training-free score, ranked feedback in the next prompt.

    explain: whether prompts say why earlier candidates were rejected.
    """

    name = "zerolm"
    traits = Traits(llm="needed")
    initial = 0

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, batch: int = 8, explain: bool = True) -> None:
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._explain = explain
        self.batch = batch

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`, by one call."""
        rejections = rejection_list(self._proposer.rejections) if self._explain else ""
        parts = {
            "count": count,
            "task": self._prompts.task(rng),
            "table": self._prompts.table(self._prompts.best(archive.front()), "Best so far, not to be repeated"),
            "rejections": rejections,
        }
        return self._proposer.propose(Request(self._prompts.messages("generate", parts), count), archive, rng)

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """The archive says all it needs."""
