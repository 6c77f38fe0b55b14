"""The tokenizer inside a GGUF file, as one of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mimar.errors import InputError
from mimar.formats._gguf import GGUFFile

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

CONTROL: Final = 3
USER: Final = 4
"""Kinds of tokens that are found before text is cut, as `gguf.TokenType` has them."""

_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT_SPLITS: Final[Mapping[str, str | None]] = {
    "gpt-2": None,
    "smollm": r"\p{N}",
    "llama-bpe": _WORDS % r"\p{N}{1,3}",
    "llama3": _WORDS % r"\p{N}{1,3}",
    "qwen2": _WORDS % r"\p{N}",
}
"""llama.cpp's name for how text is cut → the expression that cuts it before, or instead of, that of GPT-2."""


def gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """Byte-level BPE with the tokens, merges and cuts of `file`. InputError: it has another kind of tokenizer, or what
    says it makes no sense.
    """
    kind, split = (file.keys.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if not (isinstance(kind, str) and isinstance(split, str)) or kind != "gpt2" or split not in TEXT_SPLITS:
        raise InputError(
            f"the tokenizer of {file.path} ({kind}, {split}) cannot be read: expected gpt2 with "
            f"{', '.join(TEXT_SPLITS)}; give the tokenizer.json of its model"
        )
    try:
        return _tokenizer(file, split)
    except Exception as error:  # the library raises no narrower one
        raise InputError(f"{file.path} is damaged: its tokenizer makes no sense ({error})") from error


def _tokenizer(file: GGUFFile, split: str) -> Tokenizer:
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import BPE

    tokens: Sequence[str] = file.keys["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ", 1)) for pair in file.keys["tokenizer.ggml.merges"]]
    found = Tokenizer(BPE({token: number for number, token in enumerate(tokens)}, merges, ignore_merges=_whole(split)))
    found.pre_tokenizer = _cuts(split)
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens(_marked(file, CONTROL))
    found.add_tokens(_marked(file, USER))
    begin: int | None = file.keys.get("tokenizer.ggml.bos_token_id")
    if begin is not None and file.keys.get("tokenizer.ggml.add_bos_token", _whole(split)):
        found.post_processor = _begins(tokens[begin], begin)
    return found


def save_gguf_tokenizer(file: GGUFFile, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, with the special tokens and the chat template of `file`."""
    text = gguf_tokenizer(file).to_str(pretty=True)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")  # the library's `save` names no error
    tokens: Sequence[str] = file.keys["tokenizer.ggml.tokens"]
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        number = file.keys.get(f"tokenizer.ggml.{theirs}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            settings[f"{name}_token"] = tokens[number]
    if isinstance(template := file.keys.get("tokenizer.chat_template"), str):
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _whole(split: str) -> bool:
    """Whether a word that is a token stays whole, whatever the merges say: so in the family of LLaMA 3, whose texts
    also begin with a token of their own, unless the file says otherwise.
    """
    return split in ("llama-bpe", "llama3")


def _begins(token: str, number: int) -> Any:
    """Puts `token` before every text."""
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, number)])


def _cuts(split: str) -> Any:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

    if split == "gpt-2":
        return ByteLevel(add_prefix_space=False)
    if split == "smollm":
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    expression = TEXT_SPLITS[split] or ""
    return Sequence([Split(Regex(expression), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


def _marked(file: GGUFFile, kind: int) -> list[AddedToken]:
    from tokenizers import AddedToken

    kinds = file.keys.get("tokenizer.ggml.token_type", ())
    found = [token for token, each in zip(file.keys["tokenizer.ggml.tokens"], kinds, strict=False) if each == kind]
    return [AddedToken(token, special=kind == CONTROL, normalized=False) for token in found]
