"""Text to token ids: bytes, a tokenizer of one's own, or one that is trained on the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

Ids = NDArray[np.int32]

END = "<|endoftext|>"
"""Between texts, in tokenizers that are trained here."""

SMALLEST = 257
"""Vocabulary of a trained tokenizer: all bytes and the end of a text."""


class Tokenizer(Protocol):
    """Texts → token ids below `vocab_size`."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        ...

    def encode(self, texts: Sequence[str]) -> Ids:
        """The ids (n,) of all texts, one after another."""
        ...

    def save(self, directory: Path) -> None:
        """Write the files that other programs need; none where ids say it all."""
        ...


class ByteTokenizer:
    """Every byte of UTF-8 is a token."""

    vocab_size = 256

    def encode(self, texts: Sequence[str]) -> Ids:
        """As `Tokenizer.encode`; a line end stands between two texts."""
        return np.frombuffer("\n".join(texts).encode(), dtype=np.uint8).astype(np.int32)

    def save(self, directory: Path) -> None:
        """Nothing to write."""


class SubwordTokenizer:
    """A tokenizer in the format of Hugging Face's ``tokenizers``; what its file says of cutting and filling up texts
    is for inputs of a model, and left out here.
    """

    def __init__(self, library: Library) -> None:
        library.no_truncation()
        library.no_padding()
        self._library = library

    @staticmethod
    def read(source: Path) -> SubwordTokenizer:
        """From a tokenizer.json or a folder with one; InputError where there is none."""
        from tokenizers import Tokenizer as Library

        file = source / "tokenizer.json" if source.is_dir() else source
        if not file.is_file():
            raise InputError(f"no tokenizer at {source}: expected a tokenizer.json or a folder that holds one")
        try:
            return SubwordTokenizer(Library.from_file(str(file)))
        except Exception as error:  # the library raises no narrower one
            raise InputError(f"{file} is not a tokenizer.json of Hugging Face's tokenizers: {error}") from error

    @staticmethod
    def train(texts: Sequence[str], vocab_size: int) -> SubwordTokenizer:
        """Byte-level byte-pair encoding (Sennrich et al., 2016) of at most `vocab_size` tokens; less text has fewer."""
        from tokenizers import Tokenizer as Library
        from tokenizers import decoders, models, pre_tokenizers, trainers

        if vocab_size < SMALLEST:
            raise InputError(f"a trained tokenizer needs at least {SMALLEST} tokens, got {vocab_size}; byte has 256")
        library = Library(models.BPE())
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        library.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        )
        library.train_from_iterator((line for text in texts for line in text.splitlines(keepends=True)), trainer)
        return SubwordTokenizer(library)

    @property
    def vocab_size(self) -> int:
        """Number of ids, those of added tokens included."""
        return max(self._library.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @property
    def begin(self) -> tuple[int, ...]:
        """What the file has put before a text, for models that were trained to see it; not what it puts behind."""
        encoding = self._library.encode("a")
        mask = encoding.special_tokens_mask
        return tuple(encoding.ids[: mask.index(0)]) if 0 in mask else ()

    def ids(self, text: str) -> list[int]:
        """`text` without special tokens at either end."""
        return self._library.encode(text, add_special_tokens=False).ids

    def encode(self, texts: Sequence[str]) -> Ids:
        """As `Tokenizer.encode`, without special tokens but for the end of a text after each, where that is known."""
        end = self._library.token_to_id(END)
        found: list[int] = []
        for encoding in self._library.encode_batch(list(texts), add_special_tokens=False):
            found += encoding.ids
            if end is not None:
                found.append(end)
        return np.asarray(found, dtype=np.int32)

    def save(self, directory: Path) -> None:
        """tokenizer.json, whole or not at all; OSError where the disk does not take it."""
        target = directory / "tokenizer.json"
        aside = target.with_name(f".{target.name}.new")
        try:
            aside.write_text(self._library.to_str(pretty=True), encoding="utf-8")  # its own `save` names no error
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def tokenizer_named(spec: str, texts: Sequence[str]) -> Tokenizer:
    """``byte``, ``train:4096`` (trained on `texts`), or the path of a tokenizer; InputError for anything else."""
    if spec == "byte":
        return ByteTokenizer()
    if match := re.fullmatch(r"train:(\d+)", spec):
        return SubwordTokenizer.train(texts, int(match[1]))
    return SubwordTokenizer.read(Path(spec).expanduser())
