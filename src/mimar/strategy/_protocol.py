"""The contract of a searcher, and what it is told about the problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mimar.objectives import Objective
from mimar.pareto import Reference
from mimar.space import SearchSpace
from mimar.trial import Proposal, Trial

A = TypeVar("A")


@dataclass(frozen=True)
class Axis(Generic[A]):
    """A measure of complexity along which a space can be cut into niches.

    value: of a candidate. cells: into how many. edges: where to cut, ascending, one fewer than cells; without, at
    quantiles of random candidates. A value on an edge belongs to the cell above.
    """

    name: str
    value: Callable[[A], float]
    cells: int = 2
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Problem(Generic[A]):
    """What a strategy may know before it has seen a trial.

    space: where candidates come from.
    objectives: metrics to optimise, with their directions.
    check: candidate → reasons why it must not be evaluated (illegal, not runnable on the device, over budget).
    excess: candidate → how far it lies outside the budgets, 0 inside; lets a search walk towards legal ground.
    known: candidate → the metrics that cost nothing to compute (closed-form hardware figures); these may be asked for
      any candidate without counting as an evaluation.
    reference: the frame in which hypervolume is measured, in losses.
    anchor: a candidate inside the budgets where one is known; a search that cannot find in heads for it.
    axes: measures of complexity, for strategies that keep candidates of every size.
    """

    space: SearchSpace[A]
    objectives: tuple[Objective, ...]
    check: Callable[[A], tuple[str, ...]]
    excess: Callable[[A], float]
    known: Callable[[A], Mapping[str, float]]
    reference: Reference
    anchor: A | None = None
    axes: tuple[Axis[A], ...] = ()


class Strategy(Protocol[A]):
    """A searcher: proposes candidates and learns from their trials; it never evaluates, stores or prints.

    Given the same problem, seed, LLM replies and trials, `ask` proposes the same candidates: a study is resumed by
    telling a fresh strategy the journal's trials.
    """

    @property
    def name(self) -> str:
        """The name users type."""
        ...

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """At most `n` candidates to evaluate, and besides them any rejected ones with their reasons.

        No good candidate at all means that the strategy found nothing new this time.
        """
        ...

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """The trials of the last `ask`, in proposal order."""
        ...
