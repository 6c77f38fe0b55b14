"""The contract of an evaluator, and the one that `design` uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mimar.space import Architecture
from mimar.trial import FULL

A_contra = TypeVar("A_contra", contravariant=True)


class Evaluator(Protocol[A_contra]):
    """Gives all metrics of one candidate at once, so that what is expensive is shared between them."""

    def evaluate(self, arch: A_contra, fidelity: str = FULL) -> Mapping[str, float]:
        """Metric name → finite value. `CandidateError` is data (the candidate failed); any other error is a bug."""
        ...


Score = Callable[[Architecture], float]
Measure = Callable[[Architecture], Mapping[str, float]]


@dataclass(frozen=True)
class DesignEvaluator:
    """Hardware metrics and one accuracy score of a candidate, nothing trained.

    hardware: architecture → metrics with the names and units of the documentation.
    score: architecture → accuracy score, higher is better; stored as the metric ``score``.
    """

    hardware: Measure
    score: Score

    def evaluate(self, arch: Architecture, fidelity: str = FULL) -> Mapping[str, float]:
        """All hardware metrics and ``score``."""
        return {**self.hardware(arch), "score": self.score(arch)}
