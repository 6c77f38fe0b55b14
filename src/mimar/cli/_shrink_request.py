"""What the user asked of `mimar shrink`, and the settings it amounts to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from mimar.cli._quantities import count, seconds, size, tokens
from mimar.cli._shrink_settings import Asked, FineTune, ShrinkSettings, Texts
from mimar.cli._strategies import STRATEGIES, read_weights, require_fitting, require_llm
from mimar.cli._training import objective_names
from mimar.elastic import ElasticSpace, Form, SubNetwork
from mimar.errors import InputError, MimarError, UnknownNameError
from mimar.export import require_shrinkable_to_gguf
from mimar.hardware import DeviceProfile, Dtype, Workload, load_profile
from mimar.objectives import Budget
from mimar.shrink import FIGURES, LLAMA_CPP, Knapsack, Known, LlamaCppSpeed, Within, objective_for, time_in_llama_cpp
from mimar.space import Architecture
from mimar.strategy import Darts
from mimar.tasks import TASKS
from mimar.training import read_texts

if TYPE_CHECKING:
    from mimar.shrink import Opened

Stage = Callable[[str], AbstractContextManager[None]]
"""Times a part of the run, by its name."""

SHRINKING: Final = (Knapsack.name, *(name for name in STRATEGIES if name != Darts.name))
"""Strategies that shrink."""

CUTS: Final[tuple[str, ...]] = ("channels", "attention", "heads")
"""Of feed-forward parts; attention of a layer as a whole; kv heads of it one by one, as far as none."""

FORMS: Final[tuple[Form, ...]] = ("U", "R", "G")
PROTECTED: Final = 2
"""Layers at either end that stay whole unless the user says otherwise: what they do for rare tokens, a calibration
text hardly shows."""

DEFAULT_CONTEXT: Final = 1024
DEFAULT_PROMPT: Final = 128


@dataclass(frozen=True)
class ShrinkRequest:
    """The options of `mimar shrink` as they were typed; None where nothing was."""

    model: str
    budgets: Mapping[str, str | None]
    device: str
    context: int | None
    prompt_tokens: int | None
    dtype: str | None
    form: str
    steps: int
    cut: str | None
    protect: str | None
    calibration: Sequence[str]
    calibration_tokens: str
    search_tokens: str
    final_tokens: str
    window: int
    strategy: str
    objectives: str
    tasks: Sequence[str]
    task_items: int | None
    weights: str | None
    arm: str | None
    llm: str
    anonymise: bool
    seed: int
    finetune: FineTune
    command: str


def settings_for(request: ShrinkRequest, opened: Opened, stage: Stage) -> ShrinkSettings:
    """Resolve names and quantities; scores and the text's hash come later. stage: times what takes long.

    InputError or UnknownNameError.
    """
    _require_able(request.strategy, request.llm)
    require_fitting(request.strategy, request.arm or "", {}, SHRINKING)
    if request.form not in FORMS:
        raise UnknownNameError("form", request.form, FORMS)
    if not request.calibration:
        raise InputError("the order of channels and the search need text: add --calibration FILE")
    for source in request.calibration:  # as budgets: to be refused before llama.cpp is timed
        read_texts([source])
    parent = opened.parent.arch
    space, texts, objectives = _space(request, parent), _texts(request, parent), objective_names(request.objectives)
    weights = read_weights(request.weights, request.strategy, [objective_for(name) for name in objectives])
    if not objectives:
        raise InputError("--objectives needs at least one metric, got none")
    if request.strategy == Knapsack.name and not set(objectives) & {*FIGURES}:
        raise InputError(f"strategy {Knapsack.name} needs {' or '.join(FIGURES)} among --objectives")
    _budgets(request.budgets, dict.fromkeys(_READERS, 1.0))
    profile, workload, speed = _use(request, opened, space, stage)
    known = Known(space, profile, workload, speed)
    whole = known(SubNetwork.whole(parent))
    for name in set(objectives) - {*whole, *FIGURES, *TASKS}:
        raise InputError(f"the device {profile.name} says nothing of {name}: choose other --objectives")
    budgets = _budgets(request.budgets, whole)
    Within(known, budgets).require_some()
    return ShrinkSettings(
        model=request.model, fingerprint=opened.fingerprint, space=space, texts=texts, profile=profile,
        workload=workload, speed=speed, budgets=budgets, objectives=objectives, asked=_asked(request, objectives),
        strategy=request.strategy, weights=weights, arm=request.arm or "", llm=request.llm,
        anonymise=request.anonymise, seed=request.seed, finetune=request.finetune, learnt=None, scores=None,
        reference=None, writes=_writes(opened, space), command=request.command,
    )  # fmt: skip


def _writes(opened: Opened, space: ElasticSpace) -> str:
    """The form in which what is found runs fastest here, GGUF, or where that cannot be written, transformers'."""
    try:
        require_shrinkable_to_gguf(opened.parent, opened.tokenizer, uniform=space.form == "U")
    except MimarError:
        return "hf"
    return "gguf"


