"""The only loop: ask → evaluate → store → tell; resumable at any instant.

The journal holds the settings, every ask, every LLM call and every trial. A study is resumed by running the same loop
again: past asks are put to a fresh strategy, past LLM calls and trials are answered from the journal, and what is
missing is done for real. So a resumed study gives the same trials as one that was never stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar, cast

from mimar.errors import InputError, LLMError, ReplayError, StorageError
from mimar.executor import Executor, Outcome, SerialExecutor
from mimar.llm import LLM, CallRecord, Recalled, Recording
from mimar.objectives import Evaluator, complete_trials, front_trials, losses
from mimar.storage import Event, EventKind, MemoryStorage, Storage
from mimar.strategy import Problem, Strategy
from mimar.trial import FULL, Proposal, Status, Trial, trial_from_json, trial_to_json

__all__ = ["Journal", "StopReason", "Study", "journalled", "journalled_judge", "read_journal", "read_trials"]

A = TypeVar("A")

StopReason = Literal["enough trials", "nothing new found", "interrupted", "LLM failed"]

PATIENCE: Final = 10
"""Asks in a row without a new evaluated candidate after which a search ends."""


class _TrialBodies(Mapping[int, Mapping[str, Any]]):
    """Trials as stored, by id; kept as text, which takes a fraction of the memory of objects."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def add(self, body: Mapping[str, Any]) -> None:
        self._texts[body["id"]] = json.dumps(body, separators=(",", ":"))

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        return json.loads(self._texts[number])

    def __iter__(self) -> Iterator[int]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


@dataclass
class Journal:
    """A study's events, sorted by kind; plain data. `seconds` is the wall time of its completed runs.

    calls: of the strategy, in the order in which they are answered again. judgements: calls of a score. measured: the
    last measurement of what was found. trials: by id, as stored; read anew at each access.
    """

    settings: Mapping[str, Any] | None = None
    asks: list[int] = field(default_factory=list[int])
    calls: list[CallRecord] = field(default_factory=list[CallRecord])
    judgements: list[CallRecord] = field(default_factory=list[CallRecord])
    trials: Mapping[int, Mapping[str, Any]] = field(default_factory=_TrialBodies)
    stops: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    measured: Mapping[str, Any] | None = None


def read_journal(storage: Storage, *kinds: EventKind) -> Journal:
    """Sort the events of `storage`, or only those of these `kinds`; an empty one gives an empty journal.

    KeyError, TypeError or ValueError: an event lacks what its kind has, or has another thing there.
    """
    trials = _TrialBodies()
    journal = Journal(trials=trials)
    for event in storage.events(*kinds):
        match event.kind:
            case "study":
                journal.settings = event.body
            case "ask":
                journal.asks.append(event.body["n"])
            case "call":
                journal.calls.append(CallRecord.from_json(event.body))
            case "judge":
                journal.judgements.append(CallRecord.from_json(event.body))
            case "trial":
                trials.add(event.body)
            case "stop":
                journal.stops.append(_text(event.body["reason"]))
                journal.seconds += _finite(event.body["seconds"])
            case "measured":
                journal.measured = event.body
    return journal


