"""Parents: read from folders and GGUF files, and run without a module."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tests.elastic.conftest import MODELS, made
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from mimar.elastic import load_parent
from mimar.elastic._forward import logits, rotary, run_layer
from mimar.elastic._load import config_of_gguf
from mimar.errors import InputError
from mimar.export import export_gguf
from mimar.formats import read_gguf
from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer


def run(parent, ids):
    stream, turn = F.embedding(ids, parent.embedding), rotary(parent.facts, parent.config, ids.shape[1])
    for layer in parent.layers:
        stream = run_layer(layer, stream, turn, parent.facts)
    return logits(parent, stream)


@pytest.mark.parametrize("name", MODELS)
def test_gives_the_logits_of_transformers(name, tmp_path, ids):
    model = made(name)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(run(load_parent(str(tmp_path)), ids), model(ids).logits, rtol=1e-4, atol=1e-4)


def test_reads_a_checkpoint_in_several_files(tmp_path, ids):
    model = made("llama")
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    torch.testing.assert_close(run(load_parent(str(tmp_path)), ids), model(ids).logits, rtol=1e-4, atol=1e-4)
    next(iter(tmp_path.glob("*00002*"))).unlink()
    with pytest.raises(InputError, match="can be read"):
        load_parent(str(tmp_path))


def _changed(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "gpt2"}, "expected a model of the LLaMA family"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu"}, "expected the activation silu"),
        ({"num_key_value_heads": 4}, "must be divisible by num_key_value_heads, got 6 and 4"),
        ({"hidden_size": "wide"}, "hidden_size of the model must be a whole number of at least 1, got 'wide'"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "windows of some layers only"),
        ({"intermediate_size": 192}, "expected model.layers.0.mlp.gate_proj.weight of"),
        ({"num_hidden_layers": 4}, "the checkpoint has no model.layers.3"),
        ({"vocab_size": 102}, "expected model.embed_tokens.weight of"),
        ({"quantization_config": {"quant_method": "fp8"}}, "weights are rounded"),
        ({"rms_norm_eps": None, "rope_theta": "far", "rope_parameters": None}, "rope_theta of the model must be a num"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps of the model must be a number above 0, got 'small'"),
        ({"rope_parameters": ["default"]}, "rope_parameters of the model must be an object"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "rope_type of the model must be one of default, linear"),
        ({"model_type": "mistral", "sliding_window": "wide"}, "sliding_window of the model must be a number of tokens"),
    ],
)
def test_what_does_not_fit_is_a_sentence(settings, message, tmp_path):
    made("llama").save_pretrained(tmp_path)
    _changed(tmp_path, **settings)
    with pytest.raises(InputError, match=message):
        load_parent(str(tmp_path))


def test_damaged_weights_are_a_sentence(tmp_path):
    model = made("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"model.layers.1.mlp.up_proj.weight holds values that are no finite"):
        load_parent(str(tmp_path))
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="can be read"):
        load_parent(str(tmp_path))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("null", "its index has no weight_map"),
        ('{"weight_map": ["a"]}', "its index has no weight_map"),
        ('{"weight_map": {"a": "../others/model.safetensors"}}', "which is no file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "which is no file beside it"),
        ('{"weight_map": {"a": 7}}', "which is no file beside it"),
        ("[" * 100_000, "no model of transformers that can be read"),
    ],
)
def test_an_index_names_files_beside_it_alone(index, message, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=message):
        load_parent(str(tmp_path))


@pytest.mark.parametrize("config", ["null", "[]", '"llama"', "7"])
def test_a_configuration_that_is_no_object_is_a_sentence(config, tmp_path):
    made("llama").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InputError, match="expected a model of the LLaMA family"):
        load_parent(str(tmp_path))


def test_no_model_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no model at nowhere"):
        load_parent("nowhere")
    with pytest.raises(InputError, match="no model of transformers"):
        load_parent(str(tmp_path))
    (tmp_path / "model.gguf").write_bytes(b"GGUX")
    with pytest.raises(InputError, match="no GGUF file"):
        load_parent(str(tmp_path / "model.gguf"))


def test_a_gguf_file_has_the_weights_that_were_written(tmp_path, ids):
    """llama.cpp turns other pairs of features than transformers does: that is undone."""
    block = Block(Mixer("attention", 6, 3, 16), FeedForward("swiglu", 128, "silu"))
    arch = Architecture(192, (block,) * 2, vocab_size=101, context_length=64, tied_embeddings=False)
    model = build(arch, generator=torch.Generator().manual_seed(0))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    export_gguf(arch, tmp_path / "out", quantization="F32", weights=tmp_path / "model.safetensors")
    parent = load_parent(str(tmp_path / "out" / "model-F32.gguf"))
    assert (parent.arch, parent.head is None) == (arch, False)
    torch.testing.assert_close(run(parent, ids), model(ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", ["tensor", "key"])
def test_scaled_angles_are_not_read_from_gguf(where, default_model):
    """They would be left out without a word: the converter of llama.cpp puts those of Llama 3.1 into a tensor."""
    file = read_gguf(default_model)
    if where == "tensor":
        file = replace(file, tensors={**file.tensors, "rope_freqs.weight": file.tensors["output_norm.weight"]})
    else:
        file = replace(file, keys={**file.keys, "llama.rope.scaling.type": "yarn"})
    with pytest.raises(InputError, match=r"scaled angles.*give the folder of transformers"):
        config_of_gguf(file)


@pytest.mark.slow
def test_a_real_gguf_file_has_the_weights_that_transformers_reads(default_model):
    pytest.importorskip("accelerate")
    theirs = AutoModelForCausalLM.from_pretrained(default_model.parent, gguf_file=default_model.name, dtype="float32")
    parent = load_parent(str(default_model))
    state = theirs.state_dict()
    for number, layer in enumerate(parent.layers):
        start = f"model.layers.{number}."
        for part in ("query", "key", "value", "output"):
            assert torch.equal(getattr(layer.attention, part), state[f"{start}self_attn.{part[0]}_proj.weight"])
        for part in ("gate", "up", "down"):
            assert torch.equal(getattr(layer.mlp, part), state[f"{start}mlp.{part}_proj.weight"])
    ids = torch.arange(1000, 1032)[None]
    torch.testing.assert_close(run(parent, ids), theirs(ids).logits, rtol=1e-3, atol=1e-3)
