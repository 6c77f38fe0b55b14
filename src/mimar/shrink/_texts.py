"""Text → windows of tokens, taken from all over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.training import Tokenizer

Windows = NDArray[np.int64]
"""(windows, tokens)"""

CHARACTERS: Final = 8
"""Of a piece of text for each token that is wanted of it: nearly all texts have fewer to a token."""


def windows(texts: Sequence[str], tokenizer: Tokenizer, count: int, length: int, begin: Sequence[int] = ()) -> Windows:
    """`count` windows of `length` tokens, evenly spread over `texts`, none overlapping another.

    begin: tokens that every window begins with, as the model was trained to see. InputError: there is too little text.
    """
    text, own = "\n".join(texts), length - len(begin)
    found = _spread(text, tokenizer, count, own)
    if found is None:
        found = _cut(tokenizer.encode([text]), count, own)
    return np.concatenate([np.tile(np.asarray(begin, dtype=np.int64), (count, 1)), found], axis=1)


def _spread(text: str, tokenizer: Tokenizer, count: int, length: int) -> Windows | None:
    """From pieces of the text, so that most of a long one need not be cut into tokens; None where it is too short."""
    size, apart = CHARACTERS * length, len(text) // count
    if apart < size:
        return None
    pieces = (text[_word(text, number * apart) :][:size] for number in range(count))
    rows = [tokenizer.encode([piece])[:length] for piece in pieces]
    return np.stack(rows).astype(np.int64) if all(len(row) == length for row in rows) else None


def _word(text: str, start: int) -> int:
    """Where the next word begins."""
    found = text.find(" ", start) if start else 0
    return max(found, start)


def _cut(ids: NDArray[np.int32], count: int, length: int) -> Windows:
    whole = len(ids) // length
    if whole < count:
        raise InputError(
            f"expected a text of at least {count * length:,} tokens, got {len(ids):,}: give more text, or ask for "
            "fewer tokens of it"
        )
    at = np.arange(count) * whole // count
    return ids[: whole * length].reshape(whole, length)[at].astype(np.int64)
