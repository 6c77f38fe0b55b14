"""A truth: architectures with results that somebody measured by training them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mimar.proxies import Subject

FEWEST_IN_A_BIN = 10


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One measured architecture.

    id: that of the table, else the row's place in it, from 0.
    label: the result, in the unit of the table it comes from.
    size: non-embedding parameters, as published or the weights of all layers without norms and biases.
    cell: depth (executed layers) and width (hidden size); None where architectures do not differ in them.
    """

    id: str
    subject: Subject
    label: float
    size: float
    cell: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Truth:
    """Measured architectures of one table.

    label_name, higher_is_better: which result, and which end of it is good.
    bin_size: architectures in a bin of equal size; bins are filled in the order of size.
    shapes: how the rows were read as networks, in one phrase.
    skipped: rows of the table without that result. setting: how they were trained and judged, for a reader.
    """

    name: str
    rows: tuple[TruthRow, ...]
    label_name: str
    higher_is_better: bool
    bin_size: int
    shapes: str
    skipped: int = 0
    setting: str = "All were trained in the same way."

    @property
    def labels(self) -> NDArray[np.float64]:
        """Results (n,) in their own unit."""
        return np.array([row.label for row in self.rows])

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Non-embedding parameters (n,)."""
        return np.array([row.size for row in self.rows])

    def sample(self, count: int, seed: int) -> Truth:
        """`count` rows drawn without replacement, in the order of the table; the truth itself where it has no more.

        As many bins as before where each then has at least 10 rows, fewer bins otherwise.
        """
        total = len(self.rows)
        if count >= total:
            return self
        chosen = np.sort(np.random.default_rng([seed, total]).choice(total, count, replace=False))
        bins = max(1, total // self.bin_size)
        rows = tuple(self.rows[index] for index in chosen)
        return replace(self, rows=rows, bin_size=max(FEWEST_IN_A_BIN, count // bins))
