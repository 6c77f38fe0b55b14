"""A Hugging Face config.json → the architecture to start from, with a note for all that is not the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mimar.errors import ArchitectureError
from mimar.space import (
    GATE_ACTIVATION,
    Activation,
    Architecture,
    Block,
    FeedForward,
    FeedForwardKind,
    Mixer,
    illegal_reasons,
)

LLAMA_LIKE = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "arcee")
FAMILIES = (*LLAMA_LIKE, "gpt2")
MOST_LAYERS = 1024
LARGEST = 2**53

_ACTIVATIONS: dict[str, Activation] = {"swish": "silu", **{name: name for name in ("silu", "gelu", "relu", "relu2")}}
_ACTIVATIONS |= {"sigmoid": "sigmoid", "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu_fast": "gelu"}
_GATED_KIND = {activation: kind for kind, activation in GATE_ACTIVATION.items()}


def architecture_from_hf_config(config: Any) -> tuple[Architecture, tuple[str, ...]]:
    """The nearest architecture to `config`, the content of a config.json, and one sentence for each approximation.

    Knows llama, mistral, mixtral, qwen2, qwen3, arcee and gpt2. Without notes the architecture computes the same
    function. `ArchitectureError`: no object, another family, or fields that are missing, ill-typed or have no
    counterpart.
    """
    if not isinstance(config, Mapping):
        raise ArchitectureError(f"expected a configuration as a JSON object, got {type(config).__name__}")
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ArchitectureError(
            f"expected model_type to be one of {', '.join(FAMILIES)}, got {family!r}; "
            "write the nearest architecture as JSON instead"
        )
    fields = _Fields(config)
    arch = _read_gpt2(fields) if family == "gpt2" else _read_llama_like(fields, family)
    reasons = tuple(dict.fromkeys(fields.reasons)) or illegal_reasons(arch)
    if reasons:
        raise ArchitectureError(f"cannot start from this {family} configuration", reasons)
    return arch, tuple(fields.notes)


class _Fields:
    """Typed reading of a config; null counts as absent, as transformers takes it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.reasons: list[str] = []
        self.notes: list[str] = []

    def get(self, name: str, default: Any = None) -> Any:
        value = self.config.get(name)
        return default if value is None else value

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
            got = "nothing" if value is None else repr(value)[:40]  # of one beyond all bounds the first digits
            self.reasons.append(f"{name} must be a whole number from 1 to {LARGEST:,}, got {got}")
            return 1
        return value

    def layers(self, name: str) -> range:
        count = self.integer(name)
        if count > MOST_LAYERS:
            self.reasons.append(f"{name} must be at most {MOST_LAYERS}, got {count}")
        return range(min(count, MOST_LAYERS))

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.reasons.append(f"{name} must be a number, got {repr(value)[:40]}")
            return default
        return value

    def boolean(self, name: str, default: bool) -> bool:
        value = self.get(name, default)
        if not isinstance(value, bool):
            self.reasons.append(f"{name} must be true or false, got {repr(value)[:40]}")
            return default
        return value

    def group(self, name: str) -> _Fields:
        """The object at `name`, empty when absent; its complaints and notes come here."""
        value = self.get(name, {})
        if not isinstance(value, Mapping):
            self.reasons.append(f"{name} must be an object, got {repr(value)[:40]}")
            value = {}
        inner = _Fields(cast("Mapping[str, Any]", value))
        inner.reasons, inner.notes = self.reasons, self.notes
        return inner

    def activation(self, name: str, default: str, allowed: tuple[Activation, ...]) -> Activation:
        value = self.get(name, default)
        found = _ACTIVATIONS.get(value) if isinstance(value, str) else None
        if found not in allowed:
            self.reasons.append(f"{name} must be one of {', '.join(allowed)} here, got {value!r}")
            return allowed[0]
        if value not in (found, "swish"):
            self.notes.append(f"{name} {value}, a tanh approximation, becomes the exact gelu.")
        return found

    def note_unless(self, name: str, ours: Any, default: Any) -> None:
        value = self.get(name, default)
        if value != ours:
            self.notes.append(f"{name} {value} becomes {ours}.")

    def note_if(self, condition: Any, sentence: str) -> None:
        if condition:
            self.notes.append(sentence)


def _read_llama_like(fields: _Fields, family: str) -> Architecture:
    context = fields.integer("max_position_embeddings")
    part = _feed_forward(fields, family)
    arch = Architecture(
        hidden_size=fields.integer("hidden_size"),
        blocks=tuple(Block(mixer, part) for mixer in _mixers(fields, family, context)),
        vocab_size=fields.integer("vocab_size"),
        context_length=context,
        tied_embeddings=fields.boolean("tie_word_embeddings", False),
    )
    _note_llama_like(fields, family)
    return arch


