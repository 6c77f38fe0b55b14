"""The model that is shrunk, wherever it comes from, with its tokenizer."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mimar.errors import InputError
from mimar.formats import notices_in, read_gguf, save_gguf_tokenizer, stated_licence
from mimar.tasks import Encode
from mimar.training import SubwordTokenizer

if TYPE_CHECKING:
    from mimar.elastic import Parent

SAMPLED = 4096
"""Weights of each matrix that make up its fingerprint."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A pretrained model. tokenizer: a folder with its tokenizer.json, its licence texts and notices. begin: tokens
    that every text begins with. licence: as `stated_licence` finds it.
    """

    parent: Parent
    tokenizer: Path
    begin: tuple[int, ...]
    licence: Mapping[str, str]

    @property
    def reader(self) -> SubwordTokenizer:
        """Text → tokens."""
        return SubwordTokenizer.read(self.tokenizer)

    @cached_property
    def encode(self) -> Encode:
        """Text → tokens, with those that every text begins with."""
        reader = self.reader
        return lambda text: [*self.begin, *reader.ids(text)]

    @property
    def notices(self) -> tuple[str, ...]:
        """Names of the files that go along with it."""
        return tuple(path.name for path in notices_in(self.tokenizer))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over some weights of each matrix, by which another model of the same name is noticed."""
        from mimar.elastic import state_dict

        digest = hashlib.sha256()
        for name, weight in sorted(state_dict(self.parent).items()):
            flat = weight.flatten()
            digest.update(name.encode())
            digest.update(flat[:: max(1, flat.numel() // SAMPLED)].contiguous().numpy().tobytes())
        return digest.hexdigest()


def open_model(source: str, scratch: Path) -> Opened:
    """A hub id, a folder of transformers or a GGUF file. scratch: a folder for what has to be unpacked.

    InputError: there is no model of the family, its files are damaged, or its tokenizer does not fit.
    """
    from mimar.elastic import load_parent, local_files

    path = local_files(source)
    parent = load_parent(str(path))
    if path.is_file():
        save_gguf_tokenizer(read_gguf(path), scratch)
        if (beside := path.with_suffix(".LICENSE")).is_file():
            shutil.copyfile(beside, scratch / "LICENSE")
    tokenizer = scratch if path.is_file() else path
    reader = SubwordTokenizer.read(tokenizer)
    _require_fitting(parent, reader.vocab_size, tokenizer)
    return Opened(parent, tokenizer, reader.begin, stated_licence(path))


def _require_fitting(parent: Parent, size: int, tokenizer: Path) -> None:
    if size > parent.arch.vocab_size:
        raise InputError(
            f"the tokenizer in {tokenizer} has {size} tokens and the model only {parent.arch.vocab_size}: it belongs "
            "to another model"
        )
