"""Searchers at equal budgets on problems whose front is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from mimar import pareto
from mimar.bench._search_truth import SearchTruth
from mimar.bench._timed import Searcher, TimedStrategy, require_budgets, searched
from mimar.llm import UniformLLM
from mimar.objectives import complete_trials, losses
from mimar.pareto import Points
from mimar.space import Combination
from mimar.trial import Trial

TRADE_OFFS = np.linspace(0.05, 0.95, 10)
"""Weights of the first objective at which regret is taken."""

CONTROL = UniformLLM().name
"""The LLM that knows nothing: a strategy's gain over it is what its LLM brings."""

Progress = Callable[[str, int], None]
"""Told strategy and seed before each search."""


@dataclass(frozen=True, slots=True)
class SearchRun:
    """One search, cut at `budget` evaluations.

    hv_share: hypervolume as a share of the exact front's. igd_plus: mean modified distance from the exact front (IGD+),
    in units of the frame. regret: how much worse the best candidate found is than the best there is, by weighted
    Chebyshev loss in units of the frame, mean over ten trade-offs. us_per_candidate: CPU time of ask and tell, µs, with
    that of a model which runs in this process. llm: its name, empty without one. llm_calls and llm_tokens (read and
    written) until then. llm_valid: its candidates among the evaluated ones, each new and within the budgets.
    llm_rejected: its candidates that were illegal, repeated or over a budget, and replies that could not be read.
    """

    strategy: str
    seed: int
    budget: int
    hv_share: float
    igd_plus: float
    regret: float
    us_per_candidate: float
    llm: str = ""
    llm_calls: int = 0
    llm_tokens: int = 0
    llm_valid: int = 0
    llm_rejected: int = 0


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """All seeds of a strategy at one budget: medians, quartiles of the hypervolume share, and a rank test.

    p_best: two-sided p-value of Mann and Whitney's test against the strategy with the best median share at this budget;
    None for that one itself and where there are fewer than two seeds. Of an LLM's, over all seeds: candidates_per_call,
    tokens_per_candidate and rejected_share count unique valid candidates; None without an LLM or without any such.
    llm_gain: median share minus that of the same strategy with uniform random choice for its LLM, where that was run.
    """

    strategy: str
    budget: int
    seeds: int
    hv_share_median: float
    hv_share_quartiles: tuple[float, float]
    igd_plus_median: float
    regret_median: float
    us_per_candidate: float
    p_best: float | None
    llm: str = ""
    candidates_per_call: float | None = None
    tokens_per_candidate: float | None = None
    rejected_share: float | None = None
    llm_gain: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"hv_share_quartiles": list(self.hv_share_quartiles)}


def search_runs(
    truth: SearchTruth,
    searchers: Mapping[str, Searcher[Combination]],
    budgets: Sequence[int],
    seeds: int,
    *,
    batch: int = 8,
    progress: Progress | None = None,
) -> list[SearchRun]:
    """One search for each of `searchers` and seed, as long as the largest budget, and a row for each budget.

    A strategy is never told its budget, so that a shorter search is the beginning of a longer one. batch: candidates
    asked for at a time. A search that finds nothing new before a budget, or whose LLM fails for good, counts with what
    it has. InputError for budgets or seeds below 1.
    """
    require_budgets(budgets, seeds)
    found: list[SearchRun] = []
    for name, make in searchers.items():
        for seed in range(seeds):
            if progress is not None:
                progress(name, seed)
            trials, timed = searched((name, seed), make, truth.toy.problem, truth.toy, (max(budgets), batch))
            found += [_run(truth, (name, seed), trials, budget, timed) for budget in sorted(budgets)]
    return found


def summarise(runs: Sequence[SearchRun]) -> list[SearchSummary]:
    """A row for each budget and strategy, the best median share first."""
    found: list[SearchSummary] = []
    for _, at_budget in groupby(sorted(runs, key=lambda run: run.budget), key=lambda run: run.budget):
        grouped: dict[str, list[SearchRun]] = {}
        for run in at_budget:
            grouped.setdefault(run.strategy, []).append(run)
        ranked = sorted(grouped.values(), key=lambda group: -median(run.hv_share for run in group))
        rows = [_summary(group, ranked[0]) for group in ranked]
        shares = {row.strategy: row.hv_share_median for row in rows}
        found += [_against_control(row, shares.get(without_llm(row.strategy))) for row in rows]
    return found


def without_llm(name: str) -> str:
    """The row of the same strategy with uniform random choice in its LLM's place."""
    return f"{name} ({CONTROL})"


def _against_control(row: SearchSummary, control: float | None) -> SearchSummary:
    return row if control is None else replace(row, llm_gain=row.hv_share_median - control)


def _summary(group: Sequence[SearchRun], best: Sequence[SearchRun]) -> SearchSummary:
    shares = [run.hv_share for run in group]
    low, middle, high = (float(value) for value in np.percentile(shares, [25, 50, 75]))
    compared = group is not best and min(len(group), len(best)) > 1
    p_value = float(mannwhitneyu(shares, [run.hv_share for run in best]).pvalue) if compared else None
    calls, tokens, valid, rejected = (
        sum(getattr(run, name) for run in group) for name in ("llm_calls", "llm_tokens", "llm_valid", "llm_rejected")
    )
    return SearchSummary(
        group[0].strategy,
        group[0].budget,
        len(group),
        middle,
        (low, high),
        median(run.igd_plus for run in group),
        median(run.regret for run in group),
        median(run.us_per_candidate for run in group),
        p_value,
        group[0].llm,
        valid / calls if calls else None,
        tokens / valid if valid else None,
        rejected / (valid + rejected) if valid + rejected else None,
    )


def _run(
    truth: SearchTruth,
    who: tuple[str, int],
    trials: Sequence[Trial[Combination]],
    budget: int,
    timed: TimedStrategy[Combination],
) -> SearchRun:
    done = complete_trials(trials)[:budget]
    last = done[-1].id if len(done) == budget else trials[-1].id if trials else 0
    own = [trial.status for trial in trials if trial.id <= last and trial.proposal.by_llm and _answered(trial)]
    seconds, calls = timed.spent_at(budget)
    reference = truth.reference
    points = losses([trial.metrics for trial in done], truth.toy.problem.objectives)
    scaled, exact = reference.scaled(points), reference.scaled(truth.front)
    return SearchRun(
        *who,
        budget,
        reference.hypervolume(points) / reference.hypervolume(truth.front),
        pareto.igd_plus(scaled, exact),
        float(np.mean(_best_values(scaled) - _best_values(exact))) if len(points) else float("inf"),
        seconds / max(1, min(budget, timed.evaluated)) * 1e6,
        timed.llm,
        len(calls),
        sum(call.usage.input_tokens + call.usage.output_tokens for call in calls),
        own.count("complete"),
        own.count("invalid"),
    )


def _answered(trial: Trial[Combination]) -> bool:
    """Whether there was a reply: a call without one left neither an architecture nor a text."""
    return trial.proposal.architecture is not None or bool(trial.proposal.note)


def _best_values(points: Points) -> NDArray[np.float64]:
    """Least weighted Chebyshev loss among points (n, 2) at each trade-off."""
    weights = np.stack([TRADE_OFFS, 1.0 - TRADE_OFFS], axis=1)
    return np.max(weights[:, None] * points, axis=2).min(axis=1)
