from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mimar.errors import CandidateError, InputError
from mimar.tasks._item import Item
from mimar.tasks._prompts import Headline, Task
from mimar.tasks._requests import Request

LogLikelihoods = Callable[[Sequence[Request]], Sequence[float]]
"""Requests → for each, the sum over its continuation of the natural logarithm of each token's probability.

A request longer than a model reads loses tokens at its start, as in the harness.
"""


@dataclass(frozen=True)
class TaskScore:
    """How many items a model gets right.

    accuracy: share of items whose answer has the highest log-likelihood (the harness: `acc`).
    normalised: the same after division by the length of the choice in characters (`acc_norm`); equal to `accuracy` in
    tasks for which the harness has none.
    The errors are standard errors, sqrt(p (1 - p) / (n - 1)); None with a single item. For all of `mmlu` the harness
    gives the same accuracy, subjects weighted by their items, but pools the errors within subjects instead.
    headline: which of the two stands for the task. chance: the accuracy of a blind guess.
    """

    name: str
    items: int
    accuracy: float
    accuracy_error: float | None
    normalised: float
    normalised_error: float | None
    headline: Headline
    chance: float

    @property
    def headline_value(self) -> float:
        """The figure that `headline` names."""
        return self.normalised if self.headline == "normalised" else self.accuracy

    @property
    def headline_error(self) -> float | None:
        """Its standard error."""
        return self.normalised_error if self.headline == "normalised" else self.accuracy_error

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as JSON holds them."""
        return asdict(self)


def accuracy_words(found: Mapping[str, Any]) -> str:
    """``0.440 ± 0.050``, from what `TaskScore.to_json` gives."""
    value, error = found[found["headline"]], found[f"{found['headline']}_error"]
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def score(
    task: Task, items: Sequence[Item], requests: Sequence[Sequence[Request]], loglikelihoods: LogLikelihoods
) -> TaskScore:
    """Accuracy on items, with what `requests` made of them; `loglikelihoods` is called once, with all of them.

    Of equal log-likelihoods the first wins. InputError without items; CandidateError where one is not a number, which
    no comparison could rank; ValueError where requests, items and log-likelihoods do not match.
    """
    if not items:
        raise InputError(f"{task.name}: expected at least one item to score")
    if [len(asked) for asked in requests] != [len(item.choices) for item in items]:
        raise ValueError("expected a request for each choice of each item")
    flat = [request for asked in requests for request in asked]
    sums = [float(value) for value in loglikelihoods(flat)]
    if len(sums) != len(flat):
        raise ValueError(f"expected {len(flat)} log-likelihoods, got {len(sums)}")
    if any(map(math.isnan, sums)):
        raise CandidateError(f"{task.name}: the model gives a log-likelihood that is not a number")
    plain, normalised = _right(items, sums)
    count = len(items)
    accuracy, normal = plain / count, (normalised if task.headline == "normalised" else plain) / count
    return TaskScore(
        task.name,
        count,
        accuracy,
        _error(accuracy, count),
        normal,
        _error(normal, count),
        task.headline,
        _chance(items),
    )


def _right(items: Sequence[Item], sums: Sequence[float]) -> tuple[int, int]:
    """How many answers have the highest sum, and the highest sum a character."""
    plain = normalised = start = 0
    for item in items:
        own = sums[start : start + len(item.choices)]
        start += len(own)
        plain += _highest(own) == item.answer
        normalised += (
            _highest([value / len(text) for value, text in zip(own, item.choices, strict=True)]) == item.answer
        )
    return plain, normalised


def _highest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _error(share: float, count: int) -> float | None:
    return math.sqrt(share * (1.0 - share) / (count - 1)) if count > 1 else None


def _chance(items: Sequence[Item]) -> float:
    """The mean of one over the number of choices."""
    return sum(1.0 / len(item.choices) for item in items) / len(items)
