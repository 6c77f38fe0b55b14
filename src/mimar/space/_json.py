"""Two JSON forms of an architecture: the short one for models whose layers are alike, the full one for any.

Both read back to the same value. The short form may stand alone or inside a wrapper
``{"model_name": …, "architecture": {…}, "estimated_metrics": {…}}``; the wrapper's other fields are ignored on reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast, get_args

from mimar.errors import ArchitectureError
from mimar.space._architecture import (
    GATE_ACTIVATION,
    HEADED_MIXERS,
    Activation,
    Architecture,
    AttentionKernel,
    Block,
    FeedForward,
    FeedForwardKind,
    Mixer,
    MixerKind,
    Norm,
    NormPlacement,
    Position,
    Topology,
)
from mimar.space._legality import illegal_reasons
from mimar.space._reader import FieldReader

ATTENTION_TYPES = (
    "multi_head", "grouped_query", "multi_query", "linear", "sliding_window", "block_sparse", "convolution", "none",
)  # fmt: skip
PLAIN_ACTIVATIONS = ("relu", "gelu", "silu", "relu2")
SHORT_ACTIVATIONS = tuple(dict.fromkeys((*PLAIN_ACTIVATIONS, *GATE_ACTIVATION, *GATE_ACTIVATION.values())))
_Fields = tuple[tuple[str, int | str], ...]
_POSITIONS = get_args(Position)
_NORMS = get_args(Norm)
_PLACEMENTS = get_args(NormPlacement)
_TOPOLOGIES = get_args(Topology)
_KERNELS = get_args(AttentionKernel)
_COMMENTS = ("model_name", "estimated_metrics", "rationale")


@dataclass(frozen=True, slots=True)
class Defaults:
    """Global settings a JSON form may leave out, because the user and not the search decides them."""

    vocab_size: int = 32000
    context_length: int = 1024
    tied_embeddings: bool = True
    dropout: float = 0.0


def architecture_to_json(arch: Architecture) -> dict[str, Any]:
    """The short form when all layers are alike, the full form otherwise; plain data."""
    return _short(arch) if arch.blocks and arch.is_uniform else _full(arch)


def architecture_from_json(data: Any, defaults: Defaults = Defaults(), *, check: bool = True) -> Architecture:
    """Read either form; `ArchitectureError` names every field that is missing, unknown, ill-typed or illegal.

    check: False accepts an architecture that breaks rules, as long as its fields are well-typed.
    """
    reasons: list[str] = []
    arch = _parsed(data, reasons, defaults)
    if check and not reasons:
        reasons += illegal_reasons(arch)
    if reasons:
        raise ArchitectureError("not a legal architecture", tuple(reasons))
    return arch


def _parsed(data: Any, reasons: list[str], defaults: Defaults) -> Architecture:
    body: Any = data
    if isinstance(data, Mapping) and "architecture" in data:
        body = cast("Mapping[str, Any]", data)["architecture"]
    fields = FieldReader(body, "", reasons)
    blocks = _read_layers(fields) if "layers" in fields else _read_uniform(fields)
    arch = Architecture(
        hidden_size=fields.integer("hidden_size"),
        blocks=blocks,
        vocab_size=fields.integer("vocab_size", defaults.vocab_size),
        context_length=fields.integer("context_length", defaults.context_length),
        position=cast("Position", fields.word("position_encoding", _POSITIONS)),
        norm=cast("Norm", fields.word("norm", _NORMS)),
        norm_placement=cast("NormPlacement", fields.word("norm_placement", _PLACEMENTS, "pre")),
        topology=cast("Topology", fields.word("topology", _TOPOLOGIES, "sequential")),
        tied_embeddings=fields.boolean("tied_embeddings", defaults.tied_embeddings),
        layer_sharing=fields.integer("layer_sharing", 1),
        attention_kernel=cast("AttentionKernel", fields.word("attention_kernel", _KERNELS, "flash")),
        dropout=fields.number("dropout", defaults.dropout),
    )
    fields.leftover(_COMMENTS)
    return arch


def _global_json(arch: Architecture) -> dict[str, Any]:
    return {
        "position_encoding": arch.position,
        "norm": arch.norm,
        "norm_placement": arch.norm_placement,
        "topology": arch.topology,
        "layer_sharing": arch.layer_sharing,
        "attention_kernel": arch.attention_kernel,
        "dropout": arch.dropout,
        "vocab_size": arch.vocab_size,
        "context_length": arch.context_length,
        "tied_embeddings": arch.tied_embeddings,
    }


def _short(arch: Architecture) -> dict[str, Any]:
    mixer, part = arch.blocks[0].mixer, arch.blocks[0].feed_forward
    gated = part.kind in GATE_ACTIVATION
    found = {
        "num_layers": arch.num_layers,
        "hidden_size": arch.hidden_size,
        "attention_type": mixer.attention_type,
        "num_heads": mixer.num_heads,
        "num_kv_heads": mixer.num_kv_heads,
        "head_size": mixer.head_size,
        "window": mixer.window,
        "kernel_size": mixer.kernel_size,
        "intermediate_size": part.intermediate_size,
        "activation": part.kind if gated else part.activation,
        "feed_forward": "" if gated or part.kind == "ffn" else part.kind,
        "num_experts": part.num_experts,
        "top_k": part.top_k,
    }
    if part.kind == "none":
        found["activation"] = ""
    return {name: value for name, value in found.items() if value} | _global_json(arch)


def _full(arch: Architecture) -> dict[str, Any]:
    layers = [
        {"mixer": _mixer_json(block.mixer), "feed_forward": _feed_forward_json(block.feed_forward)}
        for block in arch.blocks
    ]
    return {"hidden_size": arch.hidden_size, "layers": layers} | _global_json(arch)


def _mixer_json(mixer: Mixer) -> dict[str, Any]:
    sizes = {name: getattr(mixer, name) for name in ("num_heads", "num_kv_heads", "head_size", "window", "kernel_size")}
    return {"kind": mixer.kind} | {name: value for name, value in sizes.items() if value}


def _feed_forward_json(part: FeedForward) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": part.kind, "intermediate_size": part.intermediate_size}
    if part.kind in ("ffn", "moe"):
        found["activation"] = part.activation
    found |= {"num_experts": part.num_experts, "top_k": part.top_k}
    return {name: value for name, value in found.items() if value}


def _read_uniform(fields: FieldReader) -> tuple[Block, ...]:
    block = Block(_read_short_mixer(fields), _read_short_feed_forward(fields))
    count = fields.integer("num_layers")
    if count > 1024:
        fields.reasons.append(f"num_layers must be at most 1024, got {count}")
        count = 0
    return (block,) * max(count, 0)


def _read_short_mixer(fields: FieldReader) -> Mixer:
    name = fields.word("attention_type", ATTENTION_TYPES)
    kind = cast("MixerKind", "attention" if name.endswith(("_head", "_query")) else name)
    if kind not in HEADED_MIXERS:
        kernel = fields.integer("kernel_size") if kind == "convolution" else 0
        return Mixer(kind, kernel_size=kernel, **_unused_heads(fields))
    heads = fields.integer("num_heads")
    head_size = fields.integer("head_size", _hidden_of(fields) // heads if heads > 0 else 0)
    kv_default = {"multi_query": 1, "grouped_query": None}.get(name, heads)
    kv_heads = fields.integer("num_kv_heads", kv_default)
    window = fields.integer("window") if kind in ("sliding_window", "block_sparse") else 0
    mixer = Mixer(kind, heads, kv_heads, head_size, window)
    if kind == "attention" and kv_heads > 0 and mixer.attention_type != name:
        fields.reasons.append(f"{name} attention does not go with {kv_heads} kv heads of {heads}")
    return mixer


def _unused_heads(fields: FieldReader) -> dict[str, int]:
    """Head fields a headless mixer was given all the same; legality complains about them."""
    return {name: fields.integer(name, 0) for name in ("num_heads", "num_kv_heads", "head_size")}


def _hidden_of(fields: FieldReader) -> int:
    """hidden_size for a derived head_size, 0 when it is not a whole number (complained about elsewhere)."""
    hidden = fields.raw("hidden_size")
    return hidden if isinstance(hidden, int) else 0


def _read_short_feed_forward(fields: FieldReader) -> FeedForward:
    """`activation` alone names a plain activation or a gated kind; `feed_forward`, where given, must agree with it."""
    given = fields.word("feed_forward", ("ffn", "moe", "none", *GATE_ACTIVATION), "ffn")
    if given == "none":
        return FeedForward("none")
    complaints = len(fields.reasons)
    word = fields.word("activation", SHORT_ACTIVATIONS)
    kind = word if word in GATE_ACTIVATION and "feed_forward" not in fields else given
    implied = GATE_ACTIVATION.get(kind)
    unknown = len(fields.reasons) > complaints  # one complaint is enough
    if not unknown and word not in ((kind, implied) if implied else PLAIN_ACTIVATIONS):
        fields.reasons.append(f"activation {word} does not go with feed_forward {kind}")
    return FeedForward(
        cast("FeedForwardKind", kind),
        fields.integer("intermediate_size"),
        implied or cast("Activation", word),
        fields.integer("num_experts", None if kind == "moe" else 0),
        fields.integer("top_k", None if kind == "moe" else 0),
    )


def _read_layers(fields: FieldReader) -> tuple[Block, ...]:
    layers = fields.raw("layers")
    if not isinstance(layers, list) or len(cast("list[Any]", layers)) > 1024:
        fields.reasons.append("layers must be a list of at most 1024 layers")
        return ()
    return tuple(
        _known_layer(layer) or _read_layer(layer, i, fields.reasons)
        for i, layer in enumerate(cast("list[Any]", layers))
    )


def _known_layer(data: Any) -> Block | None:
    """The layer if it is as it should be; None otherwise, or where it is too odd to be looked up."""
    try:
        mixer, part = (tuple(cast("dict[str, Any]", data[name]).items()) for name in ("mixer", "feed_forward"))
        plain = len(data) == 2 and all(type(value) in (int, str) for _, value in (*mixer, *part))  # 1, 1.0, True differ
        return _layer_of(mixer, part) if plain else None
    except (AttributeError, KeyError, TypeError, ArchitectureError):
        return None


@lru_cache(maxsize=65536)
def _layer_of(mixer: _Fields, part: _Fields) -> Block:
    """Layers that are alike are one value, whatever architectures they are of: a study has millions. ArchitectureError
    for a bad one, which is not remembered."""
    reasons: list[str] = []
    block = _read_layer({"mixer": dict(mixer), "feed_forward": dict(part)}, 0, reasons)
    if reasons:
        raise ArchitectureError("not a layer", tuple(reasons))
    return block


def _read_layer(data: Any, index: int, reasons: list[str]) -> Block:
    layer = FieldReader(data, f"layers[{index}]: ", reasons)
    mixer = FieldReader(layer.raw("mixer"), f"layers[{index}].mixer: ", reasons)
    part = FieldReader(layer.raw("feed_forward"), f"layers[{index}].feed_forward: ", reasons)
    kind = cast("FeedForwardKind", part.word("kind", get_args(FeedForwardKind)))
    implied = GATE_ACTIVATION.get(kind, "none")
    block = Block(
        Mixer(
            cast("MixerKind", mixer.word("kind", get_args(MixerKind))),
            mixer.integer("num_heads", 0),
            mixer.integer("num_kv_heads", 0),
            mixer.integer("head_size", 0),
            mixer.integer("window", 0),
            mixer.integer("kernel_size", 0),
        ),
        FeedForward(
            kind,
            part.integer("intermediate_size", 0),
            cast("Activation", part.word("activation", get_args(Activation), implied)),
            part.integer("num_experts", 0),
            part.integer("top_k", 0),
        ),
    )
    for reader in (layer, mixer, part):
        reader.leftover()
    return block
