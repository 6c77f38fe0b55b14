"""Studies with real architectures: sampled from the space, measured by shapes and simple formulas."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mimar import shapes
from mimar.llm import Call, CallError, CallRecord, Ledger, Message, Usage
from mimar.objectives import Budget, Objective
from mimar.pareto import Reference
from mimar.report import FamiliarShape, KeptLayers, Measured, MeasuredModel, ReportData
from mimar.space import Architecture, Block, FeedForward, Mixer, TransformerSpace
from mimar.trial import Proposal, Trial

ORIGINS = ("random", "mutation", "crossover", "llm")
OBJECTIVES = (Objective("score", "max"), Objective("memory_bytes", "min"), Objective("decode_tokens_per_second", "max"))
REFERENCE = Reference(point=(0.0, 400e6, 0.0), ideal=(-10.0, 20e6, -4000.0))
GPT2 = Architecture(
    768,
    (Block(Mixer("attention", 12, 12, 64), FeedForward("ffn", 3072, "gelu")),) * 12,
    vocab_size=50257,
    position="sinusoidal",
    norm="layernorm",
)


def metrics_of(arch: Architecture) -> dict[str, float]:
    params = shapes.parameters(arch)
    memory = 2.0 * params + 1e4 * arch.num_layers
    return {
        "params": float(params),
        "flops": shapes.flops(arch, arch.context_length),
        "memory_bytes": memory,
        "decode_tokens_per_second": 2e10 / memory / (1 + arch.num_layers / 50),
        "score": float(np.log10(shapes.nonembedding_parameters(arch)) + 0.1 * np.log(arch.num_layers)),
    }


def sampled_trials(count: int, scope: str = "uniform", seed: int = 0) -> tuple[Trial[Architecture], ...]:
    """One in five rejected, one in twenty-five failed, the others evaluated."""
    rng = np.random.default_rng(seed)
    space = TransformerSpace(scope)
    trials: list[Trial[Architecture]] = []
    for i in range(count):
        origin, arch = ORIGINS[i % 3 if i % 7 else 3], space.sample(rng)
        if i % 5 == 3:
            reason = f"over budget: params must be at most 3e+07, got {shapes.parameters(arch):.4g}"
            trials.append(Trial(i, Proposal(arch, origin, reasons=(reason,)), "invalid", reasons=(reason,)))
        elif i % 25 == 11:
            reason = "layer 2: the score is not finite, got nan"
            trials.append(Trial(i, Proposal(arch, origin), "failed", reasons=(reason,)))
        else:
            trials.append(Trial(i, Proposal(arch, origin), "complete", metrics_of(arch), seconds=0.01))
    return tuple(trials)


def recorded_call(number: int, prompt: str, reply: str, error: CallError | None = None) -> CallRecord:
    messages = (Message("system", "You design Transformers."), Message("user", prompt))
    call = Call(messages, {"type": "object"}, 0.8, number, 512)
    usage = Usage(900 + number, 120, 1.5, 0.002)
    return CallRecord(call.key("local:tiny"), "local:tiny", call, None if error else reply, error, usage, "local:tiny")


def study(trials: tuple[Trial[Architecture], ...], calls: tuple[CallRecord, ...] = ()) -> ReportData:
    ledger = Ledger()
    for call in calls:
        ledger = ledger.add(call)
    return ReportData(
        name="runs/small phone.db",
        command="mimar design --max-memory 300MB --device this --trials 120 --seed 0 --study 'runs/small phone.db'",
        version="0.1.0",
        objectives=OBJECTIVES,
        budgets=(Budget("memory_bytes", "max", 300e6), Budget("decode_tokens_per_second", "min", 40)),
        reference=REFERENCE,
        trials=trials,
        calls=calls,
        ledger=ledger,
        device="A laptop CPU with 60 GB/s of memory bandwidth.",
        workload="fp16 weights, a context of 1024 tokens, one sequence at a time, prompts of 128 tokens.",
        score="HPM: balanced size of attention and feed-forward parts by depth, computed from shapes.",
        familiar=(FamiliarShape("GPT-2 small", metrics_of(GPT2)),),
        seconds=93.4,
        stop_reasons=("interrupted", "enough trials"),
    )


@pytest.fixture(scope="session")
def make_trials() -> Callable[..., tuple[Trial[Architecture], ...]]:
    return sampled_trials


@pytest.fixture(scope="session")
def make_study() -> Callable[..., ReportData]:
    return study


@pytest.fixture(scope="session")
def make_call() -> Callable[..., CallRecord]:
    return recorded_call


@pytest.fixture(scope="session")
def data() -> ReportData:
    """200 proposals and three calls, one of them failed."""
    error = CallError("ReplyError", "the reply is not JSON", "Sure! Here is")
    calls = (
        recorded_call(1, "Propose four.", '{"candidates": []}'),
        recorded_call(2, "Propose three & explain <why>.", '{"candidates": [{"num_layers": 12}]}'),
        recorded_call(3, "Again.", "", error),
    )
    return study(sampled_trials(200), calls)


HOSTILE = (
    "</script><script>window.owned = 1; alert(1)</script>",
    "<img src=x onerror='window.owned = 2'>",
    '<a href="javascript:window.owned = 3">\'" autofocus onfocus=\'window.owned = 4</a>',
    "<!-- <script> ]]> \u2028\u2029 \x00\x1b[31m &lt;b&gt; ${name} $name \ud800",
)


@pytest.fixture(scope="session")
def hostile_texts() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def hostile() -> ReportData:
    """A study in which every text that could come from outside tries to break out."""
    all_of_it = " ".join(HOSTILE)
    rejected = tuple(
        Trial(100 + i, Proposal(None, f"llm{evil}", reasons=(evil,), note=evil), "invalid", reasons=(evil,))
        for i, evil in enumerate(HOSTILE)
    )
    evaluated = tuple(
        replace(trial, proposal=replace(trial.proposal, origin=f"{HOSTILE[i % 4]}"), metrics=dict(trial.metrics))
        for i, trial in enumerate(sampled_trials(60))
    )
    error = CallError("ReplyError", all_of_it, all_of_it)
    calls = (recorded_call(1, all_of_it, all_of_it), recorded_call(2, all_of_it, "", error))
    return replace(
        study(evaluated + rejected, calls),
        name=f"x{all_of_it}.db",
        command=all_of_it,
        device=all_of_it,
        workload=all_of_it,
        score=all_of_it,
        familiar=tuple(FamiliarShape(evil, metrics_of(GPT2)) for evil in HOSTILE),
        stop_reasons=(all_of_it,),
    )


@pytest.fixture
def measured() -> Measured:
    """A parent, what was found, a baseline and a file of fewer bits, on a text and on a task."""
    rows = [
        ("parent", False, False, 144e6, 20.0, (0.5, 0.05)),
        ("#1", True, False, 117e6, 24.0, (0.45, 0.05)),
        ("#2", True, False, 110e6, 30.0, (0.4, 0.05)),
        ("#3", True, False, 120e6, 31.0, (0.35, 0.05)),
        ("shortgpt", False, False, 117e6, 60.0, (0.3, 0.05)),
        ("parent Q4_0", False, True, 90e6, 22.0, (0.48, 0.05)),
    ]
    models = tuple(
        MeasuredModel(name, found, rounded, size, {"a <b>.txt": (perplexity, 0.0), "arc_easy": accuracy})
        for name, found, rounded, size, perplexity, accuracy in rows
    )
    return Measured(models, ("arc_easy",))


@pytest.fixture
def kept() -> KeptLayers:
    """Two members of a front of three layers; (kv heads, channels) of each."""
    return KeptLayers(((3, 1536),) * 3, (((3, 1536), (1, 640), (3, 512)), ((3, 1024), (0, 0), (2, 512))))
