"""Tokenizers of GGUF files: the tokens that llama.cpp reads."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from tokenizers import Tokenizer

from mimar.errors import InputError
from mimar.export import _gguf
from mimar.export._gguf_vocabulary import Vocabulary
from mimar.formats import gguf_tokenizer, read_gguf, save_gguf_tokenizer
from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.training import tokenizer_named

TEXT = (
    "def f(x):\n\treturn x + 12345  # \u00e7a va? \u4f60\u597d, \u043c\u0438\u0440!\r\n\n  \u201cIt's\u201d HELLO I'LL "
    "1,234.5 \U0001f600\n\n\nIn 1879, Mr. O'Neil (aged 42) wrote:   that's   it."
)


ASK = """
import json, os, sys, urllib.request
from pathlib import Path
from mimar.llm import start_server

server = start_server(Path(sys.argv[1]), context=64, threads=1)
body = json.dumps({"content": sys.argv[2], "add_special": False, "parse_special": True}).encode()
request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"content-type": "application/json"})
with urllib.request.urlopen(request, timeout=60) as reply:
    print(reply.read().decode(), flush=True)
os._exit(0)
"""
"""In a process of its own, which ends at once: a server that is closed while a connection is open may wait for ever."""


def tokens_of(path, text):
    """By llama.cpp, over the address that its server chose."""
    done = subprocess.run([sys.executable, "-c", ASK, str(path), text], capture_output=True, check=True, timeout=120)
    return json.loads(done.stdout)["tokens"]


def test_reads_the_tokens_of_llama_cpp(default_model):
    tokenizer = gguf_tokenizer(read_gguf(default_model))
    for text in (TEXT, f"<|im_start|>user\n{TEXT}<|im_end|>\n"):
        found = tokenizer.encode(text).ids
        assert found == tokens_of(default_model, text)
        assert tokenizer.decode(found, skip_special_tokens=False) == text


BLOCK = Block(Mixer("attention", 4, 2, 16), FeedForward("swiglu", 192, "silu"))
ARCH = Architecture(64, (BLOCK,) * 2, vocab_size=400, context_length=128)


def written(folder, split):
    """A GGUF file with a tokenizer that is trained here, whose text is cut as `split` says; and that tokenizer."""
    tokenizer_named("train:400", ["The year 1984 was long; it's na\u00efve to say so. " * 40]).save(folder)
    vocabulary = replace(Vocabulary.of(folder, 400), split=split)
    path = folder / "model.gguf"
    _gguf._write(_gguf._Plan(ARCH, vocabulary, "F16"), build(ARCH).state_dict(), path)
    return path, Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_gives_back_the_tokenizer_that_was_written(tmp_path):
    path, tokenizer = written(tmp_path, "gpt-2")
    assert gguf_tokenizer(read_gguf(path)).encode(TEXT).ids == tokenizer.encode(TEXT).ids


@pytest.mark.parametrize("split", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_cuts_text_as_llama_cpp_does(split, tmp_path):
    path, _ = written(tmp_path, split)
    assert gguf_tokenizer(read_gguf(path)).encode(TEXT).ids == tokens_of(path, TEXT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("merges", None),
        ("merges", ["nospace"]),
        ("merges", 3),
        ("tokens", None),
        ("tokens", 7),
        ("bos_token_id", 10**9),
    ],
)
def test_a_damaged_tokenizer_is_a_sentence(tmp_path, key, value):
    path, _ = written(tmp_path, "gpt-2")
    file = read_gguf(path)
    keys = {**file.keys, "tokenizer.ggml.add_bos_token": True, f"tokenizer.ggml.{key}": value}
    if value is None:
        del keys[f"tokenizer.ggml.{key}"]
    with pytest.raises(InputError, match=r"model\.gguf is damaged: its tokenizer makes no sense"):
        gguf_tokenizer(replace(file, keys=keys))


@pytest.mark.parametrize("number", [-1, -(10**6), 10**6, "3"])
def test_a_special_token_that_is_none_is_left_out(tmp_path, number):
    path, _ = written(tmp_path, "gpt-2")
    file = read_gguf(path)
    save_gguf_tokenizer(replace(file, keys={**file.keys, "tokenizer.ggml.eos_token_id": number}), tmp_path)
    assert "eos_token" not in json.loads((tmp_path / "tokenizer_config.json").read_text())


@pytest.mark.parametrize(
    ("key", "value"),
    [("tokenizer.ggml.model", "llama"), ("tokenizer.ggml.pre", "viking"), ("tokenizer.ggml.pre", [1, 2])],
)
def test_another_kind_is_a_sentence(tmp_path, key, value):
    path, _ = written(tmp_path, "gpt-2")
    file = read_gguf(path)
    with pytest.raises(InputError, match=r"cannot be read: expected gpt2 with gpt-2, smollm.*give the tokenizer.json"):
        gguf_tokenizer(replace(file, keys={**file.keys, key: value}))
