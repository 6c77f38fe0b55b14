"""Where the names of scores become objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mimar.errors import UnknownNameError
from mimar.proxies import PROXIES, RZ_NAS_MEMBERS, Proxy, Standardiser, fit_standardiser, rz_nas_ensemble
from mimar.space import Architecture
from mimar.strategy import Problem, draw

ENSEMBLE = "rz_nas_ensemble"
REFERENCE_SAMPLE = 16


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


def require_score(name: str) -> None:
    """UnknownNameError for a score that does not exist, before anything costly begins."""
    if name not in score_names():
        raise UnknownNameError("score", name, score_names())