def _finite(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"expected a number, got {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def read_trials(storage: Storage, read: Callable[[Any], A]) -> list[Trial[A]]:
    """The trials of `storage` by id; `read` turns an architecture's JSON form into the architecture."""
    found = {event.body["id"]: trial_from_json(event.body, read) for event in storage.events("trial")}
    return [found[number] for number in sorted(found)]


def journalled(llm: LLM, storage: Storage, on_call: Callable[[CallRecord], None] = lambda _: None) -> LLM:
    """`llm` for a strategy whose study is kept in `storage`: give the strategy this one instead.

    The calls that the journal holds are answered from there, in order; each later one is made, stored and reported to
    `on_call`. A study that is resumed with it pays for no call twice and gives the trials of one never stopped.
    `complete` raises ReplayError when a call is not the one on record.
    """

    def keep(record: CallRecord) -> None:
        storage.append(Event("call", record.to_json()))
        on_call(record)

    return Recording(llm, read_journal(storage, "call").calls, keep)


def journalled_judge(llm: LLM, storage: Storage, on_call: Callable[[CallRecord], None] = lambda _: None) -> LLM:
    """`llm` for a score whose study is kept in `storage`, beside `journalled` for the strategy.

    A call that the journal holds is answered from there, found by what is asked, as `Recalled` does it. Any other is
    made, stored and reported to `on_call`.
    """

    def keep(record: CallRecord) -> None:
        storage.append(Event("judge", record.to_json()))
        on_call(record)

    return Recalled(llm, read_journal(storage, "judge").judgements, keep)


class Study(Generic[A]):
    """A search: one problem, one strategy, one evaluator, one journal.

    settings: plain data that identifies the study; a journal with other settings is refused.
    batch: candidates asked for at a time; part of what identifies a study.
    prepare: told the candidates of each batch before any of them is evaluated, also where their trials are on record;
      for evaluators that do better with several at once (`DesignEvaluator.prepare`). It may raise an LLMError.
    on_trial: called after each trial is stored, and for each one read back from the journal; for progress displays.
    """

    def __init__(
        self,
        problem: Problem[A],
        strategy: Strategy[A],
        evaluator: Evaluator[A],
        *,
        storage: Storage | None = None,
        settings: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
        batch: int = 8,
        prepare: Callable[[Sequence[A]], None] = lambda _: None,
        on_trial: Callable[[Trial[A]], None] = lambda _: None,
    ) -> None:
        self._problem = problem
        self._strategy = strategy
        self._evaluator = evaluator
        self._storage = storage or MemoryStorage()
        self._executor = executor or SerialExecutor()
        self._batch = batch
        self._prepare = prepare
        self._on_trial = on_trial
        self._past = read_journal(self._storage)
        self._asked = 0
        self._told = 0
        self._evaluated = 0
        self._trials: dict[int, Trial[A]] = {}
        self._llm_failures = 0
        self._cut_short = False
        self._begin({**(settings or {}), "batch": batch})

    @property
    def problem(self) -> Problem[A]:
        """What is being searched."""
        return self._problem

    @property
    def trials(self) -> Sequence[Trial[A]]:
        """Every trial that `run` has stored or found in the journal, in proposal order, rejected ones included.

        Those of a batch that was cut short are among them, so that ids may be missing between theirs.
        """
        return tuple(self._trials[number] for number in sorted(self._trials))

    def front(self) -> list[Trial[A]]:
        """The non-dominated complete trials, in proposal order."""
        return front_trials(self.trials, self._problem.objectives)

    def hypervolume(self) -> float:
        """Hypervolume of the complete trials in the problem's frame."""
        points = losses([trial.metrics for trial in complete_trials(self.trials)], self._problem.objectives)
        return self._problem.reference.hypervolume(points)

    def run(self, trials: int) -> StopReason:
        """Search until `trials` candidates have been evaluated in full, those of earlier runs included.

        Ctrl-C ends the run at once and loses nothing that was stored. An LLM that fails for good ends the run of a
        strategy or a score that cannot do without it: the LLMError is raised after the stop is recorded. InputError
        after a run that ended amid a batch: what the strategy knows is then unknown, so build the study anew over its
        storage.
        """
        if self._cut_short:
            raise InputError(
                "the last run of this study ended amid a batch: to go on, build a Study over the same storage with a "
                "fresh strategy"
            )
        start = time.perf_counter()
        reason: StopReason = "LLM failed"
        try:
            reason = self._search(trials)
        except KeyboardInterrupt:
            reason = "interrupted"
        except ReplayError:  # nobody was asked: the journal stays as it is
            raise
        except LLMError:
            self._stopped(reason, start)
            raise
        self._stopped(reason, start)
        return reason

    def _stopped(self, reason: StopReason, start: float) -> None:
        self._storage.append(Event("stop", {"reason": reason, "seconds": time.perf_counter() - start}))

    def _begin(self, settings: Mapping[str, Any]) -> None:
        settings = json.loads(json.dumps(settings))  # as the journal gives them back: tuples are lists there
        if self._past.settings is None:
            self._storage.append(Event("study", settings))
        elif self._past.settings != settings:
            past, absent = self._past.settings, object()
            changed = [key for key in {**settings, **past} if settings.get(key, absent) != past.get(key, absent)]
            raise InputError(
                f"the study was started with other settings ({', '.join(changed)}): "
                "resume it without changing them, or start a new study at another path"
            )

    def _search(self, target: int) -> StopReason:
        fruitless = 0
        while self._evaluated < target or self._asked < len(self._past.asks):
            failed = self._llm_failures
            came = self._step(target)
            # What an outage kept from being found is no sign that there is nothing.
            if "complete" in came or self._llm_failures > failed:
                fruitless = 0
            elif "partial" not in came:  # those are on their way, and perhaps fail before its end
                fruitless += 1
            if fruitless >= PATIENCE and self._asked >= len(self._past.asks):
                return "nothing new found"
        return "enough trials"

    def _step(self, target: int) -> set[Status]:
        """One round of ask, evaluate, store and tell; what became of the candidates."""
        self._cut_short = True
        proposals = self._proposals(target)
        self._settle(proposals)
        told = [self._trials[self._told + i] for i in range(len(proposals))]
        self._told += len(told)
        self._strategy.tell(told)
        self._cut_short = False
        return {trial.status for trial in told}

    def _proposals(self, target: int) -> Sequence[Proposal[A]]:
        """What the strategy puts forward; nothing where the LLM failed for good and ended an earlier run."""
        n = self._ask_size(target)
        self._asked += 1
        try:
            return self._strategy.ask(n)
        except LLMError as error:
            self._raise_unless_past(error)
            return ()

    def _made_ready(self, candidates: Sequence[A]) -> None:
        """Announce a batch. Failures of the LLM that ended earlier runs come from the journal first."""
        while True:
            try:
                self._prepare(candidates)
                return
            except LLMError as error:
                self._raise_unless_past(error)

    def _raise_unless_past(self, error: LLMError) -> None:
        """Raise what ends this run; return where it is a failure that ended an earlier one."""
        self._llm_failures += 1
        if isinstance(error, ReplayError) or self._llm_failures > self._past.stops.count("LLM failed"):
            raise error

    def _ask_size(self, target: int) -> int:
        """Candidates to ask for: as recorded, or a new recorded number. It is stored before the LLM is asked."""
        if self._asked < len(self._past.asks):
            return self._past.asks[self._asked]
        n = min(self._batch, target - self._evaluated)
        self._storage.append(Event("ask", {"n": n}))
        return n

    def _settle(self, proposals: Sequence[Proposal[A]]) -> None:
        """A trial for each proposal: the recorded one where there is one, none evaluated for a rejected one."""
        open_: list[int] = []
        for i, proposal in enumerate(proposals, self._told):
            recorded = self._past.trials.get(i)
            if recorded is not None:
                self._check_same(recorded, proposal)
                self._add(_trial(i, proposal, _recorded_outcome(recorded)))
            elif proposal.reasons:
                self._store(_trial(i, proposal, Outcome()))
            else:
                open_.append(i)
        self._made_ready([cast("A", proposal.architecture) for proposal in proposals if not proposal.reasons])
        proposed = [proposals[i - self._told] for i in open_]
        if not proposed:  # as in a batch that is on record: an executor need not hear of it
            return
        for index, outcome in self._executor.map(partial(_evaluated, self._evaluator), proposed):
            self._store(_trial(open_[index], proposed[index], outcome))

    def _store(self, trial: Trial[A]) -> None:
        self._storage.append(Event("trial", trial_to_json(trial, self._architecture_json(trial.proposal))))
        self._add(trial)

    def _add(self, trial: Trial[A]) -> None:
        self._trials[trial.id] = trial
        self._evaluated += trial.status == "complete"
        self._on_trial(trial)

    def _architecture_json(self, proposal: Proposal[A]) -> dict[str, Any] | None:
        arch = proposal.architecture
        return None if arch is None else self._problem.space.to_json(arch)

    def _is_same(self, recorded: Mapping[str, Any], proposal: Proposal[A]) -> bool:
        same = recorded["architecture"] == self._architecture_json(proposal)
        rejected = recorded["status"] == "invalid"
        return same and recorded["fidelity"] == proposal.fidelity and rejected == bool(proposal.reasons)

    def _check_same(self, recorded: Mapping[str, Any], proposal: Proposal[A]) -> None:
        if not self._is_same(recorded, proposal):
            raise StorageError(
                f"trial {recorded['id']} of the study cannot be reproduced: expected the recorded architecture, "
                f"{recorded['status']}, got another one or another verdict. Something is not as it was when the trial "
                "was stored: the strategy or its seed, the space, the problem's check, the replies of an LLM that is "
                "not `journalled`, or the version of mimar. Resume with all of them as they were, or start a new study"
            )


def _evaluated(evaluator: Evaluator[A], proposal: Proposal[A]) -> Mapping[str, float]:
    return evaluator.evaluate(cast("A", proposal.architecture), proposal.fidelity)


def _trial(index: int, proposal: Proposal[A], outcome: Outcome) -> Trial[A]:
    done: Status = "complete" if proposal.fidelity == FULL else "partial"
    status: Status = "invalid" if proposal.reasons else done if outcome.failure is None else "failed"
    reasons = proposal.reasons or (() if outcome.failure is None else (outcome.failure,))
    return Trial(index, proposal, status, outcome.metrics, reasons, outcome.seconds)


def _recorded_outcome(recorded: Mapping[str, Any]) -> Outcome:
    failure = "; ".join(recorded["reasons"]) if recorded["status"] == "failed" else None
    return Outcome(recorded["metrics"], failure, recorded["seconds"])
