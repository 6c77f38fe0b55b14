"""What every `LLM` owes its callers, as checks to run over an implementation."""

from __future__ import annotations

import json
import math
from typing import Any

from mimar.llm import LLM, Message, Reply, schema_error

CONTRACT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "layers": {"type": "integer", "minimum": 2, "maximum": 24},
        "kind": {"type": "string", "enum": ["wide", "deep"]},
    },
    "required": ["layers", "kind"],
    "additionalProperties": False,
}
"""The schema that `check_llm` asks with."""


def check_llm(llm: LLM) -> None:
    """Every check below; raises AssertionError where `llm` breaks the contract."""
    check_name(llm)
    check_text(llm)
    check_schema(llm)
    check_repeatable_arguments(llm)


def check_name(llm: LLM) -> None:
    """The name is not empty, does not change, and fits on a line."""
    assert llm.name, "expected a name"
    assert llm.name == llm.name.strip().splitlines()[0], f"expected one line, got {llm.name!r}"


def check_text(llm: LLM) -> None:
    """Without a schema the reply is text that is not parsed."""
    reply = llm.complete([Message("user", "Say hello.")], None, temperature=0.5, seed=1, max_tokens=16)
    assert reply.text.strip(), "expected text"
    assert reply.parsed is None, f"expected nothing parsed without a schema, got {reply.parsed!r}"
    _check_usage(reply)


def check_schema(llm: LLM) -> None:
    """With a schema `parsed` satisfies it and is JSON, whatever the roles of the messages before."""
    messages = [
        Message("system", "You design networks."),
        Message("user", "How many layers, and which kind?"),
        Message("assistant", '{"layers": 4, "kind": "deep"}'),
        Message("user", "Another one."),
    ]
    reply = llm.complete(messages, CONTRACT_SCHEMA, temperature=0.0, seed=2, max_tokens=64)
    error = schema_error(reply.parsed, CONTRACT_SCHEMA)
    assert error is None, error
    assert json.loads(json.dumps(reply.parsed)) == reply.parsed
    _check_usage(reply)


def check_repeatable_arguments(llm: LLM) -> None:
    """The arguments come back unchanged, and any seed is taken: negative, zero, beyond 32 bits."""
    messages, schema = [Message("user", "How many layers?")], json.loads(json.dumps(CONTRACT_SCHEMA))
    for seed in (-1, 0, 2**40 + 7):
        llm.complete(messages, schema, temperature=1.0, seed=seed, max_tokens=64)
    assert messages == [Message("user", "How many layers?")]
    assert schema == CONTRACT_SCHEMA


def _check_usage(reply: Reply) -> None:
    usage = reply.usage
    assert usage.input_tokens > 0, "expected input tokens"
    assert usage.output_tokens > 0, "expected output tokens"
    assert math.isfinite(usage.seconds), "expected finite seconds"
    assert usage.seconds >= 0, "expected seconds of at least 0"
    assert math.isfinite(usage.cost), "expected a finite cost"
    assert usage.cost >= 0, "expected a cost of at least 0"
    assert reply.model, "expected the name of the model that answered"
