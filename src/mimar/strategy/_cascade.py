"""Any strategy behind gates: many candidates go in, each gate costs more and lets fewer through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

import numpy as np

from mimar.errors import InputError
from mimar.objectives import Objective, losses
from mimar.pareto import Points
from mimar.predict import FEWEST_CURVES, LearningCurves
from mimar.strategy._protocol import Problem, Strategy
from mimar.strategy._selection import order
from mimar.strategy._surrogate import Surrogate
from mimar.trial import FULL, Proposal, Trial

A = TypeVar("A")

PREDICTED: Final = "predictor"
"""The gate that evaluates nothing: a surrogate of what was learnt so far decides."""

IN_BUDGET: Final = "in budget"
"""What every candidate passes before the first gate."""

LEAST_LEARNT: Final = 8
"""Candidates with a loss before a surrogate is asked; until then their last evaluation decides."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Of `factor` candidates one goes on, the best by rank and crowding over all objectives.

    fidelity: how they are evaluated for it, in the evaluator's words, or `PREDICTED`.
    """

    fidelity: str
    factor: float

    def __post_init__(self) -> None:
        if not 1.0 <= self.factor < math.inf:
            raise InputError(f"a gate lets one of at least 1 candidates through, got {self.factor:g}")


@dataclass
class _Entry(Generic[A]):
    """A candidate on its way. trial: its last. readings: values of the trained objectives at each gate so far."""

    proposal: Proposal[A]
    trial: Trial[A] | None = None
    readings: list[list[float]] = field(default_factory=list[list[float]])

    @property
    def last(self) -> Trial[A]:
        """What became of it so far; there is always something once a gate was told."""
        assert self.trial is not None
        return self.trial


def require_distinct(gates: Sequence[Gate]) -> None:
    """InputError for gates that no `Cascade` can have: the same one twice, a whole training, or a surrogate first."""
    fidelities = [gate.fidelity for gate in gates]
    if PREDICTED in fidelities[:1]:
        raise InputError(f"the gate {PREDICTED} needs one before it: begin with score:4 or a short training")
    if len(set(fidelities)) < len(fidelities) or FULL in fidelities:
        raise InputError(f"every gate must be another one, and none {FULL}; got {', '.join(fidelities)}")


class Cascade(Generic[A]):
    """Successive halving (Jamieson and Talwalkar, 2016) around another strategy, with synchronous rungs.

    A round asks the inner strategy for so many candidates that the number asked for is left behind the last gate, and
    evaluates them gate by gate and at last in full. Then the inner strategy is told of all of them: what fell out after
    some training counts with the values that `LearningCurves` expects in the end, what fell out before it is passed
    over. Which evaluation finishes first decides nothing.

    stand_in: the metric that ranks where one of the objectives was not measured yet.
    """

    def __init__(self, inner: Strategy[A], problem: Problem[A], gates: Sequence[Gate], stand_in: Objective) -> None:
        require_distinct(gates)
        fidelities = [gate.fidelity for gate in gates]
        self._inner, self._problem, self._gates, self._stand_in = inner, problem, tuple(gates), stand_in
        self._entries: list[_Entry[A]] = []
        self._alive: list[_Entry[A]] = []
        self._level = 0
        self._room = 0
        self._learnt: list[Trial[A]] = []
        self._curves: list[list[list[float]]] = []
        self.counts: dict[str, tuple[int, int]] = dict.fromkeys((IN_BUDGET, *fidelities, FULL), (0, 0))
        """Gate → candidates that came to it and that passed."""

    @property
    def name(self) -> str:
        """The inner strategy's."""
        return self._inner.name

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """The first time in a round new candidates, then those that are left, at the fidelity of the next gate."""
        if not self._alive:
            wanted = math.ceil(n * math.prod(gate.factor for gate in self._gates) - 1e-9)
            self._entries = [_Entry(proposal) for proposal in self._inner.ask(wanted)]
            self._alive, self._level = list(self._entries), 0
            # Each gate rounds up. Of a strategy that puts forward more than it is asked for all keep their share.
            self._room = n if len(self._entries) <= wanted else len(self._entries)
            self._count(IN_BUDGET, len(self._alive), sum(not entry.proposal.reasons for entry in self._alive))
        return [replace(entry.proposal, fidelity=self._fidelity()) for entry in self._alive]

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Sort out who goes on; after the last gate tell the inner strategy."""
        for entry, trial in zip(self._alive, trials, strict=True):
            entry.trial = trial
            if trial.metrics and self._is_trained(trial):
                entry.readings.append(self._trained(trial))
        passed = [entry for entry in self._alive if entry.last.status == "partial"]
        came = sum(not trial.reasons or trial.status == "failed" for trial in trials)
        self._alive = self._through_gates(passed, came)
        if not self._alive:
            self._close()

    def _fidelity(self) -> str:
        return self._gates[self._level].fidelity if self._level < len(self._gates) else FULL

    def _through_gates(self, passed: list[_Entry[A]], came: int) -> list[_Entry[A]]:
        """Those that pass the gate just evaluated, and any that need no evaluation behind it."""
        if self._level >= len(self._gates):
            self._count(FULL, came, sum(entry.last.status == "complete" for entry in self._alive))
            return []
        while True:
            gate = self._gates[self._level]
            kept = self._best(passed, gate) if passed else []
            self._count(gate.fidelity, came, len(kept))
            passed, came = kept, len(kept)
            self._level += 1
            if not passed or self._fidelity() != PREDICTED:
                return passed

    def _best(self, entries: list[_Entry[A]], gate: Gate) -> list[_Entry[A]]:
        """The best, in the order in which they came."""
        count = max(1, math.ceil(len(entries) / gate.factor - 1e-9))
        if gate == self._gates[-1]:
            count = min(count, self._room)
        chosen = order(self._points(entries, gate))[:count]
        return [entries[int(index)] for index in sorted(chosen)]

    def _points(self, entries: Sequence[_Entry[A]], gate: Gate) -> Points:
        if gate.fidelity == PREDICTED and len(self._learnt) >= LEAST_LEARNT:
            surrogate = Surrogate(self._problem)
            surrogate.learn(self._learnt)
            return surrogate.hopes([entry.last.architecture for entry in entries])
        metrics = [entry.last.metrics for entry in entries]
        measured = [
            objective if objective.metric in metrics[0] else self._stand_in for objective in self._problem.objectives
        ]
        return losses(metrics, list(dict.fromkeys(measured)))

    def _is_trained(self, trial: Trial[A]) -> bool:
        return all(objective.metric in trial.metrics for objective in self._problem.objectives)

    def _trained(self, trial: Trial[A]) -> list[float]:
        """Values of the objectives that more training changes."""
        known = self._problem.known(trial.architecture)
        return [trial.metrics[each.metric] for each in self._problem.objectives if each.metric not in known]

    def _close(self) -> None:
        """Tell the inner strategy of the round."""
        entries, self._entries, self._alive = self._entries, [], []
        self._curves += [entry.readings for entry in entries if entry.last.status == "complete"]
        told = [self._told(entry) for entry in entries]
        self._learnt += [trial for trial in told if trial.status == "complete"]
        self._inner.tell(told)

    def _told(self, entry: _Entry[A]) -> Trial[A]:
        trial = entry.last
        if trial.status != "partial":
            return trial
        if not entry.readings:
            return replace(
                trial, status="invalid", metrics={}, reasons=("passed over: others of its round promise more",)
            )
        return replace(trial, status="complete", metrics={**trial.metrics, **self._expected(trial, entry.readings)})

    def _expected(self, trial: Trial[A], readings: Sequence[Sequence[float]]) -> Mapping[str, float]:
        """What whole trainings would have given; as measured while there are too few whole ones to tell."""
        known = self._problem.known(trial.architecture)
        names = [each.metric for each in self._problem.objectives if each.metric not in known]
        curves = np.asarray([curve[: len(readings)] for curve in self._curves])
        if len(curves) < FEWEST_CURVES:
            return dict(zip(names, readings[-1], strict=True))
        ends = np.asarray([curve[-1] for curve in self._curves])
        found: dict[str, float] = {}
        for index, name in enumerate(names):
            model = LearningCurves.fit(curves[:, :, index], ends[:, index])
            mean, _ = model.predict(np.asarray([[reading[index] for reading in readings]]))
            found[name] = float(mean[0])
        return found

    def _count(self, gate: str, came: int, passed: int) -> None:
        before = self.counts[gate]
        self.counts[gate] = before[0] + came, before[1] + passed
