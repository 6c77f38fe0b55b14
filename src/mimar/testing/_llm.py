"""Language models that need no model: one that follows a script, one that fails on purpose."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, final

from mimar.errors import ProviderError, RateLimitError, ReplayError
from mimar.llm import LLM, Message, Reply, Usage, read_reply

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

    The faults are `FAULTY_TEXTS`, which go through the same parsing as real replies, and `FAULTY_ERRORS`.
    """

    def __init__(self, llm: LLM, rate: float, seed: int = 0) -> None:
        self._llm = llm
        self._rate = rate
        self._rng = random.Random(seed)

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
        fails, fault = self._rng.random() < self._rate, self._rng.choice([*FAULTY_TEXTS, *FAULTY_ERRORS])
        if not fails:
            return self._llm.complete(messages, schema, temperature=temperature, seed=seed, max_tokens=max_tokens)
        if fault in FAULTY_ERRORS:
            raise FAULTY_ERRORS[fault]()
        text = FAULTY_TEXTS[fault]
        usage = Usage(_tokens(*(message.content for message in messages)), _tokens(text))
        return read_reply(text, schema, usage, self.name)


def _tokens(*texts: str) -> int:
    return -(-sum(map(len, texts)) // _CHARACTERS_PER_TOKEN)
