"""Where the names of strategies become objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mimar.cli._plugins import STRATEGIES as OTHERS
from mimar.cli._plugins import loaded, plugins
from mimar.cli._train import device_named
from mimar.cli._training import objective_names
from mimar.errors import InputError, UnknownNameError
from mimar.llm import LLM
from mimar.objectives import Objective, TrainedLoss
from mimar.shrink import Knapsack
from mimar.strategy import (
    ARMS,
    LINAS,
    LLMNAS,
    NSGA2,
    PELNAS,
    RZNAS,
    AdaptivePortfolio,
    Brief,
    Darts,
    Dialogue,
    LLMSearch,
    LocalSearch,
    NichedEvolution,
    OneShot,
    Operator,
    Problem,
    RandomSearch,
    RegularisedEvolution,
    ReinforcementLearning,
    RZNASMutation,
    Scalarised,
    Strategy,
    Traits,
    ZeroLM,
    checked_weights,
)

if TYPE_CHECKING:
    from mimar.supernet import Epoch

A = TypeVar("A")

_CLASSIC = (
    RandomSearch, LocalSearch, RegularisedEvolution, NSGA2, ReinforcementLearning, LINAS, Scalarised, NichedEvolution,
)  # fmt: skip
_GUIDED = (OneShot, ZeroLM, Dialogue, RZNAS, LLMNAS, PELNAS)

CLASSIC: Mapping[str, Callable[[Problem[Any], int], Strategy[Any]]] = {each.name: each for each in _CLASSIC}
"""Strategies that never ask an LLM, by name."""

GUIDED: Mapping[str, type[Operator[Any]]] = {each.name: each for each in _GUIDED}
"""Strategies that need an LLM, by name: their operators."""

TRAITS: Mapping[str, Traits] = {each.name: each.traits for each in (AdaptivePortfolio, *_CLASSIC, Darts, *_GUIDED)}
"""Every strategy and what it declares."""

STRATEGIES = tuple(TRAITS)

NEEDS_TEXT = (
    f"strategy {Darts.name} trains a model of its own on text: give mimar design loss@200k in --objectives and --data "
    "FILE, mimar bench search --truth decoder_tiny and --text FILE"
)

RZ_NAS_ARMS = ("batch", "mutation")

VARIANTS: Mapping[str, tuple[str, ...]] = {RZNAS.name: RZ_NAS_ARMS, PELNAS.name: ARMS}
"""Strategy → the arms it comes in, the default first."""


@dataclass(frozen=True)
class Options(Generic[A]):
    """What only some strategies take.

    weights: λ of objectives, of ``scalarised``. arm: of ``rz-nas`` and ``pel-nas``, one of `VARIANTS`; empty for the
    default. start: an architecture that ``dialogue`` talks about. training: what ``darts`` trains its model with;
    on_epoch: told how strong its operations are. gated: the strategy is behind gates.
    """

    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    arm: str = ""
    start: A | None = None
    training: TrainedLoss | None = None
    on_epoch: Callable[[Epoch], None] = lambda _: None
    gated: bool = False


def strategy_named(
    name: str, problem: Problem[A], seed: int, said: tuple[LLM | None, Brief], options: Options[A]
) -> Strategy[A]:
    """The strategy users call `name`; `said` is the LLM, if any, and what it is told.

    UnknownNameError lists the names, InputError where it needs an LLM or does not take an option.
    """
    llm, brief = said
    require_fitting(name, options.arm, options.weights)
    if name == Scalarised.name:
        return Scalarised(problem, seed, options.weights or None)
    if name == LINAS.name:
        return LINAS(problem, seed, fill=options.gated)
    if name in CLASSIC:
        return CLASSIC[name](problem, seed)
    if name not in TRAITS:
        return loaded(plugins(OTHERS)[name])(problem, seed)
    if name == Darts.name:
        return _darts(problem, seed, options)
    if name == AdaptivePortfolio.name:
        if llm:
            return AdaptivePortfolio.with_llm(problem, seed, llm, brief, fill=options.gated)
        return AdaptivePortfolio(problem, seed, fill=options.gated)
    require_llm(name, llm is not None)
    assert llm is not None
    return LLMSearch(problem, seed, _operator(name, problem, seed, (llm, brief), options))


def _darts(problem: Problem[Any], seed: int, options: Options[Any]) -> Strategy[Any]:
    training = options.training
    if training is None:
        raise InputError(NEEDS_TEXT)
    recipe = replace(training.recipe, seed=seed)
    device = device_named(training.device, "--train-on")  # its model learns here, wherever candidates are trained
    return Darts(problem, seed, training.data, recipe, device=device, on_epoch=options.on_epoch)


def require_llm(name: str, given: bool) -> None:
    """InputError where the strategy needs a language model and none is given."""
    if name in GUIDED and not given:
        raise InputError(f"strategy {name} needs a language model: add --llm local, or a provider")


def require_fitting(name: str, arm: str, weights: Mapping[str, float], names: Sequence[str] = STRATEGIES) -> None:
    """UnknownNameError for a strategy that is none of `names` or an arm that does not exist, InputError for an option
    that it does not take.
    """
    if name not in names and (name in TRAITS or name not in plugins(OTHERS)):
        raise UnknownNameError("strategy", name, (*names, *plugins(OTHERS)))
    if weights and name != Scalarised.name:
        raise InputError(f"weights are for the strategy {Scalarised.name}, not for {name}")
    if arm and name not in VARIANTS:
        raise InputError(f"--arm is for --strategy {' or '.join(VARIANTS)}, not for {name}")
    if arm and arm not in VARIANTS[name]:
        raise UnknownNameError(f"arm of {name}", arm, VARIANTS[name])


def read_weights(text: str | None, strategy: str, objectives: Sequence[Objective]) -> dict[str, float]:
    """``METRIC=WEIGHT,…`` → weights of objectives, which only one strategy takes."""
    if text is None:
        return {}
    if strategy != Scalarised.name:
        raise InputError(f"--weights is for --strategy {Scalarised.name}, not for {strategy}")
    found: dict[str, float] = {}
    known = [each.metric for each in objectives]
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        name = next(iter(objective_names(name)), name)
        if name in found:
            raise InputError(f"--weights names {name} more than once")
        if name not in known:
            raise InputError(f"--weights must be METRIC=WEIGHT,… of {', '.join(known)}; got {part!r}")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise InputError(f"--weights {name} must be a number, got {value!r}") from error
    checked_weights(objectives, found)
    return found


def strategy_rows() -> list[dict[str, Any]]:
    """Every strategy with what it declares, as plain data; `arms` where it comes in several, of which one that declares
    something else has a row of its own, ``NAME:ARM``.
    """
    rows = [{"name": name, **asdict(has), "arms": list(VARIANTS.get(name, ()))} for name, has in TRAITS.items()]
    further = {"rz-nas:mutation": RZNASMutation.traits, Knapsack.name: Knapsack.traits}
    return [*rows, *({"name": name, **asdict(has), "arms": []} for name, has in further.items())]


def _operator(name: str, problem: Problem[A], seed: int, said: tuple[LLM, Brief], options: Options[A]) -> Operator[A]:
    match name:
        case Dialogue.name:
            return Dialogue(problem, *said, start=options.start)
        case RZNAS.name:
            return RZNASMutation(problem, *said) if options.arm == "mutation" else RZNAS(problem, *said)
        case PELNAS.name:
            return PELNAS(problem, *said, arm=options.arm or ARMS[0], seed=seed)
        case OneShot.name:
            return OneShot(problem, *said)
        case LLMNAS.name:
            return LLMNAS(problem, *said)
        case _:
            return ZeroLM(problem, *said)