def _mixers(fields: _Fields, family: str, context: int) -> list[Mixer]:
    heads = fields.integer("num_attention_heads")
    # Llama and Arcee leave kv heads out when all heads have their own; the others have defaults of their own.
    kv_heads = fields.integer("num_key_value_heads", heads if family in ("llama", "arcee") else None)
    size = fields.integer("head_dim", 128 if family == "qwen3" else fields.integer("hidden_size") // heads)
    full = Mixer("attention", heads, kv_heads, size)
    return [
        # A window as long as the context hides nothing.
        Mixer("sliding_window", heads, kv_heads, size, window) if 0 < window < context else full
        for window in _windows(fields, family)
    ]


def _windows(fields: _Fields, family: str) -> list[int]:
    """Sliding window of each layer, in tokens; 0 where a layer has none."""
    layers = fields.layers("num_hidden_layers")
    if family in ("llama", "arcee") or (family.startswith("qwen") and not fields.boolean("use_sliding_window", False)):
        return [0 for _ in layers]
    default = None if family == "mixtral" or "sliding_window" in fields.config else 4096
    if fields.get("sliding_window", default) is None:
        return [0 for _ in layers]
    window = fields.integer("sliding_window", default)
    if not family.startswith("qwen"):
        return [window for _ in layers]
    kinds = fields.get("layer_types")
    if kinds is None:
        first = fields.number("max_window_layers", 28)
        return [window if layer >= first else 0 for layer in layers]
    known = ("sliding_attention", "full_attention")
    if not isinstance(kinds, list) or len(kinds) != len(layers) or any(kind not in known for kind in kinds):
        fields.reasons.append(
            f"layer_types must give each of {len(layers)} layers one of {', '.join(known)}, got {repr(kinds)[:60]}"
        )
        return [0 for _ in layers]
    return [window if kind == "sliding_attention" else 0 for kind in kinds]


def _feed_forward(fields: _Fields, family: str) -> FeedForward:
    size = fields.integer("intermediate_size")
    if family == "mixtral":
        activation = fields.activation("hidden_act", "silu", ("silu", "gelu", "relu", "relu2"))
        experts, top_k = fields.integer("num_local_experts", 8), fields.integer("num_experts_per_tok", 2)
        return FeedForward("moe", size, activation, experts, top_k)
    if family == "arcee":
        return FeedForward("ffn", size, fields.activation("hidden_act", "relu2", ("relu2", "relu", "gelu", "silu")))
    activation = fields.activation("hidden_act", "silu", ("silu", "gelu", "sigmoid"))
    return FeedForward(cast("FeedForwardKind", _GATED_KIND[activation]), size, activation)


def _note_llama_like(fields: _Fields, family: str) -> None:
    fields.note_unless("rms_norm_eps", 1e-5, 1e-5 if family in ("mixtral", "arcee") else 1e-6)
    # transformers 5 writes one object, earlier versions a number and an optional object.
    rope = fields.group("rope_parameters" if "rope_parameters" in fields.config else "rope_scaling")
    theta = rope.number("rope_theta", fields.number("rope_theta", 1e6 if family == "mixtral" else 1e4))
    fields.note_if(theta != 1e4, f"RoPE base {theta} becomes 10000.")
    scaling = rope.get("rope_type", rope.get("type", "default"))
    fields.note_if(scaling != "default", f"RoPE scaling {scaling} is left out.")
    fields.note_if(family == "qwen2", "The biases of query, key and value are left out.")
    fields.note_if(family == "qwen3", "The norms of queries and keys are left out.")
    fields.note_if(fields.get("attention_bias"), "The biases of the attention projections are left out.")
    fields.note_if(fields.get("mlp_bias"), "The biases of the feed-forward part are left out.")
    fields.note_if(fields.get("attention_dropout"), "Dropout of attention weights is left out.")


def _read_gpt2(fields: _Fields) -> Architecture:
    hidden, heads = fields.integer("n_embd"), fields.integer("n_head")
    activation = fields.activation("activation_function", "gelu_new", ("gelu", "relu", "silu", "relu2"))
    part = FeedForward("ffn", fields.integer("n_inner", 4 * hidden), activation)
    block = Block(Mixer("attention", heads, heads, hidden // heads), part)
    fields.notes.append("Learned positions become sinusoidal ones.")
    fields.notes.append("The biases of all projections are left out.")
    fields.note_unless("layer_norm_epsilon", 1e-5, 1e-5)
    dropped = [name for name in ("embd_pdrop", "attn_pdrop") if fields.get(name, 0.1)]
    fields.note_if(dropped, f"Dropout {' and '.join(dropped)} is left out.")
    if fields.get("add_cross_attention") or not fields.get("scale_attn_weights", True):
        fields.reasons.append("add_cross_attention must be false and scale_attn_weights true")
    fields.note_if(
        fields.get("scale_attn_by_inverse_layer_idx"), "The scaling of scores by the layer's number is left out."
    )
    return Architecture(
        hidden_size=hidden,
        blocks=tuple(block for _ in fields.layers("n_layer")),
        vocab_size=fields.integer("vocab_size", 50257),
        context_length=fields.integer("n_positions", 1024),
        position="sinusoidal",
        norm="layernorm",
        tied_embeddings=fields.boolean("tie_word_embeddings", True),
        dropout=fields.number("resid_pdrop", 0.1),
    )
