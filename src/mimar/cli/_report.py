"""`mimar show` and `mimar report`: a study file → table, page or picture."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mimar.cli._judge import judge_facts
from mimar.cli._names import score_named
from mimar.cli._output import print_json
from mimar.cli._shrink_report import shrink_report, shrink_summary
from mimar.cli._study_file import StudyFile, is_study, ledger_of, open_study, uncollected
from mimar.errors import InputError, UnknownNameError
from mimar.export import written_aside
from mimar.hardware import hardware_metrics
from mimar.objectives import complete_trials, front_trials, losses
from mimar.proxies import Proxy, decoder_inputs
from mimar.proxies.judge import judge_summary
from mimar.report import (
    FamiliarShape,
    ReportData,
    evaluations,
    front_svg,
    front_table,
    operator_accounting,
    render_html,
)
from mimar.space import FAMILIAR, Architecture, architecture_to_json
from mimar.trial import Trial


@uncollected()
def show_study(path: Path, as_json: bool, limit: int) -> None:
    """Print the front of the study at `path`, as a table of at most `limit` rows or as JSON."""
    from rich.console import Console

    if shrunk := shrink_report(path):
        print_json(shrink_summary(shrunk)) if as_json else Console().print(front_table(shrunk, limit))
        return
    study = open_study(path)
    if as_json:
        print_json(study_summary(study))
        return
    Console().print(front_table(report_data(study), limit))


@uncollected()
def write_report(path: Path, out: Path | None, training_tokens: float) -> dict[str, Any]:
    """Write the page, or with an .svg target the picture of the front; returns its path and size."""
    target = out or path.with_name(f"{path.name.removesuffix('.db')}.html")
    if is_study(target):
        raise InputError(f"--out {target} is a study: choose another file")
    data = shrink_report(path) or report_data(open_study(path))
    if target.suffix == ".svg":
        y, x = (objective.metric for objective in (*data.objectives, *data.objectives)[:2])
        text = front_svg(data, x, y)
    else:
        text = render_html(data, training_tokens=training_tokens)
    with written_aside(target) as aside:
        aside.write_text(text, encoding="utf-8")
    members = front_trials(data.trials, data.objectives)
    return {"path": str(target), "bytes": target.stat().st_size, "front": len(members)}


def report_data(study: StudyFile) -> ReportData:
    """Everything a report shows about `study`; familiar models are judged by the study's own device and score."""
    settings = study.settings
    assert settings.reference is not None
    workload = settings.workload
    return ReportData(
        name=str(study.path),
        command=settings.command,
        version=version("mimar"),
        objectives=study.objectives,
        budgets=settings.budgets,
        reference=settings.reference,
        trials=study.trials,
        calls=(*study.calls, *study.judgements),
        ledger=ledger_of(study.calls, study.trials, study.judgements),
        device=f"{settings.profile.name}: {settings.profile.description}",
        workload=f"{workload.dtype} weights, context {workload.context}, batch {workload.batch}, "
        f"prompt of {workload.prompt_tokens} tokens",
        score=_score_sentence(study),
        familiar=_familiar(study),
        seconds=study.seconds,
        stop_reasons=study.stops,
    )


def _score_sentence(study: StudyFile) -> str:
    score = _score(study)
    if score is None:
        return f"{study.settings.score}, higher is better; of a package that is not installed here"
    told = f"{score.name}, higher is better; needs {', '.join(sorted(score.needs))}, nothing trained; {score.source}"
    return f"{told}; {judge_words(_judge(study))}" if study.judgements else told


def _judge(study: StudyFile) -> dict[str, Any]:
    """How far the judge of a study can be trusted, and what it cost, as plain data."""
    return judge_summary(study.judgements).to_json() | judge_facts(study.settings.score_data)


def judge_words(judge: Mapping[str, Any]) -> str:
    """The `judge` of a summary's ``llm`` as a phrase."""
    consistency = judge["self_consistency"]
    agreement = "not known" if consistency is None else f"τ {consistency:.2f}"
    told = (
        f"the judge ranked {judge['candidates']} architectures in {judge['calls']} calls, "
        f"self-consistency {agreement}, {judge['tokens_per_candidate']:.0f} tokens an architecture"
    )
    weight = judge.get("weight")
    return told if weight is None else f"{told}, weight {weight['weight']:.2f} of 1: {weight['reason']}"


def _score(study: StudyFile) -> Proxy | None:
    """None where it came from a package that is not here: what it found can be shown all the same."""
    try:
        return score_named(study.settings.score, study.settings.score_data)
    except UnknownNameError:
        return None


def _familiar(study: StudyFile) -> tuple[FamiliarShape, ...]:
    settings, score = study.settings, _score(study)
    if score is None or score.cost != "closed form":
        return ()  # building models of this size to score them would take minutes and gigabytes
    return tuple(
        FamiliarShape(
            name,
            {
                **hardware_metrics(arch, settings.profile, settings.workload),
                "score": score(decoder_inputs(arch, seed=settings.seed)),
            },
        )
        for name, arch in FAMILIAR.items()
    )


def study_summary(study: StudyFile) -> dict[str, Any]:
    """What a study has found so far, as plain data: what `show --json` and `design --json` print.

    stopped: why the last run that ended did; None where none has. reference_point: in each objective's own unit.
    """
    settings = study.settings
    assert settings.reference is not None
    statuses = [trial.status for trial in study.trials]
    rows = operator_accounting(study.trials, study.objectives, settings.reference)
    points = losses([trial.metrics for trial in complete_trials(study.trials)], study.objectives)
    return {
        "study": str(study.path),
        "front": [_member(trial) for trial in front_trials(study.trials, study.objectives)],
        "trials": statuses.count("complete"),
        "partial": statuses.count("partial"),
        "evaluations": evaluations(study.trials),
        "invalid": statuses.count("invalid"),
        "failed": statuses.count("failed"),
        "hypervolume": settings.reference.hypervolume(points),
        "reference_point": {
            objective.metric: objective.sign * value
            for objective, value in zip(study.objectives, settings.reference.point, strict=True)
        },
        "objectives": list(settings.objectives),
        "llm": _llm(study),
        "operators": {row.origin: row.to_json() for row in rows},
        "strategy": settings.strategy,
        "device": settings.profile.name,
        "stopped": study.stops[-1] if study.stops else None,
    }


def _llm(study: StudyFile) -> dict[str, Any]:
    ledger = ledger_of(study.calls, study.trials, study.judgements).to_json()
    return {"name": study.settings.llm, **ledger, **({"judge": _judge(study)} if study.judgements else {})}


def _member(trial: Trial[Architecture]) -> dict[str, Any]:
    return {
        "id": trial.id,
        "origin": trial.proposal.origin,
        "architecture": architecture_to_json(trial.architecture),
        "metrics": dict(trial.metrics),
    }
