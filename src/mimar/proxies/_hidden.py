"""Final hidden states of a model under other weights than its own. Imports torch: only for use within a call."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.func import functional_call

from mimar.models import DecoderLM


class _FromEmbeddings(nn.Module):
    """Makes `hidden_states` the forward, as `functional_call` runs nothing else."""

    def __init__(self, model: DecoderLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.hidden_states(x)


def hidden_states_with(model: DecoderLM, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The states the head would read, (batch, tokens, hidden), for embeddings x of that shape and these `weights`.

    The model keeps its own weights.
    """
    return functional_call(_FromEmbeddings(model), {f"model.{name}": w for name, w in weights.items()}, (x,))
