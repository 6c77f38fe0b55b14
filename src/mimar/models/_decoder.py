"""The whole language model: embedding, blocks, final norm, head; and how its weights begin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.errors import ArchitectureError
from mimar.models._block import DecoderBlock, make_norm
from mimar.models._cache import Cache
from mimar.models._positions import place, sinusoids
from mimar.space import SOFTMAX_MIXERS, Architecture, illegal_reasons

INIT_STD = 0.02


class DecoderLM(nn.Module):
    """Decoder-only language model of an `Architecture`: token ids (batch, tokens) → logits (batch, tokens, vocab).

    Its state dict has the names and shapes of `mimar.shapes.matrices`. `blocks` holds the unique blocks; each runs
    `layer_sharing` times in a row. Sinusoidal positions are added to the embeddings, RoPE and ALiBi act inside softmax
    attention. With norm placement ``post`` there is no final norm. A tied head is the embedding itself. `build` makes
    one with the project's initial weights.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.embedding = nn.Embedding(arch.vocab_size, arch.hidden_size)
        self.blocks = nn.ModuleList(DecoderBlock(block, arch) for block in arch.unique_blocks)
        self.norm = nn.Identity() if arch.norm_placement == "post" else make_norm(arch)
        self.head = None if arch.tied_embeddings else nn.Linear(arch.hidden_size, arch.vocab_size, bias=False)
        self._rotary_sizes = rotary_sizes(arch)

    def forward(self, token_ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits (batch, tokens, vocab) after each of token_ids (batch, tokens).

        With a cache the tokens continue what it holds, and it then holds them too.
        """
        return self.logits(self.hidden_states(self.embedding(token_ids), cache))

    def forward_embeddings(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """The same from embeddings x (batch, tokens, hidden) in place of tokens."""
        return self.logits(self.hidden_states(x, cache))

    def hidden_states(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Embeddings (batch, tokens, hidden) → the normed stream that the head reads, same shape."""
        start = 0 if cache is None else cache.length
        positions = place(start, x.shape[1], self._rotary_sizes, x)
        if self.arch.position == "sinusoidal":
            x = x * self.arch.hidden_size**0.5 + sinusoids(positions, x)
        for layer in range(self.arch.num_layers):
            block = self.blocks[layer // self.arch.layer_sharing]
            x = block(x, positions, None if cache is None else cache.layers[layer])
        if cache is not None:
            cache.length += x.shape[1]
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Head: hidden (…, hidden) → (…, vocab)."""
        return F.linear(hidden, self.embedding.weight if self.head is None else self.head.weight)

    def new_cache(self) -> Cache:
        """An empty cache for one batch of texts."""
        return Cache(self.arch.num_layers)


def rotary_sizes(arch: Architecture) -> tuple[int, ...]:
    """Head sizes that need a rotary table; none without RoPE."""
    if arch.position != "rope":
        return ()
    mixers = {block.mixer for block in arch.unique_blocks if block.mixer.kind in SOFTMAX_MIXERS}
    return tuple(sorted({mixer.head_size for mixer in mixers}))


def build(
    arch: Architecture,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> DecoderLM:
    """The model of `arch` with fresh weights; on device ``meta`` it has shapes and no weights.

    Every matrix and the convolution taps are drawn from N(0, 0.02²), in state-dict order, on the device of `generator`,
    so that one seed gives the same model on every device; None stands for a new CPU generator with seed 0. Norms begin
    at weight 1 and bias 0. An illegal architecture raises `ArchitectureError` with every reason.
    """
    if reasons := illegal_reasons(arch):
        raise ArchitectureError("cannot build an illegal architecture", reasons)
    with torch.device("meta"):
        model = DecoderLM(arch).to(dtype)
    if torch.device(device).type == "meta":
        return model
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    model.to_empty(device=generator.device)
    initialise(model, generator)
    return model.to(device)


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of `model` anew, as `build` does; `generator` lives on the device of the weights."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(0.0, INIT_STD, generator=generator)
        else:  # The only vectors are those of norms.
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
