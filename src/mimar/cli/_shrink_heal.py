"""The recovery of what a shrink run chose, with its control."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimar.cli._shrink_files import Candidate, Judge, Subject
from mimar.cli._shrink_plan import Plan
from mimar.cli._training import step_reporter
from mimar.shrink import Healed, Lessons, Tuned, heal, learning_text
from mimar.training import read_texts

SAY_EVERY = 20.0
"""Seconds between two lines about where it stands."""


def healed(
    subject: Subject, models: tuple[Candidate, Candidate], plan: Plan, judge: Judge
) -> tuple[dict[str, Any], Candidate]:
    """What is said of the recovery, and the chosen model after it.

    models: parent and chosen one. The curve is the perplexity of the first text, or of the text that the search judged
    on, against tokens.
    """
    parent, chosen = models
    lessons = _lessons(subject, plan)
    done = _run(subject, chosen, lessons, plan)
    after = judge(replace(chosen, model=done.model))
    facts = {
        "tokens": plan.recovery.tokens,
        "seconds": done.seconds,
        "before": chosen.row.to_json(),
        "curve": learning_curve(done),
    }
    if plan.recovery.control:
        facts |= _control(subject, parent, lessons, (plan, judge))
    return facts, after


def _control(subject: Subject, parent: Candidate, lessons: Lessons, how: tuple[Plan, Judge]) -> dict[str, Any]:
    """The parent after the same lessons. From its own probabilities alone it has nothing to learn."""
    plan, judge = how
    curve = list[dict[str, float]]()
    if lessons.teacher_weight < 1:
        done = _run(subject, parent, lessons, plan)
        parent, curve = judge(replace(parent, model=done.model)), learning_curve(done)
    return {"control": replace(parent.row, kind="parent_healed").to_json(), "control_curve": curve}


def _lessons(subject: Subject, plan: Plan) -> Lessons:
    recovery = plan.recovery
    sources = [read_texts([source]) for source in recovery.texts or subject.calibration]
    opened = subject.opened
    ids = plan.ids(opened)
    judged = next(iter(ids.values())) if ids else subject.task.evaluator.ids
    text = learning_text(sources, opened.reader, recovery.tokens, judged.shape[1], opened.begin)
    return Lessons(
        recovery.tokens, recovery.learning_rate, recovery.teacher_weight, recovery.precision, text, judged.numpy(),
        save_every=recovery.save_every,
    )  # fmt: skip


def _run(subject: Subject, candidate: Candidate, lessons: Lessons, plan: Plan) -> Healed:
    """Its checkpoint lies beside the study, and that of other lessons beside it."""
    kind, sub = candidate.row.kind, candidate.row.sub
    layers = None if sub is None else [list(sizes) for sizes in sub.sizes]
    texts = hashlib.sha256(lessons.text.tobytes() + lessons.judged.tobytes()).hexdigest()
    identity = {**subject.identity, "layers": layers, "texts": texts, "teacher_weight": lessons.teacher_weight}
    folder = lessons_folder(subject.study, kind, identity, lessons)
    report = lesson_reporter(kind, lessons)
    return heal(candidate.model, subject.opened.parent, lessons, folder, identity=identity, on_row=report)


def lessons_folder(study: Path, kind: str, identity: Mapping[str, Any], lessons: Lessons) -> Path:
    """Beside the study; of other lessons another one."""
    told = json.dumps([identity, lessons.recipe().to_json()], sort_keys=True)
    return study.with_name(f"{study.name}.{kind}-{hashlib.sha256(told.encode()).hexdigest()[:8]}")


def lesson_reporter(kind: str, lessons: Lessons) -> Callable[[Mapping[str, float]], None]:
    """Says now and then where lessons stand."""
    name = "KL" if lessons.teacher_weight == 1 else "loss"
    return step_reporter(lessons.recipe().steps, SAY_EVERY, lambda row: f"{kind}, {name} {row['train_loss']:.4f}")


def learning_curve(done: Healed | Tuned) -> list[dict[str, float]]:
    """Perplexity of what lessons were judged on, against tokens and seconds."""
    return [
        {"tokens": row["tokens"], "seconds": row["seconds"], "perplexity": math.exp(row["validation_loss"])}
        for row in done.rows
        if "validation_loss" in row
    ]
