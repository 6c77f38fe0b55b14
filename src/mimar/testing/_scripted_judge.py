"""A judge that needs no model: it knows a planted order."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from mimar.llm import Message, Reply, Usage, read_reply

_NETWORK = re.compile(r"^(\d+)\. (.+)$", re.MULTILINE)
_CHARACTERS_PER_TOKEN = 4


@final
class ScriptedJudge:
    """An `LLM` that ranks the networks of a judge's prompt by `quality`, a function of their descriptions.

    noise: standard deviation of what it adds to a quality anew in each call, drawn from the call's seed; 0 makes it
      certain. name: as `LLM.name`. `shown` holds the descriptions of each call, in the order of its prompt.
    """

    def __init__(self, quality: Callable[[str], float], *, noise: float = 0.0, name: str = "scripted judge") -> None:
        self._quality = quality
        self._noise = noise
        self._name = name
        self.shown: list[tuple[str, ...]] = []

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
        """As `LLM.complete`; a prompt without numbered lines is answered by an empty ranking."""
        found = _NETWORK.findall(messages[-1].content)
        self.shown.append(tuple(description for _, description in found))
        rng = random.Random(seed)
        noisy = {int(number): self._quality(text) + self._noise * rng.gauss(0, 1) for number, text in found}
        text = json.dumps({"ranking": sorted(noisy, key=lambda number: -noisy[number])})
        read = sum(len(message.content) for message in messages)
        usage = Usage(-(-read // _CHARACTERS_PER_TOKEN), -(-len(text) // _CHARACTERS_PER_TOKEN))
        return read_reply(text, schema, usage, self._name)
