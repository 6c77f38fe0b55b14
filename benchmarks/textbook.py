"""A training loop as one writes it by hand, and zero-cost proxies as public implementations compute them, to measure
ours against.

The form of the proxies is that of the code released with Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS,
2021 (SynFlow, GraSP) and with Chen et al., TE-NAS, 2021 (NTK): a copy of the whole model, its vocabulary head included,
one backward pass for each sample, gradients kept in the module. The code is ours.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mimar.models import DecoderLM


def loss_of(model: DecoderLM, tokens: Tensor) -> Tensor:
    """Mean next-token cross-entropy over the whole vocabulary."""
    return cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def forward_backward(model: DecoderLM, tokens: Tensor) -> None:
    """One training step without the step."""
    loss_of(model, tokens).backward()
    model.zero_grad()


def train(model: DecoderLM, ids: Tensor, steps: int, sequences: int, context: int) -> None:
    """Random windows, AdamW, clipping; no validation, schedule or log."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for _ in range(steps):
        starts = torch.randint(len(ids) - context - 1, (sequences,))
        batch = torch.stack([ids[start : start + context + 1] for start in starts.tolist()])
        loss_of(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def synflow(model: DecoderLM, tokens: Tensor) -> float:
    """Σ |W · ∂R/∂W| of a copy with weights |W|, on ones of the batch's length."""
    copy = deepcopy(model)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.abs_()
    ones = torch.ones(1, tokens.shape[1], copy.arch.hidden_size)
    copy.forward_embeddings(ones).sum().backward()
    return float(sum((w.detach() * w.grad).abs().sum() for w in copy.parameters() if w.grad is not None))


def ntk(model: DecoderLM, tokens: Tensor) -> float:
    """Condition number of the kernel of all weights' gradients, one backward pass for each sample."""
    rows = []
    for sample in tokens:
        model.zero_grad()
        model(sample[None]).mean(dim=1).sum().backward()
        rows.append(torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None]))
    model.zero_grad()
    jacobian = torch.stack(rows)
    eigenvalues = torch.linalg.eigvalsh(jacobian @ jacobian.T)
    return float(eigenvalues[-1] / eigenvalues[0])


def grasp(model: DecoderLM, tokens: Tensor) -> float:
    """−Σ W · (H g) with two forward passes, two backward passes and one through the second of them."""
    weights = list(model.parameters())
    first = torch.autograd.grad(loss_of(model, tokens), weights)
    second = torch.autograd.grad(loss_of(model, tokens), weights, create_graph=True)
    torch.stack([(g * f).sum() for g, f in zip(first, second, strict=True)]).sum().backward()
    score = -float(sum((w.detach() * w.grad).sum() for w in weights if w.grad is not None))
    model.zero_grad()
    return score
