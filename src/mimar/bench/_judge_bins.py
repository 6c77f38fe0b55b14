"""A language model as a judge of architectures of equal size, against what training said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimar.bench._measures import Floats, measure, regret_iso, rounded, size_bins, tau
from mimar.bench._run import ProxyRow
from mimar.bench._truth import Truth
from mimar.errors import InputError
from mimar.llm import LLM, CallRecord, Recalled
from mimar.proxies import Proxy, ProxyInputs, adw
from mimar.proxies.judge import JUDGE, Ballots, JudgeSummary, Panel, judge_summary, strengths

JUDGED_TOGETHER = 20
"""Architectures of a bin, hence in a list."""

JUDGED_BINS = 3
"""Bins where nobody says how many."""


@dataclass(frozen=True, slots=True)
class JudgedBin:
    """One bin: sizes of its smallest and largest architecture, and how the judge did there.

    tau: with the results; None where it tells nothing apart. regret: of its pick, in percent. self_consistency: None
    with fewer than two usable answers.
    """

    smallest: float
    largest: float
    tau: float | None
    regret: float
    self_consistency: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's line of the table, what its calls came to, and each bin by itself."""

    row: ProxyRow
    summary: JudgeSummary
    bins: tuple[JudgedBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data without the row, which belongs to the table."""
        return {**self.summary.to_json(), "bins": [asdict(each) for each in self.bins]}


def equal_size_bins(truth: Truth, bins: int) -> Truth:
    """The rows of `bins` bins of 20 of `truth`, evenly spread over its sizes; they stay the bins of what is returned.

    InputError where it has not as many.
    """
    found = size_bins(truth.sizes, JUDGED_TOGETHER)
    if len(truth.rows) < JUDGED_TOGETHER or not 1 <= bins <= len(found):
        raise InputError(
            f"{truth.name} has {len(truth.rows)} rows, hence up to {len(truth.rows) // JUDGED_TOGETHER} bins of "
            f"{JUDGED_TOGETHER}; got --bins {bins}"
        )
    places = np.linspace(0, len(found) - 1, bins) if bins > 1 else [(len(found) - 1) / 2]
    chosen = [found[round(float(place))][:JUDGED_TOGETHER] for place in places]
    rows = tuple(truth.rows[int(index)] for rows in chosen for index in rows)
    return replace(truth, rows=rows, bin_size=JUDGED_TOGETHER)


def judge_bins(
    truth: Truth,
    llm: LLM,
    *,
    given: Proxy = adw,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Let `llm` rank each bin of `truth`, which `equal_size_bins` made, by shapes and training setting alone.

    Each bin is one list, asked for three times in shuffled order; its answers together give strengths. A bin without a
    usable answer counts as one where nothing is told apart. Only figures at equal size are measured: strengths of
    different bins have nothing to do with each other.
    given: as in `proxy_table`. progress: told bins done and bins in all. Raises what `Panel.ask` raises.
    """
    records: list[CallRecord] = []
    panel = Panel(Recalled(llm, (), records.append), truth.setting, seed)
    bins = size_bins(truth.sizes, truth.bin_size)
    scores = np.zeros(len(truth.rows))
    ballots: list[Ballots] = []
    for done, rows in enumerate(bins, 1):
        ballots.append(panel.ask([truth.rows[int(index)].subject.description for index in rows]))
        scores[rows] = strengths(ballots[-1].rates())
        progress(done, len(bins))
    found = measure(truth, scores, [given(ProxyInputs(row.subject, seed)) for row in truth.rows])
    found = replace(found, tau=None, rho=None, tau_within=None, top10_overlap=None, ci95=None)
    milliseconds = 1000 * sum(record.usage.seconds for record in records) / len(truth.rows)
    row = ProxyRow(JUDGE, len(truth.rows), truth.bin_size, found, milliseconds)
    judged = [_judged(truth, rows, scores, each) for rows, each in zip(bins, ballots, strict=True)]
    return Judgement(row, judge_summary(records), tuple(judged))


def _judged(truth: Truth, rows: NDArray[np.intp], scores: Floats, ballots: Ballots) -> JudgedBin:
    goodness = truth.labels if truth.higher_is_better else -truth.labels
    sizes, distinct = truth.sizes[rows], rounded(scores)
    return JudgedBin(
        float(sizes.min()),
        float(sizes.max()),
        tau(distinct[rows], goodness[rows]),
        regret_iso(distinct, goodness, [rows]),
        ballots.consistency,
    )
