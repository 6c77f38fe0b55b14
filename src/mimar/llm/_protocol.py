"""The one-method protocol every language model is used through, and the values that travel with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Role = Literal["system", "user", "assistant"]
JSONValue: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call consumed: tokens, wall seconds, and its price in US dollars at list price.

    `cached` marks a reply taken from a cache or a recording. Its tokens and cost are still those of the call
    that was saved, so that credit computed from them does not depend on what the cache happens to hold; the
    `Ledger` counts nothing as spent for it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A completed call: the raw text, the JSON value parsed from it (None without a schema), and its usage."""

    text: str
    parsed: JSONValue
    usage: Usage
    model: str


class LLM(Protocol):
    """A language model behind one method; cache, retry, recording and replay are wrappers with the same method."""

    @property
    def name(self) -> str:
        """Provider and model, for example ``anthropic:claude-sonnet-4-5`` or ``local:SmolLM2-135M.gguf``."""
        ...

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """Answer `messages`; with a JSON `schema` the reply's `parsed` holds a value that satisfies it.

        Raises an `LLMError`: `ReplyError` when the text does not parse against the schema, `ProviderError`
        or `RateLimitError` when the provider fails, `MissingKeyError` when no key is set.
        """
        ...
