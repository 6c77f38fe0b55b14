"""Models ↔ weights under the names that transformers gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from mimar.elastic._parent import Attention, Facts, GatedMLP, Layer, Parent
from mimar.errors import InputError
from mimar.space import Architecture, Block

Take = Callable[[str], Tensor | None]
"""Name in the checkpoint of transformers → the weights as float32; None where there are none of that name."""

EMBEDDING: Final = "model.embed_tokens.weight"
NORM: Final = "model.norm.weight"
HEAD: Final = "lm_head.weight"
PROJECTIONS: Final = ("q_proj", "k_proj", "v_proj", "o_proj")


def assemble(arch: Architecture, facts: Facts, config: Mapping[str, Any], take: Take) -> Parent:
    """The model of `arch` with the weights that `take` gives. InputError: some are missing, damaged or do not fit."""
    weights = _Weights(take)
    hidden, vocab = arch.hidden_size, arch.vocab_size
    return Parent(
        arch,
        facts,
        config,
        weights.matrix(EMBEDDING, vocab, hidden),
        tuple(_layer(weights, f"model.layers.{n}.", block, hidden) for n, block in enumerate(arch.blocks)),
        weights.matrix(NORM, hidden),
        None if arch.tied_embeddings else weights.matrix(HEAD, vocab, hidden),
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    take: Take

    def matrix(self, name: str, *shape: int) -> Tensor:
        found = self.take(name)
        if found is None:
            raise InputError(f"the checkpoint has no {name}")
        if found.shape != shape:
            raise InputError(f"expected {name} of {shape}, as the configuration says, got {tuple(found.shape)}")
        if not found.isfinite().all():
            raise InputError(f"{name} holds values that are no finite numbers: the checkpoint is damaged")
        return found

    def optional(self, name: str, *shape: int) -> Tensor | None:
        return None if self.take(name) is None else self.matrix(name, *shape)


def _layer(weights: _Weights, start: str, block: Block, hidden: int) -> Layer:
    mixer, inner = block.mixer, block.feed_forward.intermediate_size
    attention = None if mixer.kind == "none" else _attention(weights, start, block, hidden)
    if block.feed_forward.kind == "none":
        return Layer(attention, None)
    return Layer(
        attention,
        GatedMLP(
            weights.matrix(f"{start}post_attention_layernorm.weight", hidden),
            weights.matrix(f"{start}mlp.gate_proj.weight", inner, hidden),
            weights.matrix(f"{start}mlp.up_proj.weight", inner, hidden),
            weights.matrix(f"{start}mlp.down_proj.weight", hidden, inner),
        ),
    )


def _attention(weights: _Weights, start: str, block: Block, hidden: int) -> Attention:
    size = block.mixer.head_size
    wide, narrow = block.mixer.num_heads * size, block.mixer.num_kv_heads * size
    rows = (wide, narrow, narrow, hidden)
    query, key, value, output = (
        weights.optional(f"{start}self_attn.{part}.bias", count) for part, count in zip(PROJECTIONS, rows, strict=True)
    )
    query_norm = weights.optional(f"{start}self_attn.q_norm.weight", size)
    key_norm = weights.optional(f"{start}self_attn.k_norm.weight", size)
    return Attention(
        weights.matrix(f"{start}input_layernorm.weight", hidden),
        weights.matrix(f"{start}self_attn.q_proj.weight", wide, hidden),
        weights.matrix(f"{start}self_attn.k_proj.weight", narrow, hidden),
        weights.matrix(f"{start}self_attn.v_proj.weight", narrow, hidden),
        weights.matrix(f"{start}self_attn.o_proj.weight", hidden, wide),
        (query, key, value, output),
        None if query_norm is None or key_norm is None else (query_norm, key_norm),
    )


def state_dict(model: Parent) -> dict[str, Tensor]:
    """Inverse of `assemble`: name → weights, layers numbered as they are left; a tied head is not listed."""
    found = {EMBEDDING: model.embedding, NORM: model.norm}
    for number, layer in enumerate(model.layers):
        found |= {f"model.layers.{number}.{name}": weights for name, weights in _named(layer)}
    return found if model.head is None else found | {HEAD: model.head}


def _named(layer: Layer) -> Iterator[tuple[str, Tensor]]:
    if (part := layer.attention) is not None:
        yield "input_layernorm.weight", part.norm
        matrices = (part.query, part.key, part.value, part.output)
        for name, matrix, bias in zip(PROJECTIONS, matrices, part.biases, strict=True):
            yield f"self_attn.{name}.weight", matrix
            if bias is not None:
                yield f"self_attn.{name}.bias", bias
        if part.head_norms is not None:
            yield "self_attn.q_norm.weight", part.head_norms[0]
            yield "self_attn.k_norm.weight", part.head_norms[1]
    if (mlp := layer.mlp) is not None:
        yield "post_attention_layernorm.weight", mlp.norm
        yield "mlp.gate_proj.weight", mlp.gate
        yield "mlp.up_proj.weight", mlp.up
        yield "mlp.down_proj.weight", mlp.down
