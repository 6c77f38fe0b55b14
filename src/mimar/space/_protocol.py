"""The contract every search space keeps, so that any optimiser can drive any space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

A = TypeVar("A")
Choice = str | int | float
Choices = Mapping[str, Choice]


def are_numbers(options: Sequence[Choice]) -> bool:
    """Whether all of a variable's choices are numbers, so that they have an order."""
    return all(isinstance(option, int | float) for option in options)


class SearchSpace(Protocol[A]):
    """A finite set of architectures, described by named variables.

    Laws, tested for every space: ``from_choices(to_choices(a)) == a`` and ``from_json(to_json(a)) == a`` for every
    valid `a`; every sample, mutant and child is valid; no method changes its arguments.
    """

    @property
    def variables(self) -> Mapping[str, tuple[Choice, ...]]:
        """Name → choices, in the order in which they are best decided."""
        ...

    def to_choices(self, arch: A) -> dict[str, Choice]:
        """One choice for every variable; a variable that `arch` does not use takes its first choice.

        A number may lie between the listed choices, where the space holds architectures that no sample would hit.
        """
        ...

    def from_choices(self, choices: Choices) -> A:
        """The architecture those choices describe; it may be invalid, ask `validate`. KeyError names a missing one."""
        ...

    def sample(self, rng: np.random.Generator) -> A:
        """A random valid architecture."""
        ...

    def mutate(self, arch: A, rng: np.random.Generator) -> A:
        """A valid architecture that differs from `arch` in few variables."""
        ...

    def cross(self, a: A, b: A, rng: np.random.Generator) -> A:
        """A valid child that takes each variable from one of its parents where that is legal."""
        ...

    def validate(self, arch: A) -> tuple[str, ...]:
        """All reasons why `arch` is not in this space; empty when it is."""
        ...

    def to_json(self, arch: A) -> dict[str, Any]:
        """Plain data that `from_json` reads back to an equal architecture."""
        ...

    def from_json(self, data: Any) -> A:
        """The architecture in `data`; `ArchitectureError` holds every reason when it does not parse."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON schema of one architecture, as an LLM is asked to write it."""
        ...
