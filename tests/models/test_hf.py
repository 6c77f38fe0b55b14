"""Stock transformers families: the same logits with the same weights, and configurations read back."""

import json
from dataclasses import replace

import pytest
import torch

from mimar.errors import ArchitectureError
from mimar.models import (
    MODEL_CLASSES,
    architecture_from_hf_config,
    build,
    from_hf_state_dict,
    stock_family,
    to_hf_config,
    to_hf_state_dict,
)
from mimar.space import Architecture, Block, FeedForward, Mixer

WINDOW = Mixer("sliding_window", 4, 2, 16, window=5)
STOCK = [
    ("llama", {}),
    ("llama", {"tied_embeddings": False}),
    ("llama", {"mixer": Mixer("attention", 4, 1, 32), "attention_kernel": "math"}),
    ("llama", {"part": FeedForward("glu", 64, "sigmoid")}),
    ("llama", {"part": FeedForward("geglu", 64, "gelu")}),
    ("mistral", {"mixer": WINDOW}),
    ("mistral", {"mixer": replace(WINDOW, window=1), "part": FeedForward("geglu", 64, "gelu")}),
    *(("mixtral", {"part": FeedForward("moe", 64, name, 4, 2)}) for name in ("silu", "gelu", "relu", "relu2")),
    ("mixtral", {"mixer": WINDOW, "part": FeedForward("moe", 64, "silu", 3, 1), "tied_embeddings": False}),
    *(("arcee", {"part": FeedForward("ffn", 128, name)}) for name in ("relu2", "relu", "gelu", "silu")),
]
OTHERS = [
    {"position": "alibi"},
    {"norm": "layernorm"},
    {"norm_placement": "sandwich"},
    {"topology": "parallel"},
    {"layer_sharing": 2},
    {"mixer": Mixer("linear", 4, 2, 16), "position": "none"},
    {"mixer": Mixer("block_sparse", 4, 2, 16, window=4)},
    {"mixer": WINDOW, "part": FeedForward("ffn", 128, "gelu")},
    {"part": FeedForward("none")},
]


