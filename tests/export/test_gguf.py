"""GGUF: llama.cpp computes what the reference computes, and reads text as the tokenizer does."""

import json
import re
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from mimar.errors import ArchitectureError, ExportError, InputError, UnknownNameError
from mimar.export import QUANTIZATIONS, _gguf, _gguf_writing, export_gguf
from mimar.export._gguf_vocabulary import Vocabulary, byte_letters
from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.training import END, tokenizer_named

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
    found = re.fullmatch(
        r"ok: log-probabilities of 32 tokens differ by (.*)% of their spread", result.verdicts["llama.cpp"]
    )
    assert found is not None
    assert 0.0 <= float(found[1]) < (0.3 if kind.startswith("F") else 3.0)


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
    return replace(found, tokens=found.tokens[::-1], kinds=found.kinds[::-1])


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0"])
def test_wrong_weights_in_the_file_are_noticed(tmp_path, monkeypatch, kind):
    """Those of all layers, which at initial weights change little."""
    name = _gguf_writing.gguf_name
    monkeypatch.setattr(_gguf_writing, "gguf_name", lambda theirs: _swapped(name(theirs)))
    with pytest.raises(ExportError, match="same log-probabilities"):
        export_gguf(llama(), tmp_path / "out", quantization=kind)


def _swapped(name):
    """What opens the feed-forward part and what goes through it, the other way round."""
    return name.replace("ffn_gate", "x").replace("ffn_up", "ffn_gate").replace("x", "ffn_up")


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_rows_in_the_order_of_another_rotation_are_noticed(tmp_path, monkeypatch, kind):
    arch = llama()
    weights = trained(arch, tmp_path / "model.safetensors")
    monkeypatch.setattr(_gguf, "_turned_heads", lambda arch: {})
    with pytest.raises(ExportError, match="same log-probabilities"):
        export_gguf(arch, tmp_path / "out", quantization=kind, weights=weights)


def test_a_text_ends_with_its_own_token_or_one_that_no_text_has(tmp_path):
    """llama.cpp would take the eleventh, a letter, for the end."""
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    of_tokenizer, of_bytes = Vocabulary.of(tmp_path, 310), Vocabulary.of(None, 300)
    assert of_tokenizer.tokens[of_tokenizer.ends[1]] == END
    assert of_bytes.ends == (256, 256)
    assert Vocabulary.of(None, 256).ends == (0, 0)
    export_gguf(llama(), tmp_path / "out")
    fields = gguf.GGUFReader(tmp_path / "out" / "model-F16.gguf").fields
    assert fields["tokenizer.ggml.eos_token_id"].contents() == fields["tokenizer.ggml.bos_token_id"].contents() == 256


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


@pytest.mark.parametrize(
    ("setting", "value"),
    [("normalizer", {"type": "NFC"}), ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True})],
)
def test_tokenizers_that_change_or_cut_text_in_another_way_are_refused(tmp_path, setting, value):
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    defaults = {"trim_offsets": True, "use_regex": True} if setting == "pre_tokenizer" else {}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data | {setting: value | defaults}))
    with pytest.raises(InputError, match="byte-level BPE"):
        export_gguf(llama(), tmp_path / "out", tokenizer=tmp_path)


def test_bytes_have_the_letters_of_the_library():
    assert sorted(byte_letters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    encoded = Tokenizer(models.BPE({letter: byte for byte, letter in enumerate(byte_letters())}, []))
    encoded.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "aé–\n"
    assert encoded.encode(text).ids == list(np.frombuffer(text.encode(), dtype=np.uint8))
