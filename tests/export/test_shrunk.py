"""Sub-networks as files: transformers and llama.cpp compute what the sub-network computes."""

import json

import gguf
import pytest
import torch
from tests.elastic.conftest import SCALED, made
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from mimar.elastic import SubNetwork, SuperNetwork, extract, load_parent, model_logits, state_dict
from mimar.errors import ArchitectureError, InputError
from mimar.export import export_shrunk_gguf, export_shrunk_hf, export_shrunk_onnx, int8_rounded
from mimar.formats import TEXT_SPLITS, gguf_tokenizer, read_gguf, stated_licence
from mimar.models import RAGGED_CLASSES, register_ragged
from mimar.training import tokenizer_named

SIZES = {
    "vocab_size": 300, "hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 16, "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e4}, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}  # fmt: skip
UNIFORM = SubNetwork((2, 0, 2, 2), (64, 0, 64, 64))
PER_LAYER = SubNetwork((3, 1, 0, 2), (128, 0, 96, 32))


@pytest.fixture
def folder(tmp_path):
    """With a tokenizer."""
    tokenizer_named("train:300", ["The year 1984 was long. It's na\u00efve \u2013 isn't it? " * 40]).save(tmp_path)
    return tmp_path


def cut(folder, sub, **changes):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES | changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    ids = torch.randint(0, 300, (6, 24), generator=torch.Generator().manual_seed(1))
    return extract(SuperNetwork.of(load_parent(str(folder)), ids), sub)


