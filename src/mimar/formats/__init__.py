"""Weights and tokenizers in files that others wrote."""

from mimar.formats._gguf import GGUFFile, GGUFTensor, read_gguf
from mimar.formats._gguf_names import from_neighbours, gguf_name, to_neighbours
from mimar.formats._gguf_tokenizer import TEXT_SPLITS, gguf_tokenizer, save_gguf_tokenizer
from mimar.formats._llama_cpp import Speed, has_llama_cpp, measured_speeds, require_llama_cpp, text_loss
from mimar.formats._notices import LICENCE_KEYS, NOTICES, notices_in, stated_licence
from mimar.formats._text import read_text, require_characters

__all__ = [
    "LICENCE_KEYS",
    "NOTICES",
    "TEXT_SPLITS",
    "GGUFFile",
    "GGUFTensor",
    "Speed",
    "from_neighbours",
    "gguf_name",
    "gguf_tokenizer",
    "has_llama_cpp",
    "measured_speeds",
    "notices_in",
    "read_gguf",
    "read_text",
    "require_characters",
    "require_llama_cpp",
    "save_gguf_tokenizer",
    "stated_licence",
    "text_loss",
    "to_neighbours",
]
