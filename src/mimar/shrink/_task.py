"""The `shrink` task: a parent, text, a device and budgets → the problem for a strategy, and its evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from mimar.elastic import ElasticSpace, SubNetwork
from mimar.errors import BudgetError, InputError
from mimar.hardware import METRIC_DIRECTIONS, device_advice
from mimar.objectives import Budget, Objective
from mimar.pareto import Reference
from mimar.shrink._within import SIZE, Known, Within, at_most
from mimar.strategy import Axis, Brief, Problem
from mimar.tasks import TASKS, TaskScore
from mimar.trial import FULL

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import BlockScores, Keep, Parent, SuperNetwork

DIVERGENCE: Final = "divergence"
"""KL of a sub-network from its parent, nats a token."""

LOSS: Final = "loss"
"""Of the text that candidates are judged on, nats a token."""

FIGURES: Final = (DIVERGENCE, LOSS)
"""In the order of `mimar.elastic.judge`."""

Ask = Callable[["Parent"], TaskScore]
"""Puts the questions of a task to a model."""

DIRECTIONS: Final[Mapping[str, str]] = {
    LOSS: "min",
    DIVERGENCE: "min",
    "block_params": "min",
    **METRIC_DIRECTIONS,
}
"""Metric → whether more or less of it is better."""

DEFAULT_OBJECTIVES: Final = (LOSS, "block_params")


@dataclass
class ShrinkEvaluator:
    """Sizes and speed of a sub-network by formula, its loss and divergence by running it on a text.

    Candidates that it hears of together (`prepare`) are judged together: what they begin with is run once, and one that
    is surely worse than another and no better in any of `objectives` is given up on the way, its figures estimated.
    Where a task is an objective nobody is. asked: tasks by name.
    spent, naive: layers run so far, each over one window, and what one by one would have run; the parent's own pass is
    in both once.
    """

    network: SuperNetwork
    ids: Tensor
    known: Callable[[SubNetwork], Mapping[str, float]]
    objectives: tuple[Objective, ...] = ()
    asked: Mapping[str, Ask] = field(default_factory=dict[str, Ask])
    spent: int = 0
    naive: int = 0
    _judged: dict[SubNetwork, Mapping[str, float]] = field(default_factory=dict[SubNetwork, Mapping[str, float]])
    _recalled: dict[SubNetwork, Mapping[str, float]] = field(default_factory=dict[SubNetwork, Mapping[str, float]])

    def prepare(self, candidates: Sequence[SubNetwork]) -> None:
        """Judge those that are new. Of a batch that an earlier run left amid, all are: the race is between all."""
        fresh = [sub for sub in dict.fromkeys(candidates) if sub not in self._judged]
        if all(sub in self._recalled for sub in fresh):
            self._judged |= {sub: self._recalled[sub] for sub in fresh}
            return
        from mimar.elastic import judge

        judged = judge(self.network, fresh, self.ids, *self._race(fresh), parent=self._parent)
        for sub, (divergence, loss) in zip(fresh, judged.estimates().tolist(), strict=True):
            self._judged[sub] = {DIVERGENCE: divergence, LOSS: loss}
        self.spent += round(judged.spent * len(self.ids))
        self.naive += round(judged.naive * len(self.ids))

    @cached_property
    def _parent(self) -> Tensor:
        from mimar.elastic import parent_stream

        layers = len(self.network.parent.layers) * len(self.ids)
        self.spent, self.naive = self.spent + layers, self.naive + layers
        return parent_stream(self.network, self.ids)

    def _race(self, candidates: Sequence[SubNetwork]) -> tuple[Keep, int]:
        """Who is given up, and by which figure; nobody where both figures are objectives, or none is."""
        from mimar.elastic import everyone, on_the_front

        judged = [each.metric for each in self.objectives if each.metric in FIGURES]
        if len(judged) != 1 or self.asked:
            return everyone, 0
        rest = [each for each in self.objectives if each.metric not in FIGURES]
        known = [[each.sign * self.known(sub)[each.metric] for each in rest] for sub in candidates]
        return on_the_front(np.asarray(known)), FIGURES.index(judged[0])

    def recall(self, sub: SubNetwork, metrics: Mapping[str, float]) -> None:
        """What an earlier run found, so that it need not be found again."""
        self._recalled[sub] = {name: metrics[name] for name in FIGURES}

    def evaluate(self, arch: SubNetwork, fidelity: str = FULL) -> Mapping[str, float]:
        """All metrics; the fidelity changes nothing."""
        self.prepare([arch])
        return {**self.known(arch), **self._judged[arch], **self._answers(arch)}

    def _answers(self, sub: SubNetwork) -> dict[str, float]:
        """Of each task the share of right answers, and its standard error as ``NAME_error``."""
        from mimar.elastic import extract

        if not self.asked:
            return {}
        model = extract(self.network, sub)
        scores = {name: ask(model) for name, ask in self.asked.items()}
        errors = {f"{name}_error": score.headline_error or 0.0 for name, score in scores.items()}
        return {name: score.headline_value for name, score in scores.items()} | errors


@dataclass(frozen=True)
class ShrinkTask:
    """Everything a study of this task needs but the strategy.

    starts: within the budgets, what the block scores find best there and at smaller sizes, and what is more even.
    within: finds such. brief: for prompts.
    """

    problem: Problem[SubNetwork]
    evaluator: ShrinkEvaluator
    starts: tuple[SubNetwork, ...]
    within: Within
    brief: Brief


def shrink_task(
    network: SuperNetwork,
    known: Known,
    scores: BlockScores,
    ids: Tensor,
    *,
    budgets: Sequence[Budget] = (),
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    reference: Reference | None = None,
    asked: Mapping[str, Ask] | None = None,
) -> ShrinkTask:
    """Join the parts. ids: the text (sequences, tokens) that candidates are judged on.

    reference: the frame of the hypervolume in losses, of a study that goes on. asked: tasks that each candidate
    answers, by the names that objectives use.

    BudgetError where nothing of the space keeps the budgets, InputError for unknown objectives or figures that the
    device does not have.
    """
    space = known.space
    whole = known(SubNetwork.whole(space.parent))
    asks = dict(asked or {})
    wanted, kept = tuple(objective_for(name) for name in objectives), tuple(budgets)
    _require_known(objectives, (*FIGURES, *whole, *asks))
    _require_known([budget.metric for budget in kept], tuple(whole))

    def check(sub: SubNetwork) -> tuple[str, ...]:
        return space.validate(sub) or tuple(reason for each in kept if (reason := each.broken(known(sub))))

    def excess(sub: SubNetwork) -> float:
        return sum(each.excess(known(sub)) for each in kept)

    within = Within(known, kept)
    starts = _starts(within, scores)
    if reference is None:
        least = min(starts, key=lambda sub: known(sub)["block_params"])
        reference = _frame(wanted, {**whole, **_uncut(network, ids)}, known(least), scores.foretold(least))
    problem = Problem(
        space, wanted, check, excess, known, reference,
        anchor=starts[0], axes=(Axis("block_params", lambda sub: known(sub)["block_params"], cells=4),),
    )  # fmt: skip
    evaluator = ShrinkEvaluator(network, ids, known, wanted, asks)
    return ShrinkTask(problem, evaluator, starts, within, _brief(known, kept))


def _require_known(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"unknown metric {name!r}: expected one of {', '.join(known)}")


def _brief(known: Known, budgets: Sequence[Budget]) -> Brief:
    listed = [f"{budget.metric} {budget.bound} {budget.limit:.4g}" for budget in budgets]
    return Brief(
        "; ".join(listed) or "none",
        device_advice(known.profile, known.workload),
        "sub-networks of a pretrained language model",
        "\n".join(f"- {rule}." for rule in _rules(known.space)),
        score="loss: of a text, nats a token. divergence: how far the sub-network's next-token probabilities are from "
        "the whole model's (KL, nats a token). The most important heads and channels of each layer are kept. Early, "
        "middle and late layers differ: small cuts in many layers usually cost less than deep cuts in a few.",
        budgeted=tuple(budget.metric for budget in budgets),
    )


def _rules(space: ElasticSpace) -> Iterator[str]:
    """What decides legality beside the fields' values."""
    kv_heads, intermediate = SubNetwork.whole(space.parent).sizes[0]
    layers = f"{space.parent.num_layers} layers"
    yield f"kv_heads and intermediate have a size for each of {layers}; {kv_heads} and {intermediate} are whole"
    yield "0 removes that part of the layer, both 0 drop the layer"
    whole = [n for n, options in enumerate(space.intermediate) if len(options) == len(space.kv_heads[n]) == 1]
    if whole:
        stay = "cannot be dropped" if space.form == "U" else "stay whole"
        yield f"layers {', '.join(map(str, whole))} (counted from 0) {stay}"
    if space.form == "U":
        yield "all layers that are kept have the same sizes"
    if space.form == "G":
        yield "the first layer that is kept needs kv_heads above 0"


