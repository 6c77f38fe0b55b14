"""A call as a value: what is asked, its key, and the record of what came back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mimar.errors import CostLimitError, LLMError, RateLimitError, ReplyError

from ._errors import BilledReplyError
from ._parse import read_reply
from ._protocol import LLM, Message, Reply, Usage


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one `LLM.complete`."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None
    temperature: float
    seed: int
    max_tokens: int

    def ask(self, llm: LLM) -> Reply:
        """Put this call to `llm`; raises what `LLM.complete` raises."""
        return llm.complete(
            self.messages,
            self.schema,
            temperature=self.temperature,
            seed=self.seed,
            max_tokens=self.max_tokens,
        )

    def key(self, llm_name: str) -> str:
        """SHA-256 (hexadecimal) over the model's name and every argument."""
        text = json.dumps({"llm": llm_name, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The call as JSON values."""
        return {
            "messages": [asdict(message) for message in self.messages],
            "schema": None if self.schema is None else dict(self.schema),
            "temperature": float(self.temperature),
            "seed": self.seed,
            "max_tokens": self.max_tokens,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Call:
        """Inverse of `to_json`; raises KeyError or TypeError where a field is missing or is no text that should be."""
        return Call(
            messages=tuple(Message(m["role"], _text(m["content"])) for m in value["messages"]),
            schema=value["schema"],
            temperature=value["temperature"],
            seed=value["seed"],
            max_tokens=value["max_tokens"],
        )


@dataclass(frozen=True, slots=True)
class CallError:
    """An `LLMError` as data; `retry_after` in seconds, `reply` the unusable text."""

    kind: str
    message: str
    reply: str = ""
    retry_after: float | None = None

    def __post_init__(self) -> None:
        _text(self.message)
        _text(self.reply)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One live call and its outcome: either the `reply` text or the `error`.

    `llm` is the name the key was computed with, `model` the name the provider answered under.
    """

    key: str
    llm: str
    call: Call
    reply: str | None
    error: CallError | None
    usage: Usage
    model: str

    @staticmethod
    def of_reply(call: Call, llm_name: str, reply: Reply) -> CallRecord:
        """The record of a call that succeeded."""
        return CallRecord(call.key(llm_name), llm_name, call, reply.text, None, usage=reply.usage, model=reply.model)

    @staticmethod
    def of_error(call: Call, llm_name: str, error: LLMError, seconds: float) -> CallRecord:
        """The record of a call that failed after `seconds`."""
        billed = isinstance(error, BilledReplyError)
        return CallRecord(
            key=call.key(llm_name),
            llm=llm_name,
            call=call,
            reply=None,
            error=CallError(
                kind=type(error).__name__,
                message=str(error),
                reply=error.reply if isinstance(error, ReplyError) else "",
                retry_after=error.retry_after if isinstance(error, RateLimitError) else None,
            ),
            usage=error.usage if billed else Usage(seconds=seconds),
            model=error.model if billed else llm_name,
        )

    @property
    def was_made(self) -> bool:
        """Unless a cost limit kept it from being asked."""
        return self.error is None or self.error.kind != CostLimitError.__name__

    def outcome(self, usage: Usage | None = None) -> Reply:
        """The recorded reply, parsed anew, with its recorded `usage` unless another is given.

        Raises the recorded error, of the class it was raised as, when the call failed.
        """
        usage = self.usage if usage is None else usage
        if self.error is not None:
            raise _revive(self.error, usage, self.model)
        return read_reply(self.reply or "", self.call.schema, usage, self.model)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` is the inverse."""
        return {
            "key": self.key,
            "llm": self.llm,
            "call": self.call.to_json(),
            "reply": self.reply,
            "error": None if self.error is None else asdict(self.error),
            "usage": asdict(self.usage),
            "model": self.model,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> CallRecord:
        """Inverse of `to_json`; raises KeyError or TypeError where a field is missing, unknown, or is no text that
        should be.
        """
        return CallRecord(
            key=value["key"],
            llm=value["llm"],
            call=Call.from_json(value["call"]),
            reply=None if value["reply"] is None else _text(value["reply"]),
            error=None if value["error"] is None else CallError(**value["error"]),
            usage=Usage(**value["usage"]),
            model=value["model"],
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _revive(error: CallError, usage: Usage, model: str) -> LLMError:
    classes = {kind.__name__: kind for kind in _descendants(LLMError)}
    kind = classes.get(error.kind, LLMError)
    if issubclass(kind, BilledReplyError):
        return kind(error.message, error.reply, usage, model)
    if issubclass(kind, ReplyError):
        return kind(error.message, error.reply)
    if issubclass(kind, RateLimitError):
        return kind(error.message, error.retry_after)
    return kind(error.message)


def _descendants(kind: type[LLMError]) -> set[type[LLMError]]:
    return {kind}.union(*(_descendants(child) for child in kind.__subclasses__()))
