"""Architecture → configuration of a stock transformers family, where one computes exactly the same."""

from __future__ import annotations

from typing import Any, Literal

from mimar.errors import ArchitectureError
from mimar.space import GATE_ACTIVATION, Architecture

Family = Literal["llama", "mistral", "mixtral", "arcee"]

MODEL_CLASSES: dict[Family, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "arcee": "ArceeForCausalLM",
}


def stock_family(arch: Architecture) -> Family | None:
    """The family of transformers 5 whose model has the same logits as ours with the same weights; None without one.

    All need uniform unshared layers, RoPE, RMSNorm before each part of a sequential block. Full attention with a
    gated feed-forward part is llama, with a plain one arcee; a sliding window with a gated one is mistral; experts
    are mixtral.
    """
    frame = (arch.norm, arch.norm_placement, arch.topology, arch.position, arch.layer_sharing)
    if frame != ("rmsnorm", "pre", "sequential", "rope", 1) or not arch.is_uniform:
        return None
    mixer, part = arch.blocks[0].mixer.kind, arch.blocks[0].feed_forward.kind
    if mixer not in ("attention", "sliding_window"):
        return None
    if part == "moe":
        return "mixtral"
    if part in GATE_ACTIVATION:
        return "mistral" if mixer == "sliding_window" else "llama"
    return "arcee" if part == "ffn" and mixer == "attention" else None


def to_hf_config(arch: Architecture) -> dict[str, Any]:
    """The config.json of the stock family of `arch`, as ``transformers.AutoConfig.for_model(**config)`` takes it.

    Special tokens are left unset: the tokenizer decides them. `ArchitectureError`: there is no stock family.
    """
    family = stock_family(arch)
    if family is None:
        raise ArchitectureError(
            "expected an architecture of a stock transformers family (uniform unshared layers, RoPE, RMSNorm pre, "
            "sequential, softmax attention), got another one; export it with generated code instead"
        )
    mixer, part = arch.blocks[0].mixer, arch.blocks[0].feed_forward
    config: dict[str, Any] = {
        "model_type": family,
        "architectures": [MODEL_CLASSES[family]],
        "vocab_size": arch.vocab_size,
        "hidden_size": arch.hidden_size,
        "intermediate_size": part.intermediate_size,
        "num_hidden_layers": arch.num_layers,
        "num_attention_heads": mixer.num_heads,
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.head_size,
        "hidden_act": part.activation,
        "max_position_embeddings": arch.context_length,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": arch.tied_embeddings,
        "initializer_range": 0.02,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if family in ("llama", "arcee"):
        config |= {"attention_bias": False, "mlp_bias": False}
    if family in ("mistral", "mixtral"):
        config["sliding_window"] = mixer.window or None
    if family == "mixtral":
        config |= {"num_local_experts": part.num_experts, "num_experts_per_tok": part.top_k}
    return config
