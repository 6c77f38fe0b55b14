"""Texts → windows of tokens, taken from all over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.training import Tokenizer

Windows = NDArray[np.int64]
"""(windows, tokens)"""

LONGEST_WORD: Final = 100
"""Characters."""

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


def calibration_windows(
    sources: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    counts: Sequence[int],
    length: int,
    begin: Sequence[int] = (),
) -> list[Windows]:
    """So many windows for each purpose, as many of every source as of any other, or one more. Sources take turns.

    Those of a purpose are behind those of the last, in each source: windows between them would be of the same articles.
    InputError: a source has too little text, or there are more of them than windows for a purpose.
    """
    if min(count for count in counts if count) < len(sources):
        raise InputError(
            f"{len(sources)} texts need a window of {length} tokens each for every purpose, got "
            f"{', '.join(map(str, counts))} windows: ask for more tokens"
        )
    shares = [_shares(count, len(sources)) for count in counts]
    rows = [
        np.split(windows(texts, tokenizer, sum(own), length, begin), np.cumsum(own)[:-1])
        for texts, *own in zip(sources, *shares, strict=True)
    ]
    return [_in_turn(parts) for parts in zip(*rows, strict=True)]


def learning_text(
    sources: Sequence[Sequence[str]], tokenizer: Tokenizer, tokens: int, length: int, begin: Sequence[int] = ()
) -> NDArray[np.int32]:
    """At least `tokens` ids (n,), as many of every source as of any other, in pieces of `length` that are evenly spread
    over it; a source that has fewer is there more than once.

    begin: tokens that every piece begins with, as the model was trained to see. Pieces are one shorter then, and one id
    follows the last, so that windows of `length` that share their ends are pieces (`TokenData.batch`).
    """
    own = length - len(begin) - (1 if begin else 0)
    count = -(-tokens // (own * len(sources))) + 1
    pieces = np.concatenate([_repeated("\n".join(texts), tokenizer, count, own) for texts in sources])
    first = np.tile(np.asarray(begin, dtype=np.int64), (len(pieces), 1))
    return np.append(np.concatenate([first, pieces], axis=1), begin[:1]).astype(np.int32)


def _repeated(text: str, tokenizer: Tokenizer, count: int, length: int) -> Windows:
    found = _spread(text, tokenizer, count, length)
    if found is not None:
        return found
    ids = tokenizer.encode([text])
    return _cut(ids, count, length) if len(ids) >= count * length else np.resize(ids, (count, length)).astype(np.int64)


def _shares(count: int, parts: int) -> list[int]:
    """Nearly equal ones that add up to `count`."""
    return [count // parts + (number < count % parts) for number in range(parts)]


def _in_turn(parts: Sequence[Windows]) -> Windows:
    """The first of each part, then the second, and so on."""
    places = np.concatenate([np.arange(len(part)) for part in parts])
    return np.concatenate(parts)[np.argsort(places, kind="stable")]


def _spread(text: str, tokenizer: Tokenizer, count: int, length: int) -> Windows | None:
    """From pieces of the text, so that most of a long one need not be cut into tokens; None where it is too short."""
    size, apart = CHARACTERS * length, len(text) // count
    if apart < size:
        return None
    pieces = (text[_word(text, number * apart) :][:size] for number in range(count))
    rows = [tokenizer.encode([piece])[:length] for piece in pieces]
    return np.stack(rows).astype(np.int64) if all(len(row) == length for row in rows) else None


def _word(text: str, start: int) -> int:
    """Where the next word begins; `start` itself in scripts that have no spaces."""
    found = text.find(" ", start, start + LONGEST_WORD) if start else 0
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
