"""Which design choices matter, and by how much, in a table of trained decoders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimar.bench._options import Option, option_shares
from mimar.bench._tiny_table import TinyTable

Floats = NDArray[np.float64]

FEWEST: Final = 5
"""Architectures that an option must stand in to be listed."""

SHRINKAGE: Final = 0.05
"""Weight of the penalty on effects, in architectures' worth of evidence: options that come together share theirs."""

RESAMPLES: Final = 200


@dataclass(frozen=True, slots=True)
class ChoiceEffect:
    """What one option does to the loss, against the average of the options of its choice, at equal size and with all
    other choices as they come.

    architectures: in which it stands. effect: nats a token, below 0 is better; of a layer's option as if all layers had
    it. error: its standard error, from 200 resamples of the architectures.
    """

    choice: str
    option: str
    architectures: int
    effect: float
    error: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def choice_effects(table: TinyTable) -> list[ChoiceEffect]:
    """Ridge regression of the loss on the logarithm of size, its square, depth, and the share of layers that have each
    option; choices in a fixed order, within each the best option first.
    """
    shares = [option_shares(row.architecture) for row in table.rows]
    counts = Counter(option for each in shares for option, share in each.items() if share > 0)
    options = sorted(option for option, count in counts.items() if count >= FEWEST)
    x = np.asarray([[each.get(option, 0.0) for option in options] for each in shares])
    size = np.log([row.size for row in table.rows])
    depth = np.log([row.architecture.num_layers for row in table.rows])
    size = (size - size.mean()) / (size.std() or 1.0)
    rest = np.stack([np.ones_like(size), size, size**2, depth - depth.mean()], axis=1)
    y = np.asarray([row.loss for row in table.rows])
    effects = _effects(x, rest, y, options)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(y), size=len(y)) for _ in range(RESAMPLES)]
    errors = np.std([_effects(x[rows], rest[rows], y[rows], options) for rows in drawn], axis=0)
    found = [
        ChoiceEffect(*option, counts[option], float(effect), float(error))
        for option, effect, error in zip(options, effects, errors, strict=True)
    ]
    return sorted(found, key=lambda each: (each.choice, each.effect))


def _effects(x: Floats, rest: Floats, y: Floats, options: Sequence[Option]) -> Floats:
    """Coefficients of x, each less the mean of its choice weighted by how common the options are."""
    choices = [
        np.asarray([index for index, option in enumerate(options) if option[0] == choice])
        for choice in {name for name, _ in options}
    ]
    common = x.mean(axis=0) + 1e-9
    x = x.copy()
    for same in choices:
        # Only how the options of a choice differ is its own: that some layers have heads at all is a fact of mixers.
        x[:, same] -= x[:, same].sum(axis=1, keepdims=True) * common[same] / common[same].sum()
    both = np.concatenate([rest, x], axis=1)
    penalty = np.diag([0.0] * rest.shape[1] + [SHRINKAGE] * x.shape[1])
    solved = np.linalg.lstsq(both.T @ both + penalty, both.T @ y, rcond=None)[0]
    weights = np.array(solved[rest.shape[1] :], dtype=np.float64)
    for same in choices:
        weights[same] -= np.average(weights[same], weights=common[same])
    return weights
