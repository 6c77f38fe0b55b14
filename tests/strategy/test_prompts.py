"""The exact texts that strategies put to an LLM, as they are sent in the course of a search."""

import json

import numpy as np
import pytest

from mimar.design import RULES, design_task
from mimar.hardware import Workload, load_profile
from mimar.models import generate_layer_code
from mimar.objectives import Budget
from mimar.space import TransformerSpace
from mimar.strategy import LLMNAS, PELNAS, RZNAS, Brief, Dialogue, LLMSearch, OneShot, RZNASMutation, View, ZeroLM
from mimar.study import Study
from mimar.testing import ScriptedLLM, layerdrop_problem, toy_problem

SPACE = TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448])
TOY = toy_problem(SPACE)
BRIEF = Brief(
    "params at most 60M",
    "A laptop with 16 GB of memory; it runs small matrices well.",
    "decoder-only Transformer architectures",
    RULES,
    generate_layer_code,
    "def score(shapes):\n    return shapes.num_layers",
)
DROP = layerdrop_problem()

OPERATORS = {
    "one_shot": lambda problem, llm, brief: OneShot(problem, llm, brief, candidates=4),
    "zerolm": ZeroLM,
    "dialogue": Dialogue,
    "rz_nas": RZNAS,
    "rz_nas_mutation": RZNASMutation,
    "llm_nas": LLMNAS,
    "pel_nas": PELNAS,
}


def searched(make, toy, brief, trials=24, batch=2):
    """Chats and architectures of a search whose LLM answers with random samples, some illegal, and with words."""
    chats = []

    def answer(messages, schema, seed):
        chats.append(messages)
        fields = schema["properties"]
        words = {
            name: [f"{name} {len(chats)}"] if rule["type"] == "array" else f"{name} {len(chats)}"
            for name, rule in fields.items()
        }
        if "candidates" not in fields:
            return json.dumps(words)
        rng, view = np.random.default_rng(seed), View(toy.problem, anonymous=brief.anonymous)
        found = [json.loads(view.show(toy.problem.space.sample(rng))) for _ in range(fields["candidates"]["minItems"])]
        if seed % 5 == 0:
            found[0] = {"x1" if brief.anonymous else "num_layers": 5}
        return json.dumps(words | {"candidates": found})

    operator = make(toy.problem, ScriptedLLM(answer), brief)
    study = Study(toy.problem, LLMSearch(toy.problem, 0, operator), toy, batch=batch)
    study.run(trials)
    return chats, [trial.proposal.architecture for trial in study.trials]


def asked(make, toy, brief, **search):
    """The chats alone."""
    return searched(make, toy, brief, **search)[0]


def text(chats):
    return "\n\n".join(
        f"===== call {number} =====\n" + "\n\n".join(f"[{message.role}]\n{message.content}" for message in chat)
        for number, chat in chats
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_prompts_of_a_transformer_search(name, check_golden):
    chats = asked(OPERATORS[name], TOY, BRIEF)
    shown = [(index, chats[index - 1]) for index in (1, 3, len(chats) - 1, len(chats)) if 0 < index <= len(chats)]
    check_golden(f"prompts_{name}.txt", text(dict(shown).items()) + "\n")


def test_prompts_of_another_space(check_golden):
    chats = asked(ZeroLM, DROP, Brief("none", "a benchmark"))
    check_golden("prompts_layerdrop.txt", text([(1, chats[0]), (4, chats[3])]) + "\n")


def test_prompts_from_the_users_own_architecture(check_golden):
    start = SPACE.sample(np.random.default_rng(3))
    chats = asked(lambda *told: Dialogue(*told, start=start), TOY, BRIEF, trials=3)
    check_golden("prompts_dialogue_start.txt", text([(1, chats[0])]) + "\n")


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("toy", [TOY, DROP], ids=["transformer", "layer drop"])
def test_neutral_names_give_nothing_away(name, toy):
    budgets = "params at most 60M" if toy is TOY else "none"
    brief = Brief(budgets, BRIEF.device, BRIEF.subject, RULES, generate_layer_code, BRIEF.score, anonymous=True)
    said = text(enumerate(asked(OPERATORS[name], toy, brief), 1)).lower()
    for word in (
        "transformer",
        "laptop",
        "attention",
        "layer",
        "params",
        "flops",
        "heads",
        "swiglu",
        "neural",
        "depth",
        "width",
    ):
        assert word not in said, said[max(0, said.find(word) - 200) :][:300]
    assert "x1" in said
    assert "y1" in said


@pytest.mark.parametrize("name", OPERATORS)
def test_a_search_under_neutral_names_proposes_the_same(name):
    open_, closed = (Brief("b", "d", "s", anonymous=anonymous) for anonymous in (False, True))
    assert searched(OPERATORS[name], TOY, open_)[1] == searched(OPERATORS[name], TOY, closed)[1]


def test_the_design_brief_names_budgets_device_rules_and_code():
    space, device = TransformerSpace(), load_profile("laptop-cpu")
    task = design_task(space, device, Workload(1024), budgets=[Budget("params", "max", 30e6)])
    sample = space.sample(np.random.default_rng(0))
    assert task.brief.budgets == "params at most 3e+07"
    assert "bandwidth" in task.brief.device
    assert "class Block(nn.Module)" in task.brief.code(sample)
    assert "def _adw" in task.brief.score
