"""A problem in the words that an LLM reads and writes: its own names, or neutral ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import numpy as np

from mimar.space import schema_fields
from mimar.strategy._protocol import Problem

A = TypeVar("A")

PLAIN = (
    "must be one of a an the whole number between and or at most least got nothing text list JSON object expected over "
    "budget divisible by in multiples steps to repeats earlier architecture copies example unknown field"
)
"""Words of a reason that tell nothing of what is designed."""


class View(Generic[A]):
    """Between a space's JSON and an LLM.

    anonymous: fields are called x1, x2, …, the words that they choose from c1, c2, … and metrics y1, y2, …, so that a
    model which has read about a public benchmark cannot recall it. Numbers stay as they are.
    """

    def __init__(self, problem: Problem[A], *, anonymous: bool = False) -> None:
        self._space = problem.space
        self._schema: dict[str, Any] = problem.space.schema()
        self._fields = tuple(schema_fields(self._schema))
        self._names: dict[str, str] = {}
        if anonymous:
            words = {word: None for rule in schema_fields(self._schema).values() for word in _words(rule)}
            self._names |= {word: f"c{index}" for index, word in enumerate(words, 1)}
            self._names |= {name: f"x{index}" for index, name in enumerate(self._fields, 1)}
            self._names |= {name: f"y{index}" for index, name in enumerate(_measures(problem, self._names), 1)}
        self._meanings = {alias: name for name, alias in self._names.items()}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)")

    def name(self, word: str) -> str:
        """A field's, choice's or metric's name as the LLM knows it."""
        return self._names.get(word, word)

    def text(self, sentence: str) -> str:
        """A sentence with every such name replaced."""
        return self._pattern.sub(lambda found: self.name(found[0]), sentence) if self._names else sentence

    def reason(self, sentence: str) -> str:
        """Why a candidate was rejected; under neutral names only what is said in those and in plain words."""
        said = self.text(sentence)
        words = set(re.findall(r"[^\W\d_]\w*", said))
        is_plain = words <= {*self._meanings, *PLAIN.split()}
        return said if is_plain or not self._names else "it breaks a rule that is not stated"

    def schema(self) -> dict[str, Any]:
        """JSON schema of one architecture."""
        return _renamed_schema(self._schema, self._names)

    def show(self, arch: A) -> str:
        """An architecture in as few tokens as the fields of the schema allow, in its longer form where they do not."""
        return self.brief(arch) or self._written(self._space.to_json(arch))

    def brief(self, arch: A) -> str | None:
        """The same in the schema's form alone; None for one that only a longer form can say."""
        data = {name: value for name, value in self._space.to_json(arch).items() if name in self._fields}
        is_whole = any(set(variant["required"]) <= set(data) for variant in self._schema.get("anyOf", [self._schema]))
        return self._written(data) if is_whole else None

    def _written(self, data: Mapping[str, Any]) -> str:
        return json.dumps(_renamed(data, self._names), separators=(",", ":"))

    def read(self, candidate: Any) -> A:
        """The architecture that an LLM wrote; ArchitectureError with every reason. A rationale of it is passed over."""
        if isinstance(candidate, Mapping) and "rationale" not in self._fields:
            candidate = {
                name: value for name, value in cast("Mapping[str, Any]", candidate).items() if name != "rationale"
            }
        return self._space.from_json(_renamed(candidate, self._meanings))


def _measures(problem: Problem[Any], known: Mapping[str, str]) -> list[str]:
    """Names of objectives, of what the device costs and of axes that have no alias yet."""
    costs = problem.known(problem.space.sample(np.random.default_rng(0)))
    names = [*(objective.metric for objective in problem.objectives), *costs, *(axis.name for axis in problem.axes)]
    return [name for name in dict.fromkeys(names) if name not in known]


def _words(rule: Mapping[str, Any]) -> list[str]:
    return [option for option in rule.get("enum", ()) if isinstance(option, str)]


def _renamed_schema(schema: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """`schema` with its fields and words renamed, its keywords left as they are."""
    found: dict[str, Any] = dict(schema)
    if "properties" in schema:
        fields = cast("Mapping[str, Any]", schema["properties"])
        found["properties"] = {names.get(name, name): _renamed_schema(rule, names) for name, rule in fields.items()}
    if "anyOf" in schema:
        found["anyOf"] = [_renamed_schema(variant, names) for variant in schema["anyOf"]]
    for keyword in ("required", "enum"):
        if keyword in schema:
            found[keyword] = _renamed(schema[keyword], names)
    return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with every key and text that is a name replaced, at any depth."""
    if not names:
        return value
    if isinstance(value, Mapping):
        return {names.get(key, key): _renamed(part, names) for key, part in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_renamed(part, names) for part in cast("list[Any]", value)]
    return names.get(value, value) if isinstance(value, str) else value
