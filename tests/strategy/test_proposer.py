"""From a state of the search to a prompt, and from a reply to judged proposals."""

import json

import numpy as np
import pytest

from mimar.errors import ProviderError
from mimar.space import TransformerSpace
from mimar.strategy import Archive, Brief, Proposer
from mimar.testing import ScriptedLLM, layerdrop_problem, toy_problem
from mimar.trial import Proposal, Trial

SPACE = TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448])
TOY = toy_problem(SPACE)
BRIEF = Brief("params at most 60M", "A laptop with 16 GB of memory; it runs small matrices well.")


def archive_of(toy, count, seed=0):
    rng, archive = np.random.default_rng(seed), Archive(toy.problem.objectives)
    for index in range(count):
        arch = toy.problem.space.sample(rng)
        archive.add([Trial(index, Proposal(arch, "random"), "complete", toy.measure(arch))])
    return archive


def proposer(script, toy=TOY):
    return Proposer(toy.problem, ScriptedLLM(script), BRIEF)


def reply(*candidates):
    return json.dumps({"candidates": list(candidates)})


def good(count, seed=1):
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        arch = SPACE.sample(rng)
        if not TOY.problem.check(arch):
            found.append(SPACE.to_json(arch))
    return found


def propose(made, archive=None, count=4):
    return made.propose(archive or archive_of(TOY, 0), count, np.random.default_rng(5))


def text(messages):
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages) + "\n"


def test_the_prompt_at_the_start(check_golden):
    messages = proposer([]).messages(archive_of(TOY, 0), 4, np.random.default_rng(0))
    check_golden("prompt_start.txt", text(messages))


def test_the_prompt_with_results_and_rejections(check_golden):
    made = proposer([reply({"num_layers": 5}, "prose", *good(1))])
    archive = archive_of(TOY, 12)
    propose(made, archive)
    check_golden("prompt_later.txt", text(made.messages(archive, 4, np.random.default_rng(0))))


def test_the_prompt_of_another_space(check_golden):
    toy = layerdrop_problem()
    messages = proposer([], toy).messages(archive_of(toy, 6), 2, np.random.default_rng(0))
    check_golden("prompt_layerdrop.txt", text(messages))


def test_words_are_shuffled_and_the_state_decides_the_rest():
    archive = archive_of(TOY, 5)
    first, again, other = (text(proposer([]).messages(archive, 4, np.random.default_rng(seed))) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first.split()) == sorted(other.split())


def test_each_candidate_is_judged_by_itself():
    fine, fine_too = good(2)
    wide = fine | {"hidden_size": 448, "num_layers": 8, "intermediate_size": 448 * 8, "vocab_size": 10**6}
    batch = propose(proposer([reply(fine, {"num_layers": 4}, fine, wide, fine_too, "no")]), count=6)
    reasons = [proposal.reasons for proposal in batch.proposals]
    assert [bool(reason) for reason in reasons] == [False, True, True, True, False, True]
    assert reasons[2] == ("repeats an earlier architecture",)
    assert any("vocabulary" in reason for reason in reasons[3])
    assert reasons[5] == ("expected a JSON object, got a text",)
    assert [proposal.architecture is None for proposal in batch.proposals] == [False, True, False, False, False, True]
    assert {proposal.origin for proposal in batch.proposals} == {"llm"}


def test_an_architecture_that_was_tried_before_is_a_repetition():
    archive = archive_of(TOY, 3)
    known = [SPACE.to_json(trial.architecture) for trial in archive.complete]
    batch = propose(proposer([reply(*known)]), archive)
    assert [proposal.reasons for proposal in batch.proposals] == [("repeats an earlier architecture",)] * 3


@pytest.mark.parametrize("prose", ["Use fewer layers.", "", '{"candidates": 3}', "[[[", "\ud800", "[" * 2000])
def test_an_unreadable_reply_is_one_rejection_and_is_paid_for(prose):
    batch = propose(proposer([prose]))
    (proposal,) = batch.proposals
    assert proposal.architecture is None
    assert proposal.reasons
    assert proposal.note == prose
    assert batch.usage.input_tokens > 100


@pytest.mark.parametrize("depth", [100, 800, 900, 940, 970, 990])
def test_a_deeply_nested_reply_is_rejected(depth):
    batch = propose(proposer(['{"candidates": [{"num_layers": ' + "[" * depth + "]" * depth + "}]}"]))
    assert all(proposal.reasons for proposal in batch.proposals)


def test_surplus_candidates_are_left_aside_and_may_come_again():
    candidates = good(9)
    archive = archive_of(TOY, 0)
    made = proposer([reply(*candidates), reply(*candidates[4:8])])
    first, second = propose(made, archive), propose(made, archive)
    for batch in (first, second):
        assert [proposal.reasons for proposal in batch.proposals] == [()] * 4


def test_only_the_rejections_of_the_last_call_are_shown():
    made = proposer([reply("first"), reply([]), reply(*good(1))])
    shown = []
    for _ in range(3):
        propose(made)
        shown.append(text(made.messages(archive_of(TOY, 0), 4, np.random.default_rng(0))))
    assert ["got a text" in each for each in shown] == [True, False, False]
    assert ["got a list" in each for each in shown] == [False, True, False]


def test_no_reply_at_all_is_raised():
    def dead(messages, schema, seed):
        raise ProviderError("the provider answered HTTP 500")

    with pytest.raises(ProviderError):
        propose(proposer(dead))
