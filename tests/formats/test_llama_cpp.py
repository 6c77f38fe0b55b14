"""llama.cpp as a judge of files: the loss of a text is that of the model, and speeds are there."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mimar.elastic import load_parent, text_loss
from mimar.errors import InputError
from mimar.export import export_shrunk_gguf
from mimar.formats import measured_speeds
from mimar.formats import text_loss as llama_cpp_loss
from mimar.training import tokenizer_named

WORDS = "The year 1984 was long. It's naïve – isn't it?\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model and its file."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 6}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=300, max_position_embeddings=1024, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer = tokenizer_named("train:300", [WORDS * 40])
    tokenizer.save(folder)
    parent = load_parent(str(folder))
    done = export_shrunk_gguf(parent, folder / "gguf", folder, quantization="F32")
    return parent, done.path / "model-F32.gguf", torch.from_numpy(tokenizer.encode([WORDS])[None]).long()


def test_the_loss_of_a_text_is_that_of_the_model(exported):
    """Half characters and the end of a text are in it."""
    parent, file, ids = exported
    assert llama_cpp_loss(file, ids.tolist()) == pytest.approx(text_loss(parent, ids), rel=2e-3)
    turned = ids.flip(1)
    assert llama_cpp_loss(file, turned.tolist()) == pytest.approx(text_loss(parent, turned), rel=2e-3)


def test_files_take_turns(exported):
    _, file, _ = exported
    speeds = measured_speeds([file, file], prompt_tokens=512, tokens=8, rounds=3)
    assert len(speeds) == 2
    assert all(each.prefill_tokens_per_second > each.decode_tokens_per_second > 0 for each in speeds)


def test_what_is_no_model_is_one_sentence(tmp_path):
    (tmp_path / "none.gguf").write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(InputError, match=r"llama\.cpp cannot run .*none\.gguf"):
        measured_speeds([tmp_path / "none.gguf"], prompt_tokens=4, tokens=4, rounds=1)
