"""How likely a model finds what follows a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from mimar.elastic._forward import final_stream, logits
from mimar.elastic._parent import Parent

TOGETHER: Final = 2048
"""Tokens that are run at a time, those that fill up shorter rows included."""

Pair = tuple[Sequence[int], Sequence[int]]
"""Tokens of a context, of which there is at least one, and of what follows it."""


def log_likelihoods(model: Parent, pairs: Sequence[Pair]) -> list[float]:
    """Of each pair, the sum over what follows of the natural logarithm of each token's probability.

    What is longer than the context of the model loses tokens at its start. Rows that differ in their last token only
    are run once.
    """
    most = model.arch.context_length
    rows = [tuple((*context, *after)[:-1][-most:]) for context, after in pairs]
    askers: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        askers.setdefault(row, []).append(number)
    found = [0.0] * len(pairs)
    with torch.no_grad():
        for batch in _batches(sorted(askers, key=len)):
            for row, stream in zip(batch, _streams(model, batch), strict=True):
                for number in askers[row]:
                    found[number] = _sum(model, stream[: len(row)], pairs[number][1])
    return found


def _batches(rows: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Rows of similar length, `TOGETHER` tokens at most where a row alone is not longer."""
    batch: list[tuple[int, ...]] = []
    for row in rows:
        if batch and (len(batch) + 1) * len(row) > TOGETHER:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _streams(model: Parent, batch: Sequence[tuple[int, ...]]) -> Tensor:
    """Behind the last layer; what fills up comes after a row, where it changes nothing before it."""
    longest = max(map(len, batch))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in batch])
    return final_stream(model, ids)


def _sum(model: Parent, stream: Tensor, after: Sequence[int]) -> float:
    """stream: (tokens, hidden), of which the last ones foretell `after`, as many as there are."""
    wanted = torch.tensor(after)[-len(stream) :]
    found = logits(model, stream[-len(wanted) :]).log_softmax(-1)
    return float(found.gather(1, wanted[:, None]).sum())
