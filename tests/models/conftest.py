"""Toy architectures: every choice of the space by itself, and random combinations of choices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimar.models import build
from mimar.space import GATE_ACTIVATION, Architecture, Block, FeedForward, Mixer, illegal_reasons

HIDDEN, VOCAB, CONTEXT = 64, 61, 64

MIXERS = {
    "multi_head": Mixer("attention", 4, 4, 16),
    "grouped_query": Mixer("attention", 4, 2, 16),
    "multi_query": Mixer("attention", 4, 1, 16),
    "narrow_heads": Mixer("attention", 2, 2, 6),
    "linear": Mixer("linear", 4, 4, 16),
    "linear_grouped": Mixer("linear", 4, 2, 8),
    "sliding_window": Mixer("sliding_window", 4, 2, 16, window=5),
    "window_of_one": Mixer("sliding_window", 4, 4, 16, window=1),
    "window_of_context": Mixer("sliding_window", 4, 4, 16, window=CONTEXT),
    "block_sparse": Mixer("block_sparse", 4, 2, 16, window=4),
    "block_of_one": Mixer("block_sparse", 4, 4, 16, window=1),
    "convolution": Mixer("convolution", kernel_size=3),
    "short_convolution": Mixer("convolution", kernel_size=2),
    "no_mixer": Mixer("none"),
}
FEED_FORWARDS = {
    **{f"ffn_{name}": FeedForward("ffn", 128, name) for name in ("relu", "gelu", "silu", "relu2")},
    **{kind: FeedForward(kind, 64, activation) for kind, activation in GATE_ACTIVATION.items()},
    **{f"moe_{name}": FeedForward("moe", 64, name, 4, 2) for name in ("relu", "gelu", "silu", "relu2")},
    "moe_top_1": FeedForward("moe", 64, "silu", 3, 1),
    "no_feed_forward": FeedForward("none"),
}
GLOBALS = {
    "position": ("rope", "alibi", "sinusoidal", "none"),
    "norm": ("rmsnorm", "layernorm"),
    "norm_placement": ("pre", "post", "sandwich"),
    "topology": ("sequential", "parallel"),
    "tied_embeddings": (True, False),
    "layer_sharing": (1, 2),
    "attention_kernel": ("flash", "math"),
}
LLAMA = Block(MIXERS["grouped_query"], FEED_FORWARDS["swiglu"])


def _arch(blocks, **changes):
    return Architecture(HIDDEN, tuple(blocks), VOCAB, CONTEXT, **changes)


def _single_choices():
    for name, mixer in MIXERS.items():
        yield name, _arch([Block(mixer, LLAMA.feed_forward), LLAMA])
    for name, part in FEED_FORWARDS.items():
        yield name, _arch([Block(LLAMA.mixer, part), LLAMA])
    for field, choices in GLOBALS.items():
        for choice in choices:
            yield (
                f"{field}_{choice}",
                _arch([LLAMA] * 4 if field == "layer_sharing" else [LLAMA] * 2, **{field: choice}),
            )


def _random_combinations(count):
    rng = np.random.default_rng(0)
    found = {}
    while len(found) < count:
        changes = {field: choices[rng.integers(len(choices))] for field, choices in GLOBALS.items()}
        blocks = [
            Block(list(MIXERS.values())[rng.integers(len(MIXERS))], part)
            for part in (list(FEED_FORWARDS.values())[i] for i in rng.integers(len(FEED_FORWARDS), size=2))
        ]
        shared = [block for block in blocks for _ in range(changes["layer_sharing"])]
        arch = _arch(shared, **changes)
        if not illegal_reasons(arch):
            found[f"random_{len(found)}"] = arch
    return found


ARCHITECTURES = dict(_single_choices()) | _random_combinations(32)


@pytest.fixture(params=ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def any_arch(request):
    """Each toy architecture in turn."""
    return request.param


@pytest.fixture
def llama():
    """A LLaMA-shaped toy; `replace` it into something else."""
    return _arch([LLAMA] * 2)


@pytest.fixture
def with_parts(llama):
    """The LLaMA-shaped toy with other parts and settings."""

    def make(mixer=LLAMA.mixer, part=LLAMA.feed_forward, **changes):
        return replace(llama, blocks=(Block(mixer, part),) * 2, **changes)

    return make


@pytest.fixture
def lively():
    """Builds a model whose weights are large enough that every part matters to the logits, norms included."""

    def make(arch, dtype=torch.float32):
        generator = torch.Generator().manual_seed(1)
        model = build(arch, generator=generator, dtype=dtype).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(8.0)
                else:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
        return model

    return make


@pytest.fixture
def tokens():
    """Two rows of token ids of the toy vocabulary, of the length asked for."""

    def make(length):
        return torch.randint(VOCAB, (2, length), generator=torch.Generator().manual_seed(2))

    return make
