"""How a list is asked for: shuffled, repeated, and once more where an answer cannot be used."""

import itertools
import json

import pytest

from mimar.errors import CostLimitError, MissingKeyError, ProviderError, RateLimitError, ReplayError
from mimar.llm import Call, RejectedError
from mimar.proxies.judge import Panel
from mimar.proxies.judge._prompt import shown_in
from mimar.testing import FaultyLLM, ScriptedJudge, ScriptedLLM

LETTERS = [f"network {letter}" for letter in "abcdefghijklmnopqrst"]


def alphabetical():
    return ScriptedJudge(lambda description: -LETTERS.index(description))


def in_turn(*replies):
    """A model that gives these replies in turn, the last one ever after; an exception is raised."""
    left = itertools.chain(replies, itertools.repeat(replies[-1]))

    def reply(messages, schema, seed):
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, str) else json.dumps({"ranking": found})

    return ScriptedLLM(reply)


def test_each_answer_is_asked_for_in_another_order():
    llm = alphabetical()
    ballots = Panel(llm, "s").ask(LETTERS)
    assert ballots.rankings == (tuple(range(20)),) * 3
    assert len(set(llm.shown)) == 3
    assert {tuple(sorted(shown)) for shown in llm.shown} == {tuple(LETTERS)}
    first = [LETTERS.index(shown[0]) for shown in llm.shown]
    assert len(set(first)) > 1


def test_every_network_is_shown_everywhere():
    """Over many lists the place in the prompt says nothing of the place in the given list."""
    llm = alphabetical()
    for seed in range(100):
        Panel(llm, "s", seed).ask(LETTERS)
    places = [shown.index(LETTERS[0]) for shown in llm.shown]
    assert set(places) == set(range(20))
    assert sum(places) / len(places) == pytest.approx(9.5, abs=1.5)


def test_a_model_that_answers_in_the_order_shown_disagrees_with_itself():
    found = [Panel(in_turn(list(range(1, 21))), "s", seed).ask(LETTERS).consistency for seed in range(40)]
    assert sum(found) / len(found) == pytest.approx(0, abs=0.06)


def test_the_calls_follow_from_what_is_in_the_list():
    one, other, reversed_ = alphabetical(), alphabetical(), alphabetical()
    Panel(one, "s").ask(LETTERS[5:])
    one.shown.clear()
    Panel(one, "s").ask(LETTERS)
    Panel(other, "s").ask(LETTERS)
    rankings = Panel(reversed_, "s").ask(LETTERS[::-1]).rankings
    assert one.shown == other.shown == reversed_.shown
    assert rankings == (tuple(range(19, -1, -1)),) * 3
    Panel(other, "s", seed=1).ask(LETTERS)
    assert other.shown[3:] != other.shown[:3]


def test_an_unusable_reply_is_asked_for_once_more():
    llm = in_turn("prose", [2, 1], [1], [1, 2, 3, 4], "", [4, 3, 2, 1])
    ballots = Panel(llm, "s").ask(LETTERS[:4])
    assert llm.calls == 6
    assert [len(ranking) for ranking in ballots.rankings] == [2, 4, 4]  # half of the list is enough


def test_a_model_that_never_ranks_gives_no_ballots():
    llm = in_turn("I cannot rank these.")
    assert Panel(llm, "s").ask(LETTERS).rankings == ()
    assert llm.calls == 6


@pytest.mark.parametrize("error", [ProviderError("HTTP 503"), RateLimitError("wait", 2.0)])
def test_a_provider_that_is_gone_is_an_error_and_one_that_recovers_is_none(error):
    for before in ([], [[1, 2, 3, 4]], [[1, 2, 3, 4], "prose"]):
        gone = in_turn(*before, error)
        with pytest.raises(type(error)):
            Panel(gone, "s").ask(LETTERS[:4])
        assert gone.calls == len(before) + 3
    recovers = in_turn(error, error, [1, 2, 3, 4])
    assert len(Panel(recovers, "s").ask(LETTERS[:4]).rankings) == 3
    assert recovers.calls == 5
    assert Panel(in_turn(error, error, "prose", error, error, "prose"), "s").ask(LETTERS[:4]).rankings == ()


@pytest.mark.parametrize("kind", [CostLimitError, MissingKeyError, ReplayError, RejectedError])
def test_what_asking_again_cannot_help_is_raised_at_once(kind):
    llm = in_turn(kind("no"))
    with pytest.raises(kind):
        Panel(llm, "s").ask(LETTERS)
    assert llm.calls == 1


def test_three_broken_replies_of_ten_cost_calls_and_change_no_order():
    answers = 0
    for seed in range(30):
        ballots = Panel(FaultyLLM(alphabetical(), 0.3, seed), "s", seed).ask(LETTERS)
        assert set(ballots.rankings) == {tuple(range(20))}
        answers += len(ballots.rankings)
    assert answers >= 0.95 * 90


def test_the_temperature_is_that_of_the_best_guess_and_the_answer_has_room():
    asked = []

    class Listening:
        name = "listening"

        def complete(self, messages, schema, **options):
            asked.append(Call(tuple(messages), schema, **options))
            return alphabetical().complete(messages, schema, **options)

    Panel(Listening(), "s").ask(LETTERS)
    assert {call.temperature for call in asked} == {0.0}
    assert len({call.seed for call in asked}) == 3
    for call in asked:
        assert len(shown_in(call)) == 20
        assert call.max_tokens >= len(json.dumps({"ranking": list(range(1, 21))}))
