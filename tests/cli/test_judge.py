"""`--score llm-judge` and the judge in the ensemble, as users meet them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mimar.cli._study_file import open_study
from mimar.llm import LLM, Retrying
from mimar.proxies import DecoderSubject, ProxyInputs, adw
from mimar.proxies.judge import JUDGE
from mimar.space import architecture_from_json


def shown(request: Any) -> list[tuple[int, str]]:
    """Numbers and descriptions of a judge's prompt; none for a prompt of another kind."""
    found = re.findall(r"^(\d+)\. (.+)$", request["messages"][-1]["content"], re.MULTILINE)
    return [(int(number), text) for number, text in found]


def ranked(request: Any, quality: Callable[[str], float]) -> tuple[int, str]:
    listed = sorted(shown(request), key=lambda entry: -quality(entry[1]))
    return 200, json.dumps({"ranking": [number for number, _ in listed]})


def letters(text: str) -> float:
    """A quality that no score sees, and that is the same in every process."""
    return sum(ord(letter) * (i % 7 + 1) for i, letter in enumerate(text)) % 1009


@pytest.fixture
def knowing(serve):
    """A server whose model ranks by `letters`."""
    return serve(lambda request, _: ranked(request, letters))


def trials_of(path: Path) -> list[tuple[Any, ...]]:
    return [(t.id, t.proposal, t.status, dict(t.metrics), t.reasons) for t in open_study(path).trials]


def test_a_judge_scores_a_search_and_tells_what_it_cost(design, mimar, knowing) -> None:
    outcome = design("--score", JUDGE, "--llm", knowing.spec, "--strategy", "random")
    result = outcome.json
    assert (outcome.code, result["trials"], result["failed"]) == (0, 16, 0)
    llm, judge = result["llm"], result["llm"]["judge"]
    assert llm["calls"] == llm["judging"] == judge["calls"] == judge["answers"] == len(knowing.requests) == 9
    assert llm["input_tokens"] == 900
    assert llm["candidates_per_call"] == 0
    assert (judge["candidates"], judge["anchors"], judge["self_consistency"]) == (28, 12, 1.0)
    assert judge["tokens_per_candidate"] == pytest.approx(9 * 150 / 28)
    assert f"{JUDGE}: {knowing.spec} ranked 12 anchors 3 times, self-consistency τ 1.00 (chance" in outcome.err
    assert "does not rank better than chance" not in outcome.err
    assert mimar("show", "study.db", "--json").json["llm"] == llm
    trials = open_study(Path("study.db")).trials
    scores = [(letters(DecoderSubject(t.architecture).description), t.metrics["score"]) for t in trials]
    assert sum((a > b) == (x > y) or x == y for a, x in scores for b, y in scores) == len(scores) ** 2
    assert "the judge ranked 28 architectures in 9 calls, self-consistency τ 1.00" in page(mimar)


def page(mimar, study: str = "study.db") -> str:
    assert mimar("report", study, "--out", "page.html").code == 0
    return Path("page.html").read_text(encoding="utf-8")


def test_what_the_judge_did_is_said_without_json_too(mimar) -> None:
    options = ("--device", "laptop-cpu", "--ctx", 256, "--trials", 8, "--strategy", "random")
    outcome = mimar("design", *options, "--score", JUDGE, "--llm", "uniform")
    assert outcome.code == 0
    assert "the judge ranked 20 architectures in 6 calls, self-consistency τ " in outcome.err
    assert "tokens an architecture" in outcome.err


def test_lists_hold_the_anchors_and_the_batch_in_ever_other_orders(design, knowing) -> None:
    design("--score", JUDGE, "--llm", knowing.spec, "--strategy", "random")
    lists = [[text for _, text in shown(request)] for request in knowing.requests]
    assert [len(texts) for texts in lists] == [12] * 3 + [20] * 6
    assert all(set(lists[0]) <= set(texts) for texts in lists)
    assert len({tuple(texts) for texts in lists}) == 9
    stored = open_study(Path("study.db")).settings.score_data["judge"]
    assert {entry["description"] for entry in stored["anchors"]} == set(lists[0])
    for entry in stored["anchors"]:
        assert DecoderSubject(architecture_from_json(entry["architecture"])).description == entry["description"]


