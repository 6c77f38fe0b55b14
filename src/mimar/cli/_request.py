"""What the user asked for on the command line, and the settings it amounts to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from mimar.cli._names import require_score
from mimar.cli._output import say
from mimar.cli._quantities import count, seconds, size
from mimar.cli._settings import DesignSettings
from mimar.cli._start import read_architecture
from mimar.cli._strategies import NEEDS_TEXT, read_weights, require_fitting, require_llm
from mimar.cli._training import DEFAULT_GATES, TextSource, TrainingSettings, loss_tokens, objective_names
from mimar.design import objective_for, restricted_to_device
from mimar.errors import ArchitectureError, InputError, UnknownNameError
from mimar.hardware import DeviceProfile, Dtype, Workload, load_profile
from mimar.models import stock_family
from mimar.objectives import LOSS_PREFIX, Budget
from mimar.space import Architecture, Choice, Defaults, TransformerSpace, illegal_reasons
from mimar.strategy import Darts
from mimar.training import SubwordTokenizer

DEFAULT_CONTEXT = 1024
DEFAULT_PROMPT = 128
DEFAULT_VOCABULARY = 32000


@dataclass(frozen=True)
class DesignRequest:
    """The options of `mimar design` as they were typed; None where nothing was."""

    budgets: Mapping[str, str | float | None]
    device: str
    context: int | None
    batch: int
    prompt_tokens: int | None
    dtype: str | None
    vocab: int | None
    tokenizer: str | None
    tied: bool
    strategy: str
    score: str
    objectives: str
    weights: str | None
    arm: str | None
    llm: str
    anonymise: bool
    seed: int
    per_layer: bool
    only: Sequence[str]
    start: str | None
    data: Sequence[str]
    validation: Sequence[str]
    batch_tokens: int
    gates: str | None
    command: str


def settings_for(request: DesignRequest) -> DesignSettings:
    """Resolve names, files and quantities; raises InputError, UnknownNameError or ArchitectureError."""
    require_fitting(request.strategy, request.arm or "", {})
    require_llm(request.strategy, request.llm != "none")
    require_score(request.score, request.llm)
    profile = load_profile(request.device)
    source = TextSource(tuple(request.data), tuple(request.validation), request.tokenizer or "byte")
    vocab = _vocabulary(request, source)
    start = _start(request, vocab)
    space = _space(request, profile, start, vocab)
    workload = Workload(
        space.defaults.context_length,
        request.batch,
        _given(request.prompt_tokens, min(DEFAULT_PROMPT, space.defaults.context_length)),
        cast("Dtype", request.dtype or profile.default_dtype),
    )
    objectives = objective_names(request.objectives)
    weights = read_weights(request.weights, request.strategy, [objective_for(name) for name in objectives])
    if not objectives:
        raise InputError("--objectives needs at least one metric, got none")
    return DesignSettings(
        space=space, profile=profile, workload=workload, budgets=_budgets(request.budgets), objectives=objectives,
        score=request.score, score_data={}, strategy=request.strategy, weights=weights, arm=request.arm or "",
        llm=request.llm, anonymise=request.anonymise, seed=request.seed, reference=None, start=start,
        training=_training(request, objectives, source, space), command=request.command,
    )  # fmt: skip


def _training(
    request: DesignRequest, objectives: Sequence[str], source: TextSource, space: TransformerSpace
) -> TrainingSettings | None:
    """How candidates are trained, where an objective is their loss."""
    wanted = [name for name in objectives if name.startswith(LOSS_PREFIX)]
    if len(wanted) > 1:
        raise InputError(f"only one objective can be a loss, got {', '.join(wanted)}; --gates has shorter trainings")
    if not wanted and request.strategy == Darts.name:
        raise InputError(NEEDS_TEXT)
    if not wanted:
        if request.data or request.validation or request.gates:
            raise InputError(
                "--data, --validation and --gates are for searches that train: add loss@200k to --objectives"
            )
        return None
    if not request.data:
        raise InputError(f"the objective {wanted[0]} needs text to train on: add --data FILE")
    gates = DEFAULT_GATES if request.gates is None else request.gates
    return TrainingSettings.new(
        source, loss_tokens(wanted[0]), space.defaults.context_length, request.batch_tokens, gates
    )


def _budgets(typed: Mapping[str, str | float | None]) -> tuple[Budget, ...]:
    readers = {"params": count, "memory_bytes": size, "ttft_s": seconds}
    options = {"params": "--max-params", "memory_bytes": "--max-memory", "ttft_s": "--max-ttft"}
    found: list[Budget] = []
    for metric, value in typed.items():
        if value is None:
            continue
        limit = readers[metric](value, options[metric]) if isinstance(value, str) else float(value)
        if not 0 < limit < float("inf"):
            raise InputError(f"the budget on {metric} must be a positive number, got {value}")
        found.append(Budget(metric, "min" if metric == "decode_tokens_per_second" else "max", limit))
    return tuple(found)


def _start(request: DesignRequest, vocab: int | None) -> Architecture | None:
    """The user's own architecture, with the vocabulary and context that were asked for explicitly."""
    if request.start is None:
        return None
    arch, notes = read_architecture(request.start)
    for note in notes:
        say(f"note: {note}")
    arch = replace(
        arch,
        vocab_size=_given(vocab, arch.vocab_size),
        context_length=_given(request.context, arch.context_length),
        tied_embeddings=arch.tied_embeddings and request.tied,
    )
    reasons = illegal_reasons(arch)
    if reasons:
        raise ArchitectureError(f"--start {request.start} with these options", reasons)
    return arch


