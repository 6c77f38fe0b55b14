"""A language model that fails in every way a provider can: nothing stored is lost, and no key is ever written down."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path
from typing import Any

import pytest

from mimar.cli._study_file import StudyFile, open_study
from mimar.llm import ProviderLLM, _retrying
from mimar.strategy import _operator
from mimar.testing import FAULTY_TEXTS

KEY = "sk-test-0123456789abcdef/+=#secret"
TEXTS = {**FAULTY_TEXTS, "wrong schema": '{"architectures": []}', "a list": "[[[1]]]", "null": '{"candidates": null}'}
FAILURES: dict[str, tuple[int, str | bytes]] = {
    **{name: (200, text) for name, text in TEXTS.items()},
    "not a completion": (200, b'{"hello": "world"}'),
    "not even JSON": (200, b"<html>It works!</html>"),
    "401": (401, b'{"error": {"message": "who are you?"}}'),
    "404": (404, b'{"error": {"message": "no such model"}}'),
    "429": (429, b'{"error": {"message": "slow down"}}'),
    "500": (500, b'{"error": {"message": "on fire"}}'),
    "no answer": (0, b""),
}
WORTH_REPEATING = ("429", "500", "no answer", "not a completion", "not even JSON")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hundredths of a second between attempts; less than a second for an answer where none comes."""
    monkeypatch.setattr(_retrying, "_FIRST_WAIT", 0.01)
    if "no answer" in request.node.name:
        monkeypatch.setitem(ProviderLLM.__init__.__kwdefaults__, "timeout", 0.3)


def llm_statuses(study: StudyFile) -> list[str]:
    """The status of every trial that came from the language model."""
    return [trial.status for trial in study.trials if trial.proposal.by_llm]


@pytest.mark.parametrize("failure", FAILURES)
def test_the_portfolio_goes_on_and_counts_the_failure(design, mimar, serve, failure: str) -> None:
    stub = serve(lambda *_: FAILURES[failure])
    outcome = design("--llm", stub.spec, "--trials", 20)
    assert outcome.code == 0
    assert "Traceback" not in outcome.err
    result = outcome.json
    assert result["trials"] == 20
    assert result["invalid"] > 0
    assert result["llm"]["calls"] == result["llm"]["failed"] > 0
    assert result["llm"]["unique_valid"] == 0
    assert len(stub.requests) == (4 if failure in WORTH_REPEATING else 1) * result["llm"]["calls"]
    rejected = [trial for trial in open_study(Path("study.db")).trials if trial.status == "invalid"]
    assert all(trial.reasons for trial in rejected)
    if failure not in TEXTS:
        assert "goes on without the LLM" in rejected[0].reasons[0]
        assert result["llm"]["calls"] <= 2
    assert mimar("report", "study.db", "--out", "page.html").code == 0


@pytest.mark.parametrize(("failure", "asked"), [("401", 1), ("500", _operator.FAILURES)])
def test_a_strategy_that_needs_the_model_stores_all_and_resumes(
    design, mimar, serve, good_llm, failure: str, asked: int
) -> None:
    """A key that is refused once is refused again."""
    repaired: list[bool] = []

    def answer(request: Any, headers: Any) -> tuple[int, str | bytes]:
        return good_llm(request, headers) if repaired or len(stub.requests) <= 2 else FAILURES[failure]

    stub = serve(answer)
    outcome = design("--strategy", "zerolm", "--llm", stub.spec, "--trials", 24)
    outcome.refused(4, stub.address)
    assert set(outcome.json) == {"error", "kind", "exit_code"}
    before = open_study(Path("study.db"))
    assert before.stops == ("LLM failed",)
    assert [call.error is None for call in before.calls] == [True, True, *[False] * asked]
    assert llm_statuses(before).count("complete") > 2
    assert mimar("show", "study.db", "--json").json["trials"] == llm_statuses(before).count("complete")
    repaired.append(True)
    assert design("--resume", "--trials", 24).json["trials"] == 24
    after = open_study(Path("study.db"))
    assert after.trials[: len(before.trials)] == before.trials
    assert after.calls[: len(before.calls)] == before.calls


@pytest.mark.parametrize("failure", ["no answer"])
def test_a_strategy_that_needs_the_model_does_not_wait_for_ever(design, serve, failure: str) -> None:
    stub = serve(lambda *_: FAILURES[failure])
    outcome = design("--strategy", "zerolm", "--llm", stub.spec)
    outcome.refused(4, stub.address, "no answer in time")
    assert outcome.json["kind"] == "ProviderError"