def test_a_replay_repeats_a_judged_study_and_a_longer_one_goes_on(design, knowing) -> None:
    told = ("--score", JUDGE, "--strategy", "evolution")
    first = design(*told, "--llm", knowing.spec, "--study", "first.db").json
    calls = len(knowing.requests)
    again = design(*told, "--llm", "replay:first.db", "--study", "again.db").json
    assert again["front"] == first["front"]
    assert again["llm"]["cached"] == again["llm"]["calls"] == first["llm"]["calls"] == calls
    assert again["llm"]["judge"] == first["llm"]["judge"]
    longer = design("--study", "first.db", "--resume", "--trials", 24).json
    assert (longer["trials"], len(knowing.requests)) == (24, calls + 3)
    whole = design(*told, "--llm", knowing.spec, "--trials", 24, "--study", "whole.db").json
    assert whole["front"] == longer["front"]
    assert len(knowing.requests) == calls + 3  # all from the reply cache


@pytest.mark.parametrize("strategy", ["adaptive", "zerolm"])
def test_a_strategy_and_the_score_ask_the_same_model(design, serve, good_llm, strategy: str) -> None:
    stub = serve(lambda request, headers: ranked(request, letters) if shown(request) else good_llm(request, headers))
    result = design("--strategy", strategy, "--score", JUDGE, "--llm", stub.spec, "--trials", 24).json
    llm = result["llm"]
    assert 0 < llm["judging"] < llm["calls"] == len(stub.requests)
    assert llm["candidates_per_call"] == pytest.approx(llm["unique_valid"] / (llm["calls"] - llm["judging"]))
    again = design("--study", "study.db", "--resume").json
    assert (again["front"], again["llm"]["calls"]) == (result["front"], llm["calls"])


def test_a_judge_needs_a_language_model(design) -> None:
    design("--score", JUDGE).refused(2, f"score {JUDGE} needs a language model", "--llm local")
    assert not Path("study.db").exists()


def test_a_random_model_is_named_as_such(design) -> None:
    outcome = design("--score", JUDGE, "--llm", "uniform", "--strategy", "random")
    assert (outcome.code, outcome.json["trials"]) == (0, 16)
    assert "note: uniform does not rank better than chance here" in outcome.err
    assert abs(outcome.json["llm"]["judge"]["self_consistency"]) < 0.3


def test_a_model_that_ranks_nothing_is_refused_before_the_study_begins(design, serve) -> None:
    stub = serve(lambda request, _: (200, "I would rather not."))
    design("--score", JUDGE, "--llm", stub.spec).refused(4, "gave no usable ranking of 12 networks", "another score")
    assert not Path("study.db").exists()
    assert len(stub.requests) == 6


def test_a_provider_that_dies_ends_the_run_and_a_resumed_one_equals_one_never_stopped(
    design, serve, monkeypatch
) -> None:
    monkeypatch.setattr("mimar.cli._llm.Retrying", at_once)
    down: list[bool] = []

    def answer(request: Any, _: Mapping[str, str]) -> tuple[int, str | bytes]:
        if len(stub.requests) > 7 and down:
            return 503, b"down"
        return ranked(request, lambda text: letters(text) + random.Random(str(request["seed"]) + text).random() * 300)

    stub = serve(answer)
    told = ("--score", JUDGE, "--llm", stub.spec, "--strategy", "random")
    design(*told, "--study", "whole.db")
    Path("cache/mimar/replies.sqlite").unlink()
    stub.requests.clear()
    down.append(True)
    design(*told).refused(4, "503")
    assert open_study(Path("study.db")).stops == ("LLM failed",)
    assert len(trials_of(Path("study.db"))) == 8
    down.clear()
    resumed = design("--study", "study.db", "--resume").json
    assert resumed["trials"] == 16
    assert resumed["llm"]["failed"] > 0
    assert trials_of(Path("study.db"))[:8] == trials_of(Path("whole.db"))[:8]
    assert trials_of(Path("study.db")) == trials_of(Path("whole.db"))


