"""The page's tables, prompts and replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mimar.llm import CallRecord
from mimar.report._accounting import OperatorRow, rejection_counts
from mimar.report._data import ReportData
from mimar.report._describe import describe_architecture
from mimar.report._display import display_of, format_metric, format_number
from mimar.report._front import export_command, table_metrics
from mimar.report._html import cut, scrolling, table, text
from mimar.report._payload import DRAWN_TRIALS, evenly
from mimar.report._training import Accelerator, training_cost, training_flops_per_token
from mimar.space import Architecture
from mimar.trial import Trial

FRONT_ROWS: Final = 1000
REJECTED_ROWS: Final = 500
REASON_ROWS: Final = 100
TEXT_CHARACTERS: Final = 50_000
"""Of one prompt or reply."""
CALL_BYTES: Final = 8_000_000
"""Of all prompts and replies together. What these limits leave out stays in the study, and the page says how much."""


def front_section(
    data: ReportData, members: Sequence[Trial[Architecture]], tokens: float, accelerator: Accelerator
) -> str:
    """The sortable table of the front, with the cost of training on `tokens` tokens."""
    columns = table_metrics(data)
    listed = evenly(evenly(members, DRAWN_TRIALS), FRONT_ROWS)
    heads = ["id", *(display_of(name).title for name in columns), "training (GPU hours)", "training ($)"]
    head = "".join(f'<th scope="col"><button type="button" class="sort">{text(name)}</button></th>' for name in heads)
    head += '<th scope="col">architecture</th><th scope="col">export</th>'
    rows = "".join(_front_row(data, trial, columns, training_cells(trial, tokens, accelerator)) for trial in listed)
    speed = accelerator.peak_flops * accelerator.utilisation
    markup = (
        f'<table id="front-table" data-flops-per-second="{speed!r}" '
        f'data-dollars-per-hour="{accelerator.dollars_per_hour!r}">'
        "<caption>Non-dominated architectures. A column's head sorts by it; an id selects in every plot.</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return cut(len(listed), len(members), "front members are listed") + scrolling("Table of front members", markup)


def training_cells(trial: Trial[Architecture], tokens: float, accelerator: Accelerator) -> str:
    """Hours and dollars, with what the page's script needs to compute them for other numbers of tokens."""
    cost = training_cost(trial.architecture, tokens, accelerator)
    per_token = training_flops_per_token(trial.architecture)
    return "".join(
        f'<td class="n {kind}" data-flops-per-token="{per_token!r}" data-value="{value!r}">{format_number(value)}</td>'
        for kind, value in (("hours", cost.gpu_hours), ("dollars", cost.dollars))
    )


def _front_row(data: ReportData, trial: Trial[Architecture], columns: Sequence[str], training: str) -> str:
    values = "".join(
        f'<td class="n" data-value="{float(trial.metrics[name])!r}">{format_metric(name, trial.metrics[name])}</td>'
        for name in columns
    )
    select = (
        f'<button type="button" class="select" data-id="{trial.id}" aria-pressed="false" '
        f'aria-label="Select trial {trial.id}">{trial.id}</button>'
    )
    command = text(export_command(data, trial))
    copy = f'<button type="button" class="copy" data-command="{command}" title="{command}">Copy command</button>'
    return (
        f'<tr data-id="{trial.id}"><td class="n" data-value="{trial.id}">{select}</td>{values}{training}'
        f'<td class="wide">{text(describe_architecture(trial.architecture))}</td><td>{copy}</td></tr>'
    )


def operator_section(rows: Sequence[OperatorRow]) -> str:
    """The operators' table."""
    heads = ("operator", "proposed", "evaluated", "rejected", "failed", "on the front", "share", "credit")
    body = [
        (
            row.origin,
            *(f"{count:,}" for count in (row.proposed, row.evaluated, row.invalid, row.failed, row.on_front)),
            f"{row.share:.1%}",
            format_number(row.credit),
        )
        for row in rows
    ]
    return table("Operators: credit is the hypervolume that an operator's trials added when they came.", heads, body)


def ledger_section(data: ReportData) -> str:
    """The LLM ledger as a table, or a sentence when none was asked."""
    ledger = data.ledger
    if not ledger.calls:
        return "<p>No language model was asked.</p>"
    rows = (
        ("calls", f"{ledger.calls:,}"),
        *([("of these, to rank candidates", f"{ledger.judging:,}")] if ledger.judging else []),
        ("failed calls", f"{ledger.failed:,}"),
        ("answered from cache", f"{ledger.cached:,}"),
        ("input tokens", f"{ledger.input_tokens:,}"),
        ("output tokens", f"{ledger.output_tokens:,}"),
        ("cost at list price ($)", f"{ledger.cost:.4f}"),
        ("seconds", f"{ledger.seconds:.1f}"),
        ("unique valid candidates", f"{ledger.unique_valid:,}"),
        ("unique valid candidates per call", f"{ledger.candidates_per_call:.2f}"),
    )
    return table("What all calls together took and brought.", ("ledger", "total"), rows)


def call_section(calls: Sequence[CallRecord]) -> str:
    """Every prompt and reply, folded; the later ones are left out where all of them would swell the page."""
    shown: list[str] = []
    room = CALL_BYTES
    for number, call in enumerate(calls, start=1):
        markup = _call(number, call)
        room -= len(markup.encode())
        if room < 0:
            break
        shown.append(markup)
    return cut(len(shown), len(calls), "calls are shown, the earliest") + "".join(shown)


def _call(number: int, call: CallRecord) -> str:
    usage = call.usage
    outcome = f"failed: {call.error.kind}" if call.error else "answered"
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    title = f"Call {number} · {call.model} · {outcome} · {tokens} · {usage.seconds:.1f} s"
    parts = [(f"prompt, {message.role}", message.content) for message in call.call.messages]
    if call.error:
        parts += [("error", call.error.message), ("unusable reply", call.error.reply)]
    parts.append(("reply", call.reply or ""))
    body = "".join(f"<h3>{text(name)}</h3><pre>{text(_shortened(words))}</pre>" for name, words in parts if words)
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def _shortened(words: str) -> str:
    left_out = len(words) - TEXT_CHARACTERS
    return words if left_out <= 0 else f"{words[:TEXT_CHARACTERS]}\n[{left_out:,} more characters are in the study]"


def rejected_section(data: ReportData) -> str:
    """Why candidates were turned away: reasons counted, then each rejected or failed trial with its own."""
    turned_away = [trial for trial in data.trials if trial.status in ("invalid", "failed")]
    if not turned_away:
        return "<p>Every proposal was evaluated.</p>"
    reasons = list(rejection_counts(data.trials).items())
    listed = evenly(turned_away, REJECTED_ROWS)
    rows = [
        (str(trial.id), trial.proposal.origin, trial.status, "; ".join(trial.reasons)[:1000], _proposed(trial))
        for trial in listed
    ]
    return (
        cut(min(len(reasons), REASON_ROWS), len(reasons), "reasons are listed, the most frequent")
        + table(
            "Reasons, by how many proposals gave them.",
            ("reason", "proposals"),
            [(reason, f"{count:,}") for reason, count in reasons[:REASON_ROWS]],
        )
        + f"<details><summary>All {len(turned_away):,} with their reasons</summary>"
        + cut(len(listed), len(turned_away), "are listed")
        + table("Rejected and failed proposals.", ("id", "operator", "status", "reasons", "proposal"), rows)
        + "</details>"
    )


def _proposed(trial: Trial[Architecture]) -> str:
    arch = trial.proposal.architecture
    return trial.proposal.note[:300] if arch is None else describe_architecture(arch)
