from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import replace

import pytest

from mimar.errors import CostLimitError, ProviderError, RateLimitError, ReplayError, ReplyError
from mimar.llm import (
    BilledReplyError,
    Cached,
    CallRecord,
    CostLimited,
    Ledger,
    Message,
    Recalled,
    Recording,
    RejectedError,
    ReplayLLM,
    Retrying,
    Usage,
)
from mimar.testing._llm import FaultyLLM, ScriptedLLM

SCHEMA = {"type": "object", "properties": {"layers": {"type": "integer"}}, "required": ["layers"]}


def ask(llm, text="how many?", *, seed=0, schema=SCHEMA, temperature=0.5, max_tokens=64):
    return llm.complete([Message("user", text)], schema, temperature=temperature, seed=seed, max_tokens=max_tokens)


def by_seed(**options):
    return ScriptedLLM(lambda messages, schema, seed: json.dumps({"layers": seed}), **options)


def outcomes(llm, seeds):
    """What the calls with these seeds give: the reply, or the error's class, text and reply."""
    results = []
    for seed in seeds:
        try:
            results.append(ask(llm, seed=seed))
        except (ReplyError, ProviderError, RateLimitError, CostLimitError) as error:
            results.append(
                (type(error), str(error), getattr(error, "reply", None), getattr(error, "retry_after", None))
            )
    return results


class Failing:
    """Raises the given errors one after the other, then answers."""

    name = "failing"

    def __init__(self, *errors):
        self.errors = list(errors)

    def complete(self, messages, schema, *, temperature, seed, max_tokens):
        if self.errors:
            raise self.errors.pop(0)
        return by_seed().complete(messages, schema, temperature=temperature, seed=seed, max_tokens=max_tokens)


def test_retrying_waits_twice_as_long_each_time_and_honours_the_provider(caplog):
    waits = []
    llm = Failing(ProviderError("500"), ProviderError("500"), RateLimitError("429", 7.5))
    with caplog.at_level(logging.WARNING):
        assert ask(Retrying(llm, 4, waits.append), seed=3).parsed == {"layers": 3}
    assert waits == [1.0, 2.0, 7.5]
    assert "attempt 1 of 4" in caplog.text


@pytest.mark.parametrize(
    ("errors", "waits"),
    [
        ([ProviderError("a"), ProviderError("b"), ProviderError("last")], [1.0, 2.0]),
        ([RateLimitError("last", 3600.0)], []),
        ([RejectedError("last")], []),
        ([ReplyError("last")], []),
    ],
)
def test_retrying_gives_up(errors, waits):
    waited = []
    with pytest.raises(type(errors[-1]), match="last"):
        ask(Retrying(Failing(*errors), 3, waited.append))
    assert waited == waits


def test_cached_answers_again_without_asking(tmp_path):
    llm = by_seed(price=0.5)
    cached = Cached(llm, tmp_path / "deep" / "replies.sqlite")
    first, second = ask(cached, seed=4), ask(cached, seed=4)
    assert llm.calls == 1
    assert (second.text, second.parsed, second.model) == (first.text, first.parsed, first.model)
    assert second.usage == Usage(first.usage.input_tokens, first.usage.output_tokens, 0.0, 0.5, cached=True)
    assert ask(Cached(by_seed(), tmp_path / "deep" / "replies.sqlite"), seed=4).usage.cached


def test_cached_asks_again_when_any_part_of_the_call_differs(tmp_path):
    llm = by_seed()
    cached = Cached(llm, tmp_path / "replies.sqlite")
    ask(cached)
    for change in ({"text": "other"}, {"seed": 1}, {"schema": None}, {"temperature": 0.6}, {"max_tokens": 65}):
        assert not ask(cached, **change).usage.cached
    assert not ask(Cached(by_seed(name="other"), tmp_path / "replies.sqlite")).usage.cached
    assert llm.calls == 6


def test_cached_keeps_no_failures(tmp_path):
    cached = Cached(Failing(ProviderError("down"), ReplyError("nothing came")), tmp_path / "replies.sqlite")
    for failure in (ProviderError, ReplyError):
        with pytest.raises(failure):
            ask(cached, seed=2)
    assert not ask(cached, seed=2).usage.cached


