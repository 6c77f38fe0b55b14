"""The values a search produces: proposals that go in, trials that come out."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import index
from typing import Any, Final, Generic, Literal, TypeVar, get_args

A = TypeVar("A")

Status = Literal["complete", "partial", "invalid", "failed"]

__all__ = ["FULL", "Proposal", "Status", "Trial", "trial_from_json", "trial_to_json"]

FULL = "full"
"""The fidelity of an evaluation that spares nothing."""


@dataclass(frozen=True, slots=True)
class Proposal(Generic[A]):
    """A candidate that a strategy puts forward.

    architecture: None when an LLM's answer did not even parse; `reasons` then says why.
    origin: the operator that made it, for example ``mutation`` or ``llm``; credit is shared out by this name.
    parents: ids of the trials it was made from.
    reasons: why it must not be evaluated (illegal, over budget, repeated); empty for a good one.
    note: free text that came along, for example an LLM's rationale or its raw answer; data, never executed.
    fidelity: how thoroughly it shall be evaluated, in the evaluator's words.
    """

    architecture: A | None
    origin: str
    parents: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()
    note: str = ""
    fidelity: str = FULL

    @property
    def by_llm(self) -> bool:
        """Whether a language model made it: such origins are ``llm`` or begin with ``llm-``."""
        return self.origin.partition("-")[0] == "llm"


@dataclass(frozen=True, slots=True)
class Trial(Generic[A]):
    """What became of a proposal.

    id: position in proposal order, from 0.
    metrics: name → value, in the units of the metric's name; empty unless `status` is ``complete`` or ``partial``.
    status: ``complete``, ``partial`` (evaluated at less than full fidelity: it informs a search and is no result),
      ``invalid`` (never evaluated, `reasons` says why), ``failed`` (evaluation gave up on it).
    """

    id: int
    proposal: Proposal[A]
    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def architecture(self) -> A:
        """The architecture; raises ValueError when the proposal did not parse."""
        if self.proposal.architecture is None:
            raise ValueError(f"trial {self.id} has no architecture: {'; '.join(self.reasons)}")
        return self.proposal.architecture


def trial_to_json(trial: Trial[Any], architecture: Any) -> dict[str, Any]:
    """`trial` as plain data; `architecture` is its architecture's own JSON form, None when it did not parse."""
    return {
        "id": trial.id,
        "status": trial.status,
        "origin": trial.proposal.origin,
        "parents": list(trial.proposal.parents),
        "reasons": list(trial.reasons),
        "note": trial.proposal.note,
        "fidelity": trial.proposal.fidelity,
        "seconds": trial.seconds,
        "metrics": dict(trial.metrics),
        "architecture": architecture,
    }


def trial_from_json(data: Mapping[str, Any], read: Callable[[Any], A]) -> Trial[A]:
    """Inverse of `trial_to_json`; `read` turns an architecture's JSON form into the architecture.

    KeyError, TypeError or ValueError: a field is missing or of another type than `trial_to_json` writes.
    """
    if data["status"] not in _STATUSES:
        raise ValueError(f"no status of a trial: {data['status']!r}")
    arch = None if data["architecture"] is None else read(data["architecture"])
    if arch is None and data["status"] != "invalid":
        raise ValueError("an architecture is missing")
    reasons, parents = tuple(map(_text, data["reasons"])), tuple(map(index, data["parents"]))
    rejected = reasons if data["status"] == "invalid" else ()
    note, fidelity = _text(data["note"]), _text(data["fidelity"])
    proposal = Proposal(arch, _text(data["origin"]), parents, rejected, note, fidelity)
    metrics = {sys.intern(name): value for name, value in dict(data["metrics"]).items()}
    if not all(map(math.isfinite, (*metrics.values(), data["seconds"]))):
        raise ValueError("a metric is not finite")
    return Trial(index(data["id"]), proposal, data["status"], metrics, reasons, data["seconds"])


_STATUSES: Final = frozenset(get_args(Status))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value
