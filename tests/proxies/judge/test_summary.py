"""What the records of a judge's calls tell."""

import json

import pytest

from mimar.llm import Recalled, UniformLLM
from mimar.proxies.judge import LLMJudge, Panel, fit_anchors, judge_summary
from mimar.testing import FaultyLLM, ScriptedJudge, ScriptedLLM


def judged(llm, subjects, anchors=12):
    records = []
    panel = Panel(Recalled(llm, (), records.append), "s")
    judge = LLMJudge(fit_anchors(panel, subjects[:anchors]), panel)
    judge.prepare(subjects)
    return records, judge


def test_all_calls_count_and_each_network_once(subjects, knowing):
    records, _ = judged(knowing, subjects[:28])
    found = judge_summary(records)
    assert (found.calls, found.answers, found.candidates, found.self_consistency) == (9, 9, 28, 1.0)
    tokens = sum(record.usage.input_tokens + record.usage.output_tokens for record in records)
    assert (found.tokens, found.tokens_per_candidate) == (tokens, pytest.approx(tokens / 28))
    assert found.to_json()["tokens_per_candidate"] == found.tokens_per_candidate


def test_consistency_is_that_of_the_lists(subjects, planted):
    llm = ScriptedJudge(planted.__getitem__, noise=0.3)
    records, judge = judged(llm, subjects[:12])
    assert judge_summary(records).self_consistency == pytest.approx(judge.anchors.consistency)
    assert 0 < judge.anchors.consistency < 1
    more, _ = judged(llm, subjects[:20])
    both = judge_summary(more)
    second = judge_summary(more[3:]).self_consistency
    assert both.self_consistency == pytest.approx((judge.anchors.consistency + second) / 2)


def test_broken_replies_are_calls_without_an_answer(subjects, planted):
    records, _ = judged(FaultyLLM(ScriptedJudge(planted.__getitem__), 0.4, 3), subjects[:20])
    found = judge_summary(records)
    assert found.calls == len(records) > found.answers >= 4
    assert found.self_consistency == 1


def test_incomplete_answers_count_as_far_as_they_go(subjects):
    records, _ = judged(UniformLLM(), subjects[:20])
    found = judge_summary(records)
    assert found.answers == 6
    assert found.self_consistency == pytest.approx(0, abs=0.35)


def test_networks_of_one_description_are_told_apart():
    records = []
    llm = ScriptedJudge({"a": 3.0, "b": 2.0, "c": 1.0}.__getitem__)
    Panel(Recalled(llm, (), records.append), "s").ask(["a", "b", "b", "c", "a", "b"])
    assert judge_summary(records).candidates == 6


def test_nothing_was_asked():
    assert judge_summary(()).to_json() == {
        "calls": 0, "answers": 0, "candidates": 0, "self_consistency": None, "tokens": 0, "tokens_per_candidate": 0.0,
    }  # fmt: skip


def test_a_single_answer_has_no_consistency(subjects):
    llm = ScriptedLLM([json.dumps({"ranking": list(range(1, 13))})] + ["no"] * 5)
    records = []
    Panel(Recalled(llm, (), records.append), "s").ask([subject.description for subject in subjects[:12]])
    found = judge_summary(records)
    assert (found.calls, found.answers, found.self_consistency) == (6, 1, None)