def test_a_reply_of_no_use_is_paid_for_once_too(tmp_path):
    """So that a search that is run again meets the same replies, whatever they are worth."""
    llm = ScriptedLLM(["prose"], price=0.4)
    for cached in (False, True, True):
        with pytest.raises(BilledReplyError) as caught:
            ask(Cached(llm, tmp_path / "replies.sqlite"))
        assert caught.value.reply == "prose"
        assert (caught.value.usage.cached, caught.value.usage.cost) == (cached, 0.4)
    assert llm.calls == 1


def test_a_damaged_cache_is_set_aside_with_a_warning(tmp_path, caplog):
    path = tmp_path / "replies.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    cached = Cached(by_seed(), path)
    assert ask(cached, seed=2).parsed == {"layers": 2}
    assert "damaged" in caplog.text
    assert (tmp_path / "replies.sqlite.damaged").read_bytes().startswith(b"this is no database")
    assert ask(cached, seed=2).usage.cached


def test_a_broken_entry_and_an_unusable_place_only_cost_the_hit(tmp_path, caplog):
    path = tmp_path / "replies.sqlite"
    cached = Cached(by_seed(), path)
    ask(cached)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE replies SET reply = '{\"text\": 1}'")
    connection.close()
    assert not ask(cached).usage.cached
    caplog.clear()
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert ask(Cached(by_seed(), blocker / "replies.sqlite"), seed=9).parsed == {"layers": 9}
    assert "cannot" in caplog.text or "not used" in caplog.text


def test_recording_reports_live_calls_and_survives_json():
    records = []
    llm = Recording(FaultyLLM(by_seed(price=0.01), 0.6, seed=3), (), records.append)
    outcomes(llm, range(40))
    assert len(records) == 40
    assert any(record.error for record in records)
    assert any(record.reply for record in records)
    again = [CallRecord.from_json(json.loads(json.dumps(record.to_json()))) for record in records]
    assert again == records


def test_a_resumed_run_sees_what_the_uninterrupted_one_saw():
    whole = []
    expected = outcomes(Recording(FaultyLLM(by_seed(), 0.6, seed=3), (), whole.append), range(40))
    for stop in (0, 1, 17, 40):
        live = []
        llm = by_seed()
        resumed = Recording(llm, whole[:stop], live.append)
        assert outcomes(resumed, range(stop)) == expected[:stop]
        assert not live
        assert llm.calls == 0
        ask(resumed, seed=99)
        assert [record.call.seed for record in live] == [99]


def test_recording_refuses_a_call_that_differs_from_the_record():
    records = []
    ask(Recording(by_seed(), (), records.append), "first question")
    with pytest.raises(ReplayError, match=r"call 1 .*messages: recorded .*first.*asked .*second"):
        ask(Recording(by_seed(), records, records.append), "second question")
    with pytest.raises(ReplayError, match="llm: recorded 'scripted', asked 'other'"):
        ask(Recording(by_seed(name="other"), records, records.append), "first question")
    assert len(records) == 1


def test_recalled_answers_what_is_on_record_in_any_order_and_asks_the_rest():
    records, live = [], []
    expected = outcomes(Recording(FaultyLLM(by_seed(), 0.5, seed=4), (), records.append), range(20))
    assert any(record.error for record in records)
    llm = by_seed()
    recalled = Recalled(llm, records, live.append)
    backwards = outcomes(recalled, reversed(range(20)))
    assert backwards == expected[::-1]
    assert (llm.calls, live) == (0, [])
    ask(recalled, seed=99)
    ask(recalled, "another question", seed=3)
    assert [record.call.seed for record in live] == [99, 3]


def test_recalled_gives_records_in_order_failures_once_and_replies_again():
    records, live = [], []
    script = ["prose", '{"layers": 2}', '{"layers": 3}', "prose"]
    first, second, third, last = outcomes(Recording(ScriptedLLM(script), (), records.append), [5, 5, 5, 5])
    recalled = Recalled(by_seed(), records[:3], live.append)
    assert outcomes(recalled, [5] * 5) == [first, second, third, third, third]
    assert live == []
    recalled = Recalled(by_seed(), records[3:], live.append)
    found = outcomes(recalled, [5, 5])
    assert (found[0], found[1].parsed) == (last, {"layers": 5})
    assert len(live) == 1
    other = Recalled(by_seed(name="other"), records, live.append)
    assert outcomes(other, [5])[0].parsed == {"layers": 5}  # what another model said is no answer of this one


