"""JSON, code and Hugging Face exports: they reload to the same model, or leave nothing."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mimar.errors import ArchitectureError, ExportError, InputError
from mimar.export import copy_tokenizer, export_code, export_hf, export_json
from mimar.export._publish import publish
from mimar.export._reload import Expected
from mimar.models import _codegen, build
from mimar.space import Architecture, Block, FeedForward, Mixer, architecture_from_json
from mimar.training import END, tokenizer_named

GROUPED = Mixer("attention", 4, 2, 16)
WINDOW = Mixer("sliding_window", 4, 2, 16, window=6)
SWIGLU = FeedForward("swiglu", 128, "silu")
MOE = FeedForward("moe", 64, "silu", 4, 2)


def _architecture(mixer=GROUPED, part=SWIGLU, **settings):
    return Architecture(64, (Block(mixer, part),) * 2, vocab_size=97, context_length=40, **settings)


LLAMA = _architecture()
STOCK = {
    "LlamaForCausalLM": LLAMA,
    "LlamaForCausalLM, untied": _architecture(tied_embeddings=False, part=FeedForward("geglu", 128, "gelu")),
    "MistralForCausalLM": _architecture(WINDOW),
    "MixtralForCausalLM": _architecture(part=MOE),
    "ArceeForCausalLM": _architecture(part=FeedForward("ffn", 128, "relu2")),
}
MIXED = Architecture(
    64,
    (
        *(Block(GROUPED, SWIGLU),) * 2,
        *(Block(WINDOW, FeedForward("none")),) * 2,
        *(Block(Mixer("linear", 4, 1, 16), MOE),) * 2,
        *(Block(Mixer("convolution", kernel_size=4), FeedForward("ffn", 64, "relu2")),) * 2,
    ),
    vocab_size=97,
    context_length=40,
    position="alibi",
    norm="layernorm",
    norm_placement="sandwich",
    layer_sharing=2,
    tied_embeddings=False,
    dropout=0.1,
)
CUSTOM = {
    "mixed": MIXED,
    "sinusoidal, tied, post": _architecture(position="sinusoidal", norm_placement="post", attention_kernel="math"),
    "parallel, linear": _architecture(Mixer("linear", 4, 4, 16), topology="parallel", position="none"),
}


@pytest.fixture
def tokenizer(tmp_path):
    """A directory with a tokenizer of 12 words and its configuration."""
    home = tmp_path / "tokenizer"
    home.mkdir()
    words = {word: number for number, word in enumerate(["<unk>", "</s>", *"abcdefghij"])}
    made = Tokenizer(WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = Whitespace()
    made.save(str(home / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": {"__type": "AddedToken", "content": "</s>"},
        "unk_token": "<unk>",
    }
    (home / "tokenizer_config.json").write_text(json.dumps(settings))
    return home


def test_code_that_a_tokenizer_names_stays_behind(tokenizer, tmp_path):
    """Own code is trusted when it is loaded again: that of others must not come along."""
    (tokenizer / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass T: pass\n")
    config = tokenizer / "tokenizer_config.json"
    theirs = {"AutoTokenizer": [f"{tokenizer}--evil.T", None]}
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": theirs}))
    export_hf(MIXED, tmp_path / "out", tokenizer=tokenizer)
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert "auto_map" not in written
    assert written["eos_token"]["content"] == "</s>"
    assert not (tmp_path / "ran").exists()


def _leftovers(directory):
    return [path.name for path in directory.iterdir() if path.name.startswith(".")]


def test_json_reads_back_with_its_wrapper(tmp_path):
    estimated = {"params": 1e6, "flops": 2e9, "latency_ms": 1.5}
    name = 'quoted " name'
    result = export_json(MIXED, tmp_path / "out", model_name=name, estimated_metrics=estimated, metrics={"hpm": 3.0})
    content = json.loads((tmp_path / "out" / "architecture.json").read_text())
    assert content["model_name"] == name
    assert content["estimated_metrics"] == estimated
    assert content["metrics"] == {"hpm": 3.0}
    assert architecture_from_json(content) == MIXED
    assert (result.form, set(result.files)) == ("json", {"architecture.json", "mimar-export.json"})
    assert result.verdicts["mimar"].startswith("ok")
    assert _leftovers(tmp_path) == []


def test_json_refuses_what_json_cannot_say(tmp_path):
    with pytest.raises(InputError, match="finite numbers as metrics, got nan for latency_ms"):
        export_json(LLAMA, tmp_path / "out", model_name="m", estimated_metrics={"latency_ms": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_code_reloads_in_a_fresh_process(tmp_path):
    target = tmp_path / "deep" / "out"
    first = export_code(MIXED, target, class_name="Winner")
    assert set(first.files) == {"model.py", "mimar-export.json"} == {path.name for path in target.iterdir()}
    assert first.verdicts["torch"].startswith("ok: logits after a reload differ by at most")
    assert "class Winner(nn.Module)" in (target / "model.py").read_text()
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_an_earlier_export_of_the_same_form_is_replaced(tmp_path):
    for arch in (MIXED, LLAMA):
        export_json(arch, tmp_path / "out", model_name="m", estimated_metrics={})
        assert architecture_from_json(json.loads((tmp_path / "out" / "architecture.json").read_text())) == arch
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("true", "spoiled", "complaint"),
    [
        ("NORM_EPS = 1e-5", "NORM_EPS = 0.5", r"the same logits, got a difference of .* nothing was exported"),
        ("nn.ModuleList", "nn.ModuleLast", "load in a fresh process, got: AttributeError"),
        (
            "return self.head(self.norm(x))",
            "return x",
            r"logits of shape \(1, 32, 97\) after the reload, got \(1, 32, 64\)",
        ),
    ],
)
def test_code_of_another_model_leaves_nothing(tmp_path, monkeypatch, true, spoiled, complaint):
    code = _codegen.generate_code(_architecture(tied_embeddings=False))
    assert true in code
    monkeypatch.setattr(_codegen, "generate_code", lambda arch, **names: code.replace(true, spoiled))
    with pytest.raises(ExportError, match=complaint):
        export_code(_architecture(tied_embeddings=False), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_failed_export_keeps_the_earlier_one(tmp_path, monkeypatch):
    export_code(LLAMA, tmp_path / "out")
    before = (tmp_path / "out" / "model.py").read_text()
    monkeypatch.setattr(_codegen, "generate_code", lambda arch, **names: "raise SystemExit('broken')\n")
    with pytest.raises(ExportError, match="broken"):
        export_code(MIXED, tmp_path / "out")
    assert (tmp_path / "out" / "model.py").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_directories_of_others_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    export_json(LLAMA, tmp_path / "ours", model_name="m", estimated_metrics={})
    with pytest.raises(InputError, match="got the file"):
        export_code(LLAMA, tmp_path / "file")
    with pytest.raises(InputError, match=r"with chapter\.tex in it; choose a new or empty directory"):
        export_code(LLAMA, tmp_path / "thesis")
    with pytest.raises(InputError, match="an earlier code export"):
        export_code(LLAMA, tmp_path / "ours")
    (tmp_path / "ours" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"with notes\.txt in it"):
        export_json(LLAMA, tmp_path / "ours", model_name="m", estimated_metrics={})
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_an_empty_directory_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    export_json(LLAMA, tmp_path / "out", model_name="m", estimated_metrics={})
    assert (tmp_path / "out" / "architecture.json").exists()


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"expected to write to .* make room or choose another directory"):
        export_json(LLAMA, tmp_path / "file" / "out", model_name="m", estimated_metrics={})


FULL = """
import resource, sys
from pathlib import Path
from mimar.errors import ExportError
from mimar.export import export_code, export_hf
from mimar.space import Architecture, Block, FeedForward, Mixer

