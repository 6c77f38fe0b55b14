"""Everything a language model can do wrong, in three calls of ten: nothing good is lost, nothing bad gets in."""

import json
import logging

import numpy as np
import pytest

from mimar.errors import ProviderError, RateLimitError
from mimar.llm import complete_items
from mimar.strategy import (
    LLMNAS,
    PELNAS,
    RZNAS,
    AdaptivePortfolio,
    Archive,
    Brief,
    Dialogue,
    LLMSearch,
    RZNASMutation,
    ZeroLM,
)
from mimar.study import Study
from mimar.testing import FAULTY_EDITS, FAULTY_ERRORS, FAULTY_TEXTS, FaultyLLM, ScriptedLLM, layerdrop_problem

BRIEF = Brief("cost at most 0.9", "A test bench.")
OPERATORS = {operator.__name__: operator for operator in (ZeroLM, Dialogue, RZNAS, RZNASMutation, LLMNAS, PELNAS)}


TOY = layerdrop_problem(max_cost=0.9)


def sampled(messages, schema, seed):
    """Random candidates, of which one in ten is the most expensive one, and words where those are asked for."""
    rng, space, fields = np.random.default_rng(seed), TOY.problem.space, schema["properties"]
    words = {name: ["wider"] if rule["type"] == "array" else "wider" for name, rule in fields.items()}
    if "candidates" not in fields:
        return json.dumps(words)
    found = [(4,) * 20 if rng.random() < 0.1 else space.sample(rng) for _ in range(fields["candidates"]["minItems"])]
    return json.dumps(words | {"candidates": [space.to_json(arch) for arch in found]})


class Listening:
    """Passes calls on and keeps every text that came back, whole or in an error."""

    def __init__(self, llm):
        self.llm = llm
        self.name = llm.name
        self.texts = []

    def complete(self, messages, schema, **rest):
        try:
            reply = self.llm.complete(messages, schema, **rest)
        except Exception as error:
            self.heard(getattr(error, "reply", ""), schema)
            raise
        self.heard(reply.text, schema)
        return reply

    def heard(self, text, schema):
        rule = schema["properties"].get("candidates")
        self.texts += [] if rule is None else [(text, rule["minItems"])]


def valid_candidates(texts):
    """All that is legal and within the budget in what came, each once, read by the schema's own rules."""
    space, found = TOY.problem.space, {}
    for text, count in texts:
        for candidate in complete_items(text, "candidates")[:count]:
            if isinstance(candidate, dict):
                options = {name: value for name, value in candidate.items() if name != "rationale"}
                legal = set(options) == set(space.variables) and all(
                    value in space.variables[name] for name, value in options.items()
                )
                if legal and not TOY.problem.check(arch := space.from_choices(options)):
                    found[arch] = None
    return set(found)


def made(name, llm, seed=0):
    if name == "AdaptivePortfolio":
        return AdaptivePortfolio.with_llm(TOY.problem, seed, llm, BRIEF)
    return LLMSearch(TOY.problem, seed, OPERATORS[name](TOY.problem, llm, BRIEF))


@pytest.mark.parametrize("name", [*OPERATORS, "AdaptivePortfolio"])
def test_500_candidates_at_30_percent_faults(name, caplog):
    faulty = FaultyLLM(ScriptedLLM(sampled), 0.3, seed=1)
    llm = Listening(faulty)
    study = Study(TOY.problem, made(name, llm), TOY)
    with caplog.at_level(logging.ERROR):
        assert study.run(500) == "enough trials"
    assert sum(trial.status == "complete" for trial in study.trials) == 500
    own = [trial for trial in study.trials if trial.proposal.by_llm]
    evaluated = {trial.architecture for trial in own if trial.status == "complete"}
    others = {trial.architecture for trial in study.trials if not trial.proposal.by_llm}
    assert evaluated == valid_candidates(llm.texts) - others
    assert all(trial.reasons for trial in own if trial.status == "invalid")
    assert all(not TOY.problem.check(trial.architecture) for trial in study.trials if trial.status == "complete")
    assert len(faulty.faults) >= (2 if name == "AdaptivePortfolio" else 12)


def test_each_fault_is_counted_under_its_own_reason():
    faulty = FaultyLLM(ScriptedLLM(sampled), 1.0, seed=2)
    operator, archive, rng = (
        ZeroLM(TOY.problem, faulty, BRIEF),
        Archive(TOY.problem.objectives),
        np.random.default_rng(0),
    )
    said, dead = [], 0
    for _ in range(150):
        try:
            said += [reason for each in operator.propose(archive, 8, rng).proposals for reason in each.reasons]
        except (ProviderError, RateLimitError):
            dead += 1
    assert set(faulty.faults) == {*FAULTY_TEXTS, *FAULTY_EDITS, *FAULTY_ERRORS}
    assert dead == sum(faulty.faults[name] for name in FAULTY_ERRORS)
    unread = sum(faulty.faults[name] for name in FAULTY_TEXTS)
    assert sum("expected JSON, got" in reason or "the reply does not fit" in reason for reason in said) >= unread
    for words in ("repeats an earlier architecture", "must be one of", "over budget"):
        assert any(words in reason for reason in said), words


@pytest.mark.parametrize("fault", FAULTY_ERRORS)
def test_a_provider_that_dies_in_the_middle_stops_no_portfolio(fault, caplog):
    def dying(messages, schema, seed):
        if llm.calls > 4:
            raise FAULTY_ERRORS[fault]()
        return sampled(messages, schema, seed)

    llm = ScriptedLLM(dying)
    study = Study(TOY.problem, made("AdaptivePortfolio", llm), TOY)
    with caplog.at_level(logging.WARNING):
        assert study.run(200) == "enough trials"
    said = [trial.id for trial in study.trials if any("goes on without the LLM" in reason for reason in trial.reasons)]
    own = [trial.id for trial in study.trials if trial.proposal.by_llm and trial.status == "complete"]
    assert own
    assert max(own) < min(said)
    assert len(caplog.messages) == len(said)
