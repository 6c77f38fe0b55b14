from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import LLMError, ReplayError
from mimar.llm import LLM
from mimar.strategy._archive import Archive
from mimar.strategy._prompts import Brief
from mimar.strategy._proposer import Proposer
from mimar.strategy._protocol import Problem
from mimar.trial import Proposal, Trial

A = TypeVar("A")

FAILURES = 3
"""Calls in a row that may end without a reply before the search gives up."""


class ZeroLMLoop(Generic[A]):
    """The ZeroLM loop: prompt, JSON candidates, training-free score, ranked feedback in the next prompt.

    batch: candidates asked for in one call.
    """

    name = "zerolm"

    def __init__(self, problem: Problem[A], seed: int, llm: LLM, brief: Brief, *, batch: int = 8) -> None:
        self._proposer = Proposer(problem, llm, brief)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._rng = np.random.default_rng(seed)
        self._batch = batch
        self._failures = 0

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """The proposals of one call; raises the LLMError of the last of several calls in a row without a reply."""
        try:
            batch = self._proposer.propose(self._archive, min(n, self._batch), self._rng)
        except ReplayError:
            raise
        except LLMError as error:
            self._failures += 1
            if self._failures >= FAILURES:
                raise
            return (Proposal(None, "llm", reasons=(str(error),)),)
        self._failures = 0
        return batch.proposals

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Remember the trials for the next prompt."""
        self._archive.add(trials)
