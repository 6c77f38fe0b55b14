"""Sizes and weights → what a GGUF file says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mimar.export._gguf_check import weight_kind
from mimar.formats import from_neighbours, gguf_name, to_neighbours

if TYPE_CHECKING:
    import gguf
    from torch import Tensor

PerLayer = int | list[int]
"""One for all layers, or one for each."""


@dataclass(frozen=True, slots=True)
class GGUFSizes:
    """Of a LLaMA, or of one whose layers differ."""

    context_length: int
    hidden_size: int
    num_layers: int
    intermediate: PerLayer
    num_heads: PerLayer
    num_kv_heads: PerLayer
    head_size: int
    rope_theta: float
    norm_eps: float
    vocab_size: int

    def write(self, writer: gguf.GGUFWriter) -> None:
        """The keys of a file."""
        writer.add_name("mimar")
        writer.add_context_length(self.context_length)
        writer.add_embedding_length(self.hidden_size)
        writer.add_block_count(self.num_layers)
        writer.add_feed_forward_length(self.intermediate)
        writer.add_head_count(self.num_heads)
        writer.add_head_count_kv(self.num_kv_heads)
        writer.add_key_length(self.head_size)
        writer.add_value_length(self.head_size)
        writer.add_rope_dimension_count(self.head_size)
        writer.add_rope_freq_base(self.rope_theta)
        writer.add_layer_norm_rms_eps(self.norm_eps)
        writer.add_vocab_size(self.vocab_size)


def write_weights(
    writer: gguf.GGUFWriter, weights: Mapping[str, Tensor], turned_heads: Mapping[str, int], quantization: str
) -> dict[str, Tensor]:
    """Add `weights`, by their names in transformers, and close the file; returns them as they are rounded there.

    turned_heads: weights whose rows llama.cpp wants in another order → their heads. It rotates neighbours, transformers
    features half a head apart.
    """
    import gguf
    import torch

    rounded: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        kind, heads = weight_kind(quantization, name, tensor), turned_heads.get(name, 0)
        rows = tensor.detach().float().contiguous().numpy()
        data = gguf.quants.quantize(to_neighbours(rows, heads) if heads else rows, kind)
        writer.add_tensor(gguf_name(name), data, raw_dtype=kind)
        back = gguf.quants.dequantize(data, kind).reshape(rows.shape)
        rounded[name] = torch.from_numpy((from_neighbours(back, heads) if heads else back).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return rounded
