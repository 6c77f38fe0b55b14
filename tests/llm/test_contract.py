"""Every language model, real ones included, against the published contract suite."""

from __future__ import annotations

import inspect
import json

import pytest

import mimar.llm
from mimar.llm import (
    Cached,
    CostLimited,
    LocalLLM,
    ProviderLLM,
    Recalled,
    Recording,
    ReplayLLM,
    Retrying,
    UniformLLM,
)
from mimar.testing import _llm as fakes
from mimar.testing._llm import FaultyLLM, ScriptedLLM
from mimar.testing._llm_contract import check_llm


def scripted():
    return ScriptedLLM(
        lambda messages, schema, seed: json.dumps({"layers": 12, "kind": "deep"}) if schema else "Hello."
    )


def replaying():
    records = []
    check_llm(Recording(scripted(), (), records.append))
    return ReplayLLM(records)


def recalling():
    """It answers all but the first call from records."""
    records = []
    check_llm(Recording(scripted(), (), records.append))
    return Recalled(scripted(), records[1:], records.append)


BUILDERS = {
    ScriptedLLM: lambda request: scripted(),
    FaultyLLM: lambda request: FaultyLLM(scripted(), 0.0),
    Retrying: lambda request: Retrying(scripted()),
    Cached: lambda request: Cached(scripted(), request.getfixturevalue("tmp_path") / "replies.sqlite"),
    CostLimited: lambda request: CostLimited(scripted(), 1.0),
    Recording: lambda request: Recording(scripted(), (), lambda record: None),
    Recalled: lambda request: recalling(),
    ReplayLLM: lambda request: replaying(),
    UniformLLM: lambda request: UniformLLM(),
    LocalLLM: lambda request: LocalLLM(request.getfixturevalue("default_model"), context=1024, threads=1),
    ProviderLLM: lambda request: ProviderLLM("compatible", "smollm2", base_url=request.getfixturevalue("llama_url")),
}
SLOW = (LocalLLM, ProviderLLM)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else (), id=kind.__name__) for kind in BUILDERS],
)
def test_contract(kind, request):
    check_llm(BUILDERS[kind](request))


def test_a_cache_that_answers_keeps_the_contract(tmp_path):
    for _ in range(2):
        check_llm(Cached(scripted(), tmp_path / "replies.sqlite"))


def test_no_implementation_is_missing_from_the_list():
    exported = [*(getattr(mimar.llm, name) for name in mimar.llm.__all__), *vars(fakes).values()]
    models = {kind for kind in exported if inspect.isclass(kind) and hasattr(kind, "complete")}
    assert models - {mimar.llm.LLM} == set(BUILDERS)


@pytest.mark.parametrize(
    "text",
    ["", '{"layers": 1, "kind": "deep"}', '{"layers": 3}', "no JSON"],
)
def test_the_contract_rejects_a_model_that_does_not_check(text):
    class Careless:
        name = "careless"

        def complete(self, messages, schema, *, temperature, seed, max_tokens):
            parsed = json.loads(text) if text.startswith("{") and schema else None
            return mimar.llm.Reply(text, parsed, mimar.llm.Usage(1, 1), "careless")

    with pytest.raises(AssertionError):
        check_llm(Careless())
