"""Candidates inside the budgets, drawn and bred; shared by every strategy."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

import numpy as np

from mimar.strategy._protocol import Problem

A = TypeVar("A")

WALK = 30
"""Steps a walk towards the budgets may take before it heads for a candidate that is known to lie inside."""

HALVINGS = 16
"""Crossovers with that candidate: each takes about half of what still differs, so after these hardly anything does."""

SPREAD = 30
"""Steps inside the budgets by which a candidate that was led there leaves the neighbourhood again."""

STARTS = 20
"""Starts before a search gives up on finding something new."""


def draw(problem: Problem[A], known: Container[A], rng: np.random.Generator) -> A | None:
    """A random candidate that passes every check and is not in `known`; None after many vain attempts.

    Starts from a uniform sample and, while it lies outside the budgets, accepts each mutation that lies no farther out.
    Where that does not get inside, the candidate is crossed with the problem's anchor until it is, and takes random
    steps inside from there.
    """

    def drawn() -> A | None:
        return _inside(problem.space.sample(rng), problem.anchor, SPREAD, problem, rng)

    return _first_new(drawn, problem, known)


def breed(problem: Problem[A], parents: tuple[A, ...], known: Container[A], rng: np.random.Generator) -> A | None:
    """A mutant of one parent, or a mutated crossover of two, that passes every check and is new, or None.

    One outside the budgets walks as in `draw`; where that does not get inside, it is crossed with its first parent
    and mutated once inside.
    """
    home = parents[0] if problem.excess(parents[0]) == 0.0 else problem.anchor

    def child() -> A | None:
        mixed = parents[0] if len(parents) == 1 else problem.space.cross(parents[0], parents[1], rng)
        mutated = mixed if len(parents) > 1 and rng.random() < 0.5 else problem.space.mutate(mixed, rng)
        return _inside(mutated, home, 1, problem, rng)

    return _first_new(child, problem, known)


def _first_new(found: Callable[[], A | None], problem: Problem[A], known: Container[A]) -> A | None:
    for _ in range(STARTS):
        arch = found()
        if arch is not None and arch not in known and not problem.check(arch):
            return arch
    return None


def _inside(arch: A, home: A | None, moves: int, problem: Problem[A], rng: np.random.Generator) -> A | None:
    """A candidate inside the budgets, as near to `arch` as random steps come; None where no step leads in.

    home: inside, for a walk that does not get there. moves: steps inside that such a one takes in the end, at most.
    """
    excess = problem.excess(arch)
    for _ in range(WALK):
        if excess == 0.0:
            break
        step = problem.space.mutate(arch, rng)
        distance = problem.excess(step)
        if distance <= excess:
            arch, excess = step, distance
    if excess == 0.0:
        return arch
    return None if home is None else _spread(_led_home(arch, home, problem, rng), moves, problem, rng)


def _led_home(arch: A, home: A, problem: Problem[A], rng: np.random.Generator) -> A:
    """The first of ever closer crossovers with `home` that is inside."""
    for _ in range(HALVINGS):
        arch = problem.space.cross(arch, home, rng)
        if problem.excess(arch) == 0.0:
            return arch
    return home


def _spread(arch: A, moves: int, problem: Problem[A], rng: np.random.Generator) -> A:
    """`arch` after up to `moves` mutations that stay inside, of at most SPREAD that are tried."""
    for _ in range(SPREAD):
        step = problem.space.mutate(arch, rng)
        if problem.excess(step) == 0.0:
            arch, moves = step, moves - 1
        if moves == 0:
            break
    return arch