@pytest.mark.parametrize("failure", ["prose", "wrong schema", "empty"])
def test_replies_without_a_candidate_end_a_search_that_has_nothing_else(design, serve, failure: str) -> None:
    stub = serve(lambda *_: FAILURES[failure])
    outcome = design("--strategy", "zerolm", "--llm", stub.spec)
    assert (outcome.code, outcome.json["stopped"]) == (0, "nothing new found")
    assert outcome.json["front"] == []
    assert outcome.json["trials"] == 0
    assert outcome.json["invalid"] == outcome.json["llm"]["failed"] == len(stub.requests)


@pytest.mark.parametrize("spec", ["openai:gpt-4.1", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"])
@pytest.mark.parametrize("strategy", ["adaptive", "zerolm"])
def test_a_missing_key_is_named_before_anything_begins(design, spec: str, strategy: str) -> None:
    outcome = design("--llm", spec, "--strategy", strategy)
    outcome.refused(4, spec.partition(":")[0], "_API_KEY")
    assert (outcome.json["kind"], outcome.json["exit_code"]) == ("MissingKeyError", 4)


def test_no_money_no_calls(design, serve, good_llm) -> None:
    stub = serve(good_llm)
    result = design("--llm", stub.spec, "--max-cost", 0, "--trials", 24)
    assert result.json["trials"] == 24
    reasons = [reason for trial in open_study(Path("study.db")).trials for reason in trial.reasons]
    assert any("--max-cost" in reason for reason in reasons)
    broke = design("--llm", stub.spec, "--max-cost", 0, "--strategy", "zerolm", "--study", "other.db")
    broke.refused(4, "cost limit", "--max-cost")
    assert stub.requests == []
    assert design("--study", "other.db", "--resume", "--max-cost", 1).json["trials"] == 16


def test_more_money_brings_the_model_back(design, serve, good_llm) -> None:
    stub = serve(good_llm)
    design("--llm", stub.spec, "--max-cost", 0, "--trials", 12)
    assert stub.requests == []
    design("--resume", "--trials", 16)  # the limit of the start holds until another is given
    assert stub.requests == []
    result = design("--resume", "--max-cost", 1, "--trials", 160).json
    assert result["trials"] == 160
    assert result["llm"]["unique_valid"] > 0
    assert len(stub.requests) == result["llm"]["calls"] - result["llm"]["failed"] > 0


def test_a_limit_without_a_price_says_that_it_cannot_act(design, serve, good_llm, monkeypatch) -> None:
    stub = serve(good_llm)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", stub.address)
    cases = {
        (stub.spec,): (),
        (stub.spec, "--max-cost", 5): ("no list price", "--max-cost cannot stop", "output_tokens"),
        ("openai:model-of-tomorrow",): ("no list price", "count as free"),
        ("openai:model-of-tomorrow", "--max-cost", 5): ("no list price", "--max-cost cannot stop", "output_tokens"),
        ("openai:gpt-4.1", "--max-cost", 5): (),
    }
    for number, (told, words) in enumerate(cases.items()):
        outcome = design("--llm", *told, "--trials", 24, "--study", f"{number}.db")
        assert outcome.json["llm"]["calls"] > 0
        notes = [line for line in outcome.err.splitlines() if "no list price" in line]
        assert len(notes) == bool(words), told
        assert all(word in notes[0] for word in words)
        assert ("--max-cost" in outcome.err) is ("--max-cost cannot stop" in words)


HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m red\rover"
"""Sets the window's title, clears the screen, turns red and overwrites its own line."""


@pytest.mark.parametrize("status", [401, 500])
def test_what_a_provider_says_does_not_steer_the_terminal(design, serve, caplog, status: int) -> None:
    stub = serve(lambda *_: (status, json.dumps({"error": {"message": HOSTILE}}).encode()))
    outcome = design("--llm", stub.spec, "--strategy", "zerolm")
    outcome.refused(4, "]0;owned", "red")
    said = outcome.err + caplog.text + outcome.out + outcome.json["error"]
    assert {"\x1b", "\x07", "\x9b", "\r"}.isdisjoint(said)
    errors = [call.error for call in open_study(Path("study.db")).calls]
    assert errors
    assert all(error is not None and {"\x1b", "\x9b"}.isdisjoint(error.message) for error in errors)


def test_a_refusing_provider_is_said_on_standard_error(process, serve) -> None:
    stub = serve(lambda *_: FAILURES["404"])
    done = process("design", "--device", "laptop-cpu", "--ctx", 256, "--trials", 24, "--llm", stub.spec, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["trials"] == 24
    assert "the search goes on without the LLM" in done.stderr
    assert "no such model" in done.stderr


def echoing(status: int) -> Any:
    """A server that quotes the whole request, its headers included, in what it says."""

    def answer(_: Any, headers: Any) -> tuple[int, str | bytes]:
        told = f"I was told {dict(headers)}"
        return status, told if status == 200 else json.dumps({"error": {"message": told}}).encode()

    return answer


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize(
    ("spec", "key", "address"),
    [
        ("{}/v1#stub", "MIMAR_API_KEY", "UNUSED"),
        ("openai:gpt-4.1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
        pytest.param("anthropic:claude-sonnet-4-5", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", marks=pytest.mark.slow),
        pytest.param("google:gemini-2.5-flash", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", marks=pytest.mark.slow),
    ],
)
def test_no_key_is_ever_written_down(
    mimar, design, serve, monkeypatch: pytest.MonkeyPatch, caplog, tmp_path: Path, spec, key, address, status
) -> None:
    stub = serve(echoing(status))
    monkeypatch.setenv(key, KEY)
    monkeypatch.setenv(address, stub.address)
    told = [design("--llm", spec.format(stub.address), "--strategy", "zerolm")]
    told += [mimar("report", "study.db", "--out", "page.html"), mimar("export", "study.db", "--to", "csv")]
    assert any(KEY in value for headers in stub.headers for value in headers.values())
    assert all(KEY not in outcome.out + outcome.err for outcome in told)
    assert KEY not in caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"study.db", "page.html", "study.csv"} <= {path.name for path in files}
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_study_of_another_does_not_send_the_key_to_its_server(design, serve, good_llm, monkeypatch) -> None:
    stub = serve(good_llm)
    assert design("--llm", stub.spec, "--strategy", "zerolm").code == 0
    monkeypatch.setenv("MIMAR_API_KEY", KEY)
    known = len(stub.headers)
    design("--resume", "--trials", 20).refused(2, stub.spec, "MIMAR_API_KEY", "--llm")
    assert len(stub.headers) == known
    assert design("--resume", "--trials", 20, "--llm", stub.spec).json["trials"] == 20
    assert KEY in "".join(value for headers in stub.headers[known:] for value in headers.values())


def wasteful(rng: random.Random) -> dict[str, Any]:
    """Legal, and dominated by almost everything."""
    return {
        "num_layers": rng.randint(4, 6), "hidden_size": rng.choice([256, 320]), "attention_type": "multi_head",
        "num_heads": 32, "head_size": 128, "intermediate_size": 512, "activation": "relu",
        "position_encoding": "alibi", "norm": "layernorm", "norm_placement": "sandwich", "topology": "sequential",
        "layer_sharing": 1, "attention_kernel": "math",
    }  # fmt: skip


@pytest.mark.slow
def test_a_useless_model_costs_next_to_nothing(design, serve) -> None:
    """Hypervolumes beside those of the search without a model and of plain evolution, same seeds.

    Two seeds of one search differ by a tenth, so the mean of six is known to 4%; that of 24, taken once by hand, was
    1.01. What illegal candidates cost, the tests of strategies say.
    """
    rng = random.Random(0)
    stub = serve(lambda *_: (200, json.dumps({"candidates": [wasteful(rng) for _ in range(4)]})))
    searches = {"llm": ("--llm", stub.spec), "alone": (), "evolution": ("--strategy", "evolution")}
    ends: dict[str, list[float]] = {name: [] for name in searches}
    for seed in range(6):
        for name, options in searches.items():
            told = ("--max-params", "60M", "--trials", 64, "--seed", seed, "--study", f"{name}-{seed}.db")
            result = design(*told, *options).json
            assert result["trials"] == 64
            ends[name].append(result["hypervolume"])
    assert stub.requests
    for name, least in (("alone", 0.9), ("evolution", 1.0)):
        assert statistics.mean(a / b for a, b in zip(ends["llm"], ends[name], strict=True)) >= least
