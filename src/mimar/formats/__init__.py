"""Weights and tokenizers in files that others wrote."""

from mimar.formats._gguf import GGUFFile, GGUFTensor, read_gguf
from mimar.formats._gguf_names import from_neighbours, gguf_name, to_neighbours
from mimar.formats._gguf_tokenizer import gguf_tokenizer, save_gguf_tokenizer

__all__ = [
    "GGUFFile",
    "GGUFTensor",
    "from_neighbours",
    "gguf_name",
    "gguf_tokenizer",
    "read_gguf",
    "save_gguf_tokenizer",
    "to_neighbours",
]
