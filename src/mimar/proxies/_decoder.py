"""An `Architecture` as proxies see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mimar.errors import InputError
from mimar.proxies._description import describe_decoder
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import DecoderShapes
from mimar.space import SOFTMAX_MIXERS, Architecture

if TYPE_CHECKING:  # torch must not be imported before a proxy needs a module
    from torch import Tensor, nn

PROXY_VOCABULARY = 512
"""Rows of embedding and head in the module that proxies see, at most.

Initial rows are independent draws from one distribution, so that a few hundred of them stand for all; a head of 32000
rows would cost as much as all blocks of a small model. The loss becomes a softmax over this many tokens.
"""


def decoder_inputs(
    arch: Architecture,
    seed: int = 0,
    *,
    token_ids: tuple[tuple[int, ...], ...] | None = None,
    device: str = "cpu",
    batch_size: int = 8,
    tokens: int = 64,
) -> ProxyInputs:
    """What proxies look at for `arch`.

    token_ids: a batch of equally long sequences; None draws ``batch_size`` × ``tokens`` ids uniformly. Given ids are
      renumbered in ascending order, which changes nothing for initial weights and keeps the vocabulary small.
    batch_size, tokens: shape of a random batch; `tokens` is cut to the context length, but never below 2. Windows
      longer than this act like full attention.
    """
    return ProxyInputs(DecoderSubject(arch, token_ids, batch_size, tokens), seed, device)


@dataclass(frozen=True)
class DecoderSubject:
    """A `Subject`: the decoder of `arch` at N(0, 0.02²) with a vocabulary of `PROXY_VOCABULARY`."""

    arch: Architecture
    token_ids: tuple[tuple[int, ...], ...] | None = None
    batch_size: int = 8
    tokens: int = 64

    @property
    def shapes(self) -> DecoderShapes:
        """The weights of `arch`."""
        return DecoderShapes(self.arch)

    @property
    def description(self) -> str:
        """Its sizes and choices; what changes no result (kernel, dropout, context) is left out."""
        return describe_decoder(self.arch)

    @property
    def mixes_samples(self) -> bool:
        """Experts gather the tokens of all samples."""
        return any(block.feed_forward.kind == "moe" for block in self.arch.unique_blocks)

    def build(self, seed: int) -> nn.Module:
        """The module without dropout, its softmax written out: the same function, and open to proxies."""
        import torch

        from mimar.models import build

        distinct = 0 if self.token_ids is None else len({token for row in self.token_ids for token in row})
        vocabulary = max(distinct, min(self.arch.vocab_size, PROXY_VOCABULARY))
        generator = torch.Generator().manual_seed(seed)
        softmax = any(block.mixer.kind in SOFTMAX_MIXERS for block in self.arch.unique_blocks)
        kernel = "math" if softmax else self.arch.attention_kernel
        plain = replace(self.arch, vocab_size=vocabulary, dropout=0.0, attention_kernel=kernel)
        return build(plain, generator=generator).eval()

    def draw(self, seed: int) -> Tensor:
        """Token ids (batch, tokens), below the module's vocabulary."""
        import torch

        if self.token_ids is None:
            vocabulary = min(self.arch.vocab_size, PROXY_VOCABULARY)
            shape = (self.batch_size, max(2, min(self.tokens, self.arch.context_length)))
            return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))
        lengths = sorted({len(row) for row in self.token_ids})
        if len(lengths) != 1 or lengths[0] < 2:
            raise InputError(
                f"a batch needs sequences of one length, at least 2 tokens, got lengths {lengths}; cut or pad them"
            )
        return torch.unique(torch.tensor(self.token_ids), return_inverse=True)[1]

    def ones(self) -> Tensor:
        """One token shows all that identical tokens can show, but every tap of a convolution needs its own."""
        import torch

        tokens = max(1, *(block.mixer.kernel_size for block in self.arch.unique_blocks))
        return torch.ones(1, tokens, self.arch.hidden_size)

    def loss(self, module: nn.Module, batch: Tensor) -> Tensor:
        """Mean next-token cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(module(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