block = Block(Mixer("attention", 4, 2, 16), FeedForward("swiglu", 128, "silu"))
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for export, position in ((export_hf, "rope"), (export_hf, "none"), (export_code, "rope")):
    try:
        export(Architecture(64, (block,), vocab_size=97, position=position), Path(sys.argv[1]))
    except ExportError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.stdout.count("make room or choose another directory") == 3, run.stdout + run.stderr
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from mimar.export import export_json
from mimar.space import Architecture, Block, FeedForward, Mixer

done, rename, before = [], Path.rename, int(sys.argv[2])

def rename_or_die(path, target):
    if len(done) == before:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(target)
    return rename(path, target)

Path.rename = rename_or_die
block = Block(Mixer("attention", 4, 2, 16), FeedForward("swiglu", 128, "silu"))
export_json(Architecture(64, (block,), vocab_size=97), Path(sys.argv[1]), model_name="m", estimated_metrics={})
"""


@pytest.mark.parametrize("renamed", [0, 1])
def test_what_a_killed_export_left_goes_with_the_next_one(tmp_path, renamed):
    """Killed with the new one written aside, and between taking the earlier one away and putting the new one there."""
    target = tmp_path / "out[1]"
    export_json(LLAMA, target, model_name="m", estimated_metrics={})
    (tmp_path / ".out[1].mine").mkdir()
    killed = [sys.executable, "-c", KILLED, str(target), str(renamed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(killed, check=False, env=environment).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(InputError, match="an earlier code export"):  # it is there again, and known
        export_code(LLAMA, target)
    assert {path.name for path in tmp_path.iterdir()} == {"out[1]", ".out[1].mine"}
    assert architecture_from_json(json.loads((target / "architecture.json").read_text())) == LLAMA


def test_an_export_under_way_is_left_alone(tmp_path):
    def write(aside):
        (aside / "model").write_text("first")
        publish(LLAMA, tmp_path / "out", "json", lambda other: {})
        return {"none": "ok"}

    publish(LLAMA, tmp_path / "out", "json", write)
    assert (tmp_path / "out" / "model").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_illegal_architectures_are_refused_by_every_form(tmp_path):
    illegal = Architecture(100, (Block(GROUPED, SWIGLU),))
    for export in (export_code, export_hf):
        with pytest.raises(ArchitectureError, match="hidden_size must be a positive multiple"):
            export(illegal, tmp_path / "out")
    with pytest.raises(ArchitectureError, match="hidden_size must be a positive multiple"):
        export_json(illegal, tmp_path / "out", model_name="m", estimated_metrics={})
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_is_cheap():
    heavy = "import sys, mimar.export; print({'torch', 'transformers', 'safetensors', 'tokenizers'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", heavy],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.stdout.strip() == "set()"


@pytest.mark.slow
def test_checkpoint_with_a_tokenizer(tmp_path, tokenizer):
    result = export_hf(LLAMA, tmp_path / "out", tokenizer=tokenizer)
    files = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert set(result.files) == files | {"mimar-export.json"}
    for name in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["eos_token_id"] == 1
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (tokenizer / "tokenizer.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", STOCK)
def test_stock_families_load_without_code(tmp_path, name):
    result = export_hf(STOCK[name], tmp_path / "out", seed=3)
    assert result.verdicts["transformers"].startswith(f"ok: loads as {name.partition(',')[0]}; logits after")
    assert not [file for file in result.files if file.endswith(".py")]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [name.partition(",")[0]]
    assert "auto_map" not in config


@pytest.mark.slow
@pytest.mark.parametrize("name", CUSTOM)
def test_other_architectures_load_with_their_code(tmp_path, name, tokenizer):
    (tokenizer / "tokenizer_config.json").unlink()  # then the plainest configuration is written
    result = export_hf(CUSTOM[name], tmp_path / "out", seed=3, tokenizer=tokenizer / "tokenizer.json")
    assert "MimarForCausalLM, with trust_remote_code=True" in result.verdicts["transformers"]
    assert {"modeling_mimar.py", "configuration_mimar.py", "model.safetensors"} <= set(result.files)
    expected = build(CUSTOM[name], generator=torch.Generator().manual_seed(3)).state_dict()
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[key], expected[key]) for key in stored)


USE = """
import sys, warnings
warnings.simplefilter("error")
import torch
from transformers import AutoModelForCausalLM