def test_a_uniform_sub_network_is_a_stock_llama(folder, tmp_path):
    model = cut(folder, UNIFORM)
    result = export_shrunk_hf(model, tmp_path / "out", folder)
    assert result.verdicts["transformers"].startswith("ok: loads as LlamaForCausalLM; logits after a reload")
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "out")
    config = theirs.config
    assert (config.num_hidden_layers, config.intermediate_size, config.num_key_value_heads) == (3, 64, 2)
    assert (config.rope_parameters["rope_theta"], config.rms_norm_eps) == (5e4, 1e-5)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(theirs(ids).logits, model_logits(model, ids), rtol=1e-4, atol=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("a year")["input_ids"]


@pytest.mark.parametrize("sub", [UNIFORM, PER_LAYER])
def test_code_that_the_parents_configuration_names_does_not_come_along(folder, tmp_path, sub):
    model = cut(folder, sub, auto_map={"AutoModelForCausalLM": "theirs.Model"})
    assert "theirs" in (folder / "config.json").read_text()
    export_shrunk_hf(model, tmp_path / "out", folder)
    assert "theirs" not in (tmp_path / "out" / "config.json").read_text()


@pytest.mark.parametrize("sub", [PER_LAYER, SubNetwork((0, 2, 0, 3), (64, 0, 128, 128))])
def test_layers_that_differ_load_after_registering_and_with_the_code_beside_them(folder, tmp_path, sub):
    """A layer without attention comes first in one: the length of the text is not read off it."""
    model = cut(folder, sub)
    verdict = export_shrunk_hf(model, tmp_path / "out", folder).verdicts["transformers"]
    assert verdict.startswith(
        "ok: loads as RaggedLlamaForCausalLM, after mimar.models.register_ragged(), or with trust"
    )
    register_ragged()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert type(theirs).__module__ == "mimar.models._ragged"
    ids = torch.arange(20)[None]
    torch.testing.assert_close(theirs(ids).logits, model_logits(model, ids), rtol=1e-4, atol=1e-4)
    assert sum(each.numel() for each in theirs.parameters()) == sum(each.numel() for each in state_dict(model).values())
    written = theirs.generate(ids, max_new_tokens=8, min_new_tokens=8, do_sample=False)
    for count in range(20, 28):  # the cache gives what the whole text gives
        assert int(model_logits(model, written[:, :count])[0, -1].argmax()) == int(written[0, count])
    theirs.save_pretrained(tmp_path / "again")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again").eval()
    torch.testing.assert_close(again(ids).logits, theirs(ids).logits)


@pytest.mark.parametrize("kind", ["mistral", "qwen2", "qwen3"])
def test_layers_of_every_family_may_differ(tmp_path, kind):
    whole = made(kind)
    whole.resize_token_embeddings(300)
    whole.save_pretrained(tmp_path)
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    ids = torch.randint(0, 101, (6, 12), generator=torch.Generator().manual_seed(1))
    network = SuperNetwork.of(load_parent(str(tmp_path)), ids)
    model = extract(network, SubNetwork((3, 0, 2), (64, 128, 0)))
    verdict = export_shrunk_hf(model, tmp_path / "out", tmp_path).verdicts["transformers"]
    assert verdict.startswith(f"ok: loads as {RAGGED_CLASSES[kind]}ForCausalLM")


@pytest.mark.parametrize(
    ("kind", "window"), [("llama", 0), ("mistral", 5), ("mistral", 16), ("qwen2", 0), ("qwen3", 0)]
)
def test_onnxruntime_computes_the_sub_network(tmp_path, kind, window):
    """A window counts though no more tokens than it holds are there when the model is written."""
    pytest.importorskip("onnxscript")
    whole = made(kind)
    whole.config.sliding_window = window or None
    whole.resize_token_embeddings(300)
    whole.save_pretrained(tmp_path)
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    ids = torch.randint(0, 101, (6, 12), generator=torch.Generator().manual_seed(1))
    model = extract(SuperNetwork.of(load_parent(str(tmp_path)), ids), SubNetwork((3, 0, 2), (64, 128, 0)))
    result = export_shrunk_onnx(model, tmp_path / "out", tmp_path)
    assert result.verdicts["onnxruntime"].startswith("ok: logits after a reload differ by at most")
    assert {"model.onnx", "tokenizer.json"} <= set(result.files)


@pytest.mark.parametrize(
    ("sub", "quantization"),
    [
        (UNIFORM, "F32"),
        (UNIFORM, "Q8_0"),
        (PER_LAYER, "F16"),
        (PER_LAYER, "Q8_0"),
        (SubNetwork((3, 0, 0, 1), (96, 32, 0, 0)), "F32"),
        (SubNetwork((1, 3, 3, 0), (128, 128, 128, 128)), "F32"),
        (SubNetwork((0, 2, 0, 1), (0, 32, 64, 0)), "F32"),
    ],
)
def test_llama_cpp_computes_the_sub_network(folder, tmp_path, sub, quantization):
    result = export_shrunk_gguf(cut(folder, sub), tmp_path / "out", folder, quantization=quantization)
    assert result.verdicts["llama.cpp"].startswith("ok: log-probabilities of 32 tokens differ")
    fields = gguf.GGUFReader(tmp_path / "out" / f"model-{quantization}.gguf").fields
    assert fields["general.architecture"].contents() == ("llama" if sub == UNIFORM else "deci")
    assert json.loads((tmp_path / "out" / "mimar-export.json").read_text())["form"] == "gguf"


def test_the_parents_files_go_along(folder, tmp_path):
    """Licence and notices, how it writes, how it writes a dialogue; and each of the ends that it has named."""
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    template = [{"name": "tools", "template": "{{ tools }}"}, {"name": "default", "template": "{{ messages }}"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    (folder / "LICENSE.md").write_text("Do as you like.\n")
    model = cut(folder, UNIFORM, eos_token_id=[1, 2])
    told = {"eos_token_id": [1, 2], "temperature": 0.7, "do_sample": True, "return_dict_in_generate": True}
    (folder / "generation_config.json").write_text(json.dumps(told))
    hf, gguf_form = tmp_path / "hf", tmp_path / "gguf"
    export_shrunk_hf(model, hf, folder)
    licence = {"license": "other", "license_name": "easy", "license_link": "https://example.org"}
    export_shrunk_gguf(model, gguf_form, folder, licence=licence)
    for out in (hf, gguf_form):
        assert (out / "LICENSE.md").read_text() == "Do as you like.\n"
    config = json.loads((hf / "config.json").read_text())
    assert config["eos_token_id"] == [1, 2]
    assert json.loads((hf / "generation_config.json").read_text())["temperature"] == 0.7
    file = gguf_form / "model-Q8_0.gguf"
    assert read_gguf(file).keys["tokenizer.chat_template"] == "{{ messages }}"
    assert stated_licence(file) == licence


@pytest.mark.parametrize("rope", [SIZES["rope_parameters"], SCALED])
def test_the_base_of_rope_stands_where_transformers_4_reads_it(folder, tmp_path, rope):
    export_shrunk_hf(cut(folder, UNIFORM, rope_parameters=rope), tmp_path / "out", folder)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == rope["rope_theta"]
    assert config.get("rope_scaling", {}).get("factor") == rope.get("factor")


@pytest.mark.parametrize(
    ("card", "stated"),
    [
        ("---\nlicense: apache-2.0\n---\nA model.", {"license": "apache-2.0"}),
        ("---\nlicense:\n- mit\n- other\nlicense_link: x\n---\n", {"license": "mit, other", "license_link": "x"}),
        ("---\nlicense: [\n---\n", {}),
        ("---\nlicense: mit\ndate: 2024-13-45\n---\n", {}),
        ("\ufeff---\nlicense: mit\n---\n", {"license": "mit"}),
        ("---\n- license\n---\n", {}),
        ("No front matter.\n---\nlicense: mit\n---\n", {}),
        ("", {}),
    ],
)
def test_the_licence_is_that_of_the_model_card(tmp_path, card, stated):
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert stated_licence(tmp_path) == stated


def test_a_file_is_read_back(folder, tmp_path):
    model = cut(folder, UNIFORM)
    export_shrunk_gguf(model, tmp_path / "out", folder, quantization="F32")
    again = load_parent(str(tmp_path / "out" / "model-F32.gguf"))
    ids = torch.arange(20)[None]
    torch.testing.assert_close(model_logits(again, ids), model_logits(model, ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sub", "changes", "reason"),
    [
        (SubNetwork((0, 3, 3, 3), (128,) * 4), {}, "needs attention in the first layer"),
        (UNIFORM, {"rope_parameters": SCALED}, "RoPE scaling llama3"),
    ],
)
def test_what_llama_cpp_would_not_compute_is_refused(folder, tmp_path, sub, changes, reason):
    with pytest.raises(ArchitectureError) as caught:
        export_shrunk_gguf(cut(folder, sub, **changes), tmp_path / "out", folder)
    assert reason in caught.value.reasons[0]
    assert not (tmp_path / "out").exists()


def test_int8_weights_are_one_byte_each_and_a_scale_a_row(folder):
    pytest.importorskip("torchao")
    model = cut(folder, PER_LAYER)
    rounded, size = int8_rounded(model)
    up, back = model.layers[0].mlp.up, rounded.layers[0].mlp.up
    steps = up.abs().amax(1, keepdim=True) / 127
    assert ((up - back).abs() <= 0.51 * steps).all()
    assert len((back[0] / steps[0]).round().unique()) > 30
    assert torch.equal(rounded.embedding, model.embedding)
    matrices = [each for name, each in state_dict(model).items() if "layers" in name and each.dim() == 2]
    rest = [each for name, each in state_dict(model).items() if "layers" not in name or each.dim() == 1]
    assert size == sum(each.numel() + 4 * len(each) for each in matrices) + 2 * sum(each.numel() for each in rest)


def tokenizer_of_another(folder, split, normalizer=None):
    """As the families of Llama 3 and Qwen2 have it, trained here; Llama 3 begins every text with a token."""
    named = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    made = Tokenizer(models.BPE(ignore_merges=split == "llama-bpe"))
    made.normalizer = normalizer
    cut_first = pre_tokenizers.Split(Regex(TEXT_SPLITS[split]), "isolated")
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer, made.decoder = pre_tokenizers.Sequence([cut_first, rest]), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(named.values()), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["The year 1984 was long. It's na\u00efve, isn't it? " * 40], trainer)
    if split == "llama-bpe":
        made.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", made.token_to_id("<|begin|>"))]
        )
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return made


@pytest.mark.parametrize("split", ["llama-bpe", "qwen2"])
def test_tokenizers_of_other_families_go_with_the_file(tmp_path, split):
    """The check that ends the export has llama.cpp read text with them; the file gives the tokenizer back."""
    tokenizer = tokenizer_of_another(tmp_path, split, normalizers.NFC() if split == "qwen2" else None)
    result = export_shrunk_gguf(cut(tmp_path, PER_LAYER), tmp_path / "out", tmp_path, quantization="F16")
    assert result.verdicts["llama.cpp"].startswith("ok")
    file = read_gguf(tmp_path / "out" / "model-F16.gguf")
    assert file.keys["tokenizer.ggml.pre"] == split
    text = "It's 1984: isn't\n it na\u00efve?"
    assert gguf_tokenizer(file).encode(text).ids == tokenizer.encode(text).ids
    begins = tokenizer.encode("").ids
    assert len(begins) == (split == "llama-bpe")
    assert file.keys["tokenizer.ggml.add_bos_token"] == bool(begins)


@pytest.mark.parametrize("change", ["expression", "normalizer"])
def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused(tmp_path, change):
    tokenizer = tokenizer_of_another(tmp_path, "qwen2")
    if change == "normalizer":
        tokenizer.normalizer = normalizers.Lowercase()
    else:
        rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(" "), "isolated"), rest])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="expected a byte-level BPE tokenizer for GGUF"):
        export_shrunk_gguf(cut(tmp_path, PER_LAYER), tmp_path / "out", tmp_path)
