"""One LLM call → proposals: parse, validate, drop duplicates, check budgets; each rejection keeps its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np

from mimar.errors import ArchitectureError, ReplyError
from mimar.llm import LLM, BilledReplyError, Message, Usage, complete_items
from mimar.strategy._archive import Archive
from mimar.strategy._protocol import Problem
from mimar.strategy._view import View
from mimar.trial import Proposal

A = TypeVar("A")

TOKENS_PER_CANDIDATE = 220
"""Room for one candidate in the reply; the short form takes about 120 tokens."""

TOKENS_OF_WORDS = 800
"""Room for a rationale, for conclusions, for a rewritten instruction."""

TEMPERATURES = (0.6, 0.8, 1.0)

REASONS = 6
"""So many of the last reasons for rejection are remembered."""

NOTE = 4000
"""Characters of a reply that are kept with a proposal."""


@dataclass(frozen=True, slots=True)
class Batch(Generic[A]):
    """What one call, or a few that belong together, brought: proposals, good and rejected, and what it consumed."""

    proposals: tuple[Proposal[A], ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Request:
    """A question for candidates.

    rationale: whether to ask for one, kept as the proposals' note. temperature: None draws one of `TEMPERATURES`.
    parents: ids of the trials that the question shows as such. example: text of an architecture that it shows, which
    must not come back.
    """

    messages: tuple[Message, ...]
    count: int
    rationale: bool = False
    temperature: float | None = None
    parents: tuple[int, ...] = ()
    example: str = ""


class Proposer(Generic[A]):
    """Puts questions to an LLM and judges what it answers; remembers why the last candidates were rejected.

    origin: of its proposals. rejections: the reasons, latest call only, in the words that the LLM knows.
    """

    def __init__(self, problem: Problem[A], llm: LLM, view: View[A], origin: str) -> None:
        self._problem = problem
        self._llm = llm
        self._view = view
        self._origin = origin
        self.rejections: tuple[str, ...] = ()
        self.reply = ""

    def propose(self, request: Request, archive: Archive[A], rng: np.random.Generator) -> Batch[A]:
        """One call; its candidates, of which good ones are marked in `archive`.

        `reply` is then the text that came. A reply that breaks the schema is used as far as it is complete; one that
        cannot be read at all is one rejected proposal. Raises an LLMError when there is no reply.
        """
        temperature = float(rng.choice(TEMPERATURES)) if request.temperature is None else request.temperature
        limit = TOKENS_OF_WORDS + TOKENS_PER_CANDIDATE * request.count
        schema, seed = self._schema(request), int(rng.integers(2**31))
        try:
            reply = self._llm.complete(request.messages, schema, temperature=temperature, seed=seed, max_tokens=limit)
        except ReplyError as error:
            usage = error.usage if isinstance(error, BilledReplyError) else Usage()
            self.reply = str(encodable(error.reply))
            candidates = complete_items(error.reply, "candidates")[: request.count]
            if not candidates:
                return Batch((self._unreadable(error, request.parents),), usage)
            return Batch(self._judged(candidates, "", request, archive), usage)
        self.reply = str(encodable(reply.text))
        answer = cast("Mapping[str, Any]", reply.parsed)
        proposals = self._judged(answer["candidates"], str(answer.get("rationale", "")), request, archive)
        return Batch(proposals, reply.usage)

    def consult(
        self, messages: Sequence[Message], schema: Mapping[str, Any], rng: np.random.Generator
    ) -> tuple[Mapping[str, Any] | None, Usage]:
        """The answer to a question that is not for candidates; None when it cannot be read.

        Raises an LLMError when there is no reply.
        """
        seed = int(rng.integers(2**31))
        try:
            reply = self._llm.complete(messages, schema, temperature=0.6, seed=seed, max_tokens=TOKENS_OF_WORDS)
        except ReplyError as error:
            return None, error.usage if isinstance(error, BilledReplyError) else Usage()
        return cast("Mapping[str, Any]", encodable(reply.parsed)), reply.usage

    def _schema(self, request: Request) -> dict[str, Any]:
        count = request.count
        candidates = {"type": "array", "items": self._view.schema(), "minItems": count, "maxItems": count}
        reason = {"rationale": {"type": "string", "maxLength": 300}} if request.rationale else {}
        return object_schema(reason | {"candidates": candidates})

    def _unreadable(self, error: ReplyError, parents: tuple[int, ...]) -> Proposal[A]:
        self.rejections = (str(encodable(self._view.reason(str(error)))),)
        return Proposal(None, self._origin, parents, (str(error),), error.reply[:NOTE])

    def _judged(
        self, candidates: Sequence[Any], rationale: str, request: Request, archive: Archive[A]
    ) -> tuple[Proposal[A], ...]:
        proposals = tuple(self._judge(candidate, rationale, request, archive) for candidate in candidates)
        reasons = (self._view.reason(reason) for proposal in proposals for reason in proposal.reasons)
        self.rejections = tuple(str(encodable(reason)) for reason in dict.fromkeys(reasons))[:REASONS]
        return proposals

    def _judge(self, candidate: Any, rationale: str, request: Request, archive: Archive[A]) -> Proposal[A]:
        note = f"{rationale}\n{json.dumps(candidate)}".strip()[:NOTE]
        parents, origin = request.parents, self._origin
        try:
            arch = self._view.read(candidate)
        except ArchitectureError as error:
            return Proposal(None, origin, parents, error.reasons, note)
        if request.example and self._view.show(arch) == request.example:
            return Proposal(arch, origin, parents, ("copies the example",), note)
        if arch in archive:
            return Proposal(arch, origin, parents, ("repeats an earlier architecture",), note)
        reasons = self._problem.check(arch)
        archive.mark(arch)
        return Proposal(arch, origin, parents, reasons, note)


def object_schema(fields: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with exactly these fields."""
    return {"type": "object", "properties": dict(fields), "required": list(fields), "additionalProperties": False}


def total(*usages: Usage) -> Usage:
    """What several calls consumed together."""
    return Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        sum(usage.seconds for usage in usages),
        sum(usage.cost for usage in usages),
    )


def encodable(value: Any) -> Any:
    """`value` with lone surrogates in its texts replaced: they come back in later prompts, which must be sent."""
    if isinstance(value, Mapping):
        return {name: encodable(part) for name, part in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [encodable(part) for part in cast("list[Any]", value)]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
