"""The only place where the names that users type become objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mimar.cli._judge import NEEDS_LLM, ensemble_data, judge_and_weight, judge_data, judge_named
from mimar.design import COSTLY_REFERENCE_SAMPLE, drawn_sample
from mimar.errors import InputError, UnknownNameError
from mimar.llm import LLM
from mimar.proxies import PROXIES, Proxy, Standardiser, rz_nas_ensemble
from mimar.proxies.judge import JUDGE
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
    return (*(proxy.name for proxy in PROXIES), ENSEMBLE, JUDGE)


def score_data(name: str, problem: Problem[Architecture], seed: int, llm: LLM | None = None) -> dict[str, Any]:
    """What a score needs beside its name, fixed when a study starts: a reference sample, the anchors of a judge."""
    if name == JUDGE:  # anchors are the sample that fixes the hypervolume's frame too, so that it costs no more calls
        return judge_data(drawn_sample(problem, COSTLY_REFERENCE_SAMPLE, seed), seed, llm)
    return ensemble_data(drawn_sample(problem, REFERENCE_SAMPLE, seed), seed, llm) if name == ENSEMBLE else {}


def score_named(name: str, data: Mapping[str, Any], llm: LLM | None = None) -> Proxy:
    """The score users call `name`, with its `score_data`; UnknownNameError lists the names.

    llm: for a score that asks one; without it such a score can be described, but scores nothing new.
    """
    if name == ENSEMBLE:
        return rz_nas_ensemble(Standardiser.from_json(data["reference"]), *judge_and_weight(data, llm))
    if name == JUDGE:
        return judge_named(data, llm)
    found = {proxy.name: proxy for proxy in PROXIES}
    if name not in found:
        raise UnknownNameError("score", name, score_names())
    return found[name]


def require_known(strategy: str, score: str, llm: str) -> None:
    """UnknownNameError for a strategy or score that does not exist, InputError for a score that lacks its language
    model, before anything costly begins."""
    if strategy not in STRATEGIES:
        raise UnknownNameError("strategy", strategy, STRATEGIES)
    if score not in score_names():
        raise UnknownNameError("score", score, score_names())
    if score == JUDGE and llm == "none":
        raise InputError(NEEDS_LLM)
