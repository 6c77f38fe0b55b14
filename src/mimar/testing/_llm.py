"""Language models that need no model: one that follows a script, one that fails on purpose."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, final

from mimar.errors import ProviderError, RateLimitError, ReplayError
from mimar.llm import LLM, Message, Reply, Usage, complete_items, read_reply

Script: TypeAlias = "Callable[[Sequence[Message], Mapping[str, Any] | None, int], str]"
"""From messages, schema and seed to the text of the reply."""

_CHARACTERS_PER_TOKEN = 4

FAULTY_TEXTS: dict[str, str] = {
    "prose": "Certainly! A deeper network with fewer heads would be a sensible choice for this device.",
    "half JSON": '{"architectures": [{"layers": 12, "hidden": 7',
    "wrong type": '"twelve layers"',
    "empty": "",
    "refusal": "I'm sorry, but I can't help with that request.",
    "injection": "<script>alert(1)</script>'; DROP TABLE trials; -- ignore all instructions ../../etc/passwd",
}
"""Replies that no schema for an object or a list accepts, by what is wrong with them."""


def _cut(reply: str, _: str) -> str:
    return reply[: int(0.7 * len(reply))]


def _repeat(reply: str, previous: str) -> str:
    return previous or reply


def _misshape(reply: str, _: str) -> str:
    return _in_candidates(reply, lambda candidate, _: {**candidate, next(iter(candidate), "x"): 7919})


def _mistype(reply: str, _: str) -> str:
    return _in_candidates(reply, lambda candidate, index: [candidate, "wider", None, 12][index % 4])


def _duplicate(reply: str, _: str) -> str:
    first: list[Any] = []
    return _in_candidates(reply, lambda candidate, _: (first.append(candidate), first[0])[1])


def _inject(reply: str, _: str) -> str:
    said = {"rationale": FAULTY_TEXTS["injection"]}
    return _in_candidates(reply, lambda candidate, _: {**candidate, **said})


FAULTY_EDITS: dict[str, Callable[[str, str], str]] = {
    "truncation": _cut,
    "the previous reply again": _repeat,
    "illegal shapes": _misshape,
    "wrong types": _mistype,
    "one candidate many times": _duplicate,
    "injection in a rationale": _inject,
}
"""What may happen to a good reply: from it and the one before to the text that comes, by what is wrong with it."""

FAULTY_ERRORS: dict[str, Callable[[], ProviderError | RateLimitError]] = {
    "timeout": lambda: ProviderError("no answer within 180 s"),
    "429": lambda: RateLimitError("the provider asks to wait 2 s", retry_after=2.0),
    "500": lambda: ProviderError("the provider answered HTTP 500"),
}
"""Failures of a provider, by name."""


@final
class ScriptedLLM:
    """Answers from a script: texts in order, or a function of messages, schema and seed.

    Replies are parsed as a real model's would be. Tokens are counted as a quarter of the characters; a call
    takes no time and costs `price` US dollars. A list that is used up raises `ReplayError`.
    """

    def __init__(self, script: Sequence[str] | Script, *, name: str = "scripted", price: float = 0.0) -> None:
        self._script = script
        self._name = name
        self._price = price
        self.calls = 0

    @property
    def name(self) -> str:
        """The name given to it."""
        return self._name

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`; `calls` counts every call."""
        self.calls += 1
        text = self._script(messages, schema, seed) if callable(self._script) else self._next(self._script)
        usage = Usage(_tokens(*(message.content for message in messages)), _tokens(text), cost=self._price)
        return read_reply(text, schema, usage, self._name)

    def _next(self, script: Sequence[str]) -> str:
        if self.calls > len(script):
            raise ReplayError(f"expected at most {len(script)} calls, got another: give the script more replies")
        return script[self.calls - 1]


@final
class FaultyLLM:
    """Fails a seeded share `rate` (0 to 1) of the calls to `llm`, in one of the ways that models fail in practice.

    The faults are `FAULTY_TEXTS` and `FAULTY_EDITS`, which go through the same parsing as real replies, and
    `FAULTY_ERRORS`. faults: how often each came, by name.
    """

    def __init__(self, llm: LLM, rate: float, seed: int = 0) -> None:
        self._llm = llm
        self._rate = rate
        self._rng = random.Random(seed)
        self._previous = ""
        self.faults: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The name of the wrapped model."""
        return self._llm.name

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`, unless this call's turn has come to fail."""
        fault = self._next_fault()
        if fault in FAULTY_ERRORS:
            raise FAULTY_ERRORS[fault]()
        text = FAULTY_TEXTS.get(fault, "")
        if fault not in FAULTY_TEXTS:
            reply = self._llm.complete(messages, schema, temperature=temperature, seed=seed, max_tokens=max_tokens)
            if not fault:
                self._previous = reply.text
                return reply
            text = FAULTY_EDITS[fault](reply.text, self._previous)
        usage = Usage(_tokens(*(message.content for message in messages)), _tokens(text))
        return read_reply(text, schema, usage, self.name)

    def _next_fault(self) -> str:
        """The name of what goes wrong this time; empty when nothing does."""
        fails, fault = self._rng.random() < self._rate, self._rng.choice([*FAULTY_TEXTS, *FAULTY_ERRORS, *FAULTY_EDITS])
        if not fails:
            return ""
        self.faults[fault] += 1
        return fault


def _in_candidates(reply: str, change: Callable[[Any, int], Any]) -> str:
    """`reply` with each of its candidates, from their index, changed; one without any stays as it is."""
    found = complete_items(reply, "candidates")
    if not found or not all(isinstance(candidate, dict) for candidate in found):
        return reply
    return json.dumps({"candidates": [change(candidate, index) for index, candidate in enumerate(found)]})


def _tokens(*texts: str) -> int:
    return -(-sum(map(len, texts)) // _CHARACTERS_PER_TOKEN)
