"""Writing text token by token."""

from __future__ import annotations

import torch
from torch import Tensor

from mimar.errors import InputError
from mimar.models._decoder import DecoderLM


@torch.inference_mode()
def generate(
    model: DecoderLM,
    prompt: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Token ids (batch, prompt + max_new_tokens) that continue `prompt` (batch, tokens).

    temperature 0 takes the likeliest token; above 0 tokens are drawn from softmax(logits / temperature) with
    `generator`, on the model's device. Dropout is off. `InputError`: an empty prompt, a negative temperature, or a
    temperature without a generator.
    """
    if prompt.dim() != 2 or prompt.shape[1] == 0:
        raise InputError(f"expected a prompt of shape (batch, at least 1 token), got {tuple(prompt.shape)}")
    if temperature < 0 or (temperature > 0 and generator is None):
        raise InputError(f"expected temperature 0, or above 0 with a generator to draw from, got {temperature}")
    training = model.training
    model.eval()
    try:
        return _continue(model, prompt, max_new_tokens, temperature, generator)
    finally:
        model.train(training)


def _continue(
    model: DecoderLM, text: Tensor, max_new_tokens: int, temperature: float, generator: torch.Generator | None
) -> Tensor:
    cache = model.new_cache()
    new = text
    for _ in range(max_new_tokens):
        last = model.hidden_states(model.embedding(new), cache)[:, -1]
        new = _choose(model.logits(last), temperature, generator)
        text = torch.cat((text, new), dim=1)
    return text


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """One token id a row: logits (batch, vocab) → (batch, 1)."""
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)
