"""The only place where the names that users type become objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from mimar.errors import InputError, UnknownNameError
from mimar.llm import LLM
from mimar.proxies import PROXIES, RZ_NAS_MEMBERS, Proxy, Standardiser, fit_standardiser, rz_nas_ensemble
from mimar.space import Architecture
from mimar.strategy import (
    LINAS,
    NSGA2,
    AdaptivePortfolio,
    Brief,
    LocalSearch,
    Problem,
    RandomSearch,
    RegularisedEvolution,
    ReinforcementLearning,
    Scalarised,
    Strategy,
    ZeroLMLoop,
    draw,
)

A = TypeVar("A")

CLASSIC: Mapping[str, Callable[[Problem[Any], int], Strategy[Any]]] = {
    strategy.name: strategy
    for strategy in (RandomSearch, LocalSearch, RegularisedEvolution, NSGA2, ReinforcementLearning, LINAS, Scalarised)
}
"""Strategies that never ask an LLM, by name."""

STRATEGIES = ("adaptive", *CLASSIC, "zerolm")
ENSEMBLE = "rz_nas_ensemble"
REFERENCE_SAMPLE = 16


def strategy_named(
    name: str,
    problem: Problem[A],
    seed: int,
    llm: LLM | None,
    brief: Brief,
    *,
    weights: Mapping[str, float] | None = None,
) -> Strategy[A]:
    """The strategy users call `name`; UnknownNameError lists the names, InputError when it needs an LLM.

    weights: λ of objectives, which only ``scalarised`` takes.
    """
    if weights and name != Scalarised.name:
        raise InputError(f"weights are for the strategy {Scalarised.name}, not for {name}")
    match name:
        case "adaptive":
            return AdaptivePortfolio.with_llm(problem, seed, llm, brief) if llm else AdaptivePortfolio(problem, seed)
        case "scalarised":
            return Scalarised(problem, seed, weights)
        case "zerolm":
            if llm is None:
                raise InputError("strategy zerolm needs a language model: add --llm local, or a provider")
            return ZeroLMLoop(problem, seed, llm, brief)
        case _ if name in CLASSIC:
            return CLASSIC[name](problem, seed)
        case _:
            raise UnknownNameError("strategy", name, STRATEGIES)


def score_names() -> tuple[str, ...]:
    """Every score, the default first."""
    return (*(proxy.name for proxy in PROXIES), ENSEMBLE)


def score_data(name: str, problem: Problem[Architecture], seed: int) -> dict[str, Any]:
    """What a score needs beside its name, fixed when a study starts: the reference sample of an ensemble."""
    if name != ENSEMBLE:
        return {}
    rng = np.random.default_rng([seed, REFERENCE_SAMPLE])
    drawn = (draw(problem, (), rng) for _ in range(REFERENCE_SAMPLE))
    return {"reference": fit_standardiser(RZ_NAS_MEMBERS, [arch for arch in drawn if arch], seed).to_json()}


def score_named(name: str, data: Mapping[str, Any]) -> Proxy:
    """The score users call `name`, with its `score_data`; UnknownNameError lists the names."""
    if name == ENSEMBLE:
        return rz_nas_ensemble(Standardiser.from_json(data["reference"]))
    found = {proxy.name: proxy for proxy in PROXIES}
    if name not in found:
        raise UnknownNameError("score", name, score_names())
    return found[name]


def require_known(strategy: str, score: str) -> None:
    """UnknownNameError for a strategy or score that does not exist, before anything costly begins."""
    if strategy not in STRATEGIES:
        raise UnknownNameError("strategy", strategy, STRATEGIES)
    if score not in score_names():
        raise UnknownNameError("score", score, score_names())
