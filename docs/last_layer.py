"""What feed-forward weights are worth in the layers of published networks: why the default score counts the last less.

Inside each cell of equal depth and width the result is regressed on every layer's feed-forward and mixer weights and
heads, in logarithms. Printed are t values, positive where more is better. `make tables` prints them.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from mimar.bench import Truth, load_truth
from mimar.proxies._capacity import part_weights

FAILED = 4.0
"""FlexiBERT runs this far below the median of their cell failed and are left out."""


def t_values(truth: Truth, rows: list[int]) -> np.ndarray:
    """t of each layer's feed-forward weights (layers,), all else held fixed; nan where they are equal."""
    layers = [truth.rows[row].subject.shapes.layers for row in rows]
    parts = [[(*part_weights(layer), max(1, layer.num_heads)) for layer in each] for each in layers]
    x = np.log(np.array(parts)).transpose(0, 2, 1).reshape(len(rows), -1)
    varied = np.flatnonzero(x.std(axis=0) > 1e-9)
    _, first = np.unique(np.round(x[:, varied] - x[:, varied].mean(axis=0), 9), axis=1, return_index=True)
    used = varied[np.sort(first)]  # of columns that say the same, such as heads and mixer weights, the first
    design = np.c_[np.ones(len(rows)), x[:, used]]
    y = truth.labels[rows] * (1 if truth.higher_is_better else -1)
    fitted = np.linalg.lstsq(design, y, rcond=None)[0]
    noise = np.sum((y - design @ fitted) ** 2) / (len(y) - design.shape[1])
    found = np.full(x.shape[1], np.nan)
    found[used] = (fitted / np.sqrt(noise * np.diag(np.linalg.pinv(design.T @ design))))[1:]
    depth = len(layers[0])
    return found[depth : 2 * depth]


if __name__ == "__main__":
    for name in ("flexibert_500", "hwgpt_s"):
        table = load_truth(name)
        cells: defaultdict[tuple[int, int] | None, list[int]] = defaultdict(list)
        for index, row in enumerate(table.rows):
            cells[row.cell].append(index)
        for cell, members in sorted(cells.items(), key=str):
            middle = np.median(table.labels[members])
            kept = [row for row in members if not table.higher_is_better or table.labels[row] > middle - FAILED]
            print(name, "depth, width", cell, "t of each layer:", *(f"{t:.1f}" for t in t_values(table, kept)))
