"""The vocabulary of a GGUF file, from a tokenizer of Hugging Face or from nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import ascii_letters
from typing import TYPE_CHECKING, Any, Final

from mimar.errors import InputError
from mimar.export._tokenizer import chat_template, copy_tokenizer, read_tokenizer, tokenizer_file
from mimar.formats import TEXT_SPLITS
from mimar.training import SubwordTokenizer

if TYPE_CHECKING:
    import gguf

NORMAL: Final = 1
CONTROL: Final = 3
USER: Final = 4
UNUSED: Final = 5
"""Kinds of tokens, as `gguf.TokenType` has them."""

SPLITS: Final = {("ByteLevel",): "gpt-2", ("Digits", "ByteLevel"): "smollm"}
"""How text is cut before merging, by the tokenizer's parts → llama.cpp's name for it. Others are known by their
expression, `TEXT_SPLITS`."""

MERGES_IGNORED: Final = "llama-bpe"
"""The one way of cutting by which llama.cpp leaves words whole that are tokens."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, with their kinds; merges in their order; split: how text is cut before; ends: ids of the begin and
    the end of a text, which llama.cpp would take to be 11 if nothing were said. begins: whether every text is given the
    first of these. template: how a dialogue is written, in Jinja.

    source: where the tokenizer's own files are, if any.
    """

    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    split: str
    ends: tuple[int, int]
    source: Path | None
    begins: bool = False
    template: str | None = None

    @staticmethod
    def of(source: Path | None, size: int) -> Vocabulary:
        """Of a tokenizer.json or a folder with one; None: the bytes. Ids up to `size` that are left over are unused.

        InputError: the tokenizer is not byte-level BPE, or too large.
        """
        if source is None:
            return _bytes(size)
        special = read_tokenizer(source, size)
        data = _whole(source)
        split, model = _split(data["pre_tokenizer"]), data["model"]
        if model["type"] != "BPE" or split is None or not _is_known(data, split):
            raise InputError(
                f"expected a byte-level BPE tokenizer for GGUF, as Llama 3, Qwen2, SmolLM and GPT-2 have it and mimar "
                f"train makes it with train:N, got {source}"
            )
        tokens, kinds = _unused(size)
        for token, number in model["vocab"].items():
            tokens[number], kinds[number] = token, NORMAL
        for added in data.get("added_tokens", ()):
            tokens[added["id"]], kinds[added["id"]] = added["content"], CONTROL if added["special"] else USER
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        end = special.get("eos_token_id", _nowhere(kinds))
        begin = _begin(source)
        ends = special.get("bos_token_id", end) if begin is None else begin, end
        begins, template = begin is not None, chat_template(source)
        return Vocabulary(tuple(tokens), tuple(kinds), _some(merges), split, ends, source, begins, template)

    @property
    def letter(self) -> int:
        """The id of a token that is a letter, 0 where there is none."""
        return next((number for number, token in enumerate(self.tokens) if token in {*ascii_letters}), 0)

    def write(self, writer: gguf.GGUFWriter) -> None:
        """The keys of a file."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.split)
        writer.add_token_list(list(self.tokens))
        writer.add_token_types(list(self.kinds))
        writer.add_token_merges(list(self.merges))
        writer.add_add_bos_token(self.begins)
        begin, end = self.ends
        writer.add_bos_token_id(begin)
        writer.add_eos_token_id(end)
        if self.template is not None:
            writer.add_chat_template(self.template)

    def copy(self, directory: Path) -> None:
        """The tokenizer's own files, where there is one."""
        if self.source is not None:
            copy_tokenizer(self.source, directory)


def _bytes(size: int) -> Vocabulary:
    """Every byte is a token of its own."""
    tokens, kinds = _unused(size)
    for byte, letter in list(enumerate(byte_letters()))[:size]:
        tokens[byte], kinds[byte] = letter, NORMAL
    return Vocabulary(tuple(tokens), tuple(kinds), _some(()), "gpt-2", (_nowhere(kinds), _nowhere(kinds)), None)


def _unused(size: int) -> tuple[list[str], list[int]]:
    return [f"<unused {number}>" for number in range(size)], [UNUSED] * size


def _nowhere(kinds: Sequence[int]) -> int:
    """An id that no text has, for the end of a text that has none: an unused one, else the byte 0."""
    return kinds.index(UNUSED) if UNUSED in kinds else 0


def _whole(source: Path) -> Mapping[str, Any]:
    """The tokenizer with every setting written out, whichever version wrote the file."""
    from tokenizers import Tokenizer

    return json.loads(Tokenizer.from_file(str(tokenizer_file(source))).to_str())


def _begin(source: Path) -> int | None:
    """The token that the tokenizer puts before every text; None where there is none, or more than one."""
    ids = SubwordTokenizer.read(tokenizer_file(source)).begin
    return ids[0] if len(ids) == 1 else None


def _split(pre_tokenizer: Mapping[str, Any] | None) -> str | None:
    """llama.cpp's name for how text is cut; None where it has none."""
    if (named := SPLITS.get(_parts(pre_tokenizer))) or pre_tokenizer is None:
        return named
    match pre_tokenizer.get("pretokenizers"):
        case [
            {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return next((name for name, each in TEXT_SPLITS.items() if each == expression), None)
        case _:
            return None


def _is_known(data: Mapping[str, Any], split: str) -> bool:
    """Whether llama.cpp does the rest alike: of Qwen2 it leaves out the composing of accents, as all files of it do."""
    normalizer = data["normalizer"]
    composes = normalizer is not None and normalizer["type"] == "NFC" and split == "qwen2"
    return data["model"]["ignore_merges"] == (split == MERGES_IGNORED) and (normalizer is None or composes)


def _some(merges: Sequence[str]) -> tuple[str, ...]:
    """llama.cpp wants at least one merge; what two bytes of 0 would merge to is no token and falls apart again."""
    nothing = byte_letters()[0]
    return tuple(merges) or (f"{nothing} {nothing}",)


def _parts(pre_tokenizer: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of the steps that cut text; of one that cuts digits in groups or differently, another name."""
    if pre_tokenizer is None:
        return ()
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return tuple(step["type"] if _is_plain(step) else f"other {step['type']}" for step in steps)


def _is_plain(step: Mapping[str, Any]) -> bool:
    wanted = {"ByteLevel": {"add_prefix_space": False, "use_regex": True}, "Digits": {"individual_digits": True}}
    return all(step.get(key) == value for key, value in wanted.get(step["type"], {}).items())


@lru_cache(maxsize=1)
def byte_letters() -> tuple[str, ...]:
    """The printable letter that stands for each byte in byte-level BPE (Radford et al., GPT-2, 2019)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return tuple(chr(byte) if byte in printable else chr(next(others)) for byte in range(256))
