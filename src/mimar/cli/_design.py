"""`mimar design`: settings → task → study → result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimar.cli._llm import open_llm
from mimar.cli._names import score_data, score_named
from mimar.cli._output import say
from mimar.cli._progress import Progress
from mimar.cli._report import study_summary
from mimar.cli._settings import DesignSettings
from mimar.cli._strategies import Options, strategy_named
from mimar.cli._study_file import ledger_of, open_study, read_calls
from mimar.cli._train import device_named, require_device_name
from mimar.cli._training import gate_rows
from mimar.design import DesignTask, design_task, objective_for
from mimar.errors import InputError
from mimar.executor import Executor, RayExecutor
from mimar.llm import LLM, CallRecord, Recalled
from mimar.proxies import Proxy, adw
from mimar.space import Architecture
from mimar.storage import Event, SQLiteStorage, Storage
from mimar.strategy import Cascade, Dialogue, Started, Strategy
from mimar.study import Study, journalled, journalled_judge, read_journal

if TYPE_CHECKING:
    from mimar.supernet import Epoch

BATCH, GATED_BATCH = 8, 4
"""Candidates asked for at a time, so that more workers than these have nothing to do; behind gates each stands for many
that went in.
"""


@dataclass(frozen=True)
class _Asked:
    """The language model of a run, which strategy and score share, and what it was asked.

    calls: all on record, earlier runs' too. opening: those of the score before there was a study to store them in.
    """

    llm: LLM | None
    calls: list[CallRecord]
    opening: list[CallRecord] = field(default_factory=list[CallRecord])


@dataclass(frozen=True)
class _Means:
    """What a run works with; `device` is that of trainings, and `paused` where those lie that gates pause."""

    asked: _Asked
    device: str
    executor: Executor
    paused: Path | None


def run_design(
    settings: DesignSettings,
    path: Path,
    trials: int,
    *,
    resume: bool,
    max_cost: float | None,
    train_on: str,
    executor: Executor,
) -> dict[str, Any]:
    """Start or resume the study at `path` and search until `trials` candidates are evaluated.

    settings: of a new study, or as `resumed_settings` reads them. train_on: the device of trainings, if there are any.
    Returns the result as plain data.
    A new study that is refused before it begins leaves no file behind.
    """
    storage = SQLiteStorage(path, create=not resume)
    try:
        past = read_journal(storage, "study", "call", "judge")
        if past.settings is not None and not resume:
            raise InputError(f"{path} already holds a study: add --resume to continue it, or choose another --study")
        calls = [*past.calls, *past.judgements]
        asked = _Asked(open_llm(settings.llm, read_calls=read_calls, past=calls, max_cost=max_cost), calls)
        device = _device(train_on, executor) if settings.training else "cpu"
        settings = settings if resume else _settled(settings, asked)
        with _paused(settings, path) as paused:
            return _run(settings, path, storage, trials, _Means(asked, device, executor, paused))
    finally:
        storage.close()


@contextmanager
def _paused(settings: DesignSettings, study: Path) -> Generator[Path | None]:
    """A folder for trainings that gates pause, beside the study, so that what a killed search left there is cleared."""
    if settings.training is None or not settings.training.gates:
        yield None
        return
    folder = study.absolute().with_name(f"{study.name}.paused-trainings")
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # without it a training that comes again begins anew
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _device(name: str, executor: Executor) -> str:
    """Of trainings. On a cluster, ``auto`` is decided by each node, and a GPU need not be here."""
    if not isinstance(executor, RayExecutor):
        return device_named(name, "--train-on")
    require_device_name(name, "--train-on")
    return name


def _settled(settings: DesignSettings, asked: _Asked) -> DesignSettings:
    """The settings of a new study with what is fixed at its start filled in."""
    llm = None if asked.llm is None else Recalled(asked.llm, (), asked.opening.append)
    budgeted = _task(settings, adw).problem  # which candidates are legal does not depend on the score
    settings = replace(settings, score_data=score_data(settings.score, budgeted, settings.seed, llm))
    return replace(settings, reference=_task(settings, _score(settings, llm)).problem.reference)


def _score(settings: DesignSettings, llm: LLM | None) -> Proxy:
    return score_named(settings.score, settings.score_data, llm)


def _task(settings: DesignSettings, score: Proxy, device: str = "cpu", paused: Path | None = None) -> DesignTask:
    """device: of trainings. paused: where those lie that gates pause."""
    return design_task(
        settings.space,
        settings.profile,
        settings.workload,
        score,
        budgets=settings.budgets,
        objectives=settings.objectives,
        loss=settings.training and settings.training.loss(settings.seed, device, paused),
        seed=settings.seed,
        reference=settings.reference,
    )


def _run(settings: DesignSettings, path: Path, storage: Storage, trials: int, means: _Means) -> dict[str, Any]:
    begin = time.perf_counter()
    asked = means.asked
    llm, calls = asked.llm, asked.calls
    past_trials = sum(1 for _ in storage.events("trial"))
    score = _score(settings, llm and journalled_judge(llm, storage, calls.append))
    task = _task(settings, score, means.device, means.paused)
    epochs: list[Epoch] = []
    strategy = _strategy(settings, task, llm and journalled(llm, storage, calls.append), epochs.append)
    problem = task.problem
    gates = settings.training.gates if settings.training else ()
    cascade = Cascade(strategy, problem, gates, objective_for("score")) if gates else None
    progress = Progress(trials, problem.objectives, problem.reference, lambda: ledger_of(calls, ()), past_trials)
    for record in asked.opening:  # before the settings that rest on them: a kill must not lose what was paid for
        storage.append(Event("judge", record.to_json()))
        calls.append(record)
    study = Study(
        problem,
        cascade or strategy,
        task.evaluator,
        storage=storage,
        settings=settings.to_json(),
        executor=means.executor,
        batch=GATED_BATCH if cascade else BATCH,
        prepare=task.evaluator.prepare,
        on_trial=progress,
    )
    with progress:
        reason = study.run(trials)
    say(f"{reason}: {path}")
    # Read back from the file, so that trials of a batch that was cut short count too.
    result = study_summary(open_study(path)) | {"seconds": time.perf_counter() - begin}
    if cascade:
        result["gates"] = gate_rows(cascade.counts)
    if epochs:
        result["operation_strengths"] = [epoch.to_json() for epoch in epochs]
    return result


def _strategy(
    settings: DesignSettings, task: DesignTask, llm: LLM | None, keep: Callable[[Epoch], None]
) -> Strategy[Architecture]:
    """keep: told the epochs of a strategy that has some."""

    def on_epoch(epoch: Epoch) -> None:
        keep(epoch)
        _say_strengths(epoch)

    brief = replace(task.brief, anonymous=settings.anonymise)
    gated = bool(settings.training and settings.training.gates)
    options = Options(settings.weights, settings.arm, settings.start, task.evaluator.loss, on_epoch, gated)
    strategy = strategy_named(settings.strategy, task.problem, settings.seed, (llm, brief), options)
    if settings.start is None or settings.strategy == Dialogue.name:  # a dialogue begins from it by itself
        return strategy
    return Started(strategy, task.problem, (settings.start,), settings.seed)


def _say_strengths(epoch: Epoch) -> None:
    """One line an epoch: the strongest operation of each layer, and a warning of collapse."""
    strongest = "; ".join(
        f"{role} " + ", ".join(f"{kind} {strength:.2f}" for kind, strength in epoch.strongest(role))
        for role in epoch.operations
    )
    collapsed = "; collapsed: the operation without weights leads" if epoch.collapsed else ""
    say(f"darts, epoch {epoch.number}: loss {epoch.validation_loss:.4f}; {strongest}{collapsed}")
