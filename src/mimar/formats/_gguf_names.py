"""Names and layouts of a LLaMA's weights in GGUF, and in the checkpoints of transformers."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_NAMES: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """Name in transformers → name in GGUF: ``model.layers.3.mlp.up_proj.weight`` → ``blk.3.ffn_up.weight``."""
    stem, _, kind = name.rpartition(".")
    if stem in _NAMES:
        return f"{_NAMES[stem]}.{kind}"
    _, _, number, part = stem.split(".", 3)
    return f"blk.{number}.{_NAMES[part]}.{kind}"


def to_neighbours(rows: Floats, heads: int) -> Floats:
    """Rows of queries or keys in the order of llama.cpp, which turns neighbouring features of a LLaMA's heads by their
    position where transformers turns those half a head apart.
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def from_neighbours(rows: Floats, heads: int) -> Floats:
    """Inverse of `to_neighbours`."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
