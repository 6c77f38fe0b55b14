"""Every combination of choices: the plainest space there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from mimar.errors import ArchitectureError, InputError
from mimar.space._protocol import Choice, Choices

Combination: TypeAlias = tuple[Choice, ...]
"""The choice of each variable, in the order of the space's variables."""

ATTEMPTS = 100
"""Random changes that are tried before all are, where most change nothing that matters."""


def _as_it_is(arch: Combination) -> Combination:
    return arch


@dataclass(frozen=True)
class ProductSpace:
    """All combinations of the choices of some variables; an architecture is the tuple of its choices.

    settle: brings combinations that mean the same network to one form, in which variables that do not matter have
    their first choice. Its results are left as they are when settled again.
    """

    variables: Mapping[str, tuple[Choice, ...]]
    settle: Callable[[Combination], Combination] = _as_it_is

    def __post_init__(self) -> None:
        truths = [name for name, options in self.variables.items() if any(isinstance(o, bool) for o in options)]
        if truths:
            raise InputError(f"choices must be words or numbers, got truth values for {', '.join(truths)}: use 0 and 1")

    def to_choices(self, arch: Combination) -> dict[str, Choice]:
        """Each choice by its name."""
        return dict(zip(self.variables, arch, strict=True))

    def from_choices(self, choices: Choices) -> Combination:
        """Inverse of `to_choices`."""
        return self.settle(tuple(choices[name] for name in self.variables))

    def sample(self, rng: np.random.Generator) -> Combination:
        """Every choice of every variable equally likely."""
        return self.settle(tuple(options[int(rng.integers(len(options)))] for options in self.variables.values()))

    def mutate(self, arch: Combination, rng: np.random.Generator) -> Combination:
        """One variable that matters gets another choice; `arch` itself where there is no other to be had."""
        domains = list(self.variables.values())
        free = [index for index, options in enumerate(domains) if len(options) > 1]
        for _ in range(ATTEMPTS if free else 0):
            index = free[int(rng.integers(len(free)))]
            others = [option for option in domains[index] if option != arch[index]]
            mutant = self._with(arch, index, others[int(rng.integers(len(others)))])
            if mutant != arch:
                return mutant
        everything = (self._with(arch, index, option) for index in free for option in domains[index])
        return next((mutant for mutant in everything if mutant != arch), arch)

    def _with(self, arch: Combination, index: int, option: Choice) -> Combination:
        return self.settle((*arch[:index], option, *arch[index + 1 :]))

    def cross(self, a: Combination, b: Combination, rng: np.random.Generator) -> Combination:
        """Uniform crossover."""
        first = rng.random(len(a)) < 0.5
        return self.settle(tuple(x if take else y for x, y, take in zip(a, b, first, strict=True)))

    def validate(self, arch: Combination) -> tuple[str, ...]:
        """Reasons about the number of choices, about each of them, and about its form."""
        if len(arch) != len(self.variables):
            return (f"expected {len(self.variables)} choices, got {len(arch)}",)
        reasons = _foreign(self.variables, self.to_choices(arch))
        if not reasons and self.settle(arch) != arch:
            return ("variables that do not matter must have their first choice",)
        return tuple(reasons)

    def to_json(self, arch: Combination) -> dict[str, Any]:
        """The same as `to_choices`."""
        return self.to_choices(arch)

    def from_json(self, data: Any) -> Combination:
        """Inverse of `to_json`."""
        fields = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else dict[str, Any]()
        reasons = _foreign(self.variables, fields)
        reasons += [f"unknown field {str(name)[:40]!r}" for name in fields if name not in self.variables]
        if reasons:
            raise ArchitectureError(f"not a choice of {', '.join(self.variables)}", tuple(reasons))
        return self.from_choices(fields)

    def schema(self) -> dict[str, Any]:
        """One field for each variable, all of them required."""
        return {
            "type": "object",
            "properties": {name: {"enum": list(options)} for name, options in self.variables.items()},
            "required": list(self.variables),
            "additionalProperties": False,
        }


def _foreign(variables: Mapping[str, tuple[Choice, ...]], fields: Mapping[str, Any]) -> list[str]:
    """A reason for each variable without one of its choices; neither True nor 1.0 is a 1."""
    return [
        f"{name} must be one of {', '.join(map(str, options))}"
        for name, options in variables.items()
        if not _is_among(fields.get(name), options)
    ]


def _is_among(value: Any, options: tuple[Choice, ...]) -> bool:
    if isinstance(value, bool) or (isinstance(value, float) and not any(isinstance(each, float) for each in options)):
        return False
    return value in options
