"""How far sub-networks are from their parent on a text; what they have in common is computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import Rotary, final_stream, logits, rotary, run_layer
from mimar.elastic._parent import Parent
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SuperNetwork

LOOK: Final = 4
"""Sequences after which it is asked which candidates are worth going on with, and again after as many."""

PIECES: Final = 4
"""Of each sequence, by which candidates are compared: means of a few whole sequences tell little about their spread."""

DOUBT: Final = 0.0003
"""Chance by Student's t test that a candidate is called worse than another that is its equal. It is far below
what is meant, 0.01 at most, since losses have longer tails than the test knows and a few sequences only hint at the
design effect."""

DIVERGENCE: Final = 0
LOSS: Final = 1
"""Of the last axis of what is found: KL from the parent, and the loss of the text."""

Losses = NDArray[np.float64]
Keep = Callable[[Losses, Sequence[int]], NDArray[np.bool_]]
"""Losses so far of those that are left, (candidates, sequences, pieces), and their numbers → who goes on."""


@dataclass(frozen=True, eq=False, slots=True)
class Answers:
    """Of the parent to each token: probabilities (sequences, tokens, vocab), and Σ p log p, (sequences, tokens)."""

    probabilities: Tensor
    certainty: Tensor

    @staticmethod
    def of(parent: Parent, stream: Tensor) -> Answers:
        """From its stream behind the last layer (sequences, tokens, hidden)."""
        found = logits(parent, stream).log_softmax(-1)
        probabilities = found.exp()
        return Answers(probabilities, (found * probabilities).sum(-1))

    def judged(self, parent: Parent, stream: Tensor, ids: Tensor) -> Tensor:
        """KL(parent ‖ sub-network) and the loss of the text `ids`, nats a token, (sequences, pieces, 2): see `_pieces`.
        stream: that of the sub-network.

        Sequence by sequence, the KL as Σ p log p − Σ p z + log Σ eᶻ over its logits z: the fewest passes over the
        vocabulary.
        """
        rows = list[Tensor]()
        for certainty, probabilities, own, text in zip(self.certainty, self.probabilities, stream, ids, strict=True):
            found = logits(parent, own)
            norm = found.logsumexp(-1)
            agreed = torch.bmm(probabilities[:, None], found[:, :, None]).flatten()
            rows.append(torch.stack([_pieces(certainty - agreed + norm), _loss(found, norm, text)], dim=-1))
        return torch.stack(rows)


def _loss(found: Tensor, norm: Tensor, text: Tensor) -> Tensor:
    """Of the ids `text` (tokens,) by logits (tokens, vocab) and the log Σ eᶻ of each, (pieces,)."""
    return _pieces(norm[:-1] - found[:-1].gather(1, text[1:, None])[:, 0])


def _pieces(tokens: Tensor) -> Tensor:
    """Sums of (tokens,) over its pieces, scaled so that the mean of these, (pieces,), is the mean of the tokens."""
    return torch.stack([piece.sum() for piece in tokens.tensor_split(PIECES)]) * (PIECES / len(tokens))


def _unjudged(parent: Parent, stream: Tensor, ids: Tensor) -> Tensor:
    """As `Answers.judged`, where nobody knows what the parent says: the loss alone, beside NaN."""
    rows = [(found := logits(parent, own), found.logsumexp(-1), text) for own, text in zip(stream, ids, strict=True)]
    losses = torch.stack([_loss(*row) for row in rows])
    return torch.stack([torch.full_like(losses, math.nan), losses], dim=-1)


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """rows: of each candidate and sequence its KL from the parent and its loss, (candidates, sequences, 2), in nats a
    token, infinite where it had been given up; the KL is NaN where it was not asked for. spent, naive: layers that were
    run over the whole text, and that evaluations one by one would have run.
    """

    rows: Losses
    spent: float
    naive: float

    @property
    def divergences(self) -> tuple[float, ...]:
        """Of each candidate on the whole text; infinite where it was given up."""
        return tuple(self.rows[:, :, DIVERGENCE].mean(axis=1).tolist())

    @property
    def losses(self) -> tuple[float, ...]:
        """In the same way, of the text."""
        return tuple(self.rows[:, :, LOSS].mean(axis=1).tolist())

    def estimates(self) -> Losses:
        """(candidates, 2): the same, those that were given up among them: as much worse than another that was read to
        the end as on what both have read; of several such the worst is taken.
        """
        read = np.isfinite(self.rows[:, :, LOSS]).sum(axis=1)
        ends = self.rows[read == read.max()]
        found = [
            (ends.mean(axis=1) + row[:count].mean(axis=0) - ends[:, :count].mean(axis=1)).max(axis=0)
            for row, count in zip(self.rows, read, strict=True)
        ]
        whole = (read == read.max())[:, None]
        return np.where(whole, self.rows.mean(axis=1), np.asarray(found))


def everyone(losses: Losses, _numbers: Sequence[int]) -> NDArray[np.bool_]:
    """Go on with all."""
    return np.ones(len(losses), dtype=np.bool_)


def among_the_best(count: int) -> Keep:
    """Give up those that are surely worse than `count` others."""

    def keep(losses: Losses, _numbers: Sequence[int]) -> NDArray[np.bool_]:
        return _surely_worse(losses).sum(axis=1) < count

    return keep


def on_the_front(sizes: NDArray[np.float64]) -> Keep:
    """Give up those that are surely worse than another of at most each of their sizes, (candidates, sizes)."""

    def keep(losses: Losses, numbers: Sequence[int]) -> NDArray[np.bool_]:
        sized = sizes[list(numbers)]
        beaten = _surely_worse(losses) & (sized[None, :] <= sized[:, None]).all(axis=2)
        return np.logical_not(beaten.any(axis=1))

    return keep


def _surely_worse(losses: Losses) -> NDArray[np.bool_]:
    """[a, b]: whether a is worse than b by more than chance, compared piece by piece.

    Pieces of one sequence are alike, so that their spread understates the error of a mean. By how much (the design
    effect of Kish, Survey Sampling, 1965) is mostly a matter of the text: it is taken from all pairs together, and from
    the pair itself where there it is more.
    """
    from scipy.special import stdtrit

    sequences, pieces = losses.shape[1:]
    if sequences < 2:
        return np.zeros((len(losses), len(losses)), dtype=np.bool_)
    count = sequences * pieces
    difference: Losses = losses[:, None] - losses[None]
    apart = difference.var(axis=(2, 3), ddof=1) / count
    clustered = difference.mean(axis=3).var(axis=2, ddof=1) / sequences
    differ = apart > 0
    effect = max(1.0, float((clustered[differ] / apart[differ]).mean())) if differ.any() else 1.0
    bound = stdtrit(count - 1, 1 - DOUBT) * np.sqrt(np.maximum(effect * apart, clustered))
    return np.asarray(difference.mean(axis=(2, 3)) > bound + 1e-12)


def parent_stream(network: SuperNetwork, ids: Tensor) -> Tensor:
    """Of the parent behind its last layer, (sequences, tokens, hidden), for `judge` to be given again and again."""
    with torch.no_grad():
        return torch.cat([final_stream(network.original, batch) for batch in ids.split(LOOK)])


def judge(
    network: SuperNetwork,
    subs: Sequence[SubNetwork],
    ids: Tensor,
    keep: Keep = everyone,
    by: int = DIVERGENCE,
    *,
    parent: Tensor | None = None,
    loss_alone: bool = False,
) -> Judged:
    """KL from the parent of each of `subs` on `ids` (sequences, tokens), and the loss of that text.

    Layers that several candidates begin with are run once. keep: gives up candidates on the way, by their `DIVERGENCE`
    or their `LOSS`. parent: its `parent_stream` on `ids`, computed where it is not given. loss_alone: the parent is not
    asked, and nothing is known of the divergence.
    """
    alive = np.ones(len(subs), dtype=np.bool_)
    found = np.full((len(subs), len(ids), PIECES, 2), np.inf)
    turn = rotary(network.parent.facts, network.parent.config, ids.shape[1])
    run, done = 0, 0
    if parent is None and not loss_alone:
        parent = parent_stream(network, ids)
    with torch.no_grad():
        for batch in ids.split(LOOK):
            judged = _unjudged
            if parent is not None:
                judged = Answers.of(network.original, parent[done : done + len(batch)]).judged
            begin = F.embedding(batch, network.parent.embedding)
            live = [number for number in range(len(subs)) if alive[number]]
            walk = _Walk(network, turn, subs)
            for number, stream in walk.ends(live, begin, 0):
                found[number, done : done + len(batch)] = judged(network.parent, stream, batch).numpy()
            run += walk.layers * len(batch)
            done += len(batch)
            alive[live] = keep(found[live, :done, :, by], live)
    naive = sum(len(sub.kept_layers) for sub in subs)
    return Judged(found.mean(axis=2), run / len(ids), float(naive))


class _Walk:
    """Depth first through what candidates have in common; `layers` counts those that were run."""

    def __init__(self, network: SuperNetwork, turn: Rotary, subs: Sequence[SubNetwork]) -> None:
        self.layers = 0
        self._network, self._turn = network, turn
        self._sizes = [sub.sizes for sub in subs]

    def ends(self, numbers: Sequence[int], stream: Tensor, depth: int) -> Iterator[tuple[int, Tensor]]:
        """The stream behind the last layer of each of the candidates `numbers`, which are alike up to `depth`."""
        if depth == len(self._network.parent.layers):
            yield from ((number, stream) for number in numbers)
            return
        ordered = sorted(numbers, key=lambda number: self._sizes[number][depth:])
        for sizes, alike in groupby(ordered, key=lambda number: self._sizes[number][depth]):
            yield from self.ends(list(alike), self._after(stream, depth, sizes), depth + 1)

    def _after(self, stream: Tensor, depth: int, sizes: tuple[int, int]) -> Tensor:
        if not any(sizes):
            return stream
        self.layers += 1
        return run_layer(self._network.layer(depth, *sizes), stream, self._turn, self._network.parent.facts)
