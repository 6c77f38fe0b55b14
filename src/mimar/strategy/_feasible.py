"""Candidates inside the budgets, drawn and bred; shared by every strategy."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

import numpy as np

from mimar.strategy._protocol import Problem

A = TypeVar("A")

WALK = 60
"""Steps a walk towards the budgets may take before a new start."""

STARTS = 20
"""Starts before a search gives up on finding something new."""


def draw(problem: Problem[A], known: Container[A], rng: np.random.Generator) -> A | None:
    """A random candidate that passes every check and is not in `known`; None after many vain attempts.

    Starts from a uniform sample and, while it lies outside the budgets, accepts each mutation that lies no farther out.
    """
    return _first_new(lambda: problem.space.sample(rng), problem, known, rng)


def breed(problem: Problem[A], parents: tuple[A, ...], known: Container[A], rng: np.random.Generator) -> A | None:
    """A mutant of one parent, or a mutated crossover of two, that passes every check and is new, or None."""

    def child() -> A:
        mixed = parents[0] if len(parents) == 1 else problem.space.cross(parents[0], parents[1], rng)
        return mixed if len(parents) > 1 and rng.random() < 0.5 else problem.space.mutate(mixed, rng)

    return _first_new(child, problem, known, rng)


def _first_new(start: Callable[[], A], problem: Problem[A], known: Container[A], rng: np.random.Generator) -> A | None:
    for _ in range(STARTS):
        found = _walked(start(), problem, rng)
        if found is not None and found not in known:
            return found
    return None


def _walked(arch: A, problem: Problem[A], rng: np.random.Generator) -> A | None:
    excess = problem.excess(arch)
    for _ in range(WALK):
        if excess == 0.0:
            break
        step = problem.space.mutate(arch, rng)
        distance = problem.excess(step)
        if distance <= excess:
            arch, excess = step, distance
    return arch if not problem.check(arch) else None
