"""Gaussian process over the choices of a space: what single choices add, and what they do to each other.

    k(x, x') = w · φ(x)·φ(x') + (1 − w) · exp(−½ g · |φ(x) − φ(x')|²) + λ · 1[x = x']

φ holds e(x_v) of each variable v, vectors with e·e' = 1 for equal words and 0 for others; for numbers it is
exp(−½ (Δ / r)²), Δ their distance in ranks as a share of the variable's range. The first term is a linear model on
choices, the second knows interactions of every order, the fewer the smaller g (without pooling an exponentiated Hamming
kernel, as in Oh et al., Combinatorial Bayesian Optimization using the Graph Cartesian Product, 2019).

Variables with the same options, such as one operation for each layer, are pooled. All pools are expected to matter
alike, so that the one width counts as much as the heads of all layers together. And φ also holds the sum of a pool's
e(x_v), a count of each option, which has a share c of the prior variance: what a choice is worth in one layer is about
what it is worth in another, and a few rows teach it for all layers at once.

Settings are few, and predictions are averaged over them by their marginal likelihood (Rasmussen and Williams, 2006,
section 5.2), which with few rows is steadier than the one most likely setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mimar.predict._learner import SMALLEST_DEVIATION, Array
from mimar.space import Choice, are_numbers

REACHES = (0.3, 0.6, 1.2)
"""r, shares of a variable's range."""

POOLED = (0.0, 0.8, 0.95)
"""c. All of it would make layers interchangeable."""

LINEAR_SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)
INTERACTIONS = (1.0, 2.0, 4.0, 8.0)
NOISES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)

WEIGHED = 256
"""Settings are weighed on so many of the last rows: fitting many of them costs the cube of the rows."""

KEPT = 6
"""Settings that are averaged: nearly all of the weight."""

NEGLIGIBLE = 0.02
"""Weight, relative to the best setting's, below which a setting is left out."""

Rows = Sequence[Mapping[str, Choice]]
Variables = Mapping[str, tuple[Choice, ...]]


@dataclass(frozen=True, slots=True)
class _View:
    """r and c."""

    reach: float
    pooled: float


@dataclass(frozen=True, slots=True)
class _Setting:
    """w, g, λ, and of φ r and c."""

    share: float
    interaction: float
    noise: float
    view: _View

    def kernel(self, product: Array, distance: Array) -> Array:
        """k without its last term, from φ·φ' and ½ |φ − φ'|²."""
        return self.share * product + (1.0 - self.share) * np.exp(-self.interaction * distance)


def _relations(left: Array, right: Array) -> tuple[Array, Array]:
    """φ·φ' and ½ |φ − φ'|² (n, m) of the rows of two arrays (n, d), (m, d)."""
    product = left @ right.T
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1)
    return product, np.maximum(0.0, squares / 2.0 - product)


@dataclass(frozen=True)
class _Levels:
    """Rows of choices → where each lies among its variable's options. domains: numbers in order, words as they come."""

    domains: Mapping[str, tuple[Choice, ...]]

    @staticmethod
    def of(variables: Variables) -> _Levels:
        return _Levels(
            {
                name: tuple(sorted(options, key=float)) if are_numbers(options) else options
                for name, options in variables.items()
            }
        )

    def __call__(self, rows: Rows) -> Array:
        """Levels (n, variables); a number between two choices lies between their levels."""
        found = np.empty((len(rows), len(self.domains)))
        for column, (name, options) in enumerate(self.domains.items()):
            found[:, column] = _levels(options, [row[name] for row in rows])
        return found


def _levels(options: tuple[Choice, ...], values: Sequence[Choice]) -> Array:
    level = {option: float(rank) for rank, option in enumerate(options)}
    listed = [level.get(value, -1.0) for value in values]
    if -1.0 not in listed:
        return np.asarray(listed)
    return np.interp(
        np.asarray(values, dtype=np.float64), np.asarray(options, dtype=np.float64), np.arange(len(options))
    )


@dataclass(frozen=True)
class _Embedding:
    """Levels → φ. factors: e of each variable's options (options, dimensions). pools: variables with equal options,
    by number."""

    factors: tuple[Array, ...]
    pools: tuple[tuple[int, ...], ...]
    pooled: float

    @staticmethod
    def of(levels: _Levels, view: _View) -> _Embedding:
        pools: dict[tuple[Choice, ...], list[int]] = {}
        for index, options in enumerate(levels.domains.values()):
            pools.setdefault(options, []).append(index)
        factors = tuple(_factor(options, view.reach) for options in levels.domains.values())
        return _Embedding(factors, tuple(map(tuple, pools.values())), view.pooled)

    def __call__(self, levels: Array) -> Array:
        own, sums = list[Array](), list[Array]()
        for pool in self.pools:
            weight = 1.0 / np.sqrt(len(self.pools) * len(pool))
            parts = [weight * _taken(self.factors[index], levels[:, index]) for index in pool]
            own += parts
            sums.append(np.sum(parts, axis=0) - weight * len(pool) * self.factors[pool[0]].mean(axis=0))
        if not self.pooled:
            return np.concatenate(own, axis=1)
        return np.concatenate(
            [np.sqrt(1.0 - self.pooled) * part for part in own] + [np.sqrt(self.pooled) * part for part in sums], axis=1
        )


def _taken(factor: Array, levels: Array) -> Array:
    """A row of `factor` for each level; one between two levels has what lies between their rows, of length 1."""
    below = levels.astype(np.intp)
    part = (levels - below)[:, None]
    if not part.any():
        return factor[below]
    rows = (1.0 - part) * factor[below] + part * factor[np.ceil(levels).astype(np.intp)]
    return np.where(part > 0.0, rows / np.linalg.norm(rows, axis=1, keepdims=True), rows)


