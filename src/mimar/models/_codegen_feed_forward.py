"""Template pieces of the feed-forward parts."""

from __future__ import annotations

from collections.abc import Set

from mimar.models._codegen_template import render
from mimar.space import GATE_ACTIVATION, Activation, Architecture, FeedForward

_INLINE: dict[Activation, str] = {
    "relu": "F.relu({})",
    "gelu": "F.gelu({})",
    "silu": "F.silu({})",
    "relu2": "F.relu({}).square()",
    "sigmoid": "torch.sigmoid({})",
}
_AS_VALUE: dict[Activation, str] = {
    "relu": "F.relu",
    "gelu": "F.gelu",
    "silu": "F.silu",
    "relu2": "squared_relu",
    "sigmoid": "torch.sigmoid",
}

_SQUARED_RELU = '''
def squared_relu(x: Tensor) -> Tensor:
    """relu(x) squared."""
    return F.relu(x).square()
'''

_PLAIN = '''
class FeedForward(nn.Module):
    """down($activation(up(x))), token by token; x [..., HIDDEN_SIZE] -> same shape."""

    def __init__(self, intermediate_size: int$activation_argument) -> None:
        super().__init__()
        self.up = nn.Linear(HIDDEN_SIZE, intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, HIDDEN_SIZE, bias=False)
        self.activation = activation  #? varied

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself."""
        return self.down($activated_up)
'''

_GATED = '''
class GatedFeedForward(nn.Module):
    """down($activation(gate(x)) * up(x)), token by token; x [..., HIDDEN_SIZE] -> same shape."""

    def __init__(self, intermediate_size: int$activation_argument) -> None:
        super().__init__()
        self.gate = nn.Linear(HIDDEN_SIZE, intermediate_size, bias=False)
        self.up = nn.Linear(HIDDEN_SIZE, intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, HIDDEN_SIZE, bias=False)
        self.activation = activation  #? varied

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself."""
        return self.down($activated_gate * self.up(x))
'''

_EXPERTS = '''
class MixtureOfExperts(nn.Module):
    """Each token goes through its `top_k` likeliest experts; x [B, T, HIDDEN_SIZE] -> same shape."""

    def __init__(
        self,
        intermediate_size: int,
        num_experts: int,
        top_k: int,
        activation: Callable[[Tensor], Tensor],  #? varied
    ) -> None:
        super().__init__()
        self.top_k = top_k
        self.router = nn.Linear(HIDDEN_SIZE, num_experts, bias=False)
        experts = (GatedFeedForward(intermediate_size$passed_activation) for _ in range(num_experts))
        self.experts = nn.ModuleList(experts)

    def forward(self, x: Tensor) -> Tensor:
        """The chosen experts' outputs, weighted by the router's probabilities."""
        weights, chosen = self.router(x).softmax(dim=-1).topk(self.top_k, dim=-1)  # [B, T, top_k]
        weights = weights / weights.sum(dim=-1, keepdim=True)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            picked = chosen == index
            tokens = picked.any(dim=-1)  # [B, T]
            mixed[tokens] += weights[picked].unsqueeze(-1) * expert(x[tokens])
        return mixed
'''


def feed_forward_flags(arch: Architecture) -> set[str]:
    """``varied_plain`` and ``varied_gated``: classes that take their activation as an argument."""
    sets = {"varied_plain": _activations(arch, plain=True), "varied_gated": _activations(arch, plain=False)}
    flags = {name for name, found in sets.items() if len(found) > 1}
    return flags | ({"callable"} if flags else set())


def feed_forward_pieces(arch: Architecture, flags: Set[str]) -> list[str]:
    """Functions and classes of the feed-forward parts that `arch` has, in the order in which they need each other."""
    plain, gated = _activations(arch, plain=True), _activations(arch, plain=False)
    values = (plain if len(plain) > 1 else set()) | (gated if len(gated) > 1 else set())
    pieces = [render(_SQUARED_RELU, flags, {})] if "relu2" in values else []
    if plain:
        pieces.append(_activated(_PLAIN, plain, flags))
    if gated:
        pieces.append(_activated(_GATED, gated, flags))
    if any(block.feed_forward.kind == "moe" for block in arch.unique_blocks):
        pieces.append(_activated(_EXPERTS, gated, flags))
    return pieces


def feed_forward_class(part: FeedForward) -> str:
    """Name of the part's class in generated code."""
    return {"ffn": "FeedForward", "moe": "MixtureOfExperts"}.get(part.kind, "GatedFeedForward")


def feed_forward_arguments(part: FeedForward, flags: Set[str]) -> dict[str, int | str]:
    """Constructor arguments of the part's class, by the names of their constants, in order."""
    arguments: dict[str, int | str] = {"INTERMEDIATE_SIZE": part.intermediate_size}
    if part.kind == "moe":
        arguments |= {"NUM_EXPERTS": part.num_experts, "TOP_K": part.top_k}
    if ("varied_plain" if part.kind == "ffn" else "varied_gated") in flags:
        arguments["ACTIVATION"] = _AS_VALUE[part.activation]
    return arguments


def _activations(arch: Architecture, *, plain: bool) -> set[Activation]:
    parts = [block.feed_forward for block in arch.unique_blocks]
    kinds = {"ffn"} if plain else {"moe", *GATE_ACTIVATION}
    return {part.activation for part in parts if part.kind in kinds}


def _activated(template: str, activations: set[Activation], flags: Set[str]) -> str:
    """A piece with its one activation written in, or with the activation as an argument where there are several."""
    varied = len(activations) > 1
    inline = "self.activation({})" if varied else _INLINE[min(activations)]
    words = {
        "activation": "activation" if varied else min(activations),
        "activation_argument": ", activation: Callable[[Tensor], Tensor]" if varied else "",
        "passed_activation": ", activation" if varied else "",
        "activated_up": inline.format("self.up(x)"),
        "activated_gate": inline.format("self.gate(x)"),
    }
    return render(template, {*flags, "varied"} if varied else flags, words)
