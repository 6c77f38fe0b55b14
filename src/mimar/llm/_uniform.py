"""Uniform random choice in place of a language model: what the model is worth is the difference."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, cast, final

from ._parse import read_reply
from ._protocol import JSONValue, Message, Reply, Usage

CHARACTERS_PER_TOKEN = 4
"""A usual length, so that a strategy which counts tokens treats it like a model."""

UNBOUNDED = 100
"""Numbers without a bound are drawn as far as this from their other bound, lists are at most so long."""

NO_OPINION = "No opinion."
"""Its answer where no schema asks for data, and each free text."""


@final
class UniformLLM:
    """Answers any schema with legal values drawn uniformly, field by field, and never reads what it is told.

    A strategy that is run with it instead of a model keeps everything but the model's knowledge: the control arm of a
    comparison. It costs nothing; equal seeds give equal replies.
    """

    @property
    def name(self) -> str:
        """``uniform``."""
        return "uniform"

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`; the reply may be longer than `max_tokens`."""
        text = NO_OPINION if schema is None else json.dumps(drawn(schema, random.Random(seed)))
        read = sum(len(message.content) for message in messages)
        usage = Usage(-(-read // CHARACTERS_PER_TOKEN), -(-len(text) // CHARACTERS_PER_TOKEN))
        return read_reply(text, schema, usage, self.name)


def drawn(schema: Mapping[str, Any], rng: random.Random) -> JSONValue:
    """A random value that satisfies `schema`, of the keywords that replies are checked against."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        option = cast("Mapping[str, Any]", rng.choice(schema["anyOf"]))
        rest = {name: rule for name, rule in schema.items() if name != "anyOf"}
        return drawn({**rest, **option}, rng)
    kind = schema.get("type", "object" if "properties" in schema else "null")
    match kind if isinstance(kind, str) else rng.choice(kind):
        case "object":
            return {name: drawn(rule, rng) for name, rule in schema.get("properties", {}).items()}
        case "array":
            fewest = schema.get("minItems", 0)
            count = rng.randint(fewest, schema.get("maxItems", max(fewest, 1)))
            return [drawn(schema.get("items", {}), rng) for _ in range(count)]
        case "integer":
            return _integer(schema, rng)
        case "number":
            low, high = _bounds(schema)
            return float(_integer(schema, rng)) if "multipleOf" in schema else rng.uniform(low, high)
        case "boolean":
            return rng.random() < 0.5
        case "string":
            return NO_OPINION
        case _:
            return None


def _integer(schema: Mapping[str, Any], rng: random.Random) -> int:
    low, high = _bounds(schema)
    step = schema.get("multipleOf", 1)
    return int(step * rng.randint(-int(-low // step), int(high // step)))


def _bounds(schema: Mapping[str, Any]) -> tuple[float, float]:
    if "minimum" in schema:
        return schema["minimum"], schema.get("maximum", schema["minimum"] + UNBOUNDED)
    high = schema.get("maximum", UNBOUNDED)
    return high - UNBOUNDED, high
