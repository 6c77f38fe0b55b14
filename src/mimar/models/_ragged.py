"""Models of the LLaMA family whose layers have sizes of their own, for transformers.

This file needs nothing but torch and transformers: a copy of it goes with every such checkpoint, as modeling_ragged.py.
``layer_sizes`` of the configuration lists kv heads and feed-forward channels of each layer; 0 where a layer lacks that
part. All else is as in the family's own classes.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)


class NoAttention(nn.Module):
    """Adds nothing to the stream."""

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        """(batch, tokens, hidden), and no attention weights."""
        return torch.zeros_like(hidden_states), None


class NoFeedForward(nn.Module):
    """Adds nothing to the stream."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, hidden)."""
        return torch.zeros_like(hidden_states)


def sized_layers(layers: nn.ModuleList, config: PreTrainedConfig) -> nn.ModuleList:
    """Layers of the same kind as `layers`, in the sizes that `config` lists."""
    make: Callable[..., nn.Module] = type(layers[0])
    sizes: list[list[int]] = getattr(config, "layer_sizes")  # noqa: B009  # no field of stock configurations
    attending, found = 0, list[nn.Module]()
    for kv_heads, channels in sizes:
        found.append(_sized(make, config, (kv_heads, channels), attending))
        attending += kv_heads > 0
    return nn.ModuleList(found)


def _sized(make: Callable[..., nn.Module], config: Any, sizes: tuple[int, int], number: int) -> nn.Module:
    """number: of the layer's place in the cache, where only layers with attention have one: the length of a text is
    read off the first.
    """
    kv_heads, channels = sizes
    group = config.num_attention_heads // config.num_key_value_heads
    own = copy.copy(config)
    own.intermediate_size = max(channels, 1)
    own.num_key_value_heads = max(kv_heads, 1)
    own.num_attention_heads = group * own.num_key_value_heads
    layer: Any = make(own, number)
    if not kv_heads:
        layer.input_layernorm, layer.self_attn = nn.Identity(), NoAttention()
    if not channels:
        layer.post_attention_layernorm, layer.mlp = nn.Identity(), NoFeedForward()
    return layer


class RaggedLlamaConfig(LlamaConfig):
    """Of `RaggedLlamaForCausalLM`."""

    model_type = "ragged_llama"


class RaggedLlamaForCausalLM(LlamaForCausalLM):
    """Llama with layers of different sizes."""

    config_class = RaggedLlamaConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.layers = sized_layers(self.model.layers, config)


class RaggedMistralConfig(MistralConfig):
    """Of `RaggedMistralForCausalLM`."""

    model_type = "ragged_mistral"


class RaggedMistralForCausalLM(MistralForCausalLM):
    """Mistral with layers of different sizes."""

    config_class = RaggedMistralConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.layers = sized_layers(self.model.layers, config)


class RaggedQwen2Config(Qwen2Config):
    """Of `RaggedQwen2ForCausalLM`."""

    model_type = "ragged_qwen2"


class RaggedQwen2ForCausalLM(Qwen2ForCausalLM):
    """Qwen2 with layers of different sizes."""

    config_class = RaggedQwen2Config

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.layers = sized_layers(self.model.layers, config)


class RaggedQwen3Config(Qwen3Config):
    """Of `RaggedQwen3ForCausalLM`."""

    model_type = "ragged_qwen3"


class RaggedQwen3ForCausalLM(Qwen3ForCausalLM):
    """Qwen3 with layers of different sizes."""

    config_class = RaggedQwen3Config

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.layers = sized_layers(self.model.layers, config)
