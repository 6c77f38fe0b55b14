"""Where tokens stand: rotary tables, ALiBi slopes, sinusoids, and which keys a query may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from mimar.space import Mixer

BASE = 10000.0
"""Base of the geometric series of wavelengths, for RoPE and for sinusoids."""

Index = TypeVar("Index", int, Tensor)


@dataclass(frozen=True, slots=True)
class Positions:
    """The places of the tokens of one forward pass, made once for all layers.

    start, count: the tokens stand at start … start + count − 1.
    rotary: head size → (cosines, sines), each (count, head_size); empty without RoPE.
    """

    start: int
    count: int
    rotary: Mapping[int, tuple[Tensor, Tensor]]


def place(start: int, count: int, head_sizes: Iterable[int], like: Tensor) -> Positions:
    """Positions of `count` tokens from `start`, with rotary tables in the dtype and on the device of `like`."""
    where = torch.arange(start, start + count, device=like.device)
    return Positions(start, count, {size: rotary_table(where, size, like.dtype) for size in head_sizes})


def rotary_table(where: Tensor, head_size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines (len(where), head_size) of position × base^(−2i / head_size).

    Su et al., RoFormer, 2021, §3.4.2, in the half-split layout of LLaMA: feature i turns with feature i + head_size/2.
    """
    rates = BASE ** -(torch.arange(0, head_size, 2, device=where.device).float() / head_size)
    angles = torch.outer(where.float(), rates).repeat(1, 2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys x (batch, heads, tokens, head_size) by their positions."""
    cosines, sines = table
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines


def alibi_slopes(num_heads: int) -> list[float]:
    """One slope a head (Press et al., ALiBi, 2022, §3): 2^(−8i/n), i = 1 … n.

    For a head count that is no power of two: the slopes of the power p below it, then every other slope of 2p.
    """
    power = 1 << (num_heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * i / power) for i in range(1, power + 1)]
    between = [2.0 ** (-4.0 * i / power) for i in range(1, 2 * power + 1, 2)]
    return slopes + between[: num_heads - power]


def sinusoids(positions: Positions, like: Tensor) -> Tensor:
    """Sinusoidal codes (count, hidden) for x (…, hidden): sines at even features, cosines at odd ones.

    Vaswani et al., Attention Is All You Need, 2017, §3.5; as there (§3.4) the embeddings they are added to are
    scaled by √hidden, else the codes would drown small initial weights.
    """
    hidden = like.shape[-1]
    where = torch.arange(positions.start, positions.start + positions.count, device=like.device)
    rates = BASE ** -(torch.arange(0, hidden, 2, device=like.device).float() / hidden)
    angles = torch.outer(where.float(), rates)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(like.dtype)


def first_visible(mixer: Mixer, position: Index) -> Index:
    """The earliest position that a token at `position` sees; not above 0 when it sees everything before it."""
    if mixer.kind == "sliding_window":
        return position - mixer.window + 1
    if mixer.kind == "block_sparse":
        return (position // mixer.window - 1) * mixer.window
    return position * 0