def objective_for(name: str) -> Objective:
    """The objective for a metric's name, or a task's; InputError lists the names."""
    if name not in (*DIRECTIONS, *TASKS):
        raise InputError(f"unknown objective {name!r}: expected one of {', '.join((*DIRECTIONS, *TASKS))}")
    return Objective(name, "max" if name in TASKS or DIRECTIONS[name] == "max" else "min")


EVENED: Final = (0.0, 0.5, 0.8, 1.0)
"""How far the scores are drawn together for the sub-networks of the whole budget that a search begins with; with 1 all
layers that can be cut are nearly alike."""

SMALLER: Final = 3
"""Sizes below the budget at which it begins as well."""


def _starts(within: Within, scores: BlockScores) -> tuple[SubNetwork, ...]:
    """The best within the budgets by the scores, by scores that are more alike in all layers, and at smaller sizes."""
    found = [within.best(scores.evened(share)) for share in EVENED]
    largest = within.known(found[0])[SIZE]
    for share in (1 - k / (2 * SMALLER + 2) for k in range(1, SMALLER + 1)):
        try:
            found.append(within.best(scores.evened(EVENED[1]), at_most(share * largest)))
        except BudgetError:
            break
    return tuple(dict.fromkeys(found))


def _uncut(network: SuperNetwork, ids: Tensor) -> dict[str, float]:
    """What the whole network costs on `ids`; once it was tuned, it is itself some way from the original."""
    from mimar.elastic import judge, text_loss

    if network.original is network.parent:
        return {DIVERGENCE: 0.0, LOSS: text_loss(network.parent, ids)}
    judged = judge(network, [SubNetwork.whole(network.parent.arch)], ids)
    return {DIVERGENCE: judged.divergences[0], LOSS: judged.losses[0]}


def _frame(
    objectives: Sequence[Objective], whole: Mapping[str, float], least: Mapping[str, float], worst: float
) -> Reference:
    """From the whole network to the smallest start, with twice the divergence `worst` that the scores foretell of that;
    a text is taken to cost sub-networks as much more than the whole as they are away from it.
    """
    points, ideals = list[float](), list[float]()
    for each in objectives:
        if each.metric in FIGURES:
            points.append(whole[each.metric] + 2 * worst + 1e-6)
            ideals.append(whole[each.metric])
        elif each.metric in TASKS:
            points.append(0.0)
            ideals.append(-1.0)
        else:
            ends = sorted(each.sign * metrics[each.metric] for metrics in (whole, least))
            points.append(ends[1])
            ideals.append(min(ends[0], ends[1] - 1e-9))
    return Reference(tuple(points), tuple(ideals))
