"""How well a model foretells a text."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import final_stream, logits
from mimar.elastic._parent import Parent
from mimar.elastic._supernetwork import SEQUENCES


def text_loss(model: Parent, ids: Tensor) -> float:
    """Mean negative log-probability, nats a token, of every token but the first of each row of ids (sequences, tokens).

    Its exponential is the perplexity.
    """
    total = 0.0
    with torch.no_grad():
        for batch in ids.split(SEQUENCES):
            stream = final_stream(model, batch)
            for row, expected in zip(stream, batch, strict=True):  # the logits of one row fill enough memory
                total += float(F.cross_entropy(logits(model, row[:-1]), expected[1:], reduction="sum"))
    return total / ids[:, 1:].numel()
