"""`mimar shrink`: a pretrained model → order and scores → study → the chosen sub-network, measured and written."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mimar.cli._llm import open_llm, require_named
from mimar.cli._output import say
from mimar.cli._progress import Progress
from mimar.cli._shrink_files import Subject
from mimar.cli._shrink_heal import learning_curve, lesson_reporter, lessons_folder
from mimar.cli._shrink_measure import measured
from mimar.cli._shrink_plan import Plan
from mimar.cli._shrink_request import ShrinkRequest, settings_for
from mimar.cli._shrink_settings import ShrinkSettings, Texts
from mimar.cli._strategies import Options, strategy_named
from mimar.cli._study_file import ledger_of, read_calls, sensible
from mimar.elastic import ElasticSpace, SubNetwork
from mimar.errors import InputError
from mimar.llm import LLM, CallRecord
from mimar.objectives import front_trials
from mimar.shrink import (
    Knapsack,
    Known,
    Lessons,
    Opened,
    Provenance,
    ShrinkTask,
    Tuned,
    answered,
    calibration_windows,
    learning_text,
    open_model,
    shrink_task,
    spread,
    tune,
)
from mimar.storage import Event, SQLiteStorage, Storage
from mimar.strategy import Brief, Started, Strategy
from mimar.study import Study, journalled, read_journal, read_trials
from mimar.tasks import Encode, Items, read_items
from mimar.training import read_texts
from mimar.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import SuperNetwork

BATCH = 8
"""Candidates asked for at a time: so many share the layers that they begin with."""


@dataclass
class Stages:
    """Seconds of each part of the run, by name."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what is done meanwhile."""
        say(f"{name} …")
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What a search works on. judged, finals: the text that candidates run on, and the best of them once more,
    (sequences, tokens).
    """

    network: SuperNetwork
    judged: Tensor
    finals: Tensor


def run_shrink(
    request: ShrinkRequest, study: Path, trials: int, plan: Plan, *, resume: bool, max_cost: float | None
) -> dict[str, Any]:
    """Start or resume the study at `study`, search until `trials` sub-networks are judged, measure and write what
    `plan` says. Returns the result as plain data. A new study that is refused before it begins leaves no file behind.
    """
    stages = Stages()
    storage = SQLiteStorage(study, create=not resume)
    try:
        past = _past(storage, study, resume)
        if past:
            require_named(study, past.llm, request.llm)
        with TemporaryDirectory(prefix="mimar-") as scratch:
            with stages("read the model"):
                opened = open_model(past.model if past else request.model, Path(scratch))
            plan.require_readable(opened, past.space.form if past else request.form)
            settings = past or settings_for(request, opened, stages)
            settings, questions = _questioned(settings)
            llm, calls = _llm(settings, storage, max_cost)
            settings, prepared = _prepare(settings, opened, stages, (study, plan.recovery.save_every))
            task = _task(settings, prepared, questions, opened.encode)
            settings = replace(settings, reference=task.problem.reference)
            with stages("search"):
                reason = _search(settings, task, storage, (trials, llm, calls))
            subject = Subject(
                opened, prepared.network, settings.space, task, study,
                _identity(settings), settings.texts.calibration, prepared.finals,
                _provenance(settings, opened, request.command, plan),
            )  # fmt: skip
            say(f"{reason}: {study}")
            found = _trials(storage, task)
            result = {} if reason == "interrupted" else measured(subject, found, plan, stages)
            if result and (plan.measures or read_journal(storage, "measured").measured is None):
                storage.append(Event("measured", result))
            summary = _summary(settings, task, storage, stages)
            return {**summary, "finetune": settings.learnt, **result, "study": str(study), "stopped": reason}
    finally:
        storage.close()


def _provenance(settings: ShrinkSettings, opened: Opened, command: str, plan: Plan) -> Provenance:
    """command: the present one, which may go on with a study that another began."""
    workload, lessons = settings.workload, list[str]()
    if settings.finetune.tokens:
        texts, tokens = _file_names(settings.texts.calibration), settings.finetune.tokens
        lessons.append(f"Before the cut all its parts learnt from the parent on {tokens:,} tokens of {texts}.")
    if plan.recovery.tokens:
        texts = _file_names(plan.recovery.texts or settings.texts.calibration)
        lessons.append(f"After the cut it learnt from the parent on {plan.recovery.tokens:,} tokens of {texts}.")
    return Provenance(
        settings.model, opened.licence, opened.notices, tuple(dict.fromkeys((settings.command, command))),
        tuple(lessons), f"{workload.dtype} weights and a context of {workload.context} tokens", version("mimar"),
    )  # fmt: skip


def _file_names(sources: Sequence[str]) -> str:
    return ", ".join(Path(source).name for source in sources)


def _past(storage: Storage, path: Path, resume: bool) -> ShrinkSettings | None:
    """The settings of the study that goes on; ForeignFileError where they or another entry make no sense."""
    stored = read_journal(storage, "study").settings
    if stored is None:
        if resume:
            raise InputError(f"{path} holds no study to continue: run without --resume")
        return None
    if not resume:
        raise InputError(f"{path} already holds a study: add --resume to continue it, or choose another --study")
    with sensible(path):
        settings = ShrinkSettings.from_json(stored)
        read_journal(storage)
        read_trials(storage, settings.space.from_json)
        return settings


def _questioned(settings: ShrinkSettings) -> tuple[ShrinkSettings, list[Items]]:
    """With what the tasks among the objectives ask, which has to stay the same as long as a study goes on."""
    asked = settings.asked
    found = [read_items(name, limit=asked.items) for name in asked.tasks]
    told = json.dumps([[asdict(item) for item in part.items] for part in found])
    sha256 = hashlib.sha256(told.encode()).hexdigest() if found else ""
    if settings.scores is None:
        return replace(settings, asked=replace(asked, sha256=sha256)), found
    if asked.sha256 not in ("", sha256):
        raise InputError(f"the items of the study's tasks have changed ({', '.join(asked.tasks)})")
    return settings, found


def _prepare(
    settings: ShrinkSettings, opened: Opened, stages: Stages, kept: tuple[Path, float]
) -> tuple[ShrinkSettings, _Prepared]:
    """Order the channels; where this is a new study, score the parts. kept: study, and seconds between checkpoints."""
    import torch

    from mimar.elastic import SuperNetwork, block_scores

    if opened.fingerprint != settings.fingerprint:
        raise InputError(f"{settings.model} is not the model that the study began with: bring it back, or start anew")
    texts = settings.texts
    counts = [-(-tokens // texts.window) for tokens in (texts.tokens, texts.judged, texts.finals)]
    sources = [read_texts([source]) for source in texts.calibration]
    rows = calibration_windows(sources, opened.reader, counts, texts.window, opened.begin)
    sha256 = hashlib.sha256(np.concatenate(rows).tobytes()).hexdigest()
    if texts.sha256 not in ("", sha256):
        raise InputError(f"the calibration text of the study has changed ({', '.join(texts.calibration)})")
    settings = replace(settings, texts=replace(texts, sha256=sha256))
    first, second, third = map(torch.from_numpy, rows)
    with stages("order channels and heads"):
        network = SuperNetwork.of(opened.parent, first, len(texts.calibration))
    few = second[: _scored(texts)]
    if settings.finetune.tokens:
        with stages("fine-tune"):
            tuned = _tuned(settings, opened, (network, second), kept)
            if settings.learnt is None:
                settings = replace(settings, learnt=_learnt(tuned, network, settings.space, few))
            network = tuned.network
    if settings.scores is None:
        with stages("score the parts of each layer"):
            settings = replace(settings, scores=block_scores(network, settings.space, few))
    return settings, _Prepared(network, second, third)


def _tuned(
    settings: ShrinkSettings, opened: Opened, given: tuple[SuperNetwork, Tensor], kept: tuple[Path, float]
) -> Tuned:
    """After the one fine-tune, on the calibration text; its checkpoint lies beside the study."""
    (network, judged), (study, save_every), wanted = given, kept, settings.finetune
    sources = [read_texts([source]) for source in settings.texts.calibration]
    text = learning_text(sources, opened.reader, wanted.tokens, settings.texts.window, opened.begin)
    lessons = Lessons(
        wanted.tokens, wanted.learning_rate, 1.0, wanted.precision, text, judged.numpy(), settings.seed,
        save_every=save_every,
    )  # fmt: skip
    identity = _identity(settings)
    return tune(
        network,
        settings.space,
        lessons,
        lessons_folder(study, "tuned", identity, lessons),
        identity=identity,
        on_row=lesson_reporter("fine-tune", lessons),
    )


COMPARED = 50
"""Random sub-networks, of all sizes, whose losses say what the fine-tune brought."""


def _learnt(tuned: Tuned, before: SuperNetwork, space: ElasticSpace, judged: Tensor) -> dict[str, Any]:
    """What the fine-tune did: losses of `judged`, nats a token, of the whole network and of random sub-networks, which
    are the same before and after. The curve is of the whole network.
    """
    from mimar.elastic import judge

    subs = (SubNetwork.whole(space.parent), *spread(space, COMPARED))
    old, new = (np.array(judge(network, subs, judged).losses) for network in (before, tuned.network))
    whole = {"before": float(old[0]), "after": float(new[0])}
    median = {"before": float(np.median(old[1:])), "after": float(np.median(new[1:]))}
    better = int((new[1:] < old[1:]).sum())
    say(
        f"fine-tune: median loss of {COMPARED} random sub-networks {median['before']:.3f} before, "
        f"{median['after']:.3f} after, {better} of them better; "
        f"the whole network {whole['before']:.3f} and {whole['after']:.3f}"
    )
    sampled = {"count": COMPARED, "better": better, **median}
    return {"seconds": tuned.seconds, "curve": learning_curve(tuned), "whole": whole, "sub_networks": sampled}


def _identity(settings: ShrinkSettings) -> dict[str, Any]:
    """What decides the weights of sub-networks."""
    decisive = ("fingerprint", "space", "texts", "finetune", "seed")
    return {name: value for name, value in settings.to_json().items() if name in decisive}


SCORED = 2
"""Windows that block scores are measured on: there are many, and candidates are judged on more."""


def _scored(texts: Texts) -> int:
    """As many windows, or one of each calibration text."""
    return max(SCORED, len(texts.calibration))


def _task(settings: ShrinkSettings, prepared: _Prepared, questions: Sequence[Items], encode: Encode) -> ShrinkTask:
    assert settings.scores is not None
    return shrink_task(
        prepared.network,
        Known(settings.space, settings.profile, settings.workload, settings.speed),
        settings.scores,
        prepared.judged,
        budgets=settings.budgets,
        objectives=settings.objectives,
        reference=settings.reference,
        asked={part.task.name: partial(answered, part=part, encode=encode) for part in questions},
    )


_Means = tuple[int, LLM | None, list[CallRecord]]
"""How many trials, whom to ask, and what was asked so far."""


def _llm(settings: ShrinkSettings, storage: Storage, max_cost: float | None) -> tuple[LLM | None, list[CallRecord]]:
    """The language model of the strategy, opened before anything is computed, and its calls on record."""
    calls = list(read_journal(storage, "call").calls)
    return open_llm(settings.llm, read_calls=read_calls, past=calls, max_cost=max_cost), calls


def _search(settings: ShrinkSettings, task: ShrinkTask, storage: Storage, means: _Means) -> str:
    trials, llm, calls = means
    past = _trials(storage, task)
    for trial in past:
        if trial.status == "complete":
            task.evaluator.recall(trial.architecture, trial.metrics)
    problem = task.problem
    said = llm and journalled(llm, storage, calls.append), replace(task.brief, anonymous=settings.anonymise)
    strategy = _strategy(settings, task, said)
    progress = Progress(trials, problem.objectives, problem.reference, lambda: ledger_of(calls, ()), len(past))
    study = Study(
        problem,
        Started(strategy, problem, task.starts, settings.seed),
        task.evaluator,
        storage=storage,
        settings=settings.to_json(),
        batch=BATCH,
        prepare=task.evaluator.prepare,
        on_trial=progress,
    )
    with progress:
        return study.run(trials)


def _strategy(settings: ShrinkSettings, task: ShrinkTask, said: tuple[LLM | None, Brief]) -> Strategy[SubNetwork]:
    if settings.strategy == Knapsack.name:
        assert settings.scores is not None
        return Knapsack(task, settings.scores, settings.seed)
    options = Options[SubNetwork](settings.weights, settings.arm, task.starts[0])
    return strategy_named(settings.strategy, task.problem, settings.seed, said, options)


def _trials(storage: Storage, task: ShrinkTask) -> list[Trial[SubNetwork]]:
    """Those on record, in the order in which they were proposed."""
    return read_trials(storage, task.problem.space.from_json)


def _summary(settings: ShrinkSettings, task: ShrinkTask, storage: Storage, stages: Stages) -> dict[str, Any]:
    assert settings.scores is not None
    trials, calls = _trials(storage, task), read_journal(storage, "call").calls
    members = front_trials(trials, task.problem.objectives)
    scored = min(_scored(settings.texts), len(task.evaluator.ids))
    return {
        "model": settings.model,
        "form": settings.space.form,
        "strategy": settings.strategy,
        "objectives": list(settings.objectives),
        "llm": {"name": settings.llm, **ledger_of(calls, trials).to_json()},
        "trials": sum(trial.status == "complete" for trial in trials),
        "front_ids": [trial.id for trial in members],
        "layer_forwards": {
            "spent": round(settings.scores.spent * scored) + task.evaluator.spent,
            "naive": round(settings.scores.naive * scored) + task.evaluator.naive,
        },
        "seconds": sum(stages.seconds.values()),
        "stages": dict(stages.seconds),
    }
