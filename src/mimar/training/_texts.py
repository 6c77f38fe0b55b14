"""Text to train on: plain files, JSON lines, data sets of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from mimar.errors import InputError, MissingDependencyError
from mimar.formats import read_text, require_characters

HUB = "hf:"
"""Before the id of a hub data set; ``#split`` may follow it."""

SOUGHT = 'a text file, .jsonl with a field "text", either of them gzipped, or hf:ID#SPLIT'


def read_texts(sources: Sequence[str], split: str = "train") -> list[str]:
    """The texts of all sources, in order: one of a plain file, one of each line of JSON, one of each row.

    split: of hub data sets that name none. InputError says what is wrong with a source: missing, empty, not text.
    """
    texts = [text for source in sources for text in _texts(source, split)]
    if not any(text.strip() for text in texts):
        raise InputError(f"expected text to train on, got nothing but white space in {', '.join(sources) or 'no file'}")
    return texts


def _texts(source: str, split: str) -> Iterator[str]:
    if source.startswith(HUB):
        yield from _rows(source.removeprefix(HUB), split)
        return
    path = Path(source).expanduser()
    text = read_text(path, SOUGHT)
    if not text.strip():
        raise InputError(f"{path} is empty: give a file with text")
    if ".jsonl" in path.suffixes[-2:]:
        yield from _lines(text, path)
    else:
        yield text


def _lines(text: str, path: Path) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _field(json.loads(line))
        except (ValueError, RecursionError, InputError) as error:
            raise InputError(f'{path}, line {number}: expected an object with "text", got {error}') from error


def _rows(name: str, split: str) -> Iterator[str]:
    """Rows of a data set, by its hub id or the path of one on this machine."""
    name, _, wanted = name.partition("#")
    try:
        from datasets import load_dataset  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError("data sets of the hub need a package: pip install 'mimar[data]'") from error
    try:
        rows = load_dataset(name, split=wanted or split)
    except Exception as error:  # the library raises many kinds
        raise InputError(f"the data set {name} did not load: {error}") from error
    for row in rows:
        yield _field(row)


def _field(row: object) -> str:
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise InputError(f'{type(row).__name__} without a text in its field "text"')
    require_characters(text)
    return text
