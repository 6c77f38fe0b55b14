"""Feed-forward parts: plain, gated, mixture of experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.space import FeedForward as FeedForwardShape


class ReLUSquared(nn.Module):
    """relu(x)² (So et al., Primer, 2021, §4)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.relu(x).square()


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu2": ReLUSquared,
    "gelu": nn.GELU,  # the exact one, with erf
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}
"""Name in an `Architecture` → module; none has weights."""


class FeedForward(nn.Module):
    """down(activation(up(x))); x (…, hidden) → the same; no biases."""

    def __init__(self, part: FeedForwardShape, hidden: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[part.activation]()
        self.up = nn.Linear(hidden, part.intermediate_size, bias=False)
        self.down = nn.Linear(part.intermediate_size, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself."""
        return self.down(self.activation(self.up(x)))


class GatedFeedForward(nn.Module):
    """down(activation(gate(x)) · up(x)) (Shazeer, GLU Variants, 2020); x (…, hidden) → the same; no biases."""

    def __init__(self, part: FeedForwardShape, hidden: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[part.activation]()
        self.gate = nn.Linear(hidden, part.intermediate_size, bias=False)
        self.up = nn.Linear(hidden, part.intermediate_size, bias=False)
        self.down = nn.Linear(part.intermediate_size, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself."""
        return self.down(self.activation(self.gate(x)) * self.up(x))


class MixtureOfExperts(nn.Module):
    """Each token goes through `top_k` of the gated experts; x (…, hidden) → the same shape.

    Router as in Mixtral (Jiang et al., 2024, §2.1): a softmax over all experts, the top_k largest, renormalised to
    sum to one. There is no auxiliary loss; `router_probabilities` is what one would be made of.
    """

    def __init__(self, part: FeedForwardShape, hidden: int) -> None:
        super().__init__()
        self.top_k = part.top_k
        self.router = nn.Linear(hidden, part.num_experts, bias=False)
        self.experts = nn.ModuleList(GatedFeedForward(part, hidden) for _ in range(part.num_experts))

    def router_probabilities(self, x: Tensor) -> Tensor:
        """Probability of each expert for each token: x (…, hidden) → (…, experts)."""
        return self.router(x).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself, expert by expert over the tokens that chose it."""
        tokens = x.flatten(0, -2)
        weights, chosen = self.router_probabilities(tokens).topk(self.top_k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        mixed = torch.zeros_like(tokens)
        for index in self._busy(chosen):
            rows, slots = (chosen == index).nonzero(as_tuple=True)
            part = self.experts[index](tokens[rows]) * weights[rows, slots, None]
            mixed = mixed.index_add(0, rows, part)
        return mixed.view_as(x)

    def _busy(self, chosen: Tensor) -> list[int]:
        """Experts to run. With gradients all, if only on no rows, so that an idle one has gradient 0 and not None."""
        return list(range(len(self.experts))) if torch.is_grad_enabled() else chosen.unique().tolist()


def make_feed_forward(part: FeedForwardShape, hidden: int) -> nn.Module | None:
    """The module of `part`; None when there is none."""
    if part.kind == "none":
        return None
    if part.kind == "moe":
        return MixtureOfExperts(part, hidden)
    return FeedForward(part, hidden) if part.kind == "ffn" else GatedFeedForward(part, hidden)
