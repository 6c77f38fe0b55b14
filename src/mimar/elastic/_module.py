"""A model whose weights learn."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from mimar.elastic._checkpoint import EMBEDDING, HEAD, assemble, state_dict
from mimar.elastic._forward import run_model
from mimar.elastic._parent import Parent

FIXED: Final = (EMBEDDING, HEAD)
"""Weights that stay: most of their rows are of tokens that a short text does not have."""


class Trainable(nn.Module):
    """`model` as a module on the CPU: token ids (batch, tokens) → logits (batch, tokens, vocab).

    Its weights are copied, all but embedding and head, which do not learn.
    """

    def __init__(self, model: Parent) -> None:
        super().__init__()
        weights = state_dict(model)
        learning = {name: nn.Parameter(weight.clone()) for name, weight in weights.items() if name not in FIXED}
        for name, weight in learning.items():
            self.register_parameter(name.replace(".", "/"), weight)  # modules allow no dots in names
        self._model = assemble(model.arch, model.facts, model.config, (weights | learning).get)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of all tokens."""
        return run_model(self._model, ids)

    def trained(self) -> Parent:
        """The model with the weights as they are now. InputError: some are no finite numbers."""
        found = {name: weight.detach().clone() for name, weight in state_dict(self._model).items()}
        return assemble(self._model.arch, self._model.facts, self._model.config, found.get)
