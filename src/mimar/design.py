"""A design task: what to search, on which device, within which budgets, by which score.

Joins a space, a device, budgets and a score into the `Problem` that strategies see and the evaluator that judges.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Final

import numpy as np

from mimar.errors import BudgetError, CandidateError, InputError, memory_explained
from mimar.hardware import (
    METRIC_DIRECTIONS,
    DeviceProfile,
    Workload,
    device_advice,
    hardware_metrics,
    unsupported_reasons,
)
from mimar.models import generate_layer_code
from mimar.objectives import LOSS_PREFIX, SCORED, Budget, DesignEvaluator, InheritedLoss, Objective, TrainedLoss
from mimar.pareto import Reference
from mimar.proxies import DecoderSubject, Proxy, adw, decoder_inputs, score_code
from mimar.space import WIDTH_MULTIPLE, Architecture, Choice, TransformerSpace
from mimar.strategy import Axis, Brief, Problem, draw

__all__ = [
    "COSTLY_REFERENCE_SAMPLE", "DEFAULT_OBJECTIVES", "DesignTask", "design_task", "drawn_sample", "objective_for",
    "restricted_to_device",
]  # fmt: skip

_log = logging.getLogger(__name__)

DEFAULT_OBJECTIVES: Final = ("score", "decode_tokens_per_second", "memory_bytes")

DIRECTIONS: Final[Mapping[str, str]] = {
    "score": "max",
    **METRIC_DIRECTIONS,
}
"""Metric → whether more or less of it is better; less of every validation loss."""

REFERENCE_SAMPLE: Final = 64
"""Random candidates that fix the frame of the hypervolume."""

MOST_OBJECTIVES: Final = 5

SHARED_SAMPLE: Final = 1000
"""Random candidates that shared weights are made for."""

COSTLY_REFERENCE_SAMPLE: Final = 12
"""The same where the score builds a model for each of them, or asks a language model."""


@dataclass(frozen=True)
class DesignTask:
    """Everything a study of this task needs but the strategy.

    problem: for the strategy. evaluator: for the study. brief: for prompts. budgets: as given.
    """

    problem: Problem[Architecture]
    evaluator: DesignEvaluator
    brief: Brief
    budgets: tuple[Budget, ...]


def objective_for(metric: str) -> Objective:
    """The objective for a metric's name; InputError lists the names."""
    direction = "min" if metric.startswith(LOSS_PREFIX) else DIRECTIONS.get(metric)
    if direction is None:
        raise InputError(
            f"unknown objective {metric!r}: expected one of {', '.join(DIRECTIONS)}, or {LOSS_PREFIX}TOKENS, the "
            "validation loss after a training"
        )
    return Objective(metric, "max" if direction == "max" else "min")


def design_task(
    space: TransformerSpace,
    profile: DeviceProfile,
    workload: Workload,
    score: Proxy = adw,
    *,
    budgets: Sequence[Budget] = (),
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    loss: TrainedLoss | None = None,
    seed: int = 0,
    reference: Reference | None = None,
) -> DesignTask:
    """Join the parts; `space` should already be narrowed by `restricted_to_device`.

    score: the accuracy score, from `mimar.proxies` or of the same form; `seed` decides its initial weights and data.
    loss: trains candidates where an objective is their loss; its metric is the objective's name.
    reference: the frame of the hypervolume in losses; by default it is fixed by a random sample drawn from `seed`.
    Raises BudgetError when no architecture can keep the budgets, saying how close one can get, and InputError for
    unknown objectives or figures that the device does not have.
    """
    if workload.context > space.defaults.context_length:
        raise InputError(
            f"the workload's context of {workload.context} tokens must not exceed the space's, "
            f"got {space.defaults.context_length}: give TransformerSpace the same context length"
        )
    profile.attainable_flops(workload.dtype)
    if len(objectives) > MOST_OBJECTIVES:
        raise InputError(f"at most {MOST_OBJECTIVES} objectives (hypervolume grows too costly), got {len(objectives)}")
    hardware = _Hardware(profile, workload)
    kept = tuple(budgets)
    wanted = tuple(objective_for(metric) for metric in objectives)
    evaluator = DesignEvaluator(hardware, partial(_scored, score, seed), partial(_announced, score), loss)

    def check(arch: Architecture) -> tuple[str, ...]:
        reasons = space.validate(arch) or unsupported_reasons(arch, profile, workload)
        return reasons or tuple(reason for budget in kept if (reason := budget.broken(hardware(arch))))

    def excess(arch: Architecture) -> float:
        metrics = hardware(arch) if kept else {}
        return sum(budget.excess(metrics) for budget in kept)

    placeholder = reference or Reference((), ())
    problem = Problem(space, wanted, check, excess, hardware, placeholder, axes=_axes(hardware))
    _require_known_metrics(problem, kept, profile)
    _require_trainable(wanted, loss, space)
    problem = replace(problem, anchor=_anchor(problem, kept, seed))
    if loss is not None:
        evaluator = replace(evaluator, inherited=_inherited(problem, loss, seed))
    if reference is None:
        size = REFERENCE_SAMPLE if score.cost == "closed form" else COSTLY_REFERENCE_SAMPLE
        drawn = drawn_sample(problem, size, seed)
        if not drawn:
            raise BudgetError("the budgets leave next to nothing of the space to search: relax them a little")
        if 2 * len(set(drawn)) < size:
            _log.warning(
                "the budgets leave little to search: %d random candidates gave %d different architectures; "
                "relax the budgets a little for a wider choice",
                size, len(set(drawn)),
            )  # fmt: skip
        evaluator.prepare(drawn)
        problem = replace(problem, reference=_frame(_measured(evaluator, drawn), wanted, kept, loss))
    return DesignTask(problem, evaluator, _brief(profile, workload, kept, score), kept)


