"""The page's head in words: figures, objectives, budgets, reference point."""

from __future__ import annotations

from collections.abc import Sequence

from mimar.report._accounting import OperatorRow, evaluation_words
from mimar.report._data import ReportData
from mimar.report._display import display_of, format_metric, format_number
from mimar.report._html import text


def summary_tiles(data: ReportData, members: int, operators: Sequence[OperatorRow]) -> str:
    """The figures on top of the page, as the entries of a definition list."""
    statuses = [trial.status for trial in data.trials]
    rejected, proposed = statuses.count("invalid"), sum(row.proposed for row in operators)
    hypervolume = sum(row.credit for row in operators)
    failed = f"{statuses.count('failed'):,} failed"
    gated = [f"at each gate: {words}"] if (words := evaluation_words(data.trials)) else []
    tiles = (
        ("evaluated", f"{statuses.count('complete'):,}", "; ".join((failed, *gated))),
        ("on the front", f"{members:,}", "non-dominated"),
        ("rejected", f"{rejected:,}", f"{rejected / max(1, proposed):.0%} of {proposed:,} proposals"),
        ("hypervolume", format_number(hypervolume), f"reference {reference_words(data)}"),
        ("search time", _duration(data.seconds), "; ".join(dict.fromkeys(data.stop_reasons)) or "not ended"),
        ("LLM cost", f"${data.ledger.cost:.2f}", f"{data.ledger.calls:,} calls"),
    )
    return "".join(
        f"<div><dt>{text(name)}</dt><dd><strong>{text(value)}</strong><span>{text(note)}</span></dd></div>"
        for name, value, note in tiles
    )


def objective_words(data: ReportData) -> str:
    """``maximise score, minimise memory``."""
    return ", ".join(f"{o.direction}imise {display_of(o.metric).label}" for o in data.objectives)


def budget_words(data: ReportData) -> str:
    """``parameters at most 30 M; decoding at least 40 tok/s``."""
    parts = (f"{display_of(b.metric).label} {b.bound} {_quantity(b.metric, b.limit)}" for b in data.budgets)
    return "; ".join(parts) or "none"


def reference_words(data: ReportData) -> str:
    """The reference point, in each objective's own sense and unit."""
    values = zip(data.objectives, data.reference.point, strict=True)
    return ", ".join(f"{display_of(o.metric).label} {_quantity(o.metric, o.sign * loss + 0.0)}" for o, loss in values)


def _quantity(metric: str, value: float) -> str:
    return f"{format_metric(metric, value)} {display_of(metric).unit}".strip()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
