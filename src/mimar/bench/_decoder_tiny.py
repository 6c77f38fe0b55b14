"""The architectures of `decoder_tiny`: small decoders in which every option of the space stands often enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from mimar.bench._options import Option, option_shares
from mimar.shapes import nonembedding_parameters
from mimar.space import Architecture, Defaults, TransformerSpace

LEAST, MOST = 0.2e6, 3e6
"""Parameters outside embedding and head."""

POOL = 4000
"""Random architectures to choose from, however many are wanted: a longer table begins with a shorter one."""

SIZE_BINS = 8
"""Equal steps of the logarithm of the size, filled evenly."""

TINY = TransformerSpace(
    sizes={
        "num_layers": tuple(range(2, 13)),
        "layer_sharing": (1, 2, 4),
        "hidden_size": tuple(range(64, 513, 64)),
        "topology": ("sequential", "parallel"),
        "norm": ("rmsnorm", "layernorm"),
        "norm_placement": ("pre", "post", "sandwich"),
    },
    layer={
        "mixer": ("attention", "linear", "sliding_window", "block_sparse", "convolution", "none"),
        "num_heads": (1, 2, 4, 8),
        "head_size": (16, 32, 64),
        "queries_per_kv": (1, 2, 4, 8),
        "window": (32, 64, 128),
        "kernel_size": (3, 4, 7, 15, 31),
        "feed_forward": ("swiglu", "geglu", "glu", "ffn", "moe", "none"),
        "ratio": (2.0, 8 / 3, 3.0, 4.0, 6.0, 8.0),
        "activation": ("silu", "gelu", "relu", "relu2"),
        "num_experts": (4, 8),
        "top_k": (1, 2),
    },
    final={"position": ("rope", "alibi", "sinusoidal", "none"), "attention_kernel": ("flash", "math")},
)
"""The space of `design`, smaller in size and not in kind."""


def tiny_architectures(
    count: int, vocab_size: int, context_length: int, known: Mapping[int, Architecture] | None = None
) -> list[Architecture]:
    """The first `count` of the benchmark, all different; each next one has what the ones before have least.

    Half of the pool have equal layers, half different ones; half have tied embeddings. known: place → architecture of
    those that a table already has; where they are not of this benchmark, the others are chosen around them.
    """
    known = {place: arch for place, arch in (known or {}).items() if place < count}
    pool = _pool(vocab_size, context_length)
    plain = _chosen(count, pool, {})
    return plain if all(plain[place] == arch for place, arch in known.items()) else _chosen(count, pool, known)


def _chosen(count: int, pool: Sequence[Architecture], known: Mapping[int, Architecture]) -> list[Architecture]:
    left = [arch for arch in pool if arch not in set(known.values())]
    options = {arch: _options(arch) for arch in left}
    seen = Counter(option for arch in known.values() for option in _options(arch))
    chosen = dict(known)
    for place in range(count):
        if place not in chosen:
            need = [sum(1.0 / (1 + seen[each]) for each in options[arch]) / len(options[arch]) ** 0.5 for arch in left]
            chosen[place] = left.pop(int(np.argmax(need)))
            seen.update(options[chosen[place]])
    return [chosen[place] for place in range(count)]


def _pool(vocab_size: int, context_length: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    spaces = [
        TransformerSpace(scope, Defaults(vocab_size, context_length, tied, 0.0), TINY.sizes, TINY.layer, TINY.final)
        for scope, tied in product(("uniform", "per-layer"), (True, False))
    ]
    found: dict[Architecture, None] = {}
    while len(found) < POOL:
        arch = spaces[len(found) % len(spaces)].sample(rng)
        if LEAST <= nonembedding_parameters(arch) <= MOST:
            found[arch] = None
    return list(found)


def _options(arch: Architecture) -> tuple[Option, ...]:
    """What stands in an architecture, each option once however many layers have it, and its bin of size.

    In one order, since the last digits of a sum, by which equal needs are told apart, depend on it.
    """
    sizes = {(name, str(getattr(arch, name))) for name in ("attention_kernel", "num_layers", "hidden_size")}
    return tuple(sorted({*option_shares(arch), *sizes, ("size", str(_size_bin(arch)))}))


def _size_bin(arch: Architecture) -> int:
    share = np.log(nonembedding_parameters(arch) / LEAST) / np.log(MOST / LEAST)
    return int(min(SIZE_BINS - 1, share * SIZE_BINS))
