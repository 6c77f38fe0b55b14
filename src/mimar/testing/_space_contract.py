"""What every `SearchSpace` owes its callers, as checks to run over an implementation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from mimar.errors import ArchitectureError
from mimar.llm import schema_error
from mimar.space import Choice, SearchSpace

A = TypeVar("A")

_NONSENSE: tuple[Any, ...] = (None, 0, "deep", [], {}, {"no such field": 1}, [1, 2], {"architecture": None})


def check_space(space: SearchSpace[A], rng: np.random.Generator, samples: int = 40) -> None:
    """The laws of `SearchSpace` over samples, mutants and children; AssertionError where `space` breaks one."""
    check_variables(space)
    check_refusal(space)
    for _ in range(samples):
        first, second = space.sample(rng), space.sample(rng)
        mutant, child = space.mutate(first, rng), space.cross(first, second, rng)
        for arch in (first, second, mutant, child):
            check_architecture(space, arch)
        assert mutant != first, f"expected another architecture than {first}"
        assert space.cross(first, first, rng) == first, f"expected the child of {first} with itself to be the same"
        again = space.from_choices(space.to_choices(first))
        assert first == again, "expected arguments that nobody changed"
        assert hash(first) == hash(again), "expected equal architectures to have equal hashes"
    check_schema(space, rng, samples)
    check_seeding(space)


def check_variables(space: SearchSpace[Any]) -> None:
    """Every variable has choices, each of them once, and they do not change between calls."""
    for name, options in space.variables.items():
        assert options, f"expected choices of {name}"
        assert len(set(options)) == len(options), f"expected each choice of {name} once, got {options}"
    assert list(space.variables.items()) == list(space.variables.items())
    json.dumps(space.schema())


def check_architecture(space: SearchSpace[A], arch: A) -> None:
    """`arch` is valid and survives choices and JSON."""
    reasons = space.validate(arch)
    assert not reasons, f"expected a valid architecture, got {arch}: {reasons}"
    choices, options = space.to_choices(arch), space.variables
    assert set(choices) == set(options), f"expected one choice for every variable, got {choices}"
    foreign = {name: choice for name, choice in choices.items() if choice not in options[name]}
    assert not foreign, f"expected listed choices, got {foreign}"
    assert space.from_choices(choices) == arch, f"expected the same from its choices: {arch}"
    data = json.loads(json.dumps(space.to_json(arch)))
    assert space.from_json(data) == arch, f"expected the same from its JSON form: {arch}"


def check_schema(space: SearchSpace[Any], rng: np.random.Generator, replies: int) -> None:
    """What fits the schema can be read: it is an architecture, or is refused with reasons; each variant in turn."""
    schema = space.schema()
    variants = schema.get("anyOf", [schema])
    for index in range(replies):
        reply = _reply(variants[index % len(variants)], rng)
        assert schema_error(reply, schema) is None, f"expected {reply} to fit the schema"
        reasons = _refusal(space, reply)
        assert reasons or space.from_json(space.to_json(space.from_json(reply))) == space.from_json(reply)
        fields = [reason for reason in reasons if "unknown field" in reason or "got nothing" in reason]
        assert not fields, f"expected the schema to name all fields and no other, got {fields}"


def _reply(variant: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A random value that fits an object schema."""
    return {name: _value(variant["properties"][name], rng) for name in variant["required"]}


def _value(rule: Mapping[str, Any], rng: np.random.Generator) -> Any:
    if "enum" in rule:
        return rule["enum"][int(rng.integers(len(rule["enum"])))]
    if rule["type"] == "array":
        return [_value(rule["items"], rng) for _ in range(rule["minItems"])]
    step = rule.get("multipleOf", 1)
    return step * int(rng.integers(-(-rule["minimum"] // step), rule["maximum"] // step + 1))


def check_refusal(space: SearchSpace[Any]) -> None:
    """What is no architecture raises an ArchitectureError with reasons; choices that lack a variable a KeyError."""
    for data in _NONSENSE:
        reasons = _refusal(space, data)
        assert reasons, f"expected {data!r} to be refused with reasons"
        assert all(reasons), f"expected sentences, got {reasons}"
    try:
        space.from_choices({})
    except KeyError:
        return
    raise AssertionError("expected a KeyError for choices without any variable")


def _refusal(space: SearchSpace[Any], data: Any) -> tuple[str, ...]:
    try:
        space.from_json(data)
    except ArchitectureError as error:
        return error.reasons
    return ()


def check_seeding(space: SearchSpace[Any]) -> None:
    """The generator given is the only source of randomness."""

    def walk() -> list[Any]:
        rng = np.random.default_rng(7)
        first, second = space.sample(rng), space.sample(rng)
        return [first, second, space.mutate(first, rng), space.cross(first, second, rng)]

    assert walk() == walk(), "expected the same architectures from the same seed"


def check_reachable(space: SearchSpace[Any], rng: np.random.Generator, samples: int = 20_000) -> None:
    """Every choice of every variable turns up in at most `samples` samples; for spaces small enough for that."""
    missing: set[tuple[str, Choice]] = {(name, c) for name, options in space.variables.items() for c in options}
    for _ in range(samples):
        missing -= set(space.to_choices(space.sample(rng)).items())
        if not missing:
            return
    raise AssertionError(f"expected every choice to be reachable, never got {sorted(missing, key=str)[:20]}")
