"""Does each part of a prompt do its work? Shown with a model that proposes better only where that part is there.

Medians over seeds; the model is `mimar.testing.PlantedLLM`, so that nothing here depends on how strong a real one is.
"""

import re
from functools import cache
from statistics import median

import numpy as np
import pytest

from mimar.llm import Message, Recording
from mimar.strategy import ARMS, LLMNAS, PELNAS, RZNAS, Brief, LLMSearch, OneShot, RZNASMutation, ZeroLM
from mimar.study import Study
from mimar.testing import PlantedLLM, layerdrop_problem

BRIEF = Brief("cost at most 0.9", "A test bench with little room.")
TOY = layerdrop_problem(max_cost=0.9)
SEEDS = range(7)

OPERATORS = {
    "rz-nas": lambda llm, on: RZNAS(TOY.problem, llm, BRIEF, reflection=on),
    "rz-nas mutation": lambda llm, on: RZNASMutation(TOY.problem, llm, BRIEF, reflection=on),
    "pel-nas knowledge": lambda llm, on: PELNAS(TOY.problem, llm, BRIEF, knowledge=on),
    "llm-nas": lambda llm, on: LLMNAS(TOY.problem, llm, BRIEF, advice=on),
    "zerolm": lambda llm, on: ZeroLM(TOY.problem, llm, BRIEF, explain=on),
}


def searched(make, llm, seed, trials):
    study = Study(TOY.problem, LLMSearch(TOY.problem, seed, make(llm)), TOY)
    study.run(trials)
    return study


@cache
def studies(name, cue, on, trials=120):
    return [searched(lambda llm: OPERATORS[name](llm, on), PlantedLLM(TOY, cue), seed, trials) for seed in SEEDS]


def volumes(found):
    return [study.hypervolume() for study in found]


def rejected_share(study, words=""):
    own = [trial for trial in study.trials if trial.proposal.by_llm]
    return sum(any(words in reason for reason in trial.reasons) for trial in own) / len(own)


@pytest.mark.parametrize("name", ["rz-nas", "rz-nas mutation"])
def test_reflection_beats_none(name):
    with_, without = (volumes(studies(name, "reflection", on)) for on in (True, False))
    assert min(with_) > max(without)
    assert median(with_) > 1.15 * median(without)


def test_a_knowledge_base_beats_an_empty_one():
    with_, without = (volumes(studies("pel-nas knowledge", "rule", on)) for on in (True, False))
    assert median(with_) > 1.05 * median(without)
    assert sum(a > b for a, b in zip(with_, without, strict=True)) >= 6


def test_hardware_advice_lowers_the_share_over_budget():
    def share(on):
        return median(rejected_share(study, "over budget") for study in studies("llm-nas", "device", on))

    with_, without = share(True), share(False)
    assert without > 0.05
    assert with_ < 0.5 * without


def test_reasons_for_rejection_lower_the_share_of_invalid_candidates():
    with_, without = (median(map(rejected_share, studies("zerolm", "rejections", on))) for on in (True, False))
    assert without > 0.4
    assert with_ < 0.7 * without


@cache
def arm(name):
    def make(llm):
        return PELNAS(TOY.problem, llm, BRIEF, arm=name, knowledge=False)

    return [searched(make, PlantedLLM(TOY, "instruction"), seed, 400).hypervolume() for seed in SEEDS]


@pytest.mark.parametrize("other", [name for name in ARMS if name != "coevolution"])
def test_coevolution_beats_each_other_arm(other):
    assert median(arm("coevolution")) > 1.02 * median(arm(other))
    assert sum(a > b for a, b in zip(arm("coevolution"), arm(other), strict=True)) >= 5


class Altered:
    """Passes prompts on after `change`, to take a cue away that no option leaves out."""

    name = "altered"

    def __init__(self, llm, change):
        self.llm = llm
        self.change = change

    def complete(self, messages, schema, **rest):
        *head, last = messages
        return self.llm.complete((*head, Message(last.role, self.change(last.content))), schema, **rest)


def reversed_table(prompt):
    """The rows of the first table from worst to best."""
    before, mark, rest = prompt.partition("trade-off |")
    table, gap, after = rest.partition("\n\n")
    head, *rows = table.split("\n")
    return before + mark + "\n".join([head, *rows[::-1]]) + gap + after


def test_a_table_in_the_right_order_beats_a_reversed_one():
    def found(change):
        llms = [Altered(PlantedLLM(TOY, "table"), change) for _ in SEEDS]
        return [
            searched(lambda llm: OPERATORS["zerolm"](llm, True), llm, seed, 120).hypervolume()
            for seed, llm in zip(SEEDS, llms, strict=True)
        ]

    assert min(found(lambda prompt: prompt)) > max(found(reversed_table))


def unnamed_niche(prompt):
    """The prompt without the ends of its niche."""
    return re.sub(r"cost (of at least|below) [\d.]+\d( and below [\d.]+\d)?", "some niche", prompt)


def outer_share(change):
    """The share of what the model proposed that lies outside the two middle ones of six niches."""
    shares = []
    for seed in SEEDS:
        llm = Altered(PlantedLLM(TOY), change)
        study = searched(lambda llm: PELNAS(TOY.problem, llm, BRIEF), llm, seed, 120)
        costs = [
            trial.metrics["cost"] for trial in study.trials if trial.status == "complete" and trial.proposal.by_llm
        ]
        cells = np.searchsorted(TOY.problem.axes[0].edges, costs, "right")
        shares.append(np.mean((cells < 2) | (cells > 3)))
    return median(shares)


def test_a_niche_that_is_named_keeps_candidates_of_every_size():
    named, unnamed = (outer_share(change) for change in (lambda prompt: prompt, unnamed_niche))
    assert named > 0.5  # an equal share is 0.67
    assert named > 1.5 * unnamed


BATCHED = {
    "one-shot": lambda llm: OneShot(TOY.problem, llm, BRIEF),
    "zerolm": lambda llm: ZeroLM(TOY.problem, llm, BRIEF),
    "rz-nas": lambda llm: RZNAS(TOY.problem, llm, BRIEF),
    "llm-nas": lambda llm: LLMNAS(TOY.problem, llm, BRIEF),
    "pel-nas": lambda llm: PELNAS(TOY.problem, llm, BRIEF),
}


def tokens_per_candidate(make, trials):
    """Tokens read and written for each unique valid candidate, and these per call."""
    calls = []
    study = searched(make, Recording(PlantedLLM(TOY), (), calls.append), 0, trials)
    valid = sum(trial.proposal.by_llm and trial.status == "complete" for trial in study.trials)
    return sum(call.usage.input_tokens + call.usage.output_tokens for call in calls) / valid, valid / len(calls)


@pytest.mark.parametrize("name", BATCHED)
def test_batched_strategies_need_few_tokens_for_a_candidate(name):
    tokens, per_call = tokens_per_candidate(BATCHED[name], 20 if name == "one-shot" else 120)
    assert tokens <= 400
    assert per_call >= 3


def test_one_mutation_a_call_needs_far_more():
    batched, _ = tokens_per_candidate(BATCHED["rz-nas"], 120)
    single, _ = tokens_per_candidate(lambda llm: RZNASMutation(TOY.problem, llm, BRIEF), 120)
    assert single > 2 * batched