def test_recalled_reports_failures_too_but_not_what_a_replay_lacks():
    live = []
    failing = Recalled(Failing(ProviderError("HTTP 500"), ReplayError("never recorded")), (), live.append)
    for kind in (ProviderError, ReplayError):
        with pytest.raises(kind):
            ask(failing)
    assert [record.error.kind for record in live] == ["ProviderError"]


def test_replay_answers_in_any_order_and_refuses_the_unseen():
    records = []
    live = Recording(by_seed(price=0.5), (), records.append)
    replies = outcomes(live, [1, 2, 3])
    replay = ReplayLLM(records)
    assert replay.name == live.name
    for seed in (3, 1, 2, 1):
        reply = ask(replay, seed=seed)
        assert reply.parsed == replies[seed - 1].parsed
        assert reply.usage.cached
        assert reply.usage.cost == 0.5
    with pytest.raises(ReplayError, match="3 recorded calls"):
        ask(replay, seed=4)


def test_replay_gives_repeated_calls_in_recorded_order():
    records = []
    live = Recording(ScriptedLLM(["prose", '{"layers": 2}']), (), records.append)
    first, second = outcomes(live, [5, 5])
    assert outcomes(ReplayLLM(records), [5, 5, 5])[0] == first
    assert [r.parsed for r in outcomes(ReplayLLM(records), [5, 5, 5])[1:]] == [second.parsed] * 2


def test_cost_limit_counts_failed_replies_and_earlier_spending():
    llm = CostLimited(ScriptedLLM(['{"layers": 2}', "prose", '{"layers": 3}'], price=0.4), limit=1.0, spent=0.3)
    ask(llm)
    with pytest.raises(BilledReplyError):
        ask(llm)
    with pytest.raises(CostLimitError, match=r"\$1 is reached \(\$1.1000 spent\): raise --max-cost"):
        ask(llm)
    with pytest.raises(CostLimitError):
        ask(CostLimited(by_seed(), limit=0.0))


def test_cost_limit_does_not_count_what_was_cached(tmp_path):
    inner = Cached(by_seed(price=0.4), tmp_path / "replies.sqlite")
    limited = CostLimited(inner, limit=0.5)
    for _ in range(5):
        ask(limited)
    assert ask(limited, seed=1).parsed == {"layers": 1}
    with pytest.raises(CostLimitError):
        ask(limited, seed=2)


def test_ledger_folds_records(tmp_path):
    records = []
    scripted = ScriptedLLM(['{"layers": 2}', "not JSON"], price=0.25)
    llm = Recording(Cached(scripted, tmp_path / "replies.sqlite"), (), records.append)
    ask(llm, seed=1)
    ask(llm, seed=1)
    with pytest.raises(ReplyError):
        ask(llm, seed=2)
    ledger = replace(Ledger().add(records[0]), unique_valid=4).add(records[1]).add(records[2])
    assert (ledger.calls, ledger.failed, ledger.cached, ledger.unique_valid) == (3, 1, 1, 4)
    assert ledger.cost == 0.5
    assert ledger.output_tokens == records[0].usage.output_tokens + records[2].usage.output_tokens
    assert ledger.to_json()["candidates_per_call"] == pytest.approx(4 / 3)
    assert Ledger().to_json()["candidates_per_call"] == 0.0


def test_errors_of_the_provider_carry_no_cost_but_their_seconds():
    records = []
    with pytest.raises(ProviderError):
        ask(Recording(Failing(ProviderError("down")), (), records.append))
    assert records[0].error.kind == "ProviderError"
    assert records[0].usage.cost == 0
    assert records[0].usage.seconds >= 0


def test_faulty_is_a_seeded_stream_of_every_fault():
    first, second, other = (outcomes(FaultyLLM(by_seed(), 1.0, seed), range(120)) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    failed = [outcome for outcome in first if isinstance(outcome, tuple)]  # a faulty edit may leave a fine reply
    assert {kind for kind, *_ in failed} == {BilledReplyError, ProviderError, RateLimitError}
    assert len({reason for _, reason, *_ in failed}) >= 9
    assert all(not isinstance(outcome, tuple) for outcome in outcomes(FaultyLLM(by_seed(), 0.0), range(20)))


def test_a_used_up_script_says_so():
    llm = ScriptedLLM(["one"])
    ask(llm, schema=None)
    with pytest.raises(ReplayError, match="at most 1 calls"):
        ask(llm, schema=None)
