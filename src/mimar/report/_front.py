"""The front as a table for terminals."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from mimar.errors import visible
from mimar.objectives import complete_trials, front_trials
from mimar.report._accounting import evaluation_words
from mimar.report._data import ReportData
from mimar.report._describe import describe_architecture
from mimar.report._display import display_of, format_metric
from mimar.space import Architecture
from mimar.trial import Trial

if TYPE_CHECKING:  # rich is imported when a table is made, not when a report is imported
    from rich.table import Table

EVERYDAY_METRICS = ("params", "memory_bytes", "decode_tokens_per_second")
"""Shown beside the objectives in every table."""


def table_metrics(data: ReportData) -> tuple[str, ...]:
    """Columns of a front table: the objectives, then the everyday metrics that all trials have."""
    rows = complete_trials(data.trials)
    known = set.intersection(*(set(trial.metrics) for trial in rows)) if rows else set[str]()
    wanted = (*(objective.metric for objective in data.objectives), *EVERYDAY_METRICS)
    return tuple(name for name in dict.fromkeys(wanted) if name in known)


def export_command(data: ReportData, trial: Trial[Architecture]) -> str:
    """The command that writes the trial as files."""
    both = shlex.quote(f"{data.name}#{trial.id}")
    return data.export.format(study=shlex.quote(data.name), id=trial.id, trial=both)


def front_table(data: ReportData, limit: int | None = None) -> Table:
    """The front for a terminal of 100 columns, best first objective on top; at most `limit` members."""
    from rich.table import Table
    from rich.text import Text

    columns = table_metrics(data)
    table = Table(title=Text(visible(f"Pareto front of {data.name}")), expand=False)
    table.add_column("id", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(Text(display_of(name).title), justify="right", max_width=11)
    table.add_column("architecture", overflow="fold", ratio=1)
    first = data.objectives[0]
    front = front_trials(data.trials, data.objectives)
    members = sorted(front, key=lambda trial: first.sign * trial.metrics[first.metric])
    for trial in members[:limit]:
        values = [format_metric(name, trial.metrics[name]) for name in columns]
        table.add_row(str(trial.id), *values, Text(visible(describe_architecture(trial.architecture))))
    notes: list[str] = []
    if gated := evaluation_words(data.trials):
        notes.append(f"evaluated at each gate: {gated}")
    if limit is not None and len(members) > limit:
        notes.append(f"{len(members) - limit} more: mimar show {shlex.quote(data.name)} --rows {len(members)}")
    table.caption = Text(visible("; ".join(notes))) if notes else None
    return table
