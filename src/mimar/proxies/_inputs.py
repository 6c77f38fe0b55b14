"""What proxies look at: everything dear is made at most once, when first asked for, and shared by all proxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mimar.errors import InputError
from mimar.space import Architecture

if TYPE_CHECKING:  # torch must not be imported before a proxy needs a module
    from torch import Tensor

    from mimar.models import DecoderLM

PROXY_VOCABULARY = 512
"""Rows of embedding and head in the module that proxies see, at most.

Initial rows are independent draws from one distribution, so that a few hundred of them stand for all; a head of 32000
rows would cost as much as all blocks of a small model. The loss becomes a softmax over this many tokens.
"""


@dataclass(frozen=True, eq=False)
class ProxyInputs:
    """One architecture, and what proxies compute from it on demand.

    arch: the architecture to score.
    seed: decides initial weights and random token ids; equal seeds give equal scores.
    token_ids: a batch of equally long sequences; None draws ``batch_size`` × ``tokens`` ids uniformly. Given ids are
      renumbered in ascending order, which changes nothing for initial weights and keeps the vocabulary small.
    device: where the module runs, as torch names it; weights are drawn on the CPU, hence the same everywhere.
    batch_size, tokens: shape of a random batch; `tokens` is cut to the context length, but never below 2. Windows
      longer than this act like full attention.
    """

    arch: Architecture
    seed: int = 0
    token_ids: tuple[tuple[int, ...], ...] | None = None
    device: str = "cpu"
    batch_size: int = 8
    tokens: int = 64

    @cached_property
    def module(self) -> DecoderLM:
        """The module at initialisation, N(0, 0.02²), in evaluation mode, with a vocabulary of `PROXY_VOCABULARY`."""
        import torch

        from mimar.models import build

        distinct = 0 if self.token_ids is None else len({token for row in self.token_ids for token in row})
        vocabulary = max(distinct, min(self.arch.vocab_size, PROXY_VOCABULARY))
        generator = torch.Generator().manual_seed(self.seed)
        module = build(replace(self.arch, vocab_size=vocabulary, dropout=0.0), generator=generator)
        return module.to(self.device).eval()

    @cached_property
    def batch(self) -> Tensor:
        """Token ids (batch, tokens) on `device`, below the module's vocabulary."""
        import torch

        if self.token_ids is None:
            vocabulary = min(self.arch.vocab_size, PROXY_VOCABULARY)
            shape = (self.batch_size, max(2, min(self.tokens, self.arch.context_length)))
            generator = torch.Generator().manual_seed(self.seed)
            return torch.randint(vocabulary, shape, generator=generator).to(self.device)
        if len({len(row) for row in self.token_ids}) != 1 or len(self.token_ids[0]) < 2:
            lengths = sorted({len(row) for row in self.token_ids})
            raise InputError(
                f"a batch needs sequences of one length, at least 2 tokens, got lengths {lengths}; cut or pad them"
            )
        return torch.unique(torch.tensor(self.token_ids), return_inverse=True)[1].to(self.device)

    @cached_property
    def gradients(self) -> Mapping[str, Tensor]:
        """Weight name → gradient of the mean next-token cross-entropy on `batch`: the one backward all proxies share.

        Weights that the batch never reaches (an expert no token chose) have a gradient of zeros.
        """
        import torch
        from torch.nn.functional import cross_entropy

        weights = dict(self.module.named_parameters())
        logits = self.module(self.batch[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1), self.batch[:, 1:].flatten())
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(weights, found, strict=True))
