"""Weights and tokenizers in files that others wrote."""

from mimar.formats._gguf import GGUFFile, GGUFTensor, read_gguf
from mimar.formats._gguf_names import from_neighbours, gguf_name, to_neighbours
from mimar.formats._gguf_tokenizer import TEXT_SPLITS, gguf_tokenizer, save_gguf_tokenizer
from mimar.formats._llama_cpp import Speed, has_llama_cpp, measured_speeds, text_loss

__all__ = [
    "TEXT_SPLITS",
    "GGUFFile",
    "GGUFTensor",
    "Speed",
    "from_neighbours",
    "gguf_name",
    "gguf_tokenizer",
    "has_llama_cpp",
    "measured_speeds",
    "read_gguf",
    "save_gguf_tokenizer",
    "text_loss",
    "to_neighbours",
]
