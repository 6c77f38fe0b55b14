"""Where the names of scores become objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimar.cli._judge import NEEDS_LLM, ensemble_data, judge_and_weight, judge_data, judge_named
from mimar.cli._plugins import SCORES, loaded, plugins
from mimar.design import COSTLY_REFERENCE_SAMPLE, drawn_sample
from mimar.errors import ForeignFileError, InputError, UnknownNameError
from mimar.llm import LLM
from mimar.proxies import PROXIES, Proxy, Standardiser, rz_nas_ensemble
from mimar.proxies.judge import JUDGE
from mimar.space import Architecture
from mimar.strategy import Problem

ENSEMBLE = "rz_nas_ensemble"
REFERENCE_SAMPLE = 16


def score_names() -> tuple[str, ...]:
    """Every score, the default first, those of other packages last."""
    ours = (*(proxy.name for proxy in PROXIES), ENSEMBLE, JUDGE)
    return (*ours, *(name for name in plugins(SCORES) if name not in ours))


def score_data(name: str, problem: Problem[Architecture], seed: int, llm: LLM | None = None) -> dict[str, Any]:
    """What a score needs beside its name, fixed when a study starts: a reference sample, the anchors of a judge."""
    if name == JUDGE:  # anchors are the sample that fixes the hypervolume's frame too, so that it costs no more calls
        return judge_data(drawn_sample(problem, COSTLY_REFERENCE_SAMPLE, seed), seed, llm)
    return ensemble_data(drawn_sample(problem, REFERENCE_SAMPLE, seed), seed, llm) if name == ENSEMBLE else {}


def score_named(name: str, data: Mapping[str, Any], llm: LLM | None = None) -> Proxy:
    """The score users call `name`, with its `score_data`; UnknownNameError lists the names, ForeignFileError: the data
    are damaged.

    llm: for a score that asks one; without it such a score can be described, but scores nothing new.
    """
    try:
        if name == ENSEMBLE:
            return rz_nas_ensemble(Standardiser.from_json(data["reference"]), *judge_and_weight(data, llm))
        if name == JUDGE:
            return judge_named(data, llm)
    except (AttributeError, KeyError, TypeError) as error:
        raise ForeignFileError(
            f"what the study keeps of its score {name} is damaged ({error!r}); restore a backup"
        ) from error
    found = {proxy.name: proxy for proxy in PROXIES}
    if name in found:
        return found[name]
    others = plugins(SCORES)
    if name not in others:
        raise UnknownNameError("score", name, score_names())
    return loaded(others[name])


def require_score(name: str, llm: str) -> None:
    """UnknownNameError for a score that does not exist, InputError for one that lacks its language model, before
    anything costly begins.
    """
    if name not in score_names():
        raise UnknownNameError("score", name, score_names())
    if name == JUDGE and llm == "none":
        raise InputError(NEEDS_LLM)