def _measured(evaluator: DesignEvaluator, drawn: Sequence[Architecture]) -> list[Mapping[str, float]]:
    """Metrics, without training, of those that can be evaluated; CandidateError where none can."""
    found: list[Mapping[str, float]] = []
    failure: CandidateError | None = None
    for arch in drawn:
        try:
            found.append(evaluator.evaluate(arch, SCORED))
        except CandidateError as error:
            failure = error
    if failure is not None and not found:
        raise failure
    return found


def drawn_sample(problem: Problem[Architecture], size: int, seed: int) -> list[Architecture]:
    """At most `size` random candidates within the budgets, equal ones not excluded; the same for equal arguments."""
    rng = np.random.default_rng([seed, size])
    return [arch for _ in range(size) if (arch := draw(problem, (), rng)) is not None]


def restricted_to_device(space: TransformerSpace, profile: DeviceProfile) -> TransformerSpace:
    """`space` without kinds and hidden sizes that the device cannot run; InputError when nothing would be left. Widths
    that follow from several choices are checked candidate by candidate.
    """
    supports = profile.supports
    step = supports.width_multiple
    if step % WIDTH_MULTIPLE == 0 and step > WIDTH_MULTIPLE:
        space = space.restricted(hidden_size=[c for c in space.sizes["hidden_size"] if int(c) % step == 0])
    wanted: dict[str, Sequence[Choice]] = {
        "mixer": sorted(supports.mixers),
        "feed_forward": sorted(supports.feed_forwards),
        "activation": sorted(supports.activations),
        "norm": sorted(supports.norms),
        "position": sorted({*supports.positions, "none"}),
    }
    return space.restricted(**wanted)


def _scored(score: Proxy, seed: int, arch: Architecture) -> float:
    with memory_explained("its score"):
        return score(decoder_inputs(arch, seed))


def _announced(score: Proxy, candidates: Sequence[Architecture]) -> None:
    score.prepare([DecoderSubject(arch) for arch in candidates])


@dataclass(frozen=True)
class _Hardware:
    """Hardware metrics with a memory: strategies and the evaluator ask for the same architectures.

    A copy in another process begins with an empty memory.
    """

    profile: DeviceProfile
    workload: Workload

    def __call__(self, arch: Architecture) -> Mapping[str, float]:
        return self._remembered(arch)

    def __reduce__(self) -> tuple[type[_Hardware], tuple[DeviceProfile, Workload]]:
        return _Hardware, (self.profile, self.workload)

    @cached_property
    def _remembered(self) -> Callable[[Architecture], Mapping[str, float]]:
        measure = partial(hardware_metrics, profile=self.profile, workload=self.workload)
        return lru_cache(maxsize=20_000)(measure)


def _require_known_metrics(problem: Problem[Architecture], budgets: Sequence[Budget], profile: DeviceProfile) -> None:
    trained = {each.metric for each in problem.objectives if each.metric.startswith(LOSS_PREFIX)}
    known = {*problem.known(problem.space.sample(np.random.default_rng(0))), "score", *trained}
    if any(budget.metric == "score" for budget in budgets):
        raise InputError("a budget on the score cannot be checked before an evaluation: make it an objective instead")
    for name in (*(objective.metric for objective in problem.objectives), *(budget.metric for budget in budgets)):
        if name not in DIRECTIONS and name not in trained:
            raise InputError(f"unknown metric {name!r} in a budget: expected one of {', '.join(DIRECTIONS)}")
        if name not in known:
            raise InputError(
                f"device {profile.name} does not state its power, so {name} is not available: "
                "choose another device, or leave this budget or objective out"
            )


