"""One self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from mimar.objectives import front_trials
from mimar.report._accounting import operator_accounting
from mimar.report._data import ReportData
from mimar.report._html import text
from mimar.report._kept import kept_section
from mimar.report._measured import measured_section
from mimar.report._payload import DRAWN_TRIALS, embedded_json, payload
from mimar.report._sections import call_section, front_section, ledger_section, operator_section, rejected_section
from mimar.report._summary import budget_words, objective_words, reference_words, summary_tiles
from mimar.report._training import A100, Accelerator


def render_html(
    data: ReportData, *, training_tokens: float, accelerator: Accelerator = A100, live: str | None = None
) -> str:
    """The report of a study as one HTML page that loads nothing, works offline, in the dark and on a phone.

    training_tokens: tokens of the training whose cost is estimated for each front member; the reader can change them.
    Raises InputError when they are not more than 0.
    live: of a served page the version of the study: where ``version`` of the same server gives another one, the page
    loads itself anew. Without it nothing is asked of anybody.

    All text of the study is escaped, data for the scripts is JSON in an element that does not run, and a content
    security policy lets only the page's own scripts run, each known by its hash; styles may be inline because plotly
    sets them.
    """
    from plotly.offline import get_plotlyjs

    members = front_trials(data.trials, data.objectives)
    operators = operator_accounting(data.trials, data.objectives, data.reference)
    parts = ("table.js", "plots.js") if live is None else ("table.js", "plots.js", "live.js")
    scripts = [get_plotlyjs(), *map(_part, parts)]
    return Template(_part("page.html")).substitute(
        policy=_policy(scripts, asks=live is not None),
        live="" if live is None else Template(_part("live.html")).substitute(version=text(live)),
        style=_part("page.css"),
        name=text(data.name),
        version=text(data.version),
        command=text(data.command),
        device=text(data.device),
        workload=text(data.workload),
        score=text(data.score),
        objectives=text(objective_words(data)),
        budgets=text(budget_words(data)),
        reference=text(reference_words(data)),
        tiles=summary_tiles(data, len(members), operators),
        drawn=_drawn_words(data, len(members)),
        front=front_section(data, members, training_tokens, accelerator),
        tokens=f"{training_tokens / 1e9:g}",
        assumption=text(accelerator.sentence),
        operators=operator_section(operators),
        ledger=ledger_section(data),
        calls=call_section(data.calls),
        rejected=rejected_section(data),
        kept=measured_section(data.measured) + kept_section(data.kept),
        data=embedded_json(payload(data)),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _part(name: str) -> str:
    return (files("mimar.report") / "page" / name).read_text(encoding="utf-8")


def _drawn_words(data: ReportData, members: int) -> str:
    evaluated = sum(trial.status == "complete" for trial in data.trials)
    if evaluated <= DRAWN_TRIALS:
        return ""
    of = "an even sample of the front" if members > DRAWN_TRIALS else "the front, and an even sample of the others"
    return f" {DRAWN_TRIALS:,} of {evaluated:,} architectures are drawn: {of}."


def _policy(scripts: Sequence[str], *, asks: bool) -> str:
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    own = "'self'" if asks else "'none'"
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'; connect-src {own}"
    )
