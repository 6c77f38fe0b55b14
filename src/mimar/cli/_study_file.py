"""A study file read back: settings, trials, accounting."""

from __future__ import annotations

import gc
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mimar.cli._settings import COMMAND, DesignSettings
from mimar.design import objective_for
from mimar.errors import ArchitectureError, ForeignFileError, InputError, UnknownNameError
from mimar.llm import CallRecord, Ledger
from mimar.objectives import Objective, complete_trials, losses
from mimar.pareto import Reference
from mimar.space import Architecture, architecture_from_json
from mimar.storage import SQLiteStorage
from mimar.study import read_journal, read_trials
from mimar.trial import Trial


@dataclass(frozen=True)
class StudyFile:
    """Everything a finished or stopped study holds; `seconds` is the wall time of its completed runs.

    calls: to the LLM by the strategy; judgements: by the score.
    """

    path: Path
    settings: DesignSettings
    trials: tuple[Trial[Architecture], ...]
    calls: tuple[CallRecord, ...]
    judgements: tuple[CallRecord, ...]
    stops: tuple[str, ...]
    seconds: float

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives."""
        return tuple(objective_for(metric) for metric in self.settings.objectives)

    def trial(self, number: int) -> Trial[Architecture]:
        """The trial with this id; UnknownNameError says which there are, InputError why it has no architecture."""
        found = next((trial for trial in self.trials if trial.id == number), None)
        if found is None:
            raise UnknownNameError("trial", str(number), (f"0 to {max((t.id for t in self.trials), default=0)}",))
        if found.proposal.architecture is None:
            raise InputError(f"trial {number} has no architecture: {'; '.join(found.reasons)}")
        return found


@contextmanager
def uncollected() -> Generator[None]:
    """Without the collector of cycles: it would look through all that is kept of a large study again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@uncollected()
def open_study(path: Path) -> StudyFile:
    """Read a study without changing it; InputError, ForeignFileError or NewerVersionError."""
    with reading(path) as storage:
        data = read_journal(storage, "study").settings
        if data is None:
            raise InputError(f"{path} holds no study yet: run `mimar design --study {path}`")
        if data.get("kind") != COMMAND:
            raise InputError(f"{path}: expected a study made by `mimar design`, got one of kind {data.get('kind')!r}")
        settings = DesignSettings.from_json(data)
        trials = read_trials(storage, architecture_of)  # before the calls, so that no trial's call is missing
        journal = read_journal(storage, "ask", "call", "judge", "stop")
        study = StudyFile(
            path, settings, tuple(trials), tuple(journal.calls), tuple(journal.judgements), tuple(journal.stops),
            journal.seconds,
        )  # fmt: skip
        _require_sense(study)
        return study


def _require_sense(study: StudyFile) -> None:
    """KeyError, TypeError or ValueError where a field is missing, or another thing than its name says."""
    settings = study.settings
    for text in (settings.score, settings.strategy, settings.arm, settings.llm, settings.command):
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {text!r}")
    for weight in dict(settings.weights).values():
        if not isinstance(weight, int | float):
            raise TypeError(f"expected a number, got {weight!r}")
    require_frame(settings.reference, study.objectives)
    evaluated = complete_trials(study.trials)
    losses([trial.metrics for trial in evaluated], study.objectives)
    if any(trial.architecture.context_length < 1 for trial in evaluated):
        raise ValueError("it has a score for an architecture that reads nothing")
    ledger_of(study.calls, study.trials, study.judgements)


def require_frame(frame: Reference | None, objectives: Sequence[Objective]) -> None:
    """ValueError or TypeError unless it is the frame of a hypervolume in these objectives."""
    if frame is None or not len(frame.point) == len(frame.ideal) == len(objectives):
        raise ValueError("it has no frame for hypervolumes")
    if not all(map(math.isfinite, (*frame.point, *frame.ideal))):
        raise ValueError("its frame for hypervolumes is not finite")


@contextmanager
def reading(path: Path) -> Generator[SQLiteStorage]:
    """The study at `path`, to read from; an entry that makes no sense is a ForeignFileError."""
    storage = SQLiteStorage(path, read_only=True)
    try:
        with sensible(path):
            yield storage
    finally:
        storage.close()


@contextmanager
def sensible(path: Path) -> Generator[None]:
    """Around code that reads entries of the study at `path`: one that makes no sense is a ForeignFileError."""
    try:
        yield
    except (ArithmeticError, ArchitectureError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ForeignFileError(f"{path} is damaged: an entry makes no sense ({error!r}); restore a backup") from error


def architecture_of(data: Any) -> Architecture:
    """An architecture as a study stores it. An illegal one is kept as it was proposed, since its trial says why."""
    return architecture_from_json(data, check=False)


def read_calls(path: Path) -> Sequence[CallRecord]:
    """The LLM calls that a study of any kind recorded, for ``--llm replay:STUDY``."""
    with reading(path) as storage:
        journal = read_journal(storage, "call", "judge")
        return (*journal.calls, *journal.judgements)


def ledger_of(
    calls: Sequence[CallRecord], trials: Sequence[Trial[Any]], judgements: Sequence[CallRecord] = ()
) -> Ledger:
    """The ledger of a study; a unique valid candidate is an LLM's proposal that was evaluated."""
    ledger = Ledger()
    for call in (*calls, *judgements):
        ledger = ledger.add(call)
    valid = sum(trial.proposal.by_llm and trial.status == "complete" for trial in trials)
    return replace(ledger, unique_valid=valid, judging=len(judgements))


def split_reference(text: str) -> tuple[Path, int | None]:
    """``STUDY#ID`` → path and id; the id is None when absent."""
    path, mark, number = text.rpartition("#")
    if not mark or Path(text).exists():
        return Path(text), None
    if not number.isdecimal():
        raise InputError(f"expected STUDY#ID with a whole number after #, got {text!r}")
    return Path(path), int(number)


def is_study(path: Path) -> bool:
    """Whether `path` is a file of the kind that studies are kept in, whatever it holds."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"
