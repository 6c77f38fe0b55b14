"""Everything a report is made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mimar.llm import CallRecord, Ledger
from mimar.objectives import Budget, Objective
from mimar.pareto import Reference
from mimar.report._kept import KeptLayers
from mimar.report._measured import Measured
from mimar.space import Architecture
from mimar.trial import Trial


@dataclass(frozen=True, slots=True)
class FamiliarShape:
    """A known model, for example GPT-2 small, measured on the same device and workload as the trials."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ReportData:
    """What a study holds, as its report needs it.

    name: the study's path as commands take it; ``name#ID`` names a trial. command: the command that repeats the run.
    reference: the hypervolume's frame, in losses (to be minimised), in the order of `objectives`.
    trials: all of them in proposal order, rejected and failed ones included.
    device, workload, score: one sentence each, what was assumed and how quality was scored.
    familiar: known shapes drawn beside the front. seconds: of the whole search.
    stop_reasons: why each run of the study ended, first to last. kept: of a pretrained model, by the front.
    measured: models of a shrink run, on texts and tasks. export: the command that writes a trial, for `str.format` with
    {study}, {id} and {trial}, the two together; braces of its own are doubled.
    """

    name: str
    command: str
    version: str
    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...]
    reference: Reference
    trials: tuple[Trial[Architecture], ...]
    calls: tuple[CallRecord, ...]
    ledger: Ledger
    device: str
    workload: str
    score: str
    familiar: tuple[FamiliarShape, ...]
    seconds: float
    stop_reasons: tuple[str, ...]
    kept: KeptLayers | None = None
    measured: Measured | None = None
    export: str = "mimar export {trial} --to hf DIR"
