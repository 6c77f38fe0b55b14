"""The documentation says what the code does: generated pages are current, Python examples run, links lead somewhere."""

import contextlib
import copy
import importlib.util
import io
import linecache
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.training import ByteTokenizer, Recipe, TokenData, train

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_generated_pages_are_current():
    generate = _script("generate")
    for path, text in generate.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run `make docs`"


@pytest.mark.parametrize("page", [page for page in PAGES if examples_of(page)], ids=lambda page: page.name)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, example in enumerate(examples_of(page)):
        if "search_truth" in example and "MIMAR_DATA" not in os.environ:
            pytest.skip("MIMAR_DATA names no folder with the published tables")
        shown, name = io.StringIO(), f"<{page.name} {number}>"
        linecache.cache[name] = len(example), None, example.splitlines(keepends=True), name  # some look at the source
        with contextlib.redirect_stdout(shown):
            exec(compile(example, name, "exec"), {"__name__": "__main__"})
        assert shown.getvalue().strip()


@pytest.mark.slow
def test_the_tutorial_works_as_typed(tmp_path):
    """All of it that needs no local language model; a command that it calls refused has to be."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    typed = [line for line in commands if not re.search(r"make setup|get-llm|--llm|MODEL", line)]
    assert len(typed) > 12
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for line in typed:
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == (2 if "# refused" in line else 0), (line, done.stderr)
    assert {"pi.html", "compared.svg", "phone-hf"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "phone-gguf" / "model-Q8_0.gguf").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(("method", "zeros"), [("unstructured", 0.5), ("two_of_four", 0.5), ("nothing", 0.0)])
def test_what_the_handover_prunes_stays_zero_while_it_is_trained_on(method, zeros):
    handover = _script("handover")
    arch = Architecture(64, (Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu")),) * 2, 256, 64)
    model = build(arch, generator=torch.Generator().manual_seed(0))
    data = TokenData.of(["the cat sat on the mat. " * 60], [], ByteTokenizer())
    before = [part.weight.clone() for part in handover.matrices(model)]
    getattr(handover, method)(model)
    train(model, data, Recipe(tokens=512, context_length=32, batch_tokens=128))
    handover.permanent(model)
    weights = [part.weight for part in handover.matrices(model)]
    assert len(weights) == 2 * 7
    assert all((weight != old).any() for weight, old in zip(weights, before, strict=True))
    share = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert share == pytest.approx(zeros, abs=1e-3)
    if method == "two_of_four":
        assert all(((weight.reshape(-1, 4) == 0).sum(dim=1) == 2).all() for weight in weights)


def test_what_the_handover_rounds_is_nearer_with_more_bits():
    handover = _script("handover")
    arch = Architecture(64, (Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu")),) * 2, 256, 64)
    model = build(arch, generator=torch.Generator().manual_seed(0))
    whole = [part.weight.detach().clone() for part in handover.matrices(model)]
    errors = []
    for kind in ("F16", "Q8_0", "Q4_0"):
        rounded = handover.rounded(copy.deepcopy(model), kind)
        parts = zip(handover.matrices(rounded), whole, strict=True)
        errors.append(sum(float(((part.weight.detach() - old) ** 2).sum()) for part, old in parts))
    assert 0 < errors[0] < errors[1] < errors[2]


def _script(name):
    """A script of the docs folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module
