"""Weighted sums of z-scores against a fixed sample, so that a value never changes either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.proxies._contract import Cost, Need, Proxy
from mimar.proxies._decoder import DecoderSubject
from mimar.proxies._inputs import ProxyInputs, Subject
from mimar.proxies._ntk import ntk
from mimar.proxies._parameter_efficiency import parameter_efficiency
from mimar.proxies._spectrum import spectrum
from mimar.proxies._synflow import synflow
from mimar.space import Architecture


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Mean and standard deviation of each proxy over a fixed sample of architectures; name → (mean, std)."""

    moments: Mapping[str, tuple[float, float]]

    def z(self, name: str, value: float) -> float:
        """Standard deviations by which `value` lies above the mean; 0 for a proxy that did not vary."""
        mean, std = self.moments[name]
        return (value - mean) / std if std > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back to an equal one."""
        return {name: {"mean": mean, "std": std} for name, (mean, std) in self.moments.items()}

    @classmethod
    def of(cls, scores: Mapping[str, Sequence[float]]) -> Standardiser:
        """Mean and standard deviation of given scores; name → the values of a sample."""
        return cls({name: _moments(np.asarray(values, dtype=np.float64)) for name, values in scores.items()})

    @classmethod
    def from_json(cls, data: Any) -> Standardiser:
        """The one in `data`; InputError when it does not have the form of `to_json`."""
        try:
            moments = {str(name): (float(entry["mean"]), float(entry["std"])) for name, entry in data.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f'a standardiser must map each score to {{"mean": number, "std": number}}, got {str(data)[:80]}; '
                "fit it anew with fit_standardiser"
            ) from error
        return cls(moments)


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) if values.max() > values.min() else 0.0


def fit_standardiser(members: Sequence[Proxy], population: Sequence[Architecture | Subject], seed: int) -> Standardiser:
    """Score `population`, a fixed sample of the space, once, with the random batch that `seed` gives.

    Candidates must later be scored with the same seed, and with that batch too.
    InputError for fewer than two networks.
    """
    if len(population) < 2:
        raise InputError(f"a standardiser needs at least 2 architectures, better 30, got {len(population)}")
    return Standardiser.of(member_scores(members, population, seed))


def member_scores(
    members: Sequence[Proxy], population: Sequence[Architecture | Subject], seed: int
) -> dict[str, list[float]]:
    """Name of each member → its scores of `population`, in its order; members share modules and batches."""
    subjects = [DecoderSubject(each) if isinstance(each, Architecture) else each for each in population]
    for member in members:
        member.prepare(subjects)
    shared = (ProxyInputs(subject, seed) for subject in subjects)
    rows = [[member(inputs) for member in members] for inputs in shared]
    return {member.name: [row[i] for row in rows] for i, member in enumerate(members)}


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A `Proxy`: Σ weight · z-score of its members, which share module, batch and backward pass.

    InputError when members and weights differ in number or the standardiser lacks a member.
    """

    name: str
    members: tuple[Proxy, ...]
    weights: tuple[float, ...]
    standardiser: Standardiser
    source: str
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if len(self.members) != len(self.weights) or not self.members:
            raise InputError(
                f"an ensemble needs one weight for each member, got {len(self.members)} and {len(self.weights)}"
            )
        missing = [member.name for member in self.members if member.name not in self.standardiser.moments]
        if missing:
            raise InputError(f"the standardiser lacks {', '.join(missing)}; fit it with the members of the ensemble")

    @property
    def needs(self) -> frozenset[Need]:
        """What any member needs."""
        return frozenset[Need]().union(*(member.needs for member in self.members))

    @property
    def cost(self) -> Cost:
        """The cost of the dearest member."""
        costs = {member.cost for member in self.members}
        return next(cost for cost in reversed(get_args(Cost)) if cost in costs)

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Let each member hear of them."""
        for member in self.members:
            member.prepare(subjects)

    def __call__(self, inputs: ProxyInputs) -> float:
        pairs = zip(self.members, self.weights, strict=True)
        return sum(weight * self.standardiser.z(member.name, member(inputs)) for member, weight in pairs)


_RZ_NAS = "RZ-NAS: Enhancing LLM-guided Neural Architecture Search via Reflective Zero-Cost Strategy, 2025"

RZ_NAS_MEMBERS: tuple[Proxy, ...] = (synflow, ntk, spectrum, parameter_efficiency)
"""Members of `rz_nas_ensemble`, for `fit_standardiser`."""

_RZ_NAS_WEIGHTS = (0.30, 0.25, 0.20, 0.25)


def rz_nas_ensemble(standardiser: Standardiser, judge: Proxy | None = None, weight: float = 0.0) -> Ensemble:
    """SynFlow .30, NTK .25, spectrum .20, parameter efficiency .25 on z-scores, the weights of RZ-NAS.

    judge: one more member, with `weight` (from 0 to 1, where 1 is as much as all others together); the standardiser
      must have it. Without weight it is left out, and never asked.
    """
    members, weights, source = RZ_NAS_MEMBERS, _RZ_NAS_WEIGHTS, _RZ_NAS
    if judge is not None and weight > 0:
        members, weights, source = (*members, judge), (*weights, weight), f"{source}; {judge.source}"
    return Ensemble("rz_nas_ensemble", members, weights, standardiser, source)
