"""What label noise leaves of FlexiBERT's figures: an oracle that knows every true mean, on labels drawn anew.

As trained, many of the 500 architectures are one network, whose results differ by chance alone: that is the noise,
drawn from these differences within depth and width. Where there are groups of at least four they alone count, as the
differences of a pair are symmetric, which failed runs are not. The true means are drawn, once for each network, from
what a Gaussian process, fitted to all rows, holds possible. `make tables` prints it, with checks of what was drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from mimar.bench import Truth, load_truth, measure, truth_features
from mimar.proxies import ProxyInputs, adw

DRAWS = 200
SMALLEST_GROUP = 4
Array = NDArray[np.float64]
Cell = tuple[int, int] | None


def groups(truth: Truth) -> list[list[int]]:
    """Rows that are one network each."""
    found: defaultdict[object, list[int]] = defaultdict(list)
    for index, row in enumerate(truth.rows):
        found[row.subject].append(index)
    return list(found.values())


def noise_of(truth: Truth) -> dict[Cell, Array]:
    """Cell → differences of equal networks from their mean, scaled to the deviation of a single run."""
    labels, found = truth.labels, defaultdict[Cell, dict[int, list[float]]](lambda: {1: [], SMALLEST_GROUP: []})
    for rows in (rows for rows in groups(truth) if len(rows) > 1):
        spread = (labels[rows] - labels[rows].mean()) * np.sqrt(len(rows) / (len(rows) - 1))
        for least, differences in found[truth.rows[rows[0]].cell].items():
            differences += spread.tolist() if len(rows) >= least else []
    return {cell: np.array(by_size[SMALLEST_GROUP] or by_size[1]) for cell, by_size in found.items()}


def possible_means(truth: Truth, draws: int) -> Array:
    """True means (draws, n) from the posterior of a Gaussian process without its noise, one for each network."""
    x, y = truth_features(truth), truth.labels
    x = (x - x.mean(axis=0)) / np.sqrt(x.shape[1])
    kernel = ConstantKernel() * DotProduct(0.0, "fixed") + ConstantKernel() * RBF(1.0, (0.03, 100.0)) + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, alpha=1e-8, normalize_y=True).fit(x, y)
    of_group = np.empty(len(y), dtype=int)
    for number, rows in enumerate(groups(truth)):
        of_group[rows] = number
    first = [rows[0] for rows in groups(truth)]
    mean, covariance = model.predict(x[first], return_cov=True)
    covariance -= model.kernel_.k2.noise_level * y.var() * np.eye(len(first))
    drawn = np.random.default_rng(0).multivariate_normal(mean, covariance, size=draws, method="eigh")
    return drawn[:, of_group]


def rerun(truth: Truth, means: Array, noise: dict[Cell, Array], seed: int) -> Truth:
    """The truth with labels that another run of everything might have given."""
    rng = np.random.default_rng(seed)
    labels = [mean + rng.choice(noise[row.cell]) for row, mean in zip(truth.rows, means, strict=True)]
    return replace(truth, rows=tuple(replace(row, label=x) for row, x in zip(truth.rows, labels, strict=True)))


def bin_figures(truth: Truth) -> tuple[float, float]:
    """Mean variance and mean best label of bins of equal size."""
    order = np.argsort(truth.sizes, kind="stable")
    parts = [truth.labels[rows] for rows in np.array_split(order, len(order) // truth.bin_size)]
    return float(np.mean([part.var() for part in parts])), float(np.mean([part.max() for part in parts]))


def spread(values: Sequence[float]) -> str:
    """Mean, and the middle 80 % of draws."""
    low, high = np.percentile(values, (10, 90))
    return f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Print noise, checks, and what the oracle and the default score reach on drawn labels."""
    truth = load_truth("flexibert_500")
    noise, means = noise_of(truth), possible_means(truth, DRAWS)
    print(f"{len(truth.rows)} rows, {len(groups(truth))} networks")
    for cell, differences in sorted(noise.items(), key=str):
        low, high = np.percentile(differences, (25, 75))
        print(f"depth, width {cell}: deviation {differences.std():.2f}, half of them within {low:.2f} … {high:.2f}")
    drawn = [rerun(truth, means[seed], noise, seed) for seed in range(DRAWS)]
    real, figures = bin_figures(truth), [bin_figures(each) for each in drawn]
    for name, index in (("variance in a bin", 0), ("best label of a bin", 1)):
        print(f"{name}: real {real[index]:.2f}, drawn {spread([found[index] for found in figures])}")
    scores = [adw(ProxyInputs(row.subject)) for row in truth.rows]
    for who, told in (("oracle", list(means)), (adw.name, [scores] * DRAWS)):
        reports = [measure(each, score) for each, score in zip(drawn, told, strict=True)]
        print(f"{who}: tau {spread([report.tau or 0.0 for report in reports])}", end=", ")
        print(f"at equal size {spread([report.tau_iso for report in reports])}", end=", ")
        print(f"regret there {spread([report.regret_iso for report in reports])}")


if __name__ == "__main__":
    main()