def at_once(llm: LLM) -> Retrying:
    """Retries without waiting."""
    return Retrying(llm, sleep=lambda seconds: None)


SMALL = (
    "--only", "num_layers=4,5", "--only", "hidden_size=256,320", "--only", "layer_sharing=1", "--max-params", "4M",
    "--ctx", 64, "--vocab", 300, "--strategy", "random", "--trials", 4,
)  # fmt: skip
ENSEMBLE = ("--score", "rz_nas_ensemble", *SMALL)


@pytest.mark.slow
def test_in_the_ensemble_a_random_model_has_no_weight_and_changes_nothing(design, mimar) -> None:
    plain = design(*ENSEMBLE, "--study", "plain.db").json
    outcome = design(*ENSEMBLE, "--llm", "uniform", "--study", "random.db")
    assert f"{JUDGE} joins the ensemble with the weight 0.00 of 1: its answers agree with each other" in outcome.err
    assert outcome.json["front"] == plain["front"]
    judge = outcome.json["llm"]["judge"]
    assert (judge["calls"], judge["weight"]["weight"]) == (3, 0.0)  # it is never asked again
    assert "is needed" in judge["weight"]["reason"]
    assert "judge" not in plain["llm"]
    assert "weight 0.00 of 1" in page(mimar, "random.db")


def test_in_the_ensemble_a_model_that_knows_has_full_weight_and_a_random_one_none(design, serve) -> None:
    plain = design(*ENSEMBLE, "--llm", "uniform", "--study", "random.db").json
    assert (plain["llm"]["judge"]["weight"]["weight"], plain["llm"]["judge"]["calls"]) == (0.0, 3)
    anchors = open_study(Path("random.db")).settings.score_data["judge"]["anchors"]
    known = {
        entry["description"]: adw(ProxyInputs(DecoderSubject(architecture_from_json(entry["architecture"]))))
        for entry in anchors
    }
    stub = serve(lambda request, _: ranked(request, lambda text: known.get(text, letters(text))))
    outcome = design(*ENSEMBLE, "--llm", stub.spec)
    weight = outcome.json["llm"]["judge"]["weight"]
    assert (weight["weight"], weight["consistency"], weight["agreement"]) == pytest.approx((1, 1, 1))
    assert weight["yardstick"] == "adw"
    assert f"{JUDGE} joins the ensemble with the weight 1.00 of 1" in outcome.err
    assert outcome.json["front"] != plain["front"]
    requests = len(stub.requests)
    assert requests == outcome.json["llm"]["judging"] > 3
    again = design("--study", "study.db", "--resume", "--trials", 4).json
    assert (again["front"], len(stub.requests)) == (outcome.json["front"], requests)


@pytest.mark.slow
def test_in_the_ensemble_a_model_that_knows_sizes_alone_has_no_weight(design, serve) -> None:
    stub = serve(lambda request, _: ranked(request, size_in))
    weight = design(*ENSEMBLE, "--llm", stub.spec).json["llm"]["judge"]["weight"]
    assert weight["weight"] == 0.0
    assert weight["consistency"] > 0.9
    assert "at equal size" in weight["reason"]


@pytest.mark.slow
def test_in_the_ensemble_a_dead_model_has_no_weight_and_the_search_runs(design, serve, monkeypatch) -> None:
    monkeypatch.setattr("mimar.cli._llm.Retrying", at_once)
    stub = serve(lambda request, _: (503, b"down"))
    outcome = design(*ENSEMBLE, "--llm", stub.spec)
    assert (outcome.code, outcome.json["trials"]) == (0, 4)
    assert outcome.json["llm"]["judge"]["weight"]["weight"] == 0.0
    assert "503" in outcome.json["llm"]["judge"]["weight"]["reason"]


def size_in(text: str) -> float:
    found = re.search(r"([\d.]+)M without", text)
    assert found is not None
    return float(found[1])
