"""Token ids as batches that depend on seed and step only, so that a training can go on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.training._tokenizer import Ids, Tokenizer

HELD_OUT = 0.05
"""Share of the text that validates where no other text does, taken from its end."""

Batch = NDArray[np.int64]


@dataclass(frozen=True)
class TokenData:
    """What a model learns from and what it is judged on.

    train, validation: ids (n,). bytes_per_token: of the validation text in UTF-8; turns loss into bits per byte.
    """

    train: Ids
    validation: Ids
    vocab_size: int
    bytes_per_token: float

    @staticmethod
    def of(texts: Sequence[str], validation: Sequence[str], tokenizer: Tokenizer) -> TokenData:
        """Encode both; without validation texts the last twentieth of `texts` is held out, cut at a character."""
        if not validation:
            texts, validation = _held_out(texts)
        judged = tokenizer.encode(validation)
        size = sum(len(text.encode()) for text in validation)
        return TokenData(tokenizer.encode(texts), judged, tokenizer.vocab_size, size / max(1, len(judged)))

    def require_enough(self, context: int) -> None:
        """InputError where there is too little text to train on, or to judge on, in sequences of `context` tokens."""
        self.batch(0, 1, context, 0)
        self.validation_batches(1, 1, context)

    def batch(self, step: int, sequences: int, context: int, seed: int) -> Batch:
        """Ids (sequences, context + 1) of a step: of each row the last `context` are what the first ones predict.

        The text is cut into windows, which come in another order in each epoch; where the first begins differs as
        well, as far as tokens are left over behind the last.
        InputError: the text is shorter than a window.
        """
        windows = (len(self.train) - 1) // context
        if windows < 1:
            raise InputError(
                f"the text has {len(self.train)} tokens, fewer than a sequence of {context} and one more; give more "
                "text or a shorter context"
            )
        places = np.arange(step * sequences, (step + 1) * sequences)
        starts = np.empty(sequences, dtype=np.int64)
        for epoch in np.unique(places // windows):
            rng = np.random.default_rng([seed, int(epoch)])
            shift = int(rng.integers(len(self.train) - windows * context))
            order = rng.permutation(windows)
            now = places // windows == epoch
            starts[now] = order[places[now] % windows] * context + shift
        return self.train[starts[:, None] + np.arange(context + 1)].astype(np.int64)

    def validation_batches(self, tokens: int, sequences: int, context: int) -> list[Batch]:
        """About `tokens` tokens of the validation text in windows that are spread evenly over it."""
        windows = (len(self.validation) - 1) // context
        if windows < 1:
            raise InputError(
                f"the validation text has {len(self.validation)} tokens, fewer than a sequence of {context} and one "
                "more; give more text or a shorter context"
            )
        count = min(windows, max(1, tokens // context))
        starts = np.linspace(0, windows - 1, count).astype(np.int64) * context
        rows = self.validation[starts[:, None] + np.arange(context + 1)].astype(np.int64)
        return [rows[i : i + sequences] for i in range(0, count, sequences)]


def _held_out(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """All but the last twentieth of the characters, and that."""
    left = sum(map(len, texts)) * HELD_OUT
    kept, held = list(texts), list[str]()
    while kept and left >= 1:
        last = kept.pop()
        cut = max(0, len(last) - int(left))
        left -= len(last) - cut
        held.insert(0, last[cut:])
        if cut:
            kept.append(last[:cut])
    return kept, held