@torch.no_grad()
@pytest.mark.parametrize(("family", "changes"), STOCK)
def test_same_logits_as_transformers(family, changes, with_parts, lively, tokens):
    import transformers

    arch = with_parts(**changes)
    assert stock_family(arch) == family
    ours, ids = lively(arch), tokens(14)
    config = transformers.AutoConfig.for_model(**to_hf_config(arch))
    theirs = getattr(transformers, MODEL_CLASSES[family])(config).eval()
    theirs.load_state_dict(to_hf_state_dict(arch, ours.state_dict()))
    expected = theirs(ids).logits
    torch.testing.assert_close(ours(ids), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(("family", "changes"), STOCK)
def test_names_there_and_back(family, changes, with_parts, lively):
    arch = with_parts(**changes)
    state = lively(arch).state_dict()
    back = from_hf_state_dict(arch, to_hf_state_dict(arch, state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(("family", "changes"), STOCK)
def test_config_there_and_back(family, changes, with_parts):
    arch = with_parts(**changes)
    read, notes = architecture_from_hf_config(json.loads(json.dumps(to_hf_config(arch))))
    assert read == replace(arch, attention_kernel="flash")
    assert notes == ()


@pytest.mark.parametrize(("family", "changes"), [STOCK[0], STOCK[5], STOCK[7], STOCK[12]])
def test_transformers_writes_a_config_that_reads_back(family, changes, with_parts):
    import transformers

    arch = with_parts(**changes)
    written = transformers.AutoConfig.for_model(**to_hf_config(arch)).to_dict()
    assert architecture_from_hf_config(written) == (arch, ())


@pytest.mark.parametrize("changes", OTHERS)
def test_no_family_for_what_transformers_computes_otherwise(changes, with_parts):
    arch = with_parts(**changes)
    assert stock_family(arch) is None
    with pytest.raises(ArchitectureError, match="stock transformers family"):
        to_hf_config(arch)
    with pytest.raises(ArchitectureError, match="stock transformers family"):
        to_hf_state_dict(arch, {})


def test_layers_that_differ_have_no_family(llama):
    other = Block(llama.blocks[0].mixer, FeedForward("swiglu", 128, "silu"))
    assert stock_family(replace(llama, blocks=(llama.blocks[0], other))) is None


# Shapes of released models, as their config.json states them.
SMOLLM2 = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_act": "silu", "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05, "rope_theta": 100000, "rope_scaling": None, "tie_word_embeddings": True,
    "vocab_size": 49152, "attention_bias": False,
}  # fmt: skip
QWEN3 = {
    "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "hidden_act": "silu",
    "max_position_embeddings": 40960, "max_window_layers": 28, "rms_norm_eps": 1e-06, "rope_theta": 1000000,
    "sliding_window": None, "use_sliding_window": False, "tie_word_embeddings": True, "vocab_size": 151936,
}  # fmt: skip
QWEN2 = {
    "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 131072,
    "max_window_layers": 20, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "use_sliding_window": True, "tie_word_embeddings": True, "vocab_size": 151936,
}  # fmt: skip
MISTRAL = {
    "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_act": "silu", "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
    "vocab_size": 32000,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257,
    "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "resid_pdrop": 0.1, "embd_pdrop": 0.1,
    "attn_pdrop": 0.1,
}  # fmt: skip


def test_reads_smollm2():
    arch, notes = architecture_from_hf_config(SMOLLM2)
    block = Block(Mixer("attention", 9, 3, 64), FeedForward("swiglu", 1536, "silu"))
    assert arch == Architecture(576, (block,) * 30, 49152, 8192)
    assert notes == ("RoPE base 100000 becomes 10000.",)


def test_reads_qwen3():
    arch, notes = architecture_from_hf_config(QWEN3)
    block = Block(Mixer("attention", 16, 8, 128), FeedForward("swiglu", 3072, "silu"))
    assert arch == Architecture(1024, (block,) * 28, 151936, 40960)
    assert notes == (
        "rms_norm_eps 1e-06 becomes 1e-05.",
        "RoPE base 1000000 becomes 10000.",
        "The norms of queries and keys are left out.",
    )


def test_reads_qwen2_with_windows_in_its_last_layers():
    arch, notes = architecture_from_hf_config(QWEN2)
    assert [block.mixer.window for block in arch.blocks] == [0] * 20 + [4096] * 4
    assert notes == ("The biases of query, key and value are left out.",)
    named = QWEN2 | {"layer_types": ["sliding_attention", "full_attention"] * 12}
    assert [block.mixer.window for block in architecture_from_hf_config(named)[0].blocks] == [4096, 0] * 12


def test_reads_mistral():
    arch, notes = architecture_from_hf_config(MISTRAL)
    block = Block(Mixer("sliding_window", 32, 8, 128, window=4096), FeedForward("swiglu", 14336, "silu"))
    assert arch == Architecture(4096, (block,) * 32, 32000, 32768, tied_embeddings=False)
    assert notes == ()
    full = architecture_from_hf_config(MISTRAL | {"sliding_window": None})[0]
    assert full.blocks[0].mixer.kind == "attention"


def test_reads_gpt2_and_says_what_differs():
    arch, notes = architecture_from_hf_config(GPT2)
    assert arch.blocks == (Block(Mixer("attention", 12, 12, 64), FeedForward("ffn", 3072, "gelu")),) * 12
    assert (arch.norm, arch.position, arch.tied_embeddings, arch.dropout) == ("layernorm", "sinusoidal", True, 0.1)
    assert notes == (
        "activation_function gelu_new, a tanh approximation, becomes the exact gelu.",
        "Learned positions become sinusoidal ones.",
        "The biases of all projections are left out.",
        "Dropout embd_pdrop and attn_pdrop is left out.",
    )


def test_a_released_shape_has_its_released_size():
    """SmolLM2-135M has 134,515,008 weights."""
    model = build(architecture_from_hf_config(SMOLLM2)[0], device="meta")
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "expected model_type to be one of llama"),
        ({"model_type": ["llama"]}, "expected model_type"),
        ({"model_type": "gemma3"}, "got 'gemma3'; write the nearest"),
        ({"model_type": "llama"}, "hidden_size must be a whole number from 1 to .*, got nothing"),
        ({"model_type": "llama", "hidden_size": 10**400}, "hidden_size must be a whole number from 1 to .*, got 1000"),
        (SMOLLM2 | {"hidden_act": "relu"}, "hidden_act must be one of silu, gelu, sigmoid here, got 'relu'"),
        (SMOLLM2 | {"num_key_value_heads": 4}, "num_heads must be divisible by num_kv_heads"),
        (SMOLLM2 | {"num_hidden_layers": 10**12}, "num_hidden_layers must be at most 1024"),
        (SMOLLM2 | {"rope_scaling": "yarn"}, "rope_scaling must be an object"),
        (SMOLLM2 | {"num_attention_heads": "9"}, "num_attention_heads must be a whole number"),
        (QWEN2 | {"layer_types": ["full_attention"]}, "layer_types must give each of 24 layers"),
        (QWEN2 | {"layer_types": ["chunked_attention"] * 24}, "layer_types must give each of 24 layers"),
        (QWEN2 | {"max_window_layers": "x"}, "max_window_layers must be a number"),
        (GPT2 | {"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false"),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention must be false"),
    ],
)
def test_what_cannot_be_represented_is_refused_with_its_fields(config, message):
    with pytest.raises(ArchitectureError, match=message):
        architecture_from_hf_config(config)


def test_rope_scaling_and_biases_are_noted():
    scaled = SMOLLM2 | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "mlp_bias": True}
    notes = architecture_from_hf_config(scaled)[1]
    assert "RoPE scaling llama3 is left out." in notes
    assert "The biases of the feed-forward part are left out." in notes
