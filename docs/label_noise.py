"""What label noise leaves of FlexiBERT's figures: an oracle that knows every true mean, on labels drawn anew.

As trained, many of the 500 architectures are one network. Their results differ by chance alone, which gives the noise;
it is drawn from these differences, within depth and width, so that its rare failed runs stay. As true means stands what a
Gaussian process, fitted to all rows, says of each shape. `make tables` prints it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mimar.bench import Truth, load_truth, measure
from mimar.bench._predictor_table import truth_features
from mimar.predict import gaussian_process

DRAWS = 200
Array = NDArray[np.float64]


def groups(truth: Truth) -> list[list[int]]:
    """Rows that are one network each, as far as its shapes say."""
    found: defaultdict[object, list[int]] = defaultdict(list)
    for index, row in enumerate(truth.rows):
        found[row.subject].append(index)
    return list(found.values())


def noise_of(truth: Truth) -> dict[tuple[int, int] | None, Array]:
    """Cell → differences of equal networks from their mean, scaled to the deviation of a single run."""
    labels, found = truth.labels, defaultdict[tuple[int, int] | None, list[float]](list)
    for rows in groups(truth):
        if len(rows) > 1:
            spread = (labels[rows] - labels[rows].mean()) * np.sqrt(len(rows) / (len(rows) - 1))
            found[truth.rows[rows[0]].cell] += spread.tolist()
    return {cell: np.array(differences) for cell, differences in found.items()}


def true_means(truth: Truth) -> Array:
    """What a Gaussian process, fitted to all rows, says of each: equal networks get one mean."""
    x = truth_features(truth)
    return gaussian_process.fit(x, truth.labels, np.random.default_rng(0)).predict(x)[0]


def drawn(truth: Truth, means: Array, noise: dict[tuple[int, int] | None, Array], seed: int) -> Truth:
    """The truth with labels that another run of everything might have given."""
    rng = np.random.default_rng(seed)
    rows = [
        replace(row, label=float(mean + rng.choice(noise[row.cell])))
        for row, mean in zip(truth.rows, means, strict=True)
    ]
    return replace(truth, rows=tuple(rows))


def spread(values: Sequence[float]) -> str:
    """Mean, and the middle 80 % of draws."""
    low, high = np.percentile(values, (10, 90))
    return f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    table = load_truth("flexibert_500")
    noise, means = noise_of(table), true_means(table)
    several = [rows for rows in groups(table) if len(rows) > 1]
    print(f"{sum(map(len, several))} of {len(table.rows)} rows in {len(several)} groups of equal networks")
    for cell, differences in sorted(noise.items(), key=str):
        low, high = np.percentile(differences, (25, 75))
        print(f"depth, width {cell}: deviation {differences.std():.2f}, half of them within {low:.2f} … {high:.2f}")
    reports = [measure(drawn(table, means, noise, seed), means) for seed in range(DRAWS)]
    print("oracle: tau", spread([report.tau or 0.0 for report in reports]))
    print("oracle: tau at equal size", spread([report.tau_iso for report in reports]))
    print("oracle: regret at equal size", spread([report.regret_iso for report in reports]))
