"""Final hidden states of a model under other weights than its own. Imports torch: only for use within a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.func import functional_call

from mimar.proxies._inputs import Scorable


class _FromEmbeddings(nn.Module):
    """Makes `hidden_states` the forward, as `functional_call` runs nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return cast("Scorable", self.model).hidden_states(x)


def hidden_states_with(model: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Final states (batch, positions, features) for x, as `Scorable.embedding` gives it, and these `weights`.

    The model keeps its own weights.
    """
    return functional_call(_FromEmbeddings(model), {f"model.{name}": w for name, w in weights.items()}, (x,))
