"""Predictors that learn from some rows of a truth, held against the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimar.bench._measures import tau
from mimar.bench._truth import Truth
from mimar.bench.families import Cell201
from mimar.errors import InputError
from mimar.predict import LEARNERS, Calibration, Features, Learner, calibration, ridge
from mimar.proxies import PROXIES, Proxy, ProxyInputs, Subject, adw

Array = NDArray[np.float64]
Choice = str | int | float

SMALLEST_TRAIN = 10
MOST_TESTED = 2000
LOGGED = ("ppl", "perplexity")
"""Results whose name holds one of these are predicted as their logarithm, which is the loss."""

Progress = Callable[[str, int], None]
"""Told before each fit: name of the predictor and rows to train on."""


@dataclass(frozen=True, slots=True)
class PredictorRow:
    """One predictor after `train` rows, each figure the median over `seeds` random choices of them.

    rmse: root mean square error on rows that were not trained on, in the unit of `target`. tau: Kendall τ-b of
    predictions and results there. within: level → share of results in the central interval that should hold it.
    nll: as in `Calibration`. seconds: to fit and to predict.
    """

    predictor: str
    train: int
    seeds: int
    tested: int
    rmse: float
    tau: float | None
    within: Mapping[float, float]
    nll: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data; levels of `within` as percent in the key."""
        found = asdict(self)
        levels = {f"within_{100 * level:.0f}": share for level, share in found.pop("within").items()}
        return found | levels


def predictor_table(
    truth: Truth,
    sizes: Sequence[int],
    learners: Sequence[Learner] = LEARNERS,
    *,
    seeds: int = 5,
    progress: Progress | None = None,
) -> list[PredictorRow]:
    """A row for each of `sizes` and learner, after a line through the default score alone under its name.

    Learners see every choice of an architecture and the logarithms of all closed-form scores. At most 2000 of the rows
    that were not trained on are predicted. InputError where a size leaves fewer than 10 rows on either side.
    """
    x, alone, y = truth_features(truth), closed_form_scores(truth, (adw,)), target(truth)[1]
    for size in sizes:
        if not SMALLEST_TRAIN <= size <= len(y) - SMALLEST_TRAIN:
            raise InputError(
                f"expected from {SMALLEST_TRAIN} to {len(y) - SMALLEST_TRAIN} rows to train on, as {truth.name} has "
                f"{len(y)} and {SMALLEST_TRAIN} must be left, got {size}"
            )
    found: list[PredictorRow] = []
    for size in sizes:
        for name, learner, inputs in [(adw.name, ridge, alone), *((each.name, each, x) for each in learners)]:
            if progress is not None:
                progress(name, size)
            trials = [_trial(learner, inputs, y, size, seed) for seed in range(seeds)]
            found.append(_row(name, size, trials))
    return found


@dataclass(frozen=True, slots=True)
class _Trial:
    report: Calibration
    tau: float | None
    tested: int
    seconds: float


def _trial(learner: Learner, x: Array, y: Array, size: int, seed: int) -> _Trial:
    rng = np.random.default_rng([seed, size])
    order = rng.permutation(len(y))
    train, test = order[:size], order[size : size + MOST_TESTED]
    start = perf_counter()
    mean, deviation = learner.fit(x[train], y[train], rng).predict(x[test])
    seconds = perf_counter() - start
    return _Trial(calibration(mean, deviation, y[test]), tau(mean, y[test]), len(test), seconds)


def _row(name: str, size: int, trials: Sequence[_Trial]) -> PredictorRow:
    reports = [trial.report for trial in trials]
    taus = [trial.tau for trial in trials if trial.tau is not None]
    return PredictorRow(
        name, size, len(trials), trials[0].tested,
        rmse=median(report.rmse for report in reports),
        tau=median(taus) if taus else None,
        within={level: median(report.within[level] for report in reports) for level in reports[0].within},
        nll=median(report.nll for report in reports),
        seconds=median(trial.seconds for trial in trials),
    )  # fmt: skip


def target(truth: Truth) -> tuple[str, Array]:
    """What is predicted, its name and values (n,): the result, of a perplexity the logarithm."""
    logged = any(word in truth.label_name.lower() for word in LOGGED) and bool((truth.labels > 0).all())
    return (f"ln {truth.label_name}", np.log(truth.labels)) if logged else (truth.label_name, truth.labels)


def truth_features(truth: Truth) -> Array:
    """Features (n, d): what tells the architectures apart, as `Features` encodes it, and all closed-form scores."""
    rows = [dict(_choices(row.subject)) for row in truth.rows]
    columns = {name: [row.get(name, 0) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    variables = {name: tuple(dict.fromkeys(cells)) for name, cells in columns.items() if len(set(cells)) > 1}
    encoded = Features(variables).encode([{name: columns[name][i] for name in variables} for i in range(len(rows))])
    forms = [proxy for proxy in PROXIES if proxy.cost == "closed form"]
    return np.hstack([encoded, closed_form_scores(truth, forms)])


def closed_form_scores(truth: Truth, proxies: Sequence[Proxy]) -> Array:
    """Scores (n, number of proxies), the logarithm where all are positive, scaled to mean 0 and deviation 1."""
    scores = np.array([[proxy(ProxyInputs(row.subject)) for proxy in proxies] for row in truth.rows], dtype=np.float64)
    positive = (scores > 0).all(axis=0)
    scores[:, positive] = np.log(scores[:, positive])
    spread = scores.std(axis=0)
    return (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _choices(subject: Subject) -> Iterator[tuple[str, Choice]]:
    """Name and value of everything that a subject is made of; layers by their place."""
    if isinstance(subject, Cell201):
        yield from ((f"edge.{index}", operation) for index, operation in enumerate(subject.operations))
    else:
        yield from _leaves("", asdict(subject))  # pyright: ignore[reportArgumentType]  # all other subjects are dataclasses


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Choice]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    elif isinstance(value, tuple | list):
        yield f"{name}.count", len(value)
        for index, inner in enumerate(value):
            yield from _leaves(f"{name}.{index}", inner)
    else:
        yield name, "none" if value is None else value
