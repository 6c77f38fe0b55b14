"""What a shrink run says of the models it found, was given and compares with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mimar.cli._output import say
from mimar.cli._shrink_files import Candidate, Judge, Subject, timed, written
from mimar.cli._shrink_heal import healed
from mimar.cli._shrink_plan import Plan
from mimar.cli._shrink_quantized import quantized_rows, rounded_rows
from mimar.cli._shrink_request import Stage
from mimar.elastic import SubNetwork
from mimar.errors import BudgetError, InputError, UnknownNameError
from mimar.formats import has_llama_cpp
from mimar.objectives import Objective, front_trials
from mimar.shrink import Finalist, ModelRow, answered, finals, sizes_of
from mimar.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import SuperNetwork


def measured(subject: Subject, trials: Sequence[Trial[SubNetwork]], plan: Plan, stage: Stage) -> dict[str, Any]:
    """parent, front, finalists, chosen, baselines, healing, quantized and exports, as plain data. InputError: none was
    found.
    """
    front = front_trials(trials, subject.task.problem.objectives)
    if not front:
        raise InputError("no sub-network within the budgets was judged: allow more --trials")
    first = subject.task.problem.objectives[0]
    with stage("choose among the best"):
        ranked = [] if plan.choose is not None else finals(subject.network, trials, first, subject.finals)
        _say_ranked(ranked, first, subject.finals)
    best = ranked[0].trial if ranked else _chosen(first, trials, front, plan.choose)
    ids = plan.ids(subject.opened)

    def judge(candidate: Candidate, texts: Mapping[str, Tensor] = ids) -> Candidate:
        return _judged(subject, candidate, texts, plan)

    with stage("measure what was found"):
        parent, chosen = judge(_parent(subject)), judge(_cut(subject, "chosen", best.architecture))
        compared = [judge(each) for each in _baselines(subject, best.architecture)] if plan.baselines else []
        briefly = partial(judge, texts=dict(islice(ids.items(), 1)))  # a front has many members
        members = [
            _Member(trial, chosen.row, [])
            if trial.id == best.id
            else _of_front(subject, trial, plan.quantized, briefly)
            for trial in front
        ]
    healing = None
    if plan.recovery.tokens:
        with stage("heal"):
            healing, chosen = healed(subject, (parent, chosen), plan, judge)
    with stage("write and run files"), TemporaryDirectory(prefix="mimar-") as scratch:
        exports = [written(subject, (parent, chosen), export, plan) for export in plan.exports]
        listed = timed(subject, [parent, chosen, *compared], Path(scratch))
        rounded = _rounded_too(plan, (parent, chosen))
        quantized = quantized_rows(subject, *rounded, (ids, Path(scratch), judge))
    rows = [each.row.to_json() for each in listed]
    if healing:
        _weigh_beside(healing, rows)
    return {
        "parent": rows[0],
        "chosen": {"id": best.id, **rows[1]},
        "finalists": [each.to_json() for each in ranked],
        "baselines": rows[2:],
        "front": [_told(each, (listed[0].row, listed[1].row)) for each in members],
        "healing": healing,
        "quantized": quantized + [row for each in members for row in each.rounded],
        "exports": exports,
    }


def _say_ranked(ranked: Sequence[Finalist], first: Objective, ids: Tensor) -> None:
    """What was given up was not read to the end: what is known of it is how far it is behind."""
    if ranked:
        best, *others = ranked
        behind = (f"; #{each.trial.id} {each.behind:.4f} ± {each.error:.4f} behind" for each in others)
        say(f"{first.metric} on {ids.numel():,} tokens more: {best.value:.4f} of #{best.trial.id}{''.join(behind)}")


def _chosen(
    first: Objective, trials: Sequence[Trial[SubNetwork]], front: Sequence[Trial[SubNetwork]], number: int | None
) -> Trial[SubNetwork]:
    """The trial of that number, or the member of the front with the best first objective."""
    if number is None:
        return min(front, key=lambda trial: first.sign * trial.metrics[first.metric])
    found = next((trial for trial in trials if trial.id == number and trial.status == "complete"), None)
    if found is None:
        raise UnknownNameError("trial that was judged", str(number), tuple(str(trial.id) for trial in front))
    return found


def _parent(subject: Subject) -> Candidate:
    parent = subject.opened.parent
    return Candidate(sizes_of("parent", SubNetwork.whole(parent.arch), subject.known), parent)


def _cut(subject: Subject, kind: str, sub: SubNetwork, network: SuperNetwork | None = None) -> Candidate:
    """network: where another order of channels than the search's is used."""
    from mimar.elastic import extract

    row = sizes_of(kind, sub, subject.known)
    return Candidate(row, extract(network or subject.network, sub))