def _use(
    request: ShrinkRequest, opened: Opened, space: ElasticSpace, stage: Stage
) -> tuple[DeviceProfile, Workload, LlamaCppSpeed | None]:
    """Where and how the model is to run, and how fast that is where it was timed for this."""
    most = space.parent.context_length
    context = min(most, DEFAULT_CONTEXT) if request.context is None else request.context
    if context > most:
        raise InputError(f"--ctx must be at most the model's context of {most} tokens, got {context}")
    prompt = min(context, DEFAULT_PROMPT) if request.prompt_tokens is None else request.prompt_tokens
    if request.device != LLAMA_CPP:
        profile = load_profile(request.device)
        return profile, Workload(context, 1, prompt, cast("Dtype", request.dtype or profile.default_dtype)), None
    if request.dtype not in (None, "int8"):
        raise InputError(f"device {LLAMA_CPP} has weights of 8 bits: drop --dtype {request.dtype}")
    workload = Workload(context, 1, prompt, "int8")
    with stage("time llama.cpp"):
        profile, speed = time_in_llama_cpp(opened.parent, opened.tokenizer, space, prompt)
    return profile, workload, speed


def _asked(request: ShrinkRequest, objectives: Sequence[str]) -> Asked:
    """Tasks among the objectives: their own files, where --tasks names any."""
    typed = {name.partition("=")[0]: name for name in request.tasks}
    return Asked(tuple(typed.get(name, name) for name in objectives if name in TASKS), request.task_items)


def _require_able(strategy: str, llm: str) -> None:
    """Before anything is computed."""
    if strategy == Darts.name:
        raise InputError("strategy darts mixes operations of new architectures: it cannot shrink a model")
    require_llm(strategy, llm != "none")


def _space(request: ShrinkRequest, parent: Architecture) -> ElasticSpace:
    """Heads and layers stay unless the user says otherwise: what a calibration text says of them holds less well for
    other text of its kind. Layers of the same sizes can hardly be cut without.
    """
    form = cast("Form", request.form)
    space = ElasticSpace.of(parent, form, steps=request.steps, protected=_protected(request.protect, parent))
    cut = _cuts(request.cut or ("all" if form == "U" else "channels"))
    heads = _ends if "attention" in cut else _whole
    return replace(
        space,
        kv_heads=space.kv_heads if "heads" in cut else tuple(map(heads, space.kv_heads)),
        intermediate=space.intermediate if "channels" in cut else tuple(map(_whole, space.intermediate)),
    )


def _cuts(typed: str) -> set[str]:
    """``all`` or some of `CUTS`, between commas."""
    found = {part.strip() for part in typed.split(",")} if typed != "all" else set[str](CUTS)
    for name in sorted(found - set(CUTS)):
        raise UnknownNameError("what to cut", name, (*CUTS, "all"))
    return found


def _ends(options: tuple[int, ...]) -> tuple[int, ...]:
    """The least and the largest."""
    return tuple(sorted({min(options), max(options)}))


def _whole(options: tuple[int, ...]) -> tuple[int, ...]:
    return (max(options),)


def _texts(request: ShrinkRequest, parent: Architecture) -> Texts:
    window = min(request.window, parent.context_length)
    ordered = int(count(request.calibration_tokens, "--calibration-tokens"))
    judged = int(count(request.search_tokens, "--search-tokens"))
    for option, value in (("--calibration-tokens", ordered), ("--search-tokens", judged)):
        if value < window:
            raise InputError(f"{option} must be at least one window of {window} tokens, got {value}")
    finals = tokens(request.final_tokens, "--final-tokens")
    return Texts(tuple(request.calibration), ordered, judged, window, finals=finals)


def _protected(typed: str | None, parent: Architecture) -> tuple[int, ...]:
    """Numbers of layers that stay whole: those at both ends, or as typed; ``none`` for none."""
    layers = parent.num_layers
    if typed is None:
        ends = min(PROTECTED, layers // 4)
        return (*range(ends), *range(layers - ends, layers))
    if typed == "none":
        return ()
    try:
        return tuple(sorted({int(text) for text in typed.split(",")}))
    except ValueError as error:
        raise InputError(f"--protect must be numbers of layers such as 0,1,29, or none; got {typed!r}") from error


_READERS: Final[Mapping[str, tuple[str, Callable[[str, str], float]]]] = {
    "block_params": ("--max-block-params", count),
    "params": ("--max-params", count),
    "memory_bytes": ("--max-memory", size),
    "ttft_s": ("--max-ttft", seconds),
    "decode_tokens_per_second": ("--min-tokens-per-second", count),
}


def _budgets(typed: Mapping[str, str | None], whole: Mapping[str, float]) -> tuple[Budget, ...]:
    found: list[Budget] = []
    for metric, value in typed.items():
        if value is None:
            continue
        limit = _limit(metric, value, whole[metric])
        if not 0 < limit < float("inf"):
            raise InputError(f"the budget on {metric} must be a positive number, got {value}")
        found.append(Budget(metric, "min" if metric == "decode_tokens_per_second" else "max", limit))
    if not found:
        raise InputError("give at least one budget, for example --max-block-params 0.75x or --max-memory 80MB")
    return tuple(found)


def _limit(metric: str, typed: str, whole: float) -> float:
    """``0.75x`` is a share of the parent's."""
    option, read = _READERS[metric]
    if not typed.lower().endswith("x"):
        return read(typed, option)
    try:
        return float(typed[:-1]) * whole
    except ValueError as error:
        raise InputError(
            f"{option} must be a number, or a share of the parent's such as 0.75x, got {typed!r}"
        ) from error
