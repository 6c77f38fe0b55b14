"""A pretrained model of the LLaMA family as plain values: what it is, and its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mimar.errors import InputError
from mimar.space import Architecture, Block, FeedForward, Mixer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Attention:
    """Weights of one layer's attention, as (out, in). Biases are those of query, key, value, output, or None.

    head_norms: of each head's queries and keys (Qwen3), or None.
    """

    norm: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    biases: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None] = (None, None, None, None)
    head_norms: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class GatedMLP:
    """Weights of one layer's feed-forward part, as (out, in)."""

    norm: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """One layer; a part that was removed is None."""

    attention: Attention | None
    mlp: GatedMLP | None


def both_parts(layer: Layer) -> tuple[Attention, GatedMLP]:
    """Of a layer of a parent, which has them."""
    assert layer.attention is not None
    assert layer.mlp is not None
    return layer.attention, layer.mlp


@dataclass(frozen=True, slots=True)
class Facts:
    """What weights do not say: of the family, the same in every layer.

    head_size: features of a head. rope: ``rope_theta`` and the scaling, as `rope_parameters` of transformers. window:
    tokens that attention sees at most, 0 for all.
    """

    model_type: str
    head_size: int
    norm_eps: float
    rope: Mapping[str, Any]
    window: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Parent:
    """A pretrained model. config: as in its config.json, for exports. head: None where it is the embedding."""

    arch: Architecture
    facts: Facts
    config: Mapping[str, Any]
    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Tensor | None


MOST_LAYERS: Final = 1024
"""No model has as many; a damaged file may say more than memory holds."""

FAMILY: Final = ("llama", "mistral", "qwen2", "qwen3")


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Sizes of a config.json, all layers alike. InputError: the model is of another family, or some are missing."""
    family = config.get("model_type") if isinstance(config, Mapping) else None
    if family not in FAMILY:
        raise InputError(f"expected a model of the LLaMA family ({', '.join(FAMILY)}), got model_type {family!r}")
    if config.get("hidden_act", "silu") != "silu":
        raise InputError(f"expected the activation silu, as the LLaMA family has, got {config['hidden_act']!r}")
    if config.get("quantization_config"):
        raise InputError("this model's weights are rounded (quantization_config): give the one that it was made from")
    if config.get("mlp_bias"):
        raise InputError("models with biases in the feed-forward part (mlp_bias) are not shrunk here")
    if family != "mistral" and config.get("use_sliding_window"):
        raise InputError("models with attention windows of some layers only (use_sliding_window) are not shrunk here")
    hidden, layers, heads, inner, vocab = (_number(config, name) for name in _SIZES)
    if layers > MOST_LAYERS:
        raise InputError(f"num_hidden_layers must be at most {MOST_LAYERS}, got {layers}")
    kv_heads = _number(config, "num_key_value_heads", heads)
    if heads % kv_heads:
        raise InputError(f"num_attention_heads must be divisible by num_key_value_heads, got {heads} and {kv_heads}")
    mixer = Mixer("attention", heads, kv_heads, _number(config, "head_dim", hidden // heads))
    return Architecture(
        hidden,
        (Block(mixer, FeedForward("swiglu", inner, "silu")),) * layers,
        vocab,
        _number(config, "max_position_embeddings", 2048),
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
    )


_SIZES: Final = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")


def _number(config: Mapping[str, Any], name: str, default: int | None = None) -> int:
    found = config.get(name)
    found = default if found is None else found
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise InputError(f"{name} of the model must be a whole number of at least 1, got {found!r}")
    return found


def facts_of(config: Mapping[str, Any], arch: Architecture) -> Facts:
    """What `config`, a config.json, says beside the sizes of `arch`."""
    family = config["model_type"]
    window = config.get("sliding_window", 4096) or 0 if family == "mistral" else 0
    if not isinstance(window, int):
        raise InputError(f"sliding_window of the model must be a number of tokens or null, got {window!r}")
    epsilon = _positive(config, "rms_norm_eps", 1e-6)
    return Facts(family, arch.blocks[0].mixer.head_size, epsilon, _rope(config), window)


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """How far a token turns, as `rope_parameters` of transformers says it; older models say it in other fields."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, Mapping):
        raise InputError(f"rope_parameters of the model must be an object, got {given!r}")
    rope = dict(given)
    rope["rope_theta"] = _positive(rope if "rope_theta" in rope else config, "rope_theta", 10000.0)
    rope.setdefault("rope_type", rope.pop("type", "default"))
    if rope["rope_type"] not in _ROPES:
        raise InputError(f"rope_type of the model must be one of {', '.join(_ROPES)}, got {rope['rope_type']!r}")
    return rope


_ROPES: Final = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")


def _positive(config: Mapping[str, Any], name: str, default: float) -> float:
    found = config.get(name)
    found = default if found is None else found
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < sys.float_info.max:
        raise InputError(f"{name} of the model must be a number above 0, got {found!r}")
    return float(found)
