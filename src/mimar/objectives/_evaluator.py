"""The contract of an evaluator, and the one that `design` uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from mimar.objectives._inherited_loss import ONE_SHOT, InheritedLoss
from mimar.objectives._trained_loss import TrainedLoss
from mimar.space import Architecture
from mimar.trial import FULL

A_contra = TypeVar("A_contra", contravariant=True)


class Evaluator(Protocol[A_contra]):
    """Gives all metrics of one candidate at once, so that what is expensive is shared between them.

    One that does better when it hears of several candidates beforehand takes them by a function that `Study` is given
    as its `prepare`.
    """

    def evaluate(self, arch: A_contra, fidelity: str = FULL) -> Mapping[str, float]:
        """Metric name → finite value. `CandidateError` is data (the candidate failed); any other error is a bug."""
        ...


Score = Callable[[Architecture], float]
Measure = Callable[[Architecture], Mapping[str, float]]
Announce = Callable[[Sequence[Architecture]], None]


def _ignored(candidates: Sequence[Architecture]) -> None:
    """Most scores have no use for them."""


SCORED: Final = "score"
"""The fidelity at which nothing is trained."""


@dataclass(frozen=True)
class DesignEvaluator:
    """Hardware metrics and one accuracy score of a candidate, and its loss after a training where that is asked for.

    hardware: architecture → metrics with the names and units of the documentation.
    score: architecture → accuracy score, higher is better; stored as the metric ``score``.
    announce: told the next candidates by `prepare`; for a score that judges several at once.
    loss: stored as the metric that it names. inherited: stands for it at the fidelity `ONE_SHOT`.
    """

    hardware: Measure
    score: Score
    announce: Announce = _ignored
    loss: TrainedLoss | None = None
    inherited: InheritedLoss | None = None

    def prepare(self, candidates: Sequence[Architecture]) -> None:
        """Hear of the next candidates; what others were trained so far is forgotten, since gates pass all at once.

        Raises LLMError where the score needs a language model and that fails.
        """
        self.announce(candidates)
        if self.loss is not None:
            self.loss.keep_only(set(candidates))

    def evaluate(self, arch: Architecture, fidelity: str = FULL) -> Mapping[str, float]:
        """All hardware metrics, ``score``, and the loss at a fidelity other than `SCORED`."""
        metrics = {**self.hardware(arch), "score": self.score(arch)}
        if self.loss is None or fidelity == SCORED:
            return metrics
        if fidelity == ONE_SHOT and self.inherited is not None:
            return metrics | {self.loss.metric: self.inherited(arch)}
        return metrics | {self.loss.metric: self.loss(arch, fidelity)}
