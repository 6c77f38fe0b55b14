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


class LLMNAS(Generic[A]):
    """Hardware-aware prompts: the device and what it costs there, what budgets leave, answers ranked by trade-off.

    advice: whether prompts describe the device; without, only its budgets are named.
    """

    name = "llm-nas"
    traits = Traits(hardware_aware=True, llm="needed")
    initial = 0

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, batch: int = 8, advice: bool = True) -> None:
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._advice = advice
        self.batch = batch

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`, by one call."""
        best = self._prompts.best(archive.front())
        parts = {
            "count": count,
            "task": self._prompts.task(rng),
            "device": self._prompts.device() if self._advice else "",
            "table": self._prompts.table(best, "Best so far, not to be repeated", self._prompts.budgeted()),
            "rejections": rejection_list(self._proposer.rejections),
        }
        request = Request(self._prompts.messages("hardware", parts), count, rationale=True)
        return self._proposer.propose(request, archive, rng)

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """The archive says all it needs."""
