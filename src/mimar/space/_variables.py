"""The variables of the Transformer space and which of their choices stay legal after earlier ones are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, cast

from mimar.space._architecture import (
    GATE_ACTIVATION,
    HEADED_MIXERS,
    Activation,
    Block,
    FeedForward,
    FeedForwardKind,
    Mixer,
    MixerKind,
)
from mimar.space._legality import WIDTH_MULTIPLE
from mimar.space._protocol import Choice, Choices

Domain = Mapping[str, tuple[Choice, ...]]

SIZE_VARIABLES: Final[Domain] = {
    "num_layers": tuple(range(4, 33)),
    "layer_sharing": (1, 2, 4),
    "hidden_size": tuple(range(256, 2049, 64)),
    "topology": ("sequential", "parallel"),
    "norm": ("rmsnorm", "layernorm"),
    "norm_placement": ("pre", "post", "sandwich"),
}
"""Global variables that are decided before the layers."""

LAYER_VARIABLES: Final[Domain] = {
    "mixer": ("attention", "linear", "sliding_window", "block_sparse", "convolution", "none"),
    "num_heads": (4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24, 28, 32),
    "head_size": (32, 48, 64, 80, 96, 128),
    "queries_per_kv": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24, 28, 32),
    "window": (64, 128, 256, 512, 1024, 2048),
    "kernel_size": (3, 4, 7, 15, 31),
    "feed_forward": ("swiglu", "geglu", "glu", "ffn", "moe", "none"),
    "ratio": (2.0, 2.5, 8 / 3, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0),
    "activation": ("silu", "gelu", "relu", "relu2"),
    "num_experts": (4, 8, 16),
    "top_k": (1, 2, 4),
}
"""Variables of one layer; in a uniform space they stand for all layers."""

FINAL_VARIABLES: Final[Domain] = {
    "position": ("rope", "alibi", "sinusoidal", "none"),
    "attention_kernel": ("flash", "math"),
}
"""Global variables whose legality depends on the layers."""


def intermediate_size(hidden: int, ratio: float) -> int:
    """Feed-forward width: hidden × ratio, rounded to the nearest legal width."""
    return max(WIDTH_MULTIPLE, round(hidden * ratio / WIDTH_MULTIPLE) * WIDTH_MULTIPLE)


def layer_used(role: str, layer: Choices) -> bool:
    """Whether the layer variable `role` has any effect, given the layer's earlier choices."""
    mixer, part = layer["mixer"], layer.get("feed_forward")
    if role in ("num_heads", "head_size", "queries_per_kv"):
        return mixer in HEADED_MIXERS
    if role == "window":
        return mixer in ("sliding_window", "block_sparse")
    if role == "kernel_size":
        return mixer == "convolution"
    if role == "ratio":
        return part != "none"
    if role == "activation":
        return part in ("ffn", "moe")
    if role in ("num_experts", "top_k"):
        return part == "moe"
    return True


def divides(part: Choice, whole: Choice) -> bool:
    """Whether the whole number `part` divides the whole number `whole`."""
    return cast("int", whole) % cast("int", part) == 0


def legal_head_counts(domain: Domain, hidden: int) -> Sequence[Choice]:
    """Numbers of heads that divide `hidden` and leave a legal choice of queries for each kv head."""
    return _head_counts(domain["num_heads"], domain["queries_per_kv"], hidden)


@lru_cache(maxsize=4096)
def _head_counts(heads: tuple[Choice, ...], queries: tuple[Choice, ...], hidden: int) -> tuple[Choice, ...]:
    return tuple(c for c in heads if divides(c, hidden) and any(divides(q, c) for q in queries))


def legal_layer_choices(role: str, domain: Domain, layer: Choices, hidden: int, context: int) -> Sequence[Choice]:
    """The choices of one layer variable that can still lead to a legal layer, given its earlier ones."""
    choices = domain[role]
    if role == "mixer":
        return [c for c in choices if _mixer_fits(c, domain, hidden, context)]
    if role == "num_heads":
        return legal_head_counts(domain, hidden)
    if role == "head_size":
        return _head_sizes(choices, cast("int", layer["num_heads"]), hidden)
    if role == "queries_per_kv":
        return _divisors(choices, layer["num_heads"])
    if role == "window":
        return [c for c in choices if cast("int", c) <= context]
    if role == "feed_forward":
        unfit = {"none"} if layer["mixer"] == "none" else set[Choice]()
        return [c for c in choices if c not in unfit and (c != "moe" or _expert_counts(domain))]
    if role == "num_experts":
        return _expert_counts(domain)
    if role == "top_k":
        return [c for c in choices if cast("int", c) < cast("int", layer["num_experts"])]
    return choices