def _anchor(problem: Problem[Architecture], budgets: Sequence[Budget], seed: int) -> Architecture:
    """An architecture within the budgets; BudgetError with the closest where none is found."""
    closest = _closest(problem)
    reasons = problem.check(closest)
    found = draw(problem, (), np.random.default_rng(seed)) if reasons else closest
    if found is not None:
        return found
    metrics = problem.known(closest)
    broken = [reason for budget in budgets if (reason := budget.broken(metrics))]
    lacking = "keeps all budgets together" if broken else "that keeps the budgets was found to run on the device"
    remedy = "Relax these budgets, or give a smaller --vocab or --ctx" if broken else "Allow the space more choices"
    raise BudgetError(
        f"no architecture of the space {lacking}. The closest found: {'; '.join(broken or reasons)}; "
        f"architecture {json.dumps(problem.space.to_json(closest))}. {remedy}"
    )


def _closest(problem: Problem[Architecture]) -> Architecture:
    """Coordinate descent on the excess from the smallest architecture: every choice of one variable after another."""
    space = problem.space
    choices = {name: _smallest(options) for name, options in space.variables.items()}
    best, distance = space.from_choices(choices), float("inf")
    improved = True
    while improved:
        improved = False
        for candidate in _neighbours(space.to_choices(best), space.variables):
            arch = space.from_choices(candidate)
            if not space.validate(arch) and (found := problem.excess(arch)) < distance:
                best, distance, improved = arch, found, True
            if distance == 0.0:
                return best
    return best


def _smallest(options: Sequence[Choice]) -> Choice:
    """The least number, the first word."""
    return min(options, key=lambda option: option if isinstance(option, int | float) else 0.0)


def _neighbours(
    choices: Mapping[str, Choice], variables: Mapping[str, tuple[Choice, ...]]
) -> Iterator[dict[str, Choice]]:
    yield dict(choices)
    for name, options in variables.items():
        for option in options:
            yield {**choices, name: option}


def _require_trainable(objectives: Sequence[Objective], loss: TrainedLoss | None, space: TransformerSpace) -> None:
    for objective in objectives:
        if objective.metric.startswith(LOSS_PREFIX) and (loss is None or loss.metric != objective.metric):
            given = "none" if loss is None else loss.metric
            raise InputError(f"the objective {objective.metric} needs a training of that length, got {given}")
    if loss is not None:
        loss.check(space.defaults.context_length, space.defaults.vocab_size)


def _inherited(problem: Problem[Architecture], loss: TrainedLoss, seed: int) -> InheritedLoss:
    """Weights shared by candidates within the budgets; drawn, like trained, only when the first is judged by them."""
    return InheritedLoss(partial(drawn_sample, problem, SHARED_SAMPLE, seed), loss.data, loss.recipe, loss.device)


def _frame(
    sample: Sequence[Mapping[str, float]],
    objectives: Sequence[Objective],
    budgets: Sequence[Budget],
    loss: TrainedLoss | None,
) -> Reference:
    """Worst and best of a sample in each objective; a budget on an objective is the worst that counts.

    A loss has a frame of its own, from the text, since it would be dear to train a sample.
    """
    trained = {} if loss is None else {loss.metric: loss.frame}
    columns = [
        trained.get(each.metric) or tuple(each.sign * metrics[each.metric] for metrics in sample) for each in objectives
    ]
    worst, best = np.asarray([max(column) for column in columns]), np.asarray([min(column) for column in columns])
    limits = {budget.metric: budget.limit for budget in budgets}
    for i, objective in enumerate(objectives):
        if objective.metric in limits:
            worst[i] = objective.sign * limits[objective.metric]
        if worst[i] <= best[i]:
            worst[i] = best[i] + max(1.0, abs(best[i]))
    return Reference(tuple(map(float, worst)), tuple(map(float, best)))


RULES: Final = """\
- hidden_size is divisible by num_heads, num_heads by num_kv_heads; intermediate_size is 2 to 8 times hidden_size.
- grouped_query, sliding_window and block_sparse take num_kv_heads; multi_head and multi_query do not.
- sliding_window and block_sparse take a window; convolution takes a kernel_size and no heads.
- a mixture of experts has feed_forward "moe" with num_experts and top_k.
- linear and convolution use position_encoding sinusoidal or none."""
"""What decides legality beside the fields' values, for a language model."""


def _axes(hardware: Callable[[Architecture], Mapping[str, float]]) -> tuple[Axis[Architecture], ...]:
    """Niches are cells of depth and parameters."""
    depth = Axis[Architecture]("num_layers", lambda arch: arch.num_layers, cells=2)
    return depth, Axis[Architecture]("params", lambda arch: hardware(arch)["params"], cells=3)


def _brief(profile: DeviceProfile, workload: Workload, budgets: Sequence[Budget], score: Proxy) -> Brief:
    listed = [f"{budget.metric} {budget.bound} {budget.limit:.4g}" for budget in budgets]
    return Brief(
        "; ".join(listed) or "none",
        device_advice(profile, workload),
        "decoder-only Transformer architectures",
        RULES,
        generate_layer_code,
        score_code(score),
        tuple(budget.metric for budget in budgets),
    )
