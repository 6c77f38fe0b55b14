"""`mimar design`: settings → task → study → result."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimar.cli._llm import open_llm
from mimar.cli._names import score_data, score_named
from mimar.cli._output import say
from mimar.cli._progress import Progress
from mimar.cli._report import study_summary
from mimar.cli._settings import DesignSettings
from mimar.cli._strategies import Options, strategy_named
from mimar.cli._study_file import ledger_of, open_study, read_calls
from mimar.design import DesignTask, design_task
from mimar.errors import InputError
from mimar.llm import LLM, CallRecord
from mimar.proxies import Proxy, adw
from mimar.space import Architecture
from mimar.storage import SQLiteStorage, Storage
from mimar.strategy import Dialogue, Started, Strategy
from mimar.study import Study, journalled, read_journal


def run_design(
    settings: DesignSettings, path: Path, trials: int, *, resume: bool, max_cost: float | None
) -> dict[str, Any]:
    """Start or resume the study at `path` and search until `trials` candidates are evaluated.

    settings: of a new study, or as `resumed_settings` reads them. Returns the result as plain data.
    A new study that is refused before it begins leaves no file behind.
    """
    storage = SQLiteStorage(path, create=not resume)
    try:
        return _run(settings if resume else _settled(settings, path, storage), path, storage, trials, max_cost)
    finally:
        storage.close()


def _settled(settings: DesignSettings, path: Path, storage: Storage) -> DesignSettings:
    """The settings of a new study with what is fixed at its start filled in; InputError where there is one already."""
    if read_journal(storage).settings is not None:
        raise InputError(f"{path} already holds a study: add --resume to continue it, or choose another --study")
    budgeted = _task(settings, adw).problem  # which candidates are legal does not depend on the score
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
    progress = Progress(trials, problem.objectives, problem.reference, lambda: ledger_of(calls, ()), len(past.trials))
    study = Study(problem, strategy, task.evaluator, storage=storage, settings=settings.to_json(), on_trial=progress)
    with progress:
        reason = study.run(trials)
    say(f"{reason}: {path}")
    # Read back from the file, so that trials of a batch that was cut short count too.
    return study_summary(open_study(path)) | {"seconds": time.perf_counter() - begin}


def _journalled_llm(
    settings: DesignSettings, storage: Storage, calls: list[CallRecord], max_cost: float | None
) -> LLM | None:
    """The LLM, answering past calls from the journal and adding each new one to it and to `calls`."""
    llm = open_llm(settings.llm, read_calls=read_calls, past=calls, max_cost=max_cost)
    return None if llm is None else journalled(llm, storage, calls.append)


def _strategy(settings: DesignSettings, task: DesignTask, llm: LLM | None) -> Strategy[Architecture]:
    brief = replace(task.brief, anonymous=settings.anonymise)
    options = Options(settings.weights, settings.arm, settings.start)
    strategy = strategy_named(settings.strategy, task.problem, settings.seed, (llm, brief), options)
    if settings.start is None or settings.strategy == Dialogue.name:  # a dialogue begins from it by itself
        return strategy
    return Started(strategy, task.problem, settings.start, settings.seed)
