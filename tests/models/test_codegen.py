"""Generated code computes what the reference module computes, for every choice of the space, and reads well."""

import ast
import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimar.errors import ArchitectureError, InputError
from mimar.models import CONFIGURATION_CODE, build, generate_code, generate_modeling_code
from mimar.models._codegen_template import render
from mimar.shapes import matrices, parameters
from mimar.space import SOFTMAX_MIXERS, Architecture, Block, FeedForward, Mixer, illegal_reasons

MIXERS = {
    "multi_head": Mixer("attention", 4, 4, 16),
    "grouped_query": Mixer("attention", 4, 2, 16),
    "multi_query": Mixer("attention", 4, 1, 16),
    "one_head": Mixer("attention", 1, 1, 32),
    "narrow_heads": Mixer("attention", 2, 2, 6),
    "linear": Mixer("linear", 4, 4, 16),
    "linear_grouped": Mixer("linear", 4, 2, 16),
    "sliding_window": Mixer("sliding_window", 4, 2, 16, window=5),
    "block_sparse": Mixer("block_sparse", 4, 4, 16, window=4),
    "window_of_one": Mixer("sliding_window", 4, 4, 16, window=1),
    "window_of_all": Mixer("sliding_window", 4, 4, 16, window=32),
    "block_of_one": Mixer("block_sparse", 4, 4, 16, window=1),
    "convolution": Mixer("convolution", kernel_size=4),
    "short_convolution": Mixer("convolution", kernel_size=2),
    "none": Mixer("none"),
}
PARTS = {
    "relu": FeedForward("ffn", 128, "relu"),
    "gelu": FeedForward("ffn", 128, "gelu"),
    "silu": FeedForward("ffn", 64, "silu"),
    "relu2": FeedForward("ffn", 128, "relu2"),
    "glu": FeedForward("glu", 128, "sigmoid"),
    "geglu": FeedForward("geglu", 128, "gelu"),
    "swiglu": FeedForward("swiglu", 128, "silu"),
    "moe": FeedForward("moe", 64, "silu", 4, 2),
    "moe_relu2": FeedForward("moe", 64, "relu2", 3, 1),
    "none": FeedForward("none"),
}
GLOBALS = {
    "position": ("rope", "alibi", "sinusoidal", "none"),
    "norm": ("rmsnorm", "layernorm"),
    "norm_placement": ("pre", "post", "sandwich"),
    "topology": ("sequential", "parallel"),
    "tied_embeddings": (True, False),
    "layer_sharing": (1, 2),
    "attention_kernel": ("flash", "math"),
    "dropout": (0.0, 0.1),
}
BASE = Architecture(
    64, (Block(MIXERS["grouped_query"], PARTS["swiglu"]),) * 4, vocab_size=97, context_length=32
)  # fmt: skip


def _legal(arch):
    """`arch` with the settings that its mixers do not allow taken back."""
    if not any(block.mixer.kind in SOFTMAX_MIXERS for block in arch.blocks):
        arch = replace(arch, attention_kernel="flash")
        arch = arch if arch.position in ("sinusoidal", "none") else replace(arch, position="sinusoidal")
    return arch


def _single_choices():
    for name, mixer in MIXERS.items():
        blocks = (Block(mixer, PARTS["swiglu"]),) * 2
        if name == "none":  # a whole model needs one mixer somewhere
            blocks = (Block(MIXERS["multi_head"], PARTS["swiglu"]), *blocks)
        yield f"mixer-{name}", _legal(replace(BASE, blocks=blocks))
    for name, part in PARTS.items():
        yield f"part-{name}", replace(BASE, blocks=(Block(MIXERS["multi_head"], part),) * 2)
    for name, choices in GLOBALS.items():
        for choice in choices:
            yield f"{name}-{choice}", replace(BASE, **{name: choice})
    for name in ("grouped_query", "one_head", "sliding_window", "block_sparse"):
        blocks = (Block(MIXERS[name], PARTS["gelu"]),) * 2
        for position, kernel in itertools.product(GLOBALS["position"], GLOBALS["attention_kernel"]):
            yield (
                f"{name}-{position}-{kernel}",
                replace(BASE, blocks=blocks, position=position, attention_kernel=kernel),
            )
    wide = (Block(Mixer("attention", 12, 4, 16), PARTS["relu"]),) * 2
    yield "twelve-alibi-heads", replace(BASE, hidden_size=192, blocks=wide, position="alibi")
    block = Block(MIXERS["sliding_window"], PARTS["none"])
    for placement, topology in itertools.product(GLOBALS["norm_placement"], GLOBALS["topology"]):
        blocks = (block, Block(MIXERS["none"], PARTS["relu"]), Block(MIXERS["linear"], PARTS["moe"]))
        yield (
            f"partial-{placement}-{topology}",
            replace(BASE, blocks=blocks, norm_placement=placement, topology=topology, dropout=0.1),
        )