directory, copy = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).train()
tokens = torch.arange(12).view(2, 6)
loss = model(tokens, labels=tokens).loss
loss.backward()
assert all(parameter.grad is not None for parameter in model.parameters())
model.eval()
plain = torch.nn.functional.cross_entropy(model(tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
assert torch.allclose(model(tokens, labels=tokens).loss, plain)
padded = torch.ones_like(tokens)
padded[:, 4:] = 0
assert torch.allclose(model(tokens, attention_mask=padded).logits[:, :4], model(tokens[:, :4]).logits, atol=1e-5)
for options in ({"attention_mask": padded.flip(1)}, {"use_cache": True}):
    try:
        model(tokens, **options)
    except ValueError as error:
        print(error)
fresh = AutoModelForCausalLM.from_config(model.config, trust_remote_code=True)
assert all(0.01 < weight.std() < 0.03 for weight in fresh.parameters() if weight.dim() > 1)
model.save_pretrained(copy)
again = AutoModelForCausalLM.from_pretrained(copy, trust_remote_code=True).eval()
assert torch.equal(again(tokens).logits, model(tokens).logits)
assert isinstance(model(tokens, return_dict=False), tuple)
"""


@pytest.mark.slow
def test_checkpoint_with_code_trains_pads_and_saves_again(tmp_path):
    export_hf(MIXED, tmp_path / "out")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    run = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "out"), str(tmp_path / "copy")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "padding before a text is not supported: pad after it",
        "this model keeps no cache: pass use_cache=False",
    ]


def test_a_tokenizer_that_does_not_fit_is_refused_before_any_work(tmp_path, tokenizer):
    small = Architecture(64, (Block(GROUPED, SWIGLU),), vocab_size=11)
    with pytest.raises(InputError, match=r"at most 11 tokens.* got 12 .* give a vocabulary of at least 12"):
        export_hf(small, tmp_path / "out", tokenizer=tokenizer)
    with pytest.raises(InputError, match=r"expected a tokenizer\.json or a directory with one"):
        export_hf(small, tmp_path / "out", tokenizer=tmp_path / "missing")
    (tokenizer / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="expected a tokenizer in the format of Hugging Face"):
        export_hf(small, tmp_path / "out", tokenizer=tokenizer)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "window", "tokens"), [("sliding_window", 64, 81), ("block_sparse", 64, 145)])
def test_the_check_after_a_reload_reads_enough_for_a_window_to_hide_some(kind, window, tokens):
    mixer = Mixer(kind, 2, 2, 16, window)
    arch = Architecture(64, (Block(mixer, FeedForward("swiglu", 64, "silu")),), 50, 1024)
    expected = Expected.of(arch, 0)
    assert expected.tokens.shape == (1, tokens)
    early = expected.tokens.clone()
    early[0, 0] = (early[0, 0] + 1) % 50
    model = build(arch, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        changed = (model(early) - model(expected.tokens)).abs().amax(-1)[0]
    assert changed[0] > 0
    assert changed[-1] == 0


def test_a_tokenizer_that_was_trained_here_names_its_end(tmp_path):
    """Though nothing lies beside it that says so."""
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    arch = Architecture(64, (Block(GROUPED, SWIGLU),), vocab_size=300, context_length=40)
    export_hf(arch, tmp_path / "out", tokenizer=tmp_path)
    end = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).token_to_id(END)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["eos_token_id"] == end
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["eos_token"] == END


def test_a_tokenizers_settings_come_along(tmp_path):
    """Its own end, and how it writes a dialogue; code that they name does not."""
    tokenizer_named("train:300", ["The year 1984 was long. " * 40]).save(tmp_path)
    settings = {"eos_token": "</s>", "chat_template": "{{ messages }}", "auto_map": {"AutoTokenizer": "x.Y"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "out").mkdir()
    copy_tokenizer(tmp_path, tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert kept == {"eos_token": "</s>", "chat_template": "{{ messages }}"}
