"""A `shrink` study read back, for `mimar show` and `mimar report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

from mimar.cli._shrink_settings import COMMAND, ShrinkSettings
from mimar.cli._study_file import ledger_of, reading, require_frame
from mimar.cli._tables import short_name
from mimar.elastic import SubNetwork
from mimar.objectives import complete_trials, front_trials, losses
from mimar.report import FamiliarShape, KeptLayers, Measured, MeasuredModel, ReportData
from mimar.shrink import DIVERGENCE, Known, objective_for
from mimar.study import Journal, read_journal, read_trials
from mimar.trial import Trial


def shrink_report(path: Path) -> ReportData | None:
    """Everything a report shows of a study of this kind; None where it is one of another. Errors as `open_study`."""
    with reading(path) as storage:
        data = read_journal(storage, "study").settings
        if data is None or data.get("kind") != COMMAND:
            return None
        settings = ShrinkSettings.from_json(data)
        trials = read_trials(storage, settings.space.from_json)
        return _data(path, read_journal(storage, "call", "stop", "measured"), trials, settings)


def started_by(path: Path) -> str:
    """The command that began the study at `path`, of whatever kind; empty where there is none."""
    with reading(path) as storage:
        return str((read_journal(storage, "study").settings or {}).get("command", ""))


def _data(path: Path, journal: Journal, trials: Sequence[Trial[SubNetwork]], settings: ShrinkSettings) -> ReportData:
    space, workload = settings.space, settings.workload
    objectives = tuple(objective_for(name) for name in settings.objectives)
    frame = settings.reference
    require_frame(frame, objectives)
    assert frame is not None
    members = tuple(trial.architecture.sizes for trial in front_trials(trials, objectives))
    return ReportData(
        name=str(path),
        command=settings.command,
        version=version("mimar"),
        objectives=objectives,
        budgets=settings.budgets,
        reference=frame,
        trials=tuple(_as_architecture(trial, settings) for trial in trials),
        calls=tuple(journal.calls),
        ledger=ledger_of(journal.calls, trials),
        device=f"{settings.profile.name}: {settings.profile.description}",
        workload=f"{workload.dtype} weights, context {workload.context}, prompt of {workload.prompt_tokens} tokens",
        score=f"loss and divergence (KL from {settings.model}) on {settings.texts.judged:,} tokens of the calibration "
        "text, nats a token; lower is better",
        familiar=(_parent(settings),),
        seconds=journal.seconds,
        stop_reasons=tuple(journal.stops),
        kept=KeptLayers(SubNetwork.whole(space.parent).sizes, members),
        measured=None if journal.measured is None else _measured(journal.measured, settings.speed is not None),
        export=f"mimar shrink {_literal(quote(settings.model))} --study {{study}} --resume --choose {{id}} "
        f"--export {settings.writes} --out DIR",
    )


def _literal(text: str) -> str:
    """As `str.format` gives back `text`."""
    return text.replace("{", "{{").replace("}", "}}")


def _measured(result: Mapping[str, Any], foretold: bool) -> Measured:
    """The last measurement: the chosen one stands for itself, not for its place on the front as well.

    foretold: whether the speeds that were expected are those of the engine that was measured.
    """
    chosen, healing = result["chosen"], result["healing"]
    rows = [
        ("parent", result["parent"]),
        (f"chosen #{chosen['id']}{', healed' if healing else ''}", chosen),
        *((f"#{row['id']}", row) for row in result["front"] if healing or row["id"] != chosen["id"]),
        *((row["kind"], row) for row in result["baselines"]),
        *((_rounded_name(row), row) for row in result["quantized"]),
    ]
    tasks = tuple(chosen["tasks"])
    return Measured(tuple(_model(name, row, foretold) for name, row in rows), tasks)


def _rounded_name(row: Mapping[str, Any]) -> str:
    """``parent Q4_0``; of a member of the front ``#17 Q4_0``."""
    kind, _, weights = row["kind"].partition(":")
    return f"#{row['id']} {weights}" if "id" in row else f"{kind} {weights}"


def _model(name: str, row: Mapping[str, Any], foretold: bool) -> MeasuredModel:
    texts = {short_name(text, row["perplexities"]): (_number(each), 0.0) for text, each in row["perplexities"].items()}
    tasks = {
        task: (_number(score[score["headline"]]), _number(score[f"{score['headline']}_error"] or 0.0))
        for task, score in row["tasks"].items()
    }
    measured, rounded = row["decode_tokens_per_second"], ":" in row["kind"]
    expected = row["expected"].get("decode_tokens_per_second") if foretold and not rounded else None
    speeds = None if measured is None else (_number(measured), None if expected is None else _number(expected))
    size = int(_number(row["bytes"]))
    return MeasuredModel(name, row["kind"] in ("chosen", "front"), rounded, size, texts | tasks, speeds)


def _number(value: Any) -> float:
    """TypeError or OverflowError for what a study of ours has nowhere among its figures."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)


def _as_architecture(trial: Trial[SubNetwork], settings: ShrinkSettings) -> Trial[Any]:
    """The same trial of the model that remains."""
    sub = trial.proposal.architecture
    if sub is None or not any(map(any, sub.sizes)):
        return replace(trial, proposal=replace(trial.proposal, architecture=None))
    arch = sub.architecture(settings.space.parent)
    return replace(trial, proposal=replace(trial.proposal, architecture=arch))


def _parent(settings: ShrinkSettings) -> FamiliarShape:
    known = Known(settings.space, settings.profile, settings.workload, settings.speed)
    return FamiliarShape("the parent", {**known(SubNetwork.whole(settings.space.parent)), DIVERGENCE: 0.0})


def shrink_summary(data: ReportData) -> dict[str, Any]:
    """What `show --json` prints of such a study."""
    statuses = [trial.status for trial in data.trials]
    points = losses([trial.metrics for trial in complete_trials(data.trials)], data.objectives)
    members = zip(front_trials(data.trials, data.objectives), data.kept.members if data.kept else (), strict=True)
    return {
        "study": data.name,
        "front": [
            {
                "id": trial.id,
                "origin": trial.proposal.origin,
                "layers": [list(pair) for pair in sizes],
                "metrics": dict(trial.metrics),
            }
            for trial, sizes in members
        ],
        "trials": statuses.count("complete"),
        "invalid": statuses.count("invalid"),
        "failed": statuses.count("failed"),
        "hypervolume": data.reference.hypervolume(points),
        "objectives": [each.metric for each in data.objectives],
        "stopped": data.stop_reasons[-1] if data.stop_reasons else None,
    }
