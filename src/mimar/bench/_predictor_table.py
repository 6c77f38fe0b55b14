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
from mimar.bench._options import decoder_features
from mimar.bench._truth import Truth
from mimar.bench.families import Cell201
from mimar.errors import InputError
from mimar.predict import LEARNERS, Calibration, Features, Learner, calibration, ridge
from mimar.proxies import PROXIES, DecoderSubject, Proxy, ProxyInputs, Subject, adw

Array = NDArray[np.float64]
Choice = str | int | float

SMALLEST_TRAIN = 10
MOST_TESTED = 2000
LOGGED = ("ppl", "perplexity")
"""Results whose name holds one of these are predicted as their logarithm, which is the loss."""

Progress = Callable[[str, int], None]
"""Told before the fits of each predictor to each number of rows."""


@dataclass(frozen=True, slots=True)
class PredictorRow:
    """One predictor after `train` rows, each figure the median over `seeds` random choices of them.

    tested: rows that were predicted, the least of all seeds. rmse: root mean square error on them, in the unit of
    `predicted_quantity`. tau: Kendall τ-b of predictions and results; where it is not defined it counts 0. within:
    level → share of results in the central interval that should hold it. nll: as in `Calibration`. seconds: to fit
    and to predict.
    """

    predictor: str
    train: int
    seeds: int
    tested: int
    rmse: float
    tau: float
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

    Learners see `truth_features`. Predicted are rows whose network was not trained on under any id, at most 2000.
    InputError where a size leaves fewer than 10 rows on either side.
    """
    count = len(truth.rows)
    for size in sizes:
        if not SMALLEST_TRAIN <= size <= count - SMALLEST_TRAIN:
            raise InputError(
                f"expected from {SMALLEST_TRAIN} to {count - SMALLEST_TRAIN} rows to train on, as {truth.name} has "
                f"{count} and {SMALLEST_TRAIN} must be left, got {size}"
            )
    x, alone = truth_features(truth), closed_form_scores(truth, (adw,))
    entered = [(adw.name, ridge, alone), *((learner.name, learner, x) for learner in learners)]
    found: list[PredictorRow] = []
    for size in sizes:
        splits = [_split(truth, size, seed) for seed in range(seeds)]
        for name, learner, inputs in entered:
            if progress is not None:
                progress(name, size)
            trials = [_trial(learner, inputs, truth, split, seed) for seed, split in enumerate(splits)]
            found.append(_row(name, size, trials))
    return found


Split = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows to train on, rows to predict."""


def _split(truth: Truth, size: int, seed: int) -> Split:
    order = np.random.default_rng([seed, size]).permutation(len(truth.rows))
    trained = {truth.rows[index].subject for index in order[:size]}
    fresh = [index for index in order[size:] if truth.rows[index].subject not in trained]
    if len(fresh) < SMALLEST_TRAIN:
        raise InputError(
            f"{size} rows of {truth.name} leave only {len(fresh)} with other networks, {SMALLEST_TRAIN} are needed: "
            "train on fewer"
        )
    return order[:size], np.array(fresh[:MOST_TESTED])


@dataclass(frozen=True, slots=True)
class _Trial:
    report: Calibration
    tau: float
    tested: int
    seconds: float


def _trial(learner: Learner, x: Array, truth: Truth, split: Split, seed: int) -> _Trial:
    (train, test), y = split, predicted_quantity(truth)[1]
    start = perf_counter()
    mean, deviation = learner.fit(x[train], y[train], np.random.default_rng(seed)).predict(x[test])
    seconds = perf_counter() - start
    return _Trial(calibration(mean, deviation, y[test]), tau(mean, y[test]) or 0.0, len(test), seconds)


def _row(name: str, size: int, trials: Sequence[_Trial]) -> PredictorRow:
    reports = [trial.report for trial in trials]
    return PredictorRow(
        name, size, len(trials), min(trial.tested for trial in trials),
        rmse=median(report.rmse for report in reports),
        tau=median(trial.tau for trial in trials),
        within={level: median(report.within[level] for report in reports) for level in reports[0].within},
        nll=median(report.nll for report in reports),
        seconds=median(trial.seconds for trial in trials),
    )  # fmt: skip


def predicted_quantity(truth: Truth) -> tuple[str, Array]:
    """What is predicted, its name and values (n,): the result, of a perplexity the logarithm."""
    logged = any(word in truth.label_name.lower() for word in LOGGED) and bool((truth.labels > 0).all())
    return (f"ln {truth.label_name}", np.log(truth.labels)) if logged else (truth.label_name, truth.labels)


def truth_features(truth: Truth) -> Array:
    """Features (n, d): what tells the architectures apart and `closed_form_scores`.

    Decoders of the design space by `decoder_features`, others choice by choice as `Features` encodes them.
    """
    forms = [proxy for proxy in PROXIES if proxy.cost == "closed form"]
    decoders = [row.subject.arch for row in truth.rows if isinstance(row.subject, DecoderSubject)]
    own = decoder_features(decoders) if len(decoders) == len(truth.rows) else _encoded(truth)
    return np.hstack([own[:, np.ptp(own, axis=0) > 0], closed_form_scores(truth, forms)])


def _encoded(truth: Truth) -> Array:
    rows = [dict(_choices(row.subject)) for row in truth.rows]
    columns = {name: [row.get(name, 0) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    variables = {name: tuple(dict.fromkeys(cells)) for name, cells in columns.items() if len(set(cells)) > 1}
    return Features(variables).encode([{name: columns[name][i] for name in variables} for i in range(len(rows))])


def closed_form_scores(truth: Truth, proxies: Sequence[Proxy]) -> Array:
    """Scores (n, number of proxies), of those that are positive on all rows the logarithm, scaled to mean 0 and
    deviation 1 over all rows; no result is looked at."""
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
