"""Weights of our modules ↔ weights of the stock transformers models."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mimar.models._hf_config import to_hf_config
from mimar.space import Architecture

_RENAMES = (
    ("embedding.", "model.embed_tokens."),
    ("norm.", "model.norm."),
    ("head.", "lm_head."),
    ("blocks.", "model.layers."),
    (".mixer.query.", ".self_attn.q_proj."),
    (".mixer.key.", ".self_attn.k_proj."),
    (".mixer.value.", ".self_attn.v_proj."),
    (".mixer.output.", ".self_attn.o_proj."),
    (".mixer_norm.", ".input_layernorm."),
    (".feed_forward_norm.", ".post_attention_layernorm."),
    (".feed_forward.router.", ".mlp.gate."),
    (".feed_forward.gate.", ".mlp.gate_proj."),
    (".feed_forward.up.", ".mlp.up_proj."),
    (".feed_forward.down.", ".mlp.down_proj."),
)
"""Ours → theirs; a pattern without a leading dot stands at the start of the name."""

_EXPERT_STACKS = {"gate_up_proj": ("gate", "up"), "down_proj": ("down",)}
"""Their stacked weight → our weights of one expert, one above the other."""


def to_hf_state_dict(arch: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict → the one of the stock transformers 5 model of `arch`, ready for its ``load_state_dict``.

    A tied head is listed, as the embedding itself; Mixtral's experts are stacked (experts, 2 · intermediate or hidden,
    …). Write files with that model's ``save_pretrained``, which knows the layout on disk. `ArchitectureError`: no stock
    family.
    """
    to_hf_config(arch)
    theirs = {_renamed(name): tensor for name, tensor in state.items() if ".experts." not in name}
    if arch.tied_embeddings:
        theirs["lm_head.weight"] = state["embedding.weight"]
    for layer, block in enumerate(arch.blocks):
        if block.feed_forward.kind == "moe":
            theirs |= _stacked(layer, block.feed_forward.num_experts, state)
    return theirs


def _stacked(layer: int, num_experts: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The experts of one layer as transformers 5 holds them."""
    ours = f"blocks.{layer}.feed_forward.experts"
    stacks: dict[str, Tensor] = {}
    for name, parts in _EXPERT_STACKS.items():
        experts = [
            torch.cat([state[f"{ours}.{index}.{part}.weight"] for part in parts]) for index in range(num_experts)
        ]
        stacks[f"model.layers.{layer}.mlp.experts.{name}"] = torch.stack(experts)
    return stacks


def from_hf_state_dict(arch: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the stock transformers 5 model of `arch` → ours; the inverse of `to_hf_state_dict`."""
    to_hf_config(arch)
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stack = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.experts\.(gate_up_proj|down_proj)", name)
        if stack is not None:
            ours |= _unstacked(int(stack[1]), _EXPERT_STACKS[stack[2]], tensor)
        elif name != "lm_head.weight" or not arch.tied_embeddings:
            ours[_renamed(name, back=True)] = tensor
    return ours


def _unstacked(layer: int, parts: tuple[str, ...], stack: Tensor) -> dict[str, Tensor]:
    return {
        f"blocks.{layer}.feed_forward.experts.{index}.{part}.weight": weight
        for index, expert in enumerate(stack)
        for part, weight in zip(parts, expert.chunk(len(parts)), strict=True)
    }


def _renamed(name: str, back: bool = False) -> str:
    for pair in _RENAMES:
        old, new = reversed(pair) if back else pair
        if name.startswith(old):
            name = new + name.removeprefix(old)
        elif old.startswith("."):
            name = name.replace(old, new)
    return name
