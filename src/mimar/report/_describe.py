"""An architecture in one line."""

from __future__ import annotations

from itertools import groupby

from mimar.space import HEADED_MIXERS, Architecture, Block, FeedForward, Mixer

_RUNS_SHOWN = 4


def describe_architecture(arch: Architecture) -> str:
    """One line: ``12 × 576, grouped-query 9/3×64, swiglu 1536, rope, rmsnorm pre``.

    Layers × hidden size; mixer with heads/kv-heads×head-size; feed-forward part with its width; position code; norm.
    Layers that differ are given as runs of equal ones, ``[8× … + … | 4× … + …]``, the first four runs at most. What
    is not the common choice (parallel blocks, shared layers, untied embeddings, math kernel) is named at the end.
    """
    unusual = (
        ("parallel", arch.topology == "parallel"),
        (f"weights shared by {arch.layer_sharing}", arch.layer_sharing > 1),
        ("untied", not arch.tied_embeddings),
        ("math kernel", arch.attention_kernel == "math"),
    )
    position = "no position code" if arch.position == "none" else arch.position
    parts = (
        f"{arch.num_layers} × {arch.hidden_size}",
        *_layers(arch),
        position,
        f"{arch.norm} {arch.norm_placement}",
        *(name for name, there in unusual if there),
    )
    return ", ".join(parts)


def _layers(arch: Architecture) -> tuple[str, ...]:
    runs = [(block, len(list(same))) for block, same in groupby(arch.blocks)]
    if len(runs) == 1:
        block = runs[0][0]
        return (_mixer(block.mixer), _feed_forward(block.feed_forward))
    shown = [f"{count}× {_block(block)}" for block, count in runs[:_RUNS_SHOWN]]
    if len(runs) > _RUNS_SHOWN:
        rest = sum(count for _, count in runs[_RUNS_SHOWN:])
        shown.append(f"… {rest} more layers, {len(set(arch.blocks))} kinds in all")
    return (f"[{' | '.join(shown)}]",)


def _block(block: Block) -> str:
    return f"{_mixer(block.mixer)} + {_feed_forward(block.feed_forward)}"


def _mixer(mixer: Mixer) -> str:
    if mixer.kind == "none":
        return "no mixer"
    if mixer.kind == "convolution":
        return f"convolution {mixer.kernel_size}"
    name = mixer.attention_type.replace("_", "-")
    if mixer.kind not in HEADED_MIXERS:
        return name
    window = f" window {mixer.window}" if mixer.window else ""
    return f"{name} {mixer.num_heads}/{mixer.num_kv_heads}×{mixer.head_size}{window}"


def _feed_forward(part: FeedForward) -> str:
    if part.kind == "none":
        return "no feed-forward"
    if part.kind == "moe":
        return f"moe {part.top_k} of {part.num_experts}×{part.intermediate_size} {part.activation}"
    activation = f" {part.activation}" if part.kind == "ffn" else ""
    return f"{part.kind}{activation} {part.intermediate_size}"
