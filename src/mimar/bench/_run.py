"""Scores of many architectures, timed, against what training said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mimar.bench._measures import Measures, measure
from mimar.bench._score_file import ScoreFile
from mimar.bench._truth import Truth, TruthRow
from mimar.errors import MimarError
from mimar.proxies import (
    Proxy,
    ProxyInputs,
    Standardiser,
    adw,
    depth_width,
    fit_standardiser,
    flops,
    nonembedding_params,
    params,
)

BASELINES: tuple[Proxy, ...] = (params, nonembedding_params, flops, depth_width)
"""Scores that stand in every table."""

MODULE_LIMIT = 2000
MODULE_SAMPLE = 500
TIMED_ALONE = 3
REFERENCE_SAMPLE = 16

Progress = Callable[[int, int], None]
"""Told after each row that needed a module: rows done, rows in all."""


@dataclass(frozen=True, slots=True)
class ProxyRow:
    """One score's line of the table.

    n: rows scored. bin_size: of them, in a bin of equal size.
    ms_per_architecture: wall time, as `proxy_table` describes it.
    measures: None where the score could not be computed, for the `reason` given.
    """

    proxy: str
    n: int
    bin_size: int
    measures: Measures | None
    ms_per_architecture: float | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data: the measures beside the name, null where there are none."""
        measures = dict.fromkeys(Measures.__slots__) if self.measures is None else asdict(self.measures)
        figures = {"ms_per_architecture": self.ms_per_architecture, "bin_size": self.bin_size}
        reason = {} if self.reason is None else {"reason": self.reason}
        return {"proxy": self.proxy, "n": self.n, **measures, **figures, **reason}


def proxy_table(
    truth: Truth,
    proxies: Sequence[Proxy],
    *,
    given: Proxy = adw,
    sample: int | None = None,
    seed: int = 0,
    scores: Path | None = None,
    progress: Progress | None = None,
) -> list[ProxyRow]:
    """One row for each of `proxies` and each of the baselines, in that order, none twice.

    given: the score, best a closed form, to which others are asked to add something (`Measures.tau_added`).
    sample: score this many rows, drawn with `seed`; by default all, but for scores that need a module at most 500
      of a truth with more than 2000 rows. Their `n` says so.
    scores: where scores that need a module are kept; those that it holds are not computed again (`ScoreFile`).
    Milliseconds: of a closed form the mean over its rows; of the others, which share module and backward pass here,
    the mean of three rows (a quarter, half and three quarters up the sizes) scored by that score alone.
    """
    distinct = tuple({proxy.name: proxy for proxy in (*proxies, *BASELINES)}.values())
    quick = [proxy for proxy in distinct if proxy.cost == "closed form"]
    dear = [proxy for proxy in distinct if proxy.cost != "closed form"]
    file = ScoreFile.open(scores, seed) if scores is not None and dear else None
    drawn = truth if sample is None else truth.sample(sample, seed)
    small = drawn if len(drawn.rows) <= MODULE_LIMIT or sample is not None else drawn.sample(MODULE_SAMPLE, seed)
    scored = {proxy.name: _closed_form(proxy, drawn, seed) for proxy in quick}
    scored |= _with_modules(dear, small, seed, file, progress) if dear else {}
    other = dict(zip(drawn.rows, _closed_form(given, drawn, seed).scores, strict=False))
    parts = {proxy.name: drawn for proxy in quick} | {proxy.name: small for proxy in dear}
    return [_row(proxy, parts[proxy.name], scored[proxy.name], other) for proxy in distinct]


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scores of all rows, or of those before a failure and its reason; milliseconds of one."""

    scores: Sequence[float]
    reason: str | None
    milliseconds: float


def _closed_form(proxy: Proxy, truth: Truth, seed: int) -> _Scored:
    start = perf_counter()
    scores, reason = _scores(proxy, [ProxyInputs(row.subject, seed) for row in truth.rows])
    return _Scored(scores, reason, 1000 * (perf_counter() - start) / len(truth.rows))


def _with_modules(
    proxies: Sequence[Proxy], truth: Truth, seed: int, file: ScoreFile | None, progress: Progress | None
) -> dict[str, _Scored]:
    """Scores row by row, so that only one module is alive; a score that fails once is left out from there on."""
    scores: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
    reasons: dict[str, str] = {}
    for done, row in enumerate(truth.rows, 1):
        wanted = [proxy for proxy in proxies if proxy.name not in reasons]
        for name, (found, reason) in _row_scores(wanted, row, seed, file).items():
            scores[name] += found
            if reason is not None:
                reasons[name] = f"row {row.id}: {reason}"
        if progress is not None:
            progress(done, len(truth.rows))
    timed = _quartiles(truth)
    taken = {proxy.name: 0.0 if proxy.name in reasons else _alone(proxy, timed, seed) for proxy in proxies}
    return {name: _Scored(found, reasons.get(name), taken[name]) for name, found in scores.items()}


def _row_scores(
    proxies: Sequence[Proxy], row: TruthRow, seed: int, file: ScoreFile | None
) -> dict[str, tuple[list[float], str | None]]:
    """One row's scores by name, as `_scores` gives them; those that `file` lacks are computed and added to it."""
    inputs = ProxyInputs(row.subject, seed)
    held = {} if file is None else file.scores(row, proxies)
    asked = [proxy for proxy in proxies if proxy.name not in held]
    new = {proxy.name: _scores(proxy, [inputs]) for proxy in asked}
    if file is not None:
        file.add(row, [(proxy, score) for proxy in asked for score in new[proxy.name][0]])
    return {name: ([score], None) for name, score in held.items()} | new


def _scores(proxy: Proxy, inputs: Sequence[ProxyInputs]) -> tuple[list[float], str | None]:
    """The scores, and why they end where one cannot be had. torch tells of what it cannot do by RuntimeError."""
    found: list[float] = []
    for each in inputs:
        try:
            value = float(proxy(each))
        except (MimarError, RuntimeError) as error:
            return found, str(error) or type(error).__name__
        if not np.isfinite(value):
            return found, f"the score is {value}, not a number that ranks"
        found.append(value)
    return found, None


def _row(proxy: Proxy, truth: Truth, scored: _Scored, given: Mapping[TruthRow, float]) -> ProxyRow:
    """given: scores of the rows by the other score, not of all where it failed."""
    if scored.reason is not None:
        return ProxyRow(proxy.name, 0, truth.bin_size, None, None, scored.reason)
    other = [given[row] for row in truth.rows if row in given]
    found = measure(truth, scored.scores, other if len(other) == len(truth.rows) else None)
    return ProxyRow(proxy.name, len(scored.scores), truth.bin_size, found, scored.milliseconds)


def _quartiles(truth: Truth) -> list[TruthRow]:
    order = np.argsort(truth.sizes, kind="stable")
    return [truth.rows[order[len(order) * (i + 1) // (TIMED_ALONE + 1)]] for i in range(TIMED_ALONE)]


def _alone(proxy: Proxy, rows: Sequence[TruthRow], seed: int) -> float:
    start = perf_counter()
    for row in rows:
        proxy(ProxyInputs(row.subject, seed))
    return 1000 * (perf_counter() - start) / len(rows)


def standardiser_for(truth: Truth, members: Sequence[Proxy], seed: int) -> Standardiser:
    """What an ensemble of `members` needs, from 16 rows of `truth` drawn with `seed`; labels are not looked at."""
    return fit_standardiser(members, [row.subject for row in truth.sample(REFERENCE_SAMPLE, seed).rows], seed)
