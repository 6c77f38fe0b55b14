"""Trials as data."""

import json

import pytest

from mimar.trial import Proposal, Trial, trial_from_json, trial_to_json

COMPLETE = Trial(
    3,
    Proposal((1, 2), "crossover", (0, 2), note="because é"),
    "complete",
    {"score": 0.1 + 0.2, "params": 5e6},
    seconds=0.25,
)
FAILED = Trial(4, Proposal((1, 3), "mutation", (3,), fidelity="half"), "failed", reasons=("out of memory",))
INVALID = Trial(5, Proposal((9,), "llm", reasons=("too wide", "too deep")), "invalid", reasons=("too wide", "too deep"))
UNREADABLE = Trial(6, Proposal(None, "llm", reasons=("not JSON",), note="<b>"), "invalid", reasons=("not JSON",))


@pytest.mark.parametrize("trial", [COMPLETE, FAILED, INVALID, UNREADABLE], ids=lambda trial: trial.status)
def test_json_gives_the_same_trial_back(trial):
    arch = trial.proposal.architecture
    data = json.loads(json.dumps(trial_to_json(trial, None if arch is None else list(arch))))
    assert trial_from_json(data, tuple) == trial


def test_the_architecture_of_what_did_not_parse_is_an_error():
    assert COMPLETE.architecture == (1, 2)
    with pytest.raises(ValueError, match="trial 6 has no architecture: not JSON"):
        _ = UNREADABLE.architecture