def _space(
    request: DesignRequest, profile: DeviceProfile, start: Architecture | None, vocab: int | None
) -> TransformerSpace:
    defaults = Defaults(_given(vocab, DEFAULT_VOCABULARY), _given(request.context, DEFAULT_CONTEXT), request.tied)
    if defaults.vocab_size < 2 or defaults.context_length < 1:
        raise InputError(
            f"the vocabulary must have at least 2 tokens and the context at least 1, got {defaults.vocab_size} and "
            f"{defaults.context_length}: check --vocab, --tokenizer and --ctx"
        )
    if "llama" in request.only and (request.per_layer or (start is not None and stock_family(start) != "llama")):
        raise InputError(
            "--only llama is for layers that are all alike: leave out --per-layer, and --start from a Llama"
        )
    space = TransformerSpace("per-layer" if request.per_layer else "uniform", defaults)
    space = restricted_to_device(space, profile).restricted(**_only(request.only, space))
    return space if start is None else space.including(start)


LLAMA: Final = (
    "mixer=attention", "feed_forward=swiglu", "position=rope", "norm=rmsnorm", "norm_placement=pre",
    "topology=sequential", "layer_sharing=1",
)  # fmt: skip
"""What makes a Llama of a uniform architecture: stock classes and llama.cpp run it."""


def _given(value: int | None, default: int) -> int:
    return default if value is None else value


def _only(typed: Sequence[str], space: TransformerSpace) -> dict[str, list[Choice]]:
    """``NAME=V1,V2`` → the choices of that variable, as values of the space; ``llama`` stands for several such."""
    domains = {**space.sizes, **space.layer, **space.final}
    found: dict[str, list[Choice]] = {}
    for text in (each for name in dict.fromkeys(typed) for each in (LLAMA if name == "llama" else (name,))):
        name, mark, values = text.partition("=")
        if name not in domains or not mark:
            raise InputError(
                f"--only must be llama or VARIABLE=CHOICE,…, got {text!r}; variables are {', '.join(domains)}"
            )
        if name in found:
            raise InputError(
                f"--only names {name} more than once (llama names {', '.join(part.split('=')[0] for part in LLAMA)}): "
                f"list its choices in one, as --only {name}=V1,V2"
            )
        known = {f"{choice:.4g}" if isinstance(choice, float) else str(choice): choice for choice in domains[name]}
        unknown = [value for value in values.split(",") if value not in known]
        if unknown:
            raise UnknownNameError(f"choice of {name}", unknown[0], tuple(known))
        found[name] = [known[value] for value in values.split(",")]
    return found


def _vocabulary(request: DesignRequest, source: TextSource) -> int | None:
    """That of the tokenizer where there is one; text is only read where there is some."""
    if request.data:
        found = source.read[0].vocab_size
    elif request.tokenizer is not None:
        found = SubwordTokenizer.read(Path(request.tokenizer).expanduser()).vocab_size
    else:
        return request.vocab
    if request.vocab is not None and request.vocab != found:
        raise InputError(f"--vocab {request.vocab} and the tokenizer's {found} tokens differ: give only one of them")
    return found
