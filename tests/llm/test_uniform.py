"""Uniform choice in place of a model: always legal, repeatable, and uniform."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.llm import Message, UniformLLM, schema_error
from mimar.llm._uniform import drawn
from mimar.space import TransformerSpace
from mimar.strategy import Brief, LLMSearch, ZeroLM
from mimar.study import Study
from mimar.testing import layerdrop_problem, toy_problem

ASKED = [Message("user", "Choose.")]


def answered(schema, seed):
    return UniformLLM().complete(ASKED, schema, temperature=1.0, seed=seed, max_tokens=10).parsed


SCHEMAS = {
    "space": TransformerSpace().schema(),
    "layer": TransformerSpace("per-layer").schema(),
    "product": layerdrop_problem().problem.space.schema(),
    "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 5},
    "steps": {"type": "integer", "minimum": 65, "maximum": 300, "multipleOf": 64},
    "number": {"type": "number", "minimum": -0.5, "maximum": 0.25},
    "open": {"type": "integer", "maximum": -7},
    "either": {"anyOf": [{"const": 3}, {"type": ["string", "null"]}]},
    "nested": {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"enum": [1, "x"]}}},
        "required": ["a"],
    },
}


@given(st.sampled_from(sorted(SCHEMAS)), st.integers())
def test_every_reply_satisfies_its_schema(name, seed):
    value = answered(SCHEMAS[name], seed)
    assert schema_error(json.loads(json.dumps(value)), SCHEMAS[name]) is None


def test_equal_seeds_give_equal_replies_and_others_do_not():
    schema = SCHEMAS["product"]
    assert answered(schema, 3) == answered(schema, 3) != answered(schema, 4)


def test_choices_are_uniform():
    rng = random.Random(0)
    counts = Counter(drawn(SCHEMAS["steps"], rng) for _ in range(3000))
    assert set(counts) == {128, 192, 256}
    assert all(count == pytest.approx(1000, abs=120) for count in counts.values())


def test_it_drives_a_strategy_that_needs_a_model():
    toy = layerdrop_problem()
    strategy = LLMSearch(toy.problem, 0, ZeroLM(toy.problem, UniformLLM(), Brief("none", "A test bench.")))
    study = Study(toy.problem, strategy, toy)
    assert study.run(24) == "enough trials"
    assert {trial.proposal.origin for trial in study.trials} == {"llm-zerolm"}


def test_what_it_proposes_of_transformers_is_read_and_mostly_illegal():
    """Fields that must fit each other rarely do when each is drawn alone: what a model has to know."""
    toy = toy_problem()
    operator = ZeroLM(toy.problem, UniformLLM(), Brief("none", "A test bench."), batch=40)
    proposals = LLMSearch(toy.problem, 0, operator).ask(40)
    assert len(proposals) == 40
    assert all(proposal.architecture is not None or proposal.reasons for proposal in proposals)
    assert sum(bool(proposal.reasons) for proposal in proposals) > 20
