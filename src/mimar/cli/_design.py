"""`mimar design`: settings → task → study → result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimar.cli._llm import open_llm
from mimar.cli._names import score_data, score_named, strategy_named
from mimar.cli._output import say
from mimar.cli._progress import Progress
from mimar.cli._settings import DesignSettings
from mimar.cli._study_file import ledger_of, open_study, read_calls
from mimar.design import DesignTask, design_task
from mimar.errors import InputError
from mimar.llm import LLM, CallRecord, Ledger
from mimar.proxies import Proxy, hpm
from mimar.report import operator_accounting
from mimar.space import Architecture
from mimar.storage import Event, SQLiteStorage, Storage
from mimar.strategy import Started, Strategy
from mimar.study import Study, read_journal
from mimar.trial import Trial


def run_design(
    settings: DesignSettings | None, path: Path, trials: int, *, resume: bool, max_cost: float | None
) -> dict[str, Any]:
    """Start or resume the study at `path` and search until `trials` candidates are evaluated.

    settings: of a new study; None takes those of the study that is resumed. Returns the result as plain data.
    A new study that is refused before it begins leaves no file behind.
    """
    fresh = not path.exists()
    storage = SQLiteStorage(path, create=not resume)
    try:
        return _run(_settled(settings, path, storage), path, storage, trials, max_cost)
    finally:
        unused = fresh and next(storage.events(), None) is None
        storage.close()
        if unused:
            path.unlink()


def _settled(settings: DesignSettings | None, path: Path, storage: Storage) -> DesignSettings:
    """The settings of the stored study, or those of the new one with what is fixed at its start filled in."""
    if settings is None:
        return open_study(path).settings  # read whole, so that a damaged study is refused before anything is added
    if read_journal(storage).settings is not None:
        raise InputError(f"{path} already holds a study: add --resume to continue it, or choose another --study")
    budgeted = _task(settings, hpm).problem  # which candidates are legal does not depend on the score
    settings = replace(settings, score_data=score_data(settings.score, budgeted, settings.seed))
    return replace(settings, reference=_task(settings).problem.reference)


def _task(settings: DesignSettings, score: Proxy | None = None) -> DesignTask:
    return design_task(
        settings.space,
        settings.profile,
        settings.workload,
        score or score_named(settings.score, settings.score_data),
        budgets=settings.budgets,
        objectives=settings.objectives,
        seed=settings.seed,
        reference=settings.reference,
    )


def _run(settings: DesignSettings, path: Path, storage: Storage, trials: int, max_cost: float | None) -> dict[str, Any]:
    begin = time.perf_counter()
    task = _task(settings)
    past = read_journal(storage)
    calls = list(past.calls)
    llm = _journalled_llm(settings, storage, calls, max_cost)
    strategy = _strategy(settings, task, llm)
    problem = task.problem
    study: Study[Architecture]
    progress = Progress(
        trials, problem.objectives, problem.reference, lambda: ledger_of(calls, study.trials), len(past.trials)
    )
    study = Study(problem, strategy, task.evaluator, storage=storage, settings=settings.to_json(), on_trial=progress)
    with progress:
        reason = study.run(trials)
    say(f"{reason}: {path}")
    ledger = ledger_of(calls, study.trials)
    return _result(settings, study, reason, ledger) | {"study": str(path), "seconds": time.perf_counter() - begin}


def _journalled_llm(
    settings: DesignSettings, storage: Storage, calls: list[CallRecord], max_cost: float | None
) -> LLM | None:
    """The LLM, answering past calls from the journal and adding each new one to it and to `calls`."""

    def keep(record: CallRecord) -> None:
        storage.append(Event("call", record.to_json()))
        calls.append(record)

    return open_llm(settings.llm, on_call=keep, read_calls=read_calls, past=tuple(calls), max_cost=max_cost)


def _strategy(settings: DesignSettings, task: DesignTask, llm: LLM | None) -> Strategy[Architecture]:
    strategy = strategy_named(settings.strategy, task.problem, settings.seed, llm, task.brief)
    return strategy if settings.start is None else Started(strategy, task.problem, settings.start, settings.seed)


def _result(settings: DesignSettings, study: Study[Architecture], reason: str, ledger: Ledger) -> dict[str, Any]:
    problem = study.problem
    metrics = [objective.metric for objective in problem.objectives]
    rows = operator_accounting(study.trials, problem.objectives, problem.reference)
    return {
        "front": [member_json(trial, problem.space.to_json(trial.architecture)) for trial in study.front()],
        "trials": _count(study.trials, "complete"),
        "invalid": _count(study.trials, "invalid"),
        "failed": _count(study.trials, "failed"),
        "hypervolume": study.hypervolume(),
        "reference_point": {
            objective.metric: objective.sign * value
            for objective, value in zip(problem.objectives, problem.reference.point, strict=True)
        },
        "objectives": metrics,
        "llm": {"name": settings.llm, **ledger.to_json()},
        "operators": {row.origin: row.to_json() for row in rows},
        "strategy": settings.strategy,
        "device": settings.profile.name,
        "stopped": reason,
    }


def member_json(trial: Trial[Architecture], architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A front member as plain data."""
    return {
        "id": trial.id,
        "origin": trial.proposal.origin,
        "architecture": architecture,
        "metrics": dict(trial.metrics),
    }


def _count(trials: Sequence[Trial[Architecture]], status: str) -> int:
    return sum(trial.status == status for trial in trials)
