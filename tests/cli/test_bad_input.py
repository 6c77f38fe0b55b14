"""What cannot be used is refused in one sentence that says what was expected, what came and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimar.space import FAMILIAR, architecture_from_json, architecture_to_json

LEGAL = architecture_to_json(FAMILIAR["SmolLM2-135M"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "toaster"), ("toaster", "laptop-cpu")),
        (("--device", "toaster.toml"), ("toaster.toml",)),
        (("--strategy", "magic"), ("magic", "adaptive", "nsga2")),
        (("--strategy", "zerolm"), ("zerolm", "--llm")),
        (("--score", "magic"), ("magic", "hpm", "synflow")),
        (("--objectives", "score,beauty"), ("beauty", "decode_tokens_per_second")),
        (("--objectives", " , "), ("--objectives", "none")),
        (("--weights", "score=2"), ("--weights", "scalarised", "adaptive")),
        (("--strategy", "scalarised", "--weights", "beauty=2"), ("METRIC=WEIGHT", "beauty", "memory_bytes")),
        (("--strategy", "scalarised", "--weights", "score=much"), ("score", "number", "much")),
        (("--strategy", "scalarised", "--weights", "score=-1"), ("at least 0",)),
        (("--strategy", "scalarised", "--weights", "score=1, score=2"), ("score", "more than once")),
        (("--llm", "magic"), ("magic", "anthropic:MODEL")),
        (("--llm", "openai:"), ("openai:MODEL",)),
        (("--llm", "http://127.0.0.1/v1"), ("http://HOST/v1#MODEL",)),
        (("--llm", "http://me:secret@127.0.0.1/v1#m"), ("password", "MIMAR_API_KEY")),
        (("--llm", "local:"), ("GGUF",)),
        (("--llm", "local"), ("mimar get-llm",)),
        (("--llm", "local:gone.gguf"), ("gone.gguf", "GGUF")),
        (("--llm", "replay:gone.db"), ("gone.db",)),
        (("--max-cost", "-1"), ("at least 0", "-1")),
        (("--max-cost", "nan"), ("at least 0", "nan")),
        (("--dtype", "int3"), ("int3", "bf16")),
        (("--device", "phone-npu", "--dtype", "fp32"), ("phone-npu", "fp32", "int8")),
        (("--ctx", "0"), ("--ctx", "0")),
        (("--ctx", "128", "--prompt-tokens", "129"), ("129", "128")),
        (("--prompt-tokens", "0"), ("prompt_tokens", "0")),
        (("--batch", "0"), ("batch", "0")),
        (("--vocab", "1"), ("--vocab", "1")),
        (("--tokenizer", "gone"), ("gone", "tokenizer.json")),
        (("--max-params", "30X"), ("--max-params", "30M", "30X")),
        (("--max-params", "-5M"), ("--max-params", "-5M")),
        (("--max-params", "0"), ("--max-params", "'0'")),
        (("--max-params", "1e999"), ("params", "1e999")),
        (("--max-memory", "2GHz"), ("--max-memory", "80MB", "2GHz")),
        (("--max-ttft", "soon"), ("--max-ttft", "250ms", "soon")),
        (("--min-tokens-per-second", "0"), ("decode_tokens_per_second", "positive", "0")),
        (("--max-energy", "-1"), ("energy_j_per_token", "positive", "-1")),
        (("--max-power", "nan"), ("power_w", "positive", "nan")),
        (("--only", "colour=red"), ("--only", "colour=red", "hidden_size")),
        (("--only", "position"), ("VARIABLE=CHOICE", "'position'")),
        (("--only", "llama", "--only", "mixer=attention"), ("mixer", "llama names")),
        (("--only", "llama", "--per-layer"), ("--only llama", "--per-layer")),
        (("--only", "position=up"), ("position", "'up'", "rope")),
        (("--only", "mixer=linear", "--only", "position=rope"), ("mixer", "allow more")),
        (("--only", "mixer=linear", "--only", "mixer=attention"), ("--only", "mixer", "more than once", "V1,V2")),
        (("--device", "phone-npu", "--only", "mixer=linear"), ("mixer", "linear", "attention")),
        (("--start", "gone.json"), ("gone.json", "hub id")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and str(value[0]).startswith("--") else "",
)
def test_an_option_that_cannot_be_used(design, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    outcome = design(*arguments)
    outcome.refused(2, *words)
    assert outcome.json == {"error": outcome.json["error"], "kind": outcome.json["kind"], "exit_code": 2}
    assert outcome.err.strip().endswith(outcome.json["error"])
    assert not Path("study.db").exists()


def test_without_json_standard_output_stays_empty(mimar) -> None:
    outcome = mimar("design", "--device", "toaster")
    outcome.refused(2, "toaster")
    assert outcome.out == ""


@pytest.mark.parametrize(
    "budgets", [("--max-params", "1M"), ("--min-tokens-per-second", "1000000"), ("--max-memory", "10MB")]
)
def test_an_impossible_budget_names_the_closest_architecture(design, budgets: tuple[str, str]) -> None:
    outcome = design(*budgets)
    outcome.refused(2, "closest", "got")
    assert outcome.json["kind"] == "BudgetError"
    message = outcome.json["error"]
    nearest, _ = json.JSONDecoder().raw_decode(message[message.index("{") :])
    Path("nearest.json").write_text(json.dumps(nearest))
    architecture_from_json(nearest)
    assert design("--start", "nearest.json", "--trials", 2).code == 0


@pytest.mark.slow
def test_the_closest_that_is_named_is_close(design) -> None:
    message = design("--max-params", "1M").json["error"]
    least = float(message.partition("got ")[2].partition(";")[0])
    assert design("--max-params", f"{2 * least:.0f}", "--trials", 1).code == 0


def test_a_space_that_the_device_cannot_run_says_what_stands_in_the_way(design) -> None:
    told = ("--only", "mixer=attention", "--only", "num_heads=5", "--only", "head_size=32")
    outcome = design("--device", "phone-npu", *told, "--max-params", "100M")
    outcome.refused(2, "closest found: device phone-npu needs num_heads × head_size in multiples of 128, got 160")
    assert outcome.json["kind"] == "BudgetError"
    assert "over budget" not in outcome.json["error"]


def test_two_budgets_that_exclude_each_other(design) -> None:
    outcome = design("--max-params", "9M", "--objectives", "score,params", "--max-memory", "1MB")
    outcome.refused(2, "memory_bytes", "closest")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("{", ("expected JSON",), id="broken"),
        pytest.param("", ("expected JSON",), id="empty"),
        pytest.param("\x00\xff", ("expected JSON",), id="binary"),
        pytest.param("[1]", ("a JSON object", "list"), id="list"),
        pytest.param(json.dumps({**LEGAL, "num_heads": 7}), ("not a legal architecture",), id="illegal"),
        pytest.param(json.dumps({**LEGAL, "num_layers": "many"}), ("num_layers", "many"), id="type"),
        pytest.param(json.dumps({**LEGAL, "norm": None}), ("norm",), id="null"),
        pytest.param(json.dumps({"hidden_size": 64}), ("num_layers", "got nothing"), id="missing"),
        pytest.param(json.dumps({"model_type": "bert"}), ("bert", "llama"), id="family"),
        pytest.param(json.dumps({"model_type": "llama"}), ("hidden_size",), id="config"),
    ],
)
def test_a_start_that_cannot_be_used(design, content: str, words: tuple[str, ...]) -> None:
    Path("start.json").write_text(content, encoding="latin-1")
    outcome = design("--start", "start.json")
    outcome.refused(2, *words)
    assert outcome.json["exit_code"] == 2


def test_a_start_over_the_budget_is_rejected_and_the_search_goes_on(design) -> None:
    Path("start.json").write_text(json.dumps(LEGAL))
    result = design("--start", "start.json", "--max-params", "60M").json
    assert (result["trials"], result["invalid"]) == (16, 1)


def test_a_vocabulary_that_contradicts_the_tokenizer(design) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2}, unk_token="a")).save("tokenizer.json")
    design("--tokenizer", "tokenizer.json", "--vocab", 5).refused(2, "5", "3")
    Path("broken.json").write_text("{}")
    design("--tokenizer", "broken.json").refused(2, "broken.json", "not a tokenizer.json")


@pytest.mark.parametrize("field", ["power", "mixers", "throughput"])
def test_a_profile_file_with_a_wrong_field(design, field: str) -> None:
    Path("mine.toml").write_text(f"name = 'mine'\n{field} = 3\n")
    design("--device", "mine.toml").refused(2, "mine.toml", field)


@pytest.mark.parametrize("tokens", ["abc", "-1", "0", ""])
def test_report_of_an_impossible_number_of_tokens(mimar, finished: Path, tokens: str) -> None:
    mimar("report", finished, "--out", "page.html", "--tokens", tokens).refused(2, "--tokens", repr(tokens))


def test_a_place_that_cannot_be_written(mimar, finished: Path, tmp_path: Path) -> None:
    outcome = mimar("report", finished, "--out", tmp_path, "--json")
    outcome.refused(6, str(tmp_path), "directory")
    assert outcome.json["exit_code"] == 6
    mimar("report", finished, "--out", finished / "page.html").refused(6, "expected to write", "study.db")
    mimar("export", finished, finished / "deep").refused(6, "expected to write", "study.db/deep")
    mimar("export", finished, finished / "deep.csv", "--to", "csv").refused(6, "expected to write", "deep.csv")
