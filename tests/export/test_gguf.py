"""GGUF: llama.cpp computes what the reference computes, and reads text as the tokenizer does."""

import json

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from mimar.errors import ArchitectureError, ExportError, InputError, UnknownNameError
from mimar.export import QUANTIZATIONS, _gguf, export_gguf
from mimar.export._gguf_vocabulary import Vocabulary, byte_letters
from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.training import tokenizer_named

SWIGLU = FeedForward("swiglu", 192, "silu")
GROUPED = Mixer("attention", 4, 2, 16)


def llama(part=SWIGLU, mixer=GROUPED, vocab=300, **settings):
    return Architecture(64, (Block(mixer, part),) * 3, vocab_size=vocab, context_length=128, **settings)


def trained(arch, path):
    """Weights as uneven as trained ones: log-probabilities that differ a lot, norms that are not 1."""
    model = build(arch, generator=torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            factor = 3 if parameter.dim() > 1 else 1
            parameter.mul_(factor).add_(0.2 * torch.rand(parameter.shape, generator=noise) * (parameter.dim() == 1))
    save_file(model.state_dict(), path)
    return path


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_llama_cpp_gives_the_log_probabilities_of_the_rounded_weights(tmp_path, kind):
    arch = llama(tied_embeddings=kind == "F32")
    weights = trained(arch, tmp_path / "model.safetensors")
    result = export_gguf(arch, tmp_path / "out", quantization=kind, weights=weights)
    assert result.files == (f"model-{kind}.gguf", "mimar-export.json")
    apart = float(result.verdicts["llama.cpp"].rpartition(" ")[2])
    assert result.verdicts["llama.cpp"].startswith("ok: log-probabilities of 32 tokens")
    assert apart < (0.1 if kind.startswith("F") else 1.0)


def test_more_bits_take_more_room_and_are_nearer(tmp_path):
    arch = llama(vocab=1024)
    sizes, errors = [], []
    state = build(arch, generator=torch.Generator().manual_seed(0)).state_dict()
    for kind in QUANTIZATIONS:
        plan = _gguf._Plan(arch, Vocabulary.of(None, arch.vocab_size), kind)
        rounded = _gguf._write(plan, state, tmp_path / plan.file)
        sizes.append((tmp_path / plan.file).stat().st_size)
        errors.append(float(sum(((rounded[name] - state[name]) ** 2).sum() for name in state)))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert errors[0] == 0.0


def test_llama_cpp_reads_text_as_the_tokenizer_does(tmp_path):
    text = "The year 1984 was long. It's naïve – isn't it? " * 40
    tokenizer_named("train:300", [text]).save(tmp_path)
    result = export_gguf(llama(), tmp_path / "out", quantization="Q8_0", tokenizer=tmp_path)
    assert "tokenizer.json" in result.files
    fields = gguf.GGUFReader(tmp_path / "out" / "model-Q8_0.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert len(fields["tokenizer.ggml.tokens"].contents()) == 300
    assert json.loads((tmp_path / "out" / "mimar-export.json").read_text())["form"] == "gguf"


def test_a_tokenizer_that_llama_cpp_would_read_differently_is_noticed(tmp_path, monkeypatch):
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    monkeypatch.setattr(Vocabulary, "of", staticmethod(lambda source, size: _shuffled(source, size)))
    with pytest.raises(ExportError, match="as the tokens"):
        export_gguf(llama(), tmp_path / "out", tokenizer=tmp_path)
    assert not (tmp_path / "out").exists()


_of = Vocabulary.of


def _shuffled(source, size):
    found = _of(source, size)
    return Vocabulary(found.tokens[::-1], found.kinds[::-1], found.merges, found.split, {}, source)


def test_wrong_weights_in_the_file_are_noticed(tmp_path, monkeypatch):
    arch = llama()
    weights = trained(arch, tmp_path / "model.safetensors")
    monkeypatch.setattr(_gguf, "_turns", lambda arch, name: ((lambda rows: rows), (lambda rows: rows)))
    with pytest.raises(ExportError, match="same log-probabilities"):
        export_gguf(arch, tmp_path / "out", weights=weights)


@pytest.mark.parametrize(
    "arch",
    [
        llama(FeedForward("geglu", 192, "gelu")),
        llama(mixer=Mixer("sliding_window", 4, 2, 16, window=8)),
        llama(position="alibi"),
        llama(norm="layernorm"),
        llama(FeedForward("moe", 64, "silu", 4, 2)),
    ],
)
def test_what_is_no_llama_is_refused(tmp_path, arch):
    with pytest.raises(ArchitectureError, match="--only llama"):
        export_gguf(arch, tmp_path / "out")


def test_other_types_and_tokenizers_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="Q8_0"):
        export_gguf(llama(), tmp_path / "out", quantization="Q3_K")
    library = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="byte-level BPE"):
        export_gguf(llama(), tmp_path / "out", tokenizer=tmp_path)


def test_bytes_have_the_letters_of_the_library():
    assert sorted(byte_letters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    encoded = Tokenizer(models.BPE({letter: byte for byte, letter in enumerate(byte_letters())}, []))
    encoded.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "aé–\n"
    assert encoded.encode(text).ids == list(np.frombuffer(text.encode(), dtype=np.uint8))