@dataclass(frozen=True)
class _Member:
    """Of the front; its weights are not kept, since those of all would fill the memory. rounded: to fewer bits."""

    trial: Trial[SubNetwork]
    row: ModelRow
    rounded: list[dict[str, Any]]


def _of_front(subject: Subject, trial: Trial[SubNetwork], kinds: Sequence[str], judge: Judge) -> _Member:
    cut = _cut(subject, "front", trial.architecture)
    with TemporaryDirectory(prefix="mimar-") as scratch:
        rounded = rounded_rows(subject, cut, kinds, (Path(scratch), judge))
    return _Member(trial, judge(cut).row, [{"id": trial.id, **row} for row in rounded])


RIVAL: Final = "Q4_0"
"""Type of weights of the parent that stands beside baselines: the rival of every smaller model."""


def _rounded_too(plan: Plan, models: tuple[Candidate, Candidate]) -> tuple[Sequence[Candidate], Sequence[str]]:
    """Parent and chosen with the types that were asked for; beside baselines the parent with fewer bits anyway."""
    if plan.baselines and not plan.quantized and has_llama_cpp():
        return models[:1], (RIVAL,)
    return models, plan.quantized


def _weigh_beside(healing: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """What was there before the recovery, and the control, are of the same sizes as the models that were written."""
    healing["before"]["bytes"] = rows[1]["bytes"]
    if "control" in healing:
        healing["control"]["bytes"] = rows[0]["bytes"]


def _told(member: _Member, files: tuple[ModelRow, ModelRow]) -> dict[str, Any]:
    """files: two models as they were written; between them, and beyond, bytes grow with the parameters."""
    (large, small), trial = files, member.trial
    row = replace(member.row, kind="front", expected={**member.row.expected, **trial.metrics})
    if large.params > small.params:
        each = (large.bytes - small.bytes) / (large.params - small.params)
        row = replace(row, bytes=round(large.bytes - each * (large.params - row.params)))
    return {"id": trial.id, "origin": trial.proposal.origin, **row.to_json()}


def _baselines(subject: Subject, chosen: SubNetwork) -> Iterator[Candidate]:
    """Each within the block parameters of the chosen one, or less."""
    from mimar.elastic import block_influences, by_magnitude, random_within, short_gpt, uniform_width

    space, parent = subject.space, subject.opened.parent
    most = chosen.block_params(parent.arch)
    even = partial(uniform_width, parent, most, _protected(subject), filled=space.form != "U")
    subs = {
        "uniform_width": even,
        "shortgpt": lambda: short_gpt(parent, block_influences(parent, subject.task.evaluator.ids), most),
        "magnitude": even,
        "random": lambda: random_within(space, most, np.random.default_rng(0)),
    }
    for kind, choose in subs.items():
        try:
            network = by_magnitude(parent) if kind == "magnitude" else None
            yield _cut(subject, kind, choose(), network)
        except BudgetError as error:
            say(f"no baseline {kind}: {error}")


def _protected(subject: Subject) -> tuple[int, ...]:
    """Layers that the search keeps whole; so do the baselines of one width. Where all have the same there are none."""
    space = subject.space
    if space.form == "U":
        return ()
    options = zip(space.kv_heads, space.intermediate, strict=True)
    return tuple(number for number, (heads, widths) in enumerate(options) if len(heads) == len(widths) == 1)


def _judged(subject: Subject, candidate: Candidate, ids: Mapping[str, Tensor], plan: Plan) -> Candidate:
    """With its perplexity on every text, and its score in every task."""
    from mimar.elastic import text_loss

    encode = subject.opened.encode
    found = {text: math.exp(text_loss(candidate.model, rows)) for text, rows in ids.items()}
    scores = {part.task.name: answered(candidate.model, part, encode).to_json() for part in plan.questions}
    return replace(candidate, row=replace(candidate.row, perplexities=found, tasks=scores))