def _random_architecture(seed):
    rng = np.random.default_rng(seed)
    mixers, parts = list(MIXERS.values()), list(PARTS.values())
    while True:
        settings = {name: choices[rng.integers(len(choices))] for name, choices in GLOBALS.items()}
        blocks = [
            Block(mixers[rng.integers(len(mixers))], parts[rng.integers(len(parts))]) for _ in range(rng.integers(1, 5))
        ]
        repeated = tuple(block for block in blocks for _ in range(settings["layer_sharing"]))
        arch = _legal(replace(BASE, blocks=repeated, **settings))
        if not illegal_reasons(arch):
            return arch


CASES = dict(_single_choices()) | {f"random-{seed}": _random_architecture(seed) for seed in range(20)}


def _load(code, path, name="Model"):
    """The class `name` of `code`, from a real file."""
    file = path / "generated.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("generated", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, getattr(module, name)


def _reference(arch):
    """The reference module with weights large enough that positions, masks and norms matter."""
    model = build(arch, generator=torch.Generator().manual_seed(1)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(10)
            else:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def _tokens(arch, length=23):
    return torch.randint(arch.vocab_size, (2, length), generator=torch.Generator().manual_seed(3))


def test_every_case_is_legal():
    assert {name: illegal_reasons(arch) for name, arch in CASES.items()} == dict.fromkeys(CASES, ())


@pytest.mark.parametrize("name", CASES)
def test_weights_and_logits_equal_the_reference(name, tmp_path):
    arch = CASES[name]
    reference, tokens = _reference(arch), _tokens(arch)
    module, cls = _load(generate_code(arch), tmp_path)
    model = cls().eval()
    _assert_fresh(model, arch)
    model.load_state_dict(reference.state_dict(), strict=True)
    with torch.no_grad():
        expected = reference(tokens)
        torch.testing.assert_close(model(tokens), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
        cache = module.Cache()
        steps = [model(tokens[:, start:end], cache) for start, end in ((0, 9), (9, 10), (10, 17), (17, 23))]
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def _assert_fresh(model, arch):
    """Names and count of the weights, N(0, 0.02) matrices, norms at weight 1 and bias 0."""
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters(arch)
    assert set(model.state_dict()) == {matrix.name for matrix in matrices(arch)}
    for parameter in model.parameters():
        if parameter.dim() > 1:
            assert 0.01 < parameter.std() < 0.03
        else:
            assert parameter.unique().tolist() in ([0.0], [1.0])


def test_dropout_acts_in_training_only(tmp_path):
    arch = replace(BASE, dropout=0.5)
    _, cls = _load(generate_code(arch), tmp_path)
    model, tokens = cls(), _tokens(arch)
    torch.manual_seed(0)
    assert not torch.equal(model.train()(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


@pytest.mark.parametrize("name", ["mixer-linear", "part-moe", "mixer-convolution", "random-3"])
def test_all_weights_learn(name, tmp_path):
    _, cls = _load(generate_code(replace(CASES[name], dropout=0.0)), tmp_path)
    model = cls()
    model(_tokens(CASES[name])).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_greedy_generation_continues_the_likeliest_way(tmp_path):
    module, cls = _load(generate_code(BASE), tmp_path)
    model = cls().eval()
    model.load_state_dict(_reference(BASE).state_dict())
    text = prompt = _tokens(BASE, 5)
    with torch.no_grad():
        for _ in range(6):
            text = torch.cat([text, model(text)[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    assert torch.equal(module.generate(model, prompt, 6, temperature=0), text)
    drawn = module.generate(model, prompt, 6)
    assert drawn.shape == (2, 11)
    assert torch.equal(drawn[:, :5], prompt)


@pytest.mark.parametrize("name", CASES)
def test_imports_torch_only_and_needs_all_it_defines(name):
    tree = ast.parse(generate_code(CASES[name]))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"torch", "torch.nn.functional", "collections.abc"}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    constants = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    assert (functions | constants) <= used | {"generate"}


def _ruff(*arguments):
    ruff = shutil.which("ruff") or f"{sys.prefix}/bin/ruff"
    return subprocess.run([ruff, *arguments], capture_output=True, text=True, check=False)


def test_ruff_finds_nothing_in_any_case(tmp_path, request):
    config = ["--config", str(request.config.rootpath / "pyproject.toml")]
    for name, arch in CASES.items():
        (tmp_path / f"{re.sub('[^a-z0-9]', '_', name.lower())}.py").write_text(generate_code(arch))
        (tmp_path / f"{re.sub('[^a-z0-9]', '_', name.lower())}_hf.py").write_text(generate_modeling_code(arch))
    (tmp_path / "configuration_mimar.py").write_text(CONFIGURATION_CODE)
    for command in (["check", "--ignore", "INP001,TID252", *config], ["format", "--diff", *config]):
        found = _ruff(*command, str(tmp_path))
        assert found.returncode == 0, found.stdout + found.stderr
    assert max(len(line) for file in tmp_path.iterdir() for line in file.read_text().splitlines()) <= 110


def test_very_long_layers_are_wrapped(tmp_path):
    mixer = Mixer("sliding_window", 1024, 512, 128, 65536)
    part = FeedForward("moe", 1048576, "relu2", 1024, 256)
    other = FeedForward("moe", 1048576, "gelu", 1024, 256)
    arch = replace(
        BASE, hidden_size=131072, context_length=65536, blocks=(Block(mixer, part), *(Block(mixer, other),) * 2)
    )
    (tmp_path / "wide.py").write_text(generate_code(arch))
    assert _ruff("format", "--check", "--line-length", "110", str(tmp_path)).returncode == 0
    assert _ruff("check", "--select", "E", "--line-length", "110", str(tmp_path)).returncode == 0


def test_constants_name_what_all_layers_share():
    code = generate_code(replace(BASE, layer_sharing=2, dropout=0.25))
    for line in ("NUM_LAYERS = 4", "LAYER_SHARING = 2", "NUM_HEADS = 4", "NUM_KV_HEADS = 2", "DROPOUT = 0.25"):
        assert f"\n{line}" in code
    assert "num_kv_heads" not in generate_code(CASES["mixer-multi_head"])


def test_runs_as_a_script_in_a_fresh_process(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(generate_code(CASES["random-1"], class_name="Winner7"))
    run = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{parameters(CASES['random-1']):,} parameters\nlogits (1, 8, 97)\n")


def test_another_class_name_changes_only_the_name():
    assert generate_code(BASE, class_name="Winner").replace("Winner", "Model") == generate_code(BASE)


HOSTILE = [
    "", "model", "My Model", "A:\n    import os\nclass B", "X(object)", "Möbel", "A" * 41, "__import__", "A_B", "A\n",
]  # fmt: skip
TAKEN = ["None", "True", "Exception", "Attention", "Block", "Cache", "F", "Tensor"]


@pytest.mark.parametrize("name", [*HOSTILE, *TAKEN])
def test_hostile_and_taken_class_names_are_refused(name):
    with pytest.raises(InputError, match="expected a class name"):
        generate_code(BASE, class_name=name)


def test_illegal_architectures_are_refused():
    broken = replace(BASE, hidden_size=100)
    for write in (generate_code, generate_modeling_code):
        with pytest.raises(ArchitectureError, match="hidden_size must be a positive multiple of 64"):
            write(broken)


def test_template_lines_stand_under_conditions():
    template = "\nalways $word\nif_a  #? a\nif_a_not_b  #? a !b\n#? b\nend\n"
    assert render(template, {"a"}, {"word": "x"}) == "always x\nif_a\nif_a_not_b\nend"
    assert render(template, {"a", "b"}, {"word": "x"}) == "always x\nif_a\n\nend"
    with pytest.raises(KeyError):
        render(template, {"a"}, {})