@lru_cache(maxsize=4096)
def _head_sizes(choices: tuple[Choice, ...], heads: int, hidden: int) -> tuple[Choice, ...]:
    fitting = tuple(c for c in choices if hidden // 2 <= heads * cast("int", c) <= 2 * hidden)
    return fitting or (min(choices, key=lambda c: abs(heads * cast("int", c) - hidden)),)


@lru_cache(maxsize=4096)
def _divisors(choices: tuple[Choice, ...], whole: Choice) -> tuple[Choice, ...]:
    return tuple(c for c in choices if divides(c, whole))


def _mixer_fits(kind: Choice, domain: Domain, hidden: int, context: int) -> bool:
    if kind == "none":
        return any(part != "none" for part in domain["feed_forward"])
    if kind in ("sliding_window", "block_sparse") and min(cast("tuple[int, ...]", domain["window"])) > context:
        return False
    return kind not in HEADED_MIXERS or bool(legal_head_counts(domain, hidden))


def _expert_counts(domain: Domain) -> Sequence[Choice]:
    fewest = min(cast("tuple[int, ...]", domain["top_k"]))
    return [c for c in domain["num_experts"] if cast("int", c) > fewest]


def block_from(layer: Choices, hidden: int) -> Block:
    """The block that one layer's choices describe."""
    number = cast("Mapping[str, int]", layer)
    kind, part = cast("MixerKind", layer["mixer"]), cast("FeedForwardKind", layer["feed_forward"])
    mixer = Mixer(kind)
    if kind in HEADED_MIXERS:
        heads, queries = number["num_heads"], number["queries_per_kv"]
        kv_heads = 0 if heads % queries else heads // queries  # 0 is illegal: nothing is rounded into shape
        window = number["window"] if kind in ("sliding_window", "block_sparse") else 0
        mixer = Mixer(kind, heads, kv_heads, number["head_size"], window)
    elif kind == "convolution":
        mixer = Mixer(kind, kernel_size=number["kernel_size"])
    if part == "none":
        return Block(mixer, FeedForward("none"))
    activation = GATE_ACTIVATION.get(part, cast("Activation", layer["activation"]))
    experts = (number["num_experts"], number["top_k"]) if part == "moe" else (0, 0)
    width = intermediate_size(hidden, cast("float", layer["ratio"]))
    return Block(mixer, FeedForward(part, width, activation, *experts))


def choices_of(block: Block, hidden: int, domain: Domain) -> dict[str, Choice]:
    """The layer choices that describe `block`; unused variables take the first choice of `domain`."""
    mixer, part = block.mixer, block.feed_forward
    found: dict[str, Choice] = {name: options[0] for name, options in domain.items()}
    found |= {"mixer": mixer.kind, "feed_forward": part.kind}
    if mixer.kind in HEADED_MIXERS:
        found |= {"num_heads": mixer.num_heads, "head_size": mixer.head_size}
        found["queries_per_kv"] = mixer.num_heads // max(1, mixer.num_kv_heads)
    if mixer.window:
        found["window"] = mixer.window
    if mixer.kernel_size:
        found["kernel_size"] = mixer.kernel_size
    if part.kind != "none":
        found["ratio"] = _ratio_of(part.intermediate_size, hidden, domain["ratio"])
    if part.kind in ("ffn", "moe"):
        found["activation"] = part.activation
    if part.kind == "moe":
        found |= {"num_experts": part.num_experts, "top_k": part.top_k}
    return found


@lru_cache(maxsize=4096)
def _ratio_of(width: int, hidden: int, choices: tuple[Choice, ...]) -> float:
    """The listed ratio that rounds to `width`, or the exact one where none does."""
    listed = (cast("float", c) for c in choices)
    return next((r for r in listed if intermediate_size(hidden, r) == width), width / hidden)
