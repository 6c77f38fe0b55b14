"""One LLM call → proposals: parse, validate, drop duplicates, check budgets; each rejection keeps its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np

from mimar.errors import ArchitectureError, ReplyError
from mimar.llm import LLM, BilledReplyError, Message, Usage, parse_reply
from mimar.space import SearchSpace, schema_fields
from mimar.strategy._archive import Archive
from mimar.strategy._prompts import (
    Brief,
    describe_fields,
    describe_goal,
    load,
    rejection_list,
    score_table,
)
from mimar.strategy._protocol import Problem
from mimar.trial import Proposal, Trial

A = TypeVar("A")

TOKENS_PER_CANDIDATE = 220
"""Room for one candidate in the reply; the short form takes about 120 tokens."""

_LOOSE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"candidates": {"type": "array"}},
    "required": ["candidates"],
}


@dataclass(frozen=True, slots=True)
class Batch(Generic[A]):
    """What one call brought: proposals, good and rejected, and its usage."""

    proposals: tuple[Proposal[A], ...]
    usage: Usage


class Proposer(Generic[A]):
    """Asks an LLM for candidates; remembers why the last ones were rejected and says so in the next prompt.

    shown: how many of the best trials a prompt carries.
    """

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, shown: int = 5) -> None:
        self._problem = problem
        self._llm = llm
        self._brief = brief
        self._shown = shown
        self._rejections: list[str] = []

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """One call for `count` candidates; good ones are marked in `archive`.

        A reply that cannot be read is one rejected proposal. Raises an LLMError when there is no reply at all.
        """
        messages = self.messages(archive, count, rng)
        schema = _schema(self._problem.space, count)
        temperature = float(rng.choice([0.6, 0.8, 1.0]))
        seed = int(rng.integers(2**31))
        limit = TOKENS_PER_CANDIDATE * count
        try:
            reply = self._llm.complete(messages, schema, temperature=temperature, seed=seed, max_tokens=limit)
        except ReplyError as error:
            usage = error.usage if isinstance(error, BilledReplyError) else Usage()
            return Batch(self._salvaged(error, archive, count), usage)
        return Batch(self._judged(_candidates(reply.parsed), archive), reply.usage)

    def messages(self, archive: Archive[A], count: int, rng: np.random.Generator) -> tuple[Message, ...]:
        """The prompt as it is sent."""
        prompt = load("generate").substitute(
            count=count,
            goal=describe_goal(self._problem.objectives),
            budgets=self._brief.budgets,
            device=self._brief.device,
            fields=describe_fields(self._problem.space.schema(), rng),
            feedback=self._feedback(archive),
        )
        return (Message("system", load("system").template), Message("user", prompt))

    def _feedback(self, archive: Archive[A]) -> str:
        # Only what the short form can say: lists of layers would fill the prompt, and the schema asks for that form.
        uniform = [t for t in archive.front() if "layers" not in self._problem.space.to_json(t.architecture)]
        best = spread(uniform, self._shown)
        shown = [_compact(self._problem.space, trial) for trial in best]
        table = score_table(best, self._problem.objectives, shown)
        return "\n\n".join(text for text in (table, rejection_list(self._rejections)) if text)

    def _salvaged(self, error: ReplyError, archive: Archive[A], count: int) -> tuple[Proposal[A], ...]:
        """The first `count` candidates of a reply that breaks the schema, or one rejection with the whole reply."""
        try:
            return self._judged(_candidates(parse_reply(error.reply, _LOOSE))[:count], archive)
        except ReplyError:
            reason = str(error)
            self._rejections = [reason]
            return (Proposal(None, "llm", reasons=(reason,), note=error.reply[:4000]),)

    def _judged(self, candidates: Sequence[Any], archive: Archive[A]) -> tuple[Proposal[A], ...]:
        proposals = tuple(self._judge(candidate, archive) for candidate in candidates)
        self._rejections = [reason for proposal in proposals for reason in proposal.reasons][:6]
        return proposals

    def _judge(self, candidate: Any, archive: Archive[A]) -> Proposal[A]:
        note = json.dumps(candidate)[:4000]
        try:
            arch = self._problem.space.from_json(candidate)
        except ArchitectureError as error:
            return Proposal(None, "llm", reasons=error.reasons, note=note)
        if arch in archive:
            return Proposal(arch, "llm", reasons=("repeats an earlier architecture",), note=note)
        reasons = self._problem.check(arch)
        archive.mark(arch)
        return Proposal(arch, "llm", reasons=reasons, note=note)


def spread(trials: Sequence[Trial[A]], count: int) -> list[Trial[A]]:
    """At most `count` of `trials`, evenly spaced from first to last."""
    if len(trials) <= count:
        return list(trials)
    return [trials[int(i)] for i in np.linspace(0, len(trials) - 1, count)]


def _schema(space: SearchSpace[Any], count: int) -> dict[str, Any]:
    items = {"type": "array", "items": space.schema(), "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {"candidates": items},
        "required": ["candidates"],
        "additionalProperties": False,
    }


def _candidates(parsed: Any) -> list[Any]:
    return cast("list[Any]", cast("Mapping[str, Any]", parsed)["candidates"])


def _compact(space: SearchSpace[A], trial: Trial[A]) -> str:
    """The trial's architecture in as few tokens as the fields of the schema allow."""
    data = space.to_json(trial.architecture)
    wanted = schema_fields(space.schema())
    kept = {name: value for name, value in data.items() if name in wanted} or data
    return json.dumps(kept, separators=(",", ":"))
