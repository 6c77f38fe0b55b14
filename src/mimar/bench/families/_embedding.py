"""What turns token ids into the stream in the language models of benchmarks. Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """Token ids (batch, tokens) → (batch, tokens, hidden): table of `size` columns, projection, learned positions.

    Without a need for the last two (`size` equal to `hidden`; `positions` 0) there are none.
    """

    def __init__(self, vocabulary: int, size: int, hidden: int, positions: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, size)
        self.projection = None if size == hidden else nn.Linear(size, hidden, bias=False)
        self.positions = nn.Parameter(torch.empty(positions, hidden)) if positions else None

    @property
    def weight(self) -> Tensor:
        """(vocabulary, hidden): what a tied head multiplies with."""
        return self.table.weight if self.projection is None else self.projection(self.table.weight)

    def forward(self, token_ids: Tensor) -> Tensor:
        """The stream that enters the first layer."""
        x = self.table(token_ids)
        if self.projection is not None:
            x = self.projection(x)
        return x if self.positions is None else x + self.positions[: token_ids.shape[1]]
