"""`mimar design` end to end: every strategy, budget, score, start and set of objectives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mimar.cli._strategies import GUIDED, STRATEGIES, VARIANTS
from mimar.hardware import Workload, hardware_metrics, load_profile
from mimar.proxies import PROXIES
from mimar.space import FAMILIAR, architecture_from_json, architecture_to_json

KEYS = {
    "front", "trials", "partial", "evaluations", "invalid", "failed", "hypervolume", "reference_point", "objectives",
    "llm", "operators", "strategy", "device", "stopped", "study", "seconds",
}  # fmt: skip
MORE_IS_BETTER = {"score", "decode_tokens_per_second"}
SLOW_SCORES = ("synflow", "zerolm_weights", "dss", "quantization_int8", "rz_nas_ensemble")
"""One of each kind; the contract suite runs them all."""


def recomputed(member: dict[str, Any], device: str, workload: Workload) -> dict[str, float]:
    """The hardware metrics of a front member from nothing but its JSON."""
    arch = architecture_from_json(json.loads(json.dumps(member["architecture"])))
    return hardware_metrics(arch, load_profile(device), workload)


def dominates(a: dict[str, float], b: dict[str, float], objectives: list[str]) -> bool:
    signs = {name: -1 if name in MORE_IS_BETTER else 1 for name in objectives}
    pairs = [(signs[name] * a[name], signs[name] * b[name]) for name in objectives]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def require_front(result: dict[str, Any]) -> None:
    assert result["front"]
    metrics = [member["metrics"] for member in result["front"]]
    assert not any(dominates(a, b, result["objectives"]) for a in metrics for b in metrics)


def best(result: dict[str, Any], metric: str) -> float:
    pick = max if metric in MORE_IS_BETTER else min
    return pick(member["metrics"][metric] for member in result["front"])


def test_weights_decide_what_a_scalarised_search_finds_and_a_resumed_one_keeps_them(design) -> None:
    asked = ("--strategy", "scalarised", "--trials", 120)
    small = design(*asked, "--study", "small.db", "--weights", "memory_bytes=20,score=0.1").json
    good = design(*asked, "--study", "good.db", "--weights", "score=20").json
    assert best(small, "memory_bytes") < best(good, "memory_bytes")
    assert best(small, "score") < best(good, "score")
    assert design("--study", "small.db", "--resume", "--trials", 136).json["trials"] == 136


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in (*GUIDED, "darts")])
def test_every_strategy_finds_a_front_inside_the_budget(design, strategy: str) -> None:
    outcome = design("--strategy", strategy, "--max-params", "30M", "--trials", 24)
    result = outcome.json
    assert outcome.code == 0
    assert set(result) == KEYS
    assert result["trials"] == 24
    assert (result["strategy"], result["device"], result["stopped"]) == (strategy, "laptop-cpu", "enough trials")
    assert 0 < result["hypervolume"] <= 1
    assert set(result["reference_point"]) == set(result["objectives"])
    assert sum(row["evaluated"] for row in result["operators"].values()) == 24
    assert result["llm"]["name"] == "none"
    assert result["llm"]["calls"] == 0
    require_front(result)
    for member in result["front"]:
        assert set(member) >= {"id", "architecture", "metrics"}
        found = recomputed(member, "laptop-cpu", Workload(256, dtype=load_profile("laptop-cpu").default_dtype))
        assert found["params"] <= 30e6
        assert {name: member["metrics"][name] for name in found} == pytest.approx(found)


TOLD = ("adaptive", *GUIDED, "rz-nas --arm mutation", *(f"pel-nas --arm {arm}" for arm in VARIANTS["pel-nas"][1:]))


@pytest.mark.parametrize("strategy", TOLD)
def test_a_language_model_proposes_and_a_replay_repeats_it(design, serve, good_llm, strategy: str) -> None:
    stub = serve(good_llm)
    told = ("--strategy", *strategy.split(), "--max-params", "30M", "--trials", 20)
    first = design(*told, "--llm", stub.spec, "--study", "first.db").json
    assert first["llm"]["calls"] == len(stub.requests) > 0
    assert first["llm"]["input_tokens"] == 100 * len(stub.requests)
    own = [row["evaluated"] for origin, row in first["operators"].items() if origin.startswith("llm-")]
    assert sum(own) == first["llm"]["unique_valid"] > 0
    require_front(first)
    again = design(*told, "--llm", "replay:first.db", "--study", "again.db").json
    assert again["front"] == first["front"]
    assert again["llm"]["cached"] == again["llm"]["calls"] == first["llm"]["calls"]


def test_the_seed_decides_the_front(design) -> None:
    fronts = [design("--seed", seed, "--study", f"{i}.db").json["front"] for i, seed in enumerate((3, 3, 4))]
    assert fronts[0] == fronts[1]
    assert fronts[0] != fronts[2]


def test_all_budgets_hold_together_at_the_conditions_asked_for(design) -> None:
    outcome = design(
        "--max-params", "60M", "--max-memory", "250MB", "--max-ttft", "400ms", "--min-tokens-per-second", 30,
        "--max-energy", 0.4, "--max-power", 40, "--ctx", 512, "--batch", 2, "--prompt-tokens", 64, "--dtype", "int8",
        "--vocab", 8000, "--untied",
    )  # fmt: skip
    require_front(outcome.json)
    for member in outcome.json["front"]:
        arch = architecture_from_json(member["architecture"])
        assert (arch.vocab_size, arch.context_length, arch.tied_embeddings) == (8000, 512, False)
        found = recomputed(member, "laptop-cpu", Workload(512, 2, 64, "int8"))
        assert found["params"] <= 60e6
        assert found["memory_bytes"] <= 250e6
        assert found["ttft_s"] <= 0.4
        assert found["decode_tokens_per_second"] >= 30
        assert found["energy_j_per_token"] <= 0.4
        assert found["power_w"] <= 40


@pytest.mark.parametrize(
    ("option", "limit", "metric"),
    [
        ("--max-params", "60M", "params"),
        ("--max-memory", "150MB", "memory_bytes"),
        ("--max-ttft", "300ms", "ttft_s"),
        ("--min-tokens-per-second", "150", "decode_tokens_per_second"),
        ("--max-energy", "0.1", "energy_j_per_token"),
    ],
)
def test_each_budget_binds_by_itself(design, option: str, limit: str, metric: str) -> None:
    bound = {"60M": 60e6, "150MB": 150e6, "300ms": 0.3}.get(limit) or float(limit)
    free = design("--study", "free.db", "--trials", 8).json["front"]
    kept = design("--study", "kept.db", "--trials", 8, option, limit).json["front"]
    sign = -1 if metric in MORE_IS_BETTER else 1
    assert any(sign * member["metrics"][metric] > sign * bound for member in free)
    assert all(sign * member["metrics"][metric] <= sign * bound for member in kept)


@pytest.mark.parametrize("device", ["phone-npu", "raspberry-pi-5", "h100"])
def test_a_device_that_runs_less_gets_only_what_it_runs(mimar, device: str) -> None:
    result = mimar("design", "--device", device, "--trials", 8, "--json").json
    supports = load_profile(device).supports
    for member in result["front"]:
        arch = architecture_from_json(member["architecture"])
        assert {block.mixer.kind for block in arch.blocks} <= {*supports.mixers, "none"}
        assert {block.feed_forward.kind for block in arch.blocks} <= {*supports.feed_forwards, "none"}
        assert arch.norm in supports.norms
        assert arch.hidden_size % supports.width_multiple == 0


def test_per_layer_lets_layers_differ(design) -> None:
    fronts = [design("--study", f"{i}.db", *flag).json["front"] for i, flag in enumerate([(), ("--per-layer",)])]
    uniform = [[architecture_from_json(m["architecture"]).is_uniform for m in front] for front in fronts]
    assert all(uniform[0])
    assert not all(uniform[1])


def test_only_keeps_variables_to_some_choices(design) -> None:
    front = design("--only", "mixer=attention", "--only", "hidden_size=256,512", "--only", "position=rope").json[
        "front"
    ]
    found = [architecture_from_json(member["architecture"]) for member in front]
    assert {arch.hidden_size for arch in found} <= {256, 512}
    assert {arch.position for arch in found} == {"rope"}
    assert {block.mixer.kind for arch in found for block in arch.blocks} == {"attention"}


def test_the_tokenizer_gives_the_vocabulary(design, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({f"word{i}": i for i in range(1234)}, unk_token="word0"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for i, place in enumerate((tmp_path, tmp_path / "tokenizer.json")):
        front = design("--tokenizer", place, "--study", f"{i}.db").json["front"]
        assert {member["architecture"]["vocab_size"] for member in front} == {1234}


@pytest.mark.parametrize(
    "objectives",
    [
        ("score", "params"),
        ("score", "ttft_s", "memory_bytes"),
        ("score", "decode_tokens_per_second", "energy_j_per_token", "power_w"),
        ("nonembedding_params", "flops"),
        ("score", "score"),
    ],
)
def test_objectives_are_chosen_by_name(design, objectives: tuple[str, ...]) -> None:
    result = design("--objectives", ",".join(objectives)).json
    assert result["objectives"] == list(dict.fromkeys(objectives))
    require_front(result)


@pytest.mark.parametrize("score", [proxy.name for proxy in PROXIES if proxy.cost == "closed form"])
def test_every_closed_form_score_guides_a_search(design, score: str) -> None:
    result = design("--score", score, "--trials", 8).json
    assert (result["trials"], result["failed"]) == (8, 0)
    require_front(result)


@pytest.mark.slow
@pytest.mark.parametrize("score", SLOW_SCORES)
def test_every_measured_score_guides_a_search(design, score: str) -> None:
    told = ("--max-params", "9M", "--vocab", 512, "--ctx", 32, "--strategy", "random", "--objectives", "score,params")
    result = design("--score", score, *told, "--trials", 4).json
    assert (result["trials"], result["failed"]) == (4, 0)
    require_front(result)


SMALL = FAMILIAR["SmolLM2-135M"]
LLAMA = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8,
    "num_attention_heads": 8, "num_key_value_heads": 4, "hidden_act": "silu", "vocab_size": 4000,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "n_embd": 384, "n_layer": 6, "n_head": 6, "vocab_size": 4000, "n_positions": 512,
    "activation_function": "gelu_new",
}  # fmt: skip


def full_form() -> dict[str, Any]:
    """A per-layer architecture: the middle layer of a small model widened."""
    from dataclasses import replace

    wide = replace(SMALL.blocks[0].feed_forward, intermediate_size=2048)
    blocks = (*SMALL.blocks[:14], replace(SMALL.blocks[14], feed_forward=wide), *SMALL.blocks[15:])
    return architecture_to_json(replace(SMALL, blocks=blocks))


@pytest.mark.parametrize(
    ("content", "layers", "hidden"),
    [
        pytest.param(architecture_to_json(SMALL), 30, 576, id="short"),
        pytest.param({"model_name": "mine", "architecture": architecture_to_json(SMALL)}, 30, 576, id="wrapper"),
        pytest.param(full_form(), 30, 576, id="full"),
        pytest.param(LLAMA, 8, 512, id="llama"),
        pytest.param(GPT2, 6, 384, id="gpt2"),
    ],
)
@pytest.mark.parametrize("strategy", ["adaptive", "evolution"])
def test_a_search_begins_from_the_users_own_architecture(
    design, mimar, tmp_path: Path, content: dict[str, Any], layers: int, hidden: int, strategy: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    source = tmp_path / "config.json" if strategy == "adaptive" else tmp_path
    assert design("--start", source, "--strategy", strategy, "--trials", 8).code == 0
    assert mimar("export", "study.db#0", "first", "--to", "json").code == 0
    first = architecture_from_json(json.loads((tmp_path / "first" / "architecture.json").read_text()))
    assert (first.num_layers, first.hidden_size) == (layers, hidden)


def test_the_exported_winner_starts_the_next_search(design, mimar) -> None:
    assert design("--study", "one.db").code == 0
    exported = mimar("export", "one.db", "winner", "--to", "json", "--json").json
    assert design("--start", f"{exported['path']}/architecture.json", "--study", "two.db").code == 0
    again = mimar("export", "two.db#0", "again", "--to", "json", "--json").json
    files = [json.loads((Path(found["path"]) / "architecture.json").read_text()) for found in (exported, again)]
    assert files[0]["architecture"] == files[1]["architecture"]


def test_progress_goes_to_the_terminal_and_the_result_to_standard_output(design, mimar) -> None:
    outcome = design()
    assert outcome.json["trials"] == 16
    assert "enough trials: study.db" in outcome.err
    plain = mimar("design", "--device", "laptop-cpu", "--trials", 8, "--study", "plain.db")
    assert "Pareto front of plain.db" in plain.out
    assert "8 evaluated" in plain.err
    assert "mimar report plain.db" in plain.err


@pytest.mark.slow
def test_this_machine_is_measured_and_kept_to(mimar) -> None:
    result = mimar("design", "--device", "this", "--min-tokens-per-second", 5, "--trials", 8, "--json").json
    assert result["device"] == "this"
    require_front(result)
    assert all(member["metrics"]["decode_tokens_per_second"] >= 5 for member in result["front"])
