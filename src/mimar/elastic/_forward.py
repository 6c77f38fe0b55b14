"""Layers as functions of their weights: nothing is built, so that any sub-network runs on views of its parent's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._parent import Attention, Facts, GatedMLP, Layer, Parent

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, each (tokens, head_size)."""


def rotary(facts: Facts, config: Mapping[str, Any], tokens: int) -> Rotary:
    """Of positions 0 to tokens − 1, with whatever scaling the family has, in the half-split layout of LLaMA."""
    rates, factor = _rates(facts, config)
    angles = torch.outer(torch.arange(tokens).float(), rates).repeat(1, 2)
    return angles.cos() * factor, angles.sin() * factor


def _rates(facts: Facts, config: Mapping[str, Any]) -> tuple[Tensor, float]:
    """Radians a token of each pair of features (Su et al., RoFormer, 2021, §3.4.2); scaled ones as in transformers."""
    if facts.rope["rope_type"] == "default":
        powers = torch.arange(0, facts.head_size, 2).float() / facts.head_size
        return 1.0 / facts.rope["rope_theta"] ** powers, 1.0
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    known = AutoConfig.for_model(**{"model_type": facts.model_type, **config})
    return ROPE_INIT_FUNCTIONS[facts.rope["rope_type"]](known, torch.device("cpu"))


def run_layer(layer: Layer, x: Tensor, turn: Rotary, facts: Facts) -> Tensor:
    """The stream x (batch, tokens, hidden) after one layer."""
    if layer.attention is not None:
        x = x + attend(layer.attention, x, turn, facts)
    return x if layer.mlp is None else x + feed_forward(layer.mlp, x, facts)


def streams_of(parent: Parent, ids: Tensor, turn: Rotary) -> list[Tensor]:
    """Those of ids (batch, tokens) before each layer of `parent` and behind the last one."""
    with torch.no_grad():
        found = [F.embedding(ids, parent.embedding)]
        for layer in parent.layers:
            found.append(run_layer(layer, found[-1], turn, parent.facts))
    return found


def attend(part: Attention, x: Tensor, turn: Rotary, facts: Facts) -> Tensor:
    """What attention adds to x (batch, tokens, hidden)."""
    return F.linear(mixed_values(part, x, turn, facts), part.output, part.biases[3])


def mixed_values(part: Attention, x: Tensor, turn: Rotary, facts: Facts) -> Tensor:
    """What all heads read (batch, tokens, heads · head_size): every token sees itself and the ones before."""
    x = rms_norm(x, part.norm, facts.norm_eps)
    query, key, value = (
        F.linear(x, weight, bias).unflatten(-1, (-1, facts.head_size)).transpose(1, 2)
        for weight, bias in zip((part.query, part.key, part.value), part.biases[:3], strict=True)
    )
    if part.head_norms is not None:
        query, key = (
            rms_norm(heads, norm, facts.norm_eps) for heads, norm in zip((query, key), part.head_norms, strict=True)
        )
    query, key = rotate(query, turn), rotate(key, turn)
    grouped = query.shape[1] != key.shape[1]
    # However few tokens there are now: what is exported from this run may read more than a window.
    seen = _window(x.shape[1], facts.window) if facts.window else None
    mixed = F.scaled_dot_product_attention(query, key, value, seen, is_causal=seen is None, enable_gqa=grouped)
    return mixed.transpose(1, 2).flatten(2)


def _window(tokens: int, window: int) -> Tensor:
    """Which tokens (columns) each token (rows) sees."""
    back = torch.arange(tokens)[:, None] - torch.arange(tokens)
    return (back >= 0) & (back < window)


def feed_forward(part: GatedMLP, x: Tensor, facts: Facts) -> Tensor:
    """What the feed-forward part adds to x (batch, tokens, hidden)."""
    return F.linear(channels(part, x, facts), part.down)


def channels(part: GatedMLP, x: Tensor, facts: Facts) -> Tensor:
    """The inner activations (batch, tokens, intermediate) that the down projection reads."""
    x = rms_norm(x, part.norm, facts.norm_eps)
    return F.silu(F.linear(x, part.gate)) * F.linear(x, part.up)


def logits(parent: Parent, x: Tensor) -> Tensor:
    """Of the stream x (batch, tokens, hidden) behind the last layer: (batch, tokens, vocab)."""
    head = parent.embedding if parent.head is None else parent.head
    return F.linear(rms_norm(x, parent.norm, parent.facts.norm_eps), head)


def run_model(model: Parent, ids: Tensor) -> Tensor:
    """Logits (batch, tokens, vocab) of tokens (batch, tokens); gradients flow through where weights learn."""
    return logits(model, final_stream(model, ids))


def final_stream(model: Parent, ids: Tensor) -> Tensor:
    """Behind the last layer, (batch, tokens, hidden)."""
    turn, stream = rotary(model.facts, model.config, ids.shape[1]), F.embedding(ids, model.embedding)
    for layer in model.layers:
        stream = run_layer(layer, stream, turn, model.facts)
    return stream


def model_logits(model: Parent, ids: Tensor) -> Tensor:
    """The same without gradients, of files that were read as well as of models that were cut out."""
    with torch.no_grad():
        return run_model(model, ids)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x · weight / √(mean x² + eps) over the last axis (Zhang and Sennrich, 2019)."""
    return F.rms_norm(x, weight.shape, weight, eps)


def rotate(x: Tensor, turn: Rotary) -> Tensor:
    """Heads x (batch, heads, tokens, head_size) turned by their positions."""
    cosines, sines = turn
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines
