"""Where a judge places networks, and that the place is kept."""

import json
import pickle
from itertools import combinations
from statistics import median

import pytest

from mimar.errors import CandidateError, InputError, ReplyError
from mimar.llm import UniformLLM
from mimar.proxies import ProxyInputs, score_population
from mimar.proxies.judge import JUDGE, Anchors, LLMJudge, Panel, fit_anchors
from mimar.proxies.judge._strength import kendall
from mimar.testing import FaultyLLM, ScriptedJudge, ScriptedLLM


def scores(judge, subjects):
    return [judge(ProxyInputs(subject)) for subject in subjects]


def between(planted, a, b, anchors):
    """Whether an anchor lies between two networks in the planted order."""
    low, high = sorted((planted[a.description], planted[b.description]))
    return any(low < planted[description] < high for description in anchors.descriptions)


def require_planted_order(found, subjects, planted, anchors):
    """No pair is the wrong way round, and only those that no anchor tells apart are equal."""
    for (a, x), (b, y) in combinations(zip(subjects, found, strict=True), 2):
        ahead = planted[a.description] > planted[b.description]
        if between(planted, a, b, anchors):
            assert (x > y) == ahead
        else:
            assert x >= y - 1e-9 if ahead else x <= y + 1e-9


def test_a_model_that_knows_gives_the_planted_order(fitted, knowing, subjects, planted):
    judge = fitted(knowing)
    assert judge.anchors.consistency == 1
    judge.prepare(subjects)
    require_planted_order(scores(judge, subjects), subjects, planted, judge.anchors)


def test_a_list_holds_the_anchors_and_up_to_eight_others(fitted, knowing, subjects):
    judge = fitted(knowing)
    assert [len(shown) for shown in knowing.shown] == [12] * 3
    knowing.shown.clear()
    judge.prepare(subjects[12:31])
    assert [len(shown) for shown in knowing.shown] == [20] * 6 + [15] * 3
    for shown in knowing.shown:
        assert set(judge.anchors.descriptions) <= set(shown)


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_values_do_not_depend_on_who_shares_the_list(fitted, subjects, planted, noise):
    """With an LLM whose opinion of each network is its own: noise is drawn for the description, not for the call."""
    spoiled = {text: value + noise * (hash_of(text) - 0.5) for text, value in planted.items()}
    found = []
    for groups in ([subjects[12:20], subjects[20:28]], [subjects[12:28:2], subjects[13:28:2]], [[s] for s in subjects]):
        judge = fitted(ScriptedJudge(spoiled.__getitem__))
        for group in groups:
            judge.prepare(group)
        found.append(scores(judge, subjects[12:28]))
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(found[2])


def hash_of(text):
    return (sum(map(ord, text)) % 97) / 97


def test_a_value_is_kept_and_a_network_is_judged_once(fitted, subjects, planted):
    """Even where the model would answer otherwise each time."""
    llm = ScriptedJudge(planted.__getitem__, noise=1.0)
    judge = fitted(llm)
    judge.prepare(subjects[:20])
    before, calls = scores(judge, subjects[:20]), len(llm.shown)
    judge.prepare(subjects[:20])
    assert scores(judge, subjects[:20]) == before
    assert len(llm.shown) == calls
    judge.prepare(subjects)
    assert scores(judge, subjects[:20]) == before


def test_equal_descriptions_cost_one_place(fitted, knowing, subjects):
    judge = fitted(knowing)
    knowing.shown.clear()
    judge.prepare([subjects[20]] * 9)
    assert [len(shown) for shown in knowing.shown] == [13] * 3


def test_an_anchor_has_the_strength_that_was_fixed(fitted, knowing, subjects):
    judge = fitted(knowing)
    calls = len(knowing.shown)
    assert scores(judge, subjects[:12]) == list(judge.anchors.strengths)
    assert len(knowing.shown) == calls


def test_a_network_that_was_not_announced_is_judged_by_itself(fitted, knowing, subjects, planted):
    judge = fitted(knowing)
    found = score_population(judge, [subject.arch for subject in subjects])
    require_planted_order(list(found), subjects, planted, judge.anchors)


def test_a_copy_in_another_process_knows_what_was_prepared_and_never_asks(fitted, knowing, subjects):
    judge = fitted(knowing)
    judge.prepare(subjects[:20])
    copy = pickle.loads(pickle.dumps(judge))
    calls = len(knowing.shown)
    assert scores(copy, subjects[:20]) == scores(judge, subjects[:20])
    with pytest.raises(InputError, match="no language model here"):
        copy(ProxyInputs(subjects[30]))
    assert len(knowing.shown) == calls


def test_a_stored_judge_goes_on_where_it_was(fitted, knowing, subjects, planted):
    judge = fitted(knowing)
    stored = json.loads(json.dumps(judge.anchors.to_json()))
    assert Anchors.from_json(stored) == judge.anchors
    again = LLMJudge(Anchors.from_json(stored), Panel(ScriptedJudge(planted.__getitem__), "All are trained alike."))
    judge.prepare(subjects[12:20])
    again.prepare(subjects[12:20])
    assert scores(again, subjects[:20]) == scores(judge, subjects[:20])


@pytest.mark.parametrize("data", [None, {}, {"anchors": []}, {"anchors": [1], "self_consistency": 1, "chance": 0}])
def test_damaged_anchors_are_refused(data):
    with pytest.raises(InputError, match="fit_anchors"):
        Anchors.from_json(data)


def test_too_few_or_useless_anchors_are_refused(subjects, knowing):
    with pytest.raises(InputError, match="at least 4 different ones, got 3"):
        fit_anchors(Panel(knowing, "s"), [*subjects[:3], *subjects[:3]])
    with pytest.raises(ReplyError, match=r"gave no usable ranking of 6 networks \(expected JSON, got 'no'\)"):
        fit_anchors(Panel(ScriptedLLM(lambda *_: "no"), "s"), subjects[:6])


def test_broken_replies_are_survived(fitted, subjects, planted):
    """Three of ten replies are broken, the provider fails now and then: the order stands, but for lists that got the
    answer to another one, which nobody can tell from an opinion."""
    agreement = []
    for seed in range(8):
        judge = fitted(FaultyLLM(ScriptedJudge(planted.__getitem__), 0.3, seed), seed)
        judge.prepare(subjects)
        agreement.append(kendall(scores(judge, subjects), [planted[subject.description] for subject in subjects]))
    assert median(agreement) > 0.9
    assert min(agreement) > 0.7, agreement


def test_a_network_that_no_answer_ranks_fails_alone(fitted, subjects, planted):
    """The model never names one of them."""
    lost = subjects[15].description

    def reply(messages, schema, seed):
        judge = ScriptedJudge(lambda text: planted[text] if text != lost else -99.0)
        text = judge.complete(messages, None, temperature=0, seed=seed, max_tokens=99).text
        ranking = json.loads(text)["ranking"]
        return json.dumps({"ranking": ranking[:-1] if lost in messages[-1].content else ranking})

    judge = fitted(ScriptedLLM(reply))
    judge.prepare(subjects[12:20])
    with pytest.raises(CandidateError, match="no answer of the language model placed it"):
        judge(ProxyInputs(subjects[15]))
    kept = [*subjects[:15], *subjects[16:20]]
    require_planted_order(scores(judge, kept), kept, planted, judge.anchors)


def test_it_says_what_it_is(fitted):
    judge = fitted(UniformLLM())
    assert (judge.name, judge.needs, judge.cost, judge.higher_is_better) == (JUDGE, {"shapes"}, "language model", True)