def _factor(options: tuple[Choice, ...], reach: float) -> Array:
    count = len(options)
    if not are_numbers(options) or count == 1:
        return np.eye(count)
    ranks = np.arange(count) / (count - 1)
    values, vectors = np.linalg.eigh(np.exp(-0.5 * ((ranks[:, None] - ranks) / reach) ** 2))
    return vectors * np.sqrt(np.maximum(values, 0.0))


@dataclass(frozen=True)
class _Fitted:
    """A setting on all rows: lower (n, n) is the Cholesky factor of its matrix, alpha (n,) the weight of each row."""

    setting: _Setting
    embedding: _Embedding
    seen: Array
    lower: Array
    alpha: Array
    scale: float

    @staticmethod
    def of(setting: _Setting, embedding: _Embedding, seen: Array, y: Array) -> _Fitted:
        from scipy.linalg import solve_triangular  # takes a while to import

        matrix = setting.kernel(*_relations(seen, seen)) + setting.noise * np.eye(len(y))
        lower = np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
        half = solve_triangular(lower, y, lower=True)
        alpha = solve_triangular(lower, half, lower=True, trans=1)
        return _Fitted(setting, embedding, seen, lower, alpha, float(np.mean(half**2)))

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and variance (n,) at embedded rows."""
        from scipy.linalg import solve_triangular

        kernel = self.setting.kernel(*_relations(rows, self.seen))
        explained = np.sum(solve_triangular(self.lower, kernel.T, lower=True) ** 2, axis=0)
        before = self.setting.kernel(np.sum(rows**2, axis=1), np.zeros(len(rows))) + self.setting.noise
        return kernel @ self.alpha, np.maximum(0.0, before - explained) * self.scale


@dataclass(frozen=True)
class ChoiceProcess:
    """A fitted process: members and their weights, for y of that mean and spread. Needs no further package."""

    levels: _Levels
    members: tuple[_Fitted, ...]
    weights: Mapping[_Setting, float]
    mean: float
    spread: float

    @staticmethod
    def fit(variables: Variables, rows: Rows, y: Array, like: ChoiceProcess | None = None) -> ChoiceProcess:
        """Learn y (n,) from n ≥ 2 rows of choices; `variables` as `SearchSpace.variables` gives them.

        like: a process whose settings and weights are taken over, which saves most of the time.
        """
        mean, spread = float(y.mean()), float(y.std()) or 1.0
        scaled = (y - mean) / spread
        levels = _Levels.of(variables)
        found = levels(rows)
        weights = _weigh(levels, found, scaled) if like is None else like.weights
        embeddings = {setting.view: _Embedding.of(levels, setting.view) for setting in weights}
        seen = {view: embedding(found) for view, embedding in embeddings.items()}
        members = [_Fitted.of(each, embeddings[each.view], seen[each.view], scaled) for each in weights]
        return ChoiceProcess(levels, tuple(members), weights, mean, spread)

    def predict(self, rows: Rows) -> tuple[Array, Array]:
        """Mean and standard deviation (n,) of a fresh measurement of each row, units of y."""
        embedded = {member.setting.view: member.embedding for member in self.members}
        levels = self.levels(rows)
        vectors = {view: embedding(levels) for view, embedding in embedded.items()}
        found = [member.predict(vectors[member.setting.view]) for member in self.members]
        weights = np.asarray(list(self.weights.values()))
        means, variances = (np.stack(part) for part in zip(*found, strict=True))
        mean = weights @ means
        deviation = np.sqrt(np.maximum(weights @ (variances + means**2) - mean**2, SMALLEST_DEVIATION**2))
        return self.mean + self.spread * mean, self.spread * deviation


def _weigh(levels: _Levels, found: Array, y: Array) -> dict[_Setting, float]:
    """The likeliest settings and their weights, which sum to 1. found: levels of each row."""
    numbers = any(are_numbers(options) and len(options) > 1 for options in levels.domains.values())
    alike = len(set(levels.domains.values())) < len(levels.domains)
    evidence: dict[_Setting, float] = {}
    for reach, pooled in product(REACHES if numbers else REACHES[:1], POOLED if alike else POOLED[:1]):
        view = _View(reach, pooled)
        evidence |= dict(_evidence(_Embedding.of(levels, view)(found[-WEIGHED:]), y[-WEIGHED:], view))
    best = max(evidence.values())
    kept = sorted(evidence, key=lambda setting: -evidence[setting])[:KEPT]
    weights = {setting: float(np.exp(evidence[setting] - best)) for setting in kept}
    weights = {setting: weight for setting, weight in weights.items() if weight >= NEGLIGIBLE}
    total = sum(weights.values())
    return {setting: weight / total for setting, weight in weights.items()}


def _evidence(embedded: Array, y: Array, view: _View) -> Iterator[tuple[_Setting, float]]:
    """Logarithm of the marginal likelihood of each setting, up to a constant, at its best scale."""
    relations = _relations(embedded, embedded)
    for share, interaction in product(LINEAR_SHARES, INTERACTIONS):
        if share == 1.0 and interaction != INTERACTIONS[0]:
            continue  # without interactions all of these are one
        values, vectors = np.linalg.eigh(_Setting(share, interaction, 0.0, view).kernel(*relations))
        projected = (vectors.T @ y) ** 2
        for noise in NOISES:
            spectrum = np.maximum(values, 0.0) + noise
            scale = max(float(np.mean(projected / spectrum)), 1e-300)
            value = -0.5 * (len(y) * np.log(scale) + float(np.sum(np.log(spectrum))))
            yield _Setting(share, interaction, noise, view), float(value)
