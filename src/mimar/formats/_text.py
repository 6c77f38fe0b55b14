"""Text files that others wrote."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from mimar.errors import InputError


def read_text(path: Path, sought: str) -> str:
    """All of a file in UTF-8, gzipped where its name ends in ``.gz``, without a byte order mark.

    sought: what was expected, for the sentence of the InputError: no such file, not text, not to be read.
    """
    if not path.exists():
        raise InputError(f"no such file: {path}; expected {sought}")
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 (byte {error.start}); expected {sought}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if "\0" in text:
        raise InputError(f"{path} holds binary data; expected {sought}")
    return text


def require_characters(text: str) -> None:
    """InputError where half of a character is in `text`, as JSON can hold it: no tokenizer takes it."""
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InputError("half of a character, a lone surrogate, in its text")
