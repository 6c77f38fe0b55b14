"""A user's tokenizer: is it one, does it fit, its files, and what lies beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mimar.errors import InputError
from mimar.formats import notices_in
from mimar.training import END

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)


def read_tokenizer(source: Path, vocab_size: int) -> dict[str, int]:
    """``bos_token_id``, ``eos_token_id``, ``pad_token_id`` of the tokenizer.json at or in `source`, as far as named; an
    end that is not named is the one that `mimar train` puts between texts, if there is such a token.

    `InputError`: there is no tokenizer, or it has more than `vocab_size` tokens.
    """
    from tokenizers import Tokenizer

    file = tokenizer_file(source)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no narrower one
        raise InputError(f"expected a tokenizer in the format of Hugging Face, got {file}: {error}") from error
    needed = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    if needed > vocab_size:
        raise InputError(
            f"expected a tokenizer of at most {vocab_size} tokens, as the architecture has, got {needed} in {file}; "
            f"give a vocabulary of at least {needed}, or another tokenizer"
        )
    names = {f"{name}_token_id": _token(_settings(file).get(f"{name}_token")) for name in ("bos", "eos", "pad")}
    names["eos_token_id"] = names["eos_token_id"] or END
    ids = {name: tokenizer.token_to_id(token) for name, token in names.items() if token is not None}
    return {name: number for name, number in ids.items() if number is not None}


def copy_tokenizer(source: Path, directory: Path) -> None:
    """Copy the tokenizer's files; without a configuration of its own it gets the plainest one that loads. Code that its
    configuration names (``auto_map``) stays behind: whoever trusts ours has not said that they trust that.
    """
    home = tokenizer_file(source).parent
    for name in _FILES if source.is_dir() else ("tokenizer.json",):
        if name == "tokenizer.json":
            shutil.copyfile(tokenizer_file(source), directory / name)
        elif (home / name).is_file():
            shutil.copyfile(home / name, directory / name)
    config = directory / "tokenizer_config.json"
    settings = _settings(config) if config.exists() else _plainest(tokenizer_file(source))
    if not config.exists() or settings.pop("auto_map", None) is not None:
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _plainest(file: Path) -> dict[str, Any]:
    from tokenizers import Tokenizer

    ends = Tokenizer.from_file(str(file)).token_to_id(END) is not None
    return {"tokenizer_class": "PreTrainedTokenizerFast", **({"eos_token": END} if ends else {})}


def accompany(directory: Path, source: Path, card: str) -> None:
    """Into `directory` the tokenizer of the parent's folder `source`, its licence texts and notices, and `card` as
    README.md, where there is one.
    """
    copy_tokenizer(source, directory)
    for path in notices_in(source):
        shutil.copyfile(path, directory / path.name)
    if card:
        (directory / "README.md").write_text(card, encoding="utf-8")


def chat_template(source: Path) -> str | None:
    """How the tokenizer.json at or in `source` writes a dialogue, in Jinja; the default where there are several."""
    file = tokenizer_file(source)
    beside = file.with_name("chat_template.jinja")
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    found = _settings(file).get("chat_template")
    if isinstance(found, list):
        named = (each for each in found if isinstance(each, dict) and each.get("name") == "default")
        found = next(named, {}).get("template")
    return found if isinstance(found, str) else None


def tokenizer_file(source: Path) -> Path:
    """The tokenizer.json at or in `source`; InputError where there is none."""
    file = source / "tokenizer.json" if source.is_dir() else source
    if not file.is_file():
        raise InputError(f"expected a tokenizer.json or a directory with one, got {source}; save the tokenizer first")
    return file


def _settings(file: Path) -> dict[str, Any]:
    """tokenizer_config.json beside `file`; nothing when there is none."""
    beside = file.with_name("tokenizer_config.json")
    if not beside.is_file():
        return {}
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {beside}, got: {error}") from error
    return found if isinstance(found, dict) else {}


def _token(value: Any) -> str | None:
    """A special token, which a configuration writes as text or as an object with its ``content``."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None
