"""From design to device: one model designed, trained, taught, pruned and rounded; writes the tables of handover.md.

    python docs/handover.py --data wiki.train.txt --validation wiki.valid.txt --work handover

needs mimar[gguf] and torchao. What lies in the work folder already is not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from scipy.stats import kendalltau
from torch import nn
from torch.nn.utils import prune

from mimar.cli._request import LLAMA
from mimar.cli._tables import markdown_figures
from mimar.export import QUANTIZATIONS
from mimar.models import build
from mimar.proxies import PROXIES, DecoderSubject, ProxyInputs
from mimar.shapes import parameters
from mimar.space import Architecture, Defaults, TransformerSpace, architecture_from_json
from mimar.training import Batch, Recipe, TokenData, read_texts, tokenizer_named, train, validation_loss

PAGE = Path(__file__).parent / "handover.md"
VOCABULARY, CONTEXT, STEP = 1024, 256, 2048
DESIGN = "design --only llama --untied --vocab 1024 --ctx 256 --trials 60 --objectives score,decode_tokens_per_second"
TYPES = ("F16", "Q8_0", "Q5_0", "Q4_0")
JUDGED_ON = 65_536
HEALED_FOR = 100_000
ASKED_FOR = 100_000
"""Tokens that each of those is trained on which scores are asked about."""
ONLY = {name: [1 if value == "1" else value] for name, _, value in (choice.partition("=") for choice in LLAMA)}
SENSITIVE = ("quantization_int8", "quantization_int4", "activation_outliers", "activation_sparsity", "adw", "params")
"""Scores that are asked what rounding and pruning will cost; the last two know nothing of it."""
ASKED = 12
"""Llamas of about equal size that they are asked about."""


@dataclass(frozen=True)
class Work:
    """Where everything lies, and the text."""

    folder: Path
    data: str
    validation: str

    def mimar(self, *arguments: str) -> dict[str, Any]:
        """What the command prints as JSON."""
        print("mimar", *arguments, file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "mimar", *arguments, "--json"]
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """`make()` as JSON, kept in the folder."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            found = make()
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))

    def train(self, run: str, reference: str, tokens: str, *options: str) -> None:
        """Into the folder `run`."""
        text = ("--data", self.data, "--validation", self.validation, "--tokenizer", f"train:{VOCABULARY}")
        if not (self.folder / run / "train.json").exists():
            self.mimar(
                "train", reference, *text, "--tokens", tokens, "--batch-tokens", str(STEP), "--out", run, *options
            )

    def designed(self, name: str, most: str) -> str:
        """``STUDY#ID`` of the best score within so many parameters."""
        study = self.folder / f"{name}.db"
        begun = ("--resume",) if study.exists() else ()
        options = (*DESIGN.split(), "--max-params", most, "--study", study.name, *begun)
        found = self.kept(name, lambda: self.mimar(*options))
        best = max(found["front"], key=lambda member: member["metrics"]["score"])
        return f"{name}.db#{best['id']}"


def matrices(model: nn.Module) -> list[nn.Linear]:
    """Whose weights are pruned and rounded: those of the layers; embedding and head stay."""
    named = model.named_modules()
    return [part for name, part in named if name.startswith("blocks.") and isinstance(part, nn.Linear)]


def unstructured(model: nn.Module) -> None:
    """The half of all weights of layers that is smallest becomes zero."""
    parts = [(part, "weight") for part in matrices(model)]
    prune.global_unstructured(parts, pruning_method=prune.L1Unstructured, amount=0.5)


def two_of_four(model: nn.Module) -> None:
    """Of four weights in a row the two smallest become zero, which sparse tensor cores skip."""
    for part in matrices(model):
        groups = part.weight.detach().abs().reshape(-1, 4)
        mask = torch.zeros_like(groups).scatter_(1, groups.topk(2, dim=1).indices, 1.0)
        prune.custom_from_mask(part, "weight", mask.reshape(part.weight.shape))


def nothing(model: nn.Module) -> None:
    """What healing is compared with."""
    for part in matrices(model):
        prune.identity(part, "weight")


def permanent(model: nn.Module) -> nn.Module:
    """Masks become zeros in the weights."""
    for part in matrices(model):
        prune.remove(part, "weight")
    return model


def int8(model: nn.Module) -> nn.Module:
    """Weights of all linear layers as int8, one scale a row (torchao)."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(model, Int8WeightOnlyConfig())
    return model


def rounded(model: nn.Module, kind: str) -> nn.Module:
    """All matrices as a GGUF file of this type keeps them."""
    layers = {id(part.weight) for part in matrices(model)}
    with torch.no_grad():
        for weight in (each for each in model.parameters() if each.dim() > 1):
            inner, ends = QUANTIZATIONS[kind]
            quantization = gguf.GGMLQuantizationType[inner if id(weight) in layers else ends]
            data = gguf.quants.quantize(weight.detach().numpy(), quantization)
            weight.copy_(torch.from_numpy(gguf.quants.dequantize(data, quantization)))
    return model


def saved_bytes(model: nn.Module) -> int:
    """Of a file that torch writes."""
    file = BytesIO()
    torch.save(model.state_dict(), file)
    return len(file.getvalue())


@dataclass(frozen=True)
class Bench:
    """A trained model, and what judges its changed copies."""

    model: nn.Module
    data: TokenData
    batches: Sequence[Batch]

    def loss(self, change: Callable[[nn.Module], nn.Module]) -> float:
        """After `change` of a copy, nats a token."""
        return validation_loss(change(deepcopy(self.model)).eval(), self.batches)

    def pruned(self, method: Callable[[nn.Module], None], heal: bool) -> nn.Module:
        """A pruned copy; heal: trained on for a while, its zeros fixed."""
        model = deepcopy(self.model)
        method(model)
        if heal:
            recipe = Recipe(HEALED_FOR, CONTEXT, STEP, learning_rate=5e-4, seed=1)
            train(model, self.data, recipe)
        return permanent(model)

    def loss_pruned(self, work: Work, method: Callable[[nn.Module], None], heal: bool) -> float:
        """Of such a copy, nats a token."""
        name = f"{method.__name__}{'-healed' if heal else ''}"
        return work.kept(name, lambda: validation_loss(self.pruned(method, heal).eval(), self.batches))


def read_run(folder: Path) -> tuple[Architecture, nn.Module]:
    """What `mimar train` left."""
    arch = architecture_from_json(json.loads((folder / "architecture.json").read_text(encoding="utf-8")))
    model = build(arch)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return arch, model.eval()


def chain(work: Work, data: TokenData, batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """Each step with its loss; all after the teacher are of one architecture."""
    student, teacher = work.designed("student", "4M"), work.designed("teacher", "10M")
    work.train("teacher", teacher, "800k")
    work.train("alone", student, "400k")
    work.train("taught", student, "400k", "--teacher", "teacher")
    steps = {
        "teacher, trained on 800k tokens": "teacher",
        "student, trained on 400k tokens": "alone",
        "student, taught on the same 400k tokens": "taught",
    }
    losses = {step: validation_loss(read_run(work.folder / run)[1], batches) for step, run in steps.items()}
    bench = Bench(read_run(work.folder / "taught")[1], data, batches)
    for name, method in (("half of all weights", unstructured), ("2 of 4 weights", two_of_four)):
        losses[f"taught, {name} zero"] = bench.loss_pruned(work, method, heal=False)
    for name, method in (("nothing", nothing), ("half of all weights", unstructured), ("2 of 4 weights", two_of_four)):
        losses[f"taught, {name} zero, 100k tokens more"] = bench.loss_pruned(work, method, heal=True)
    return [{"step": step, "loss": loss} for step, loss in losses.items()]


def files(work: Work, data: TokenData, batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """The taught model in each form: bytes, loss, and what checked it."""
    _, model = read_run(work.folder / "taught")
    bench = Bench(model, data, batches)
    whole = (work.folder / "taught" / "model.safetensors").stat().st_size
    rows = [{"form": "safetensors, float32", "bytes": whole, "loss": validation_loss(model, batches), "checked": ""}]
    for kind in TYPES:
        folder = f"gguf-{kind}"
        done = work.mimar("export", "taught", folder, "--to", "gguf", "--weights", kind)
        size = (work.folder / folder / f"model-{kind}.gguf").stat().st_size
        loss = bench.loss(lambda copy, k=kind: rounded(copy, k))
        rows.append({"form": f"GGUF {kind}", "bytes": size, "loss": loss, "checked": done["verdicts"]["llama.cpp"]})
    size = saved_bytes(int8(deepcopy(model)))
    return [*rows, {"form": "int8, torchao", "bytes": size, "loss": bench.loss(int8), "checked": ""}]


def asked(work: Work, data: TokenData, batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """Llamas of about equal size, each with its scores before training and what rounding and pruning cost after it."""
    space = TransformerSpace(defaults=Defaults(VOCABULARY, CONTEXT, tied_embeddings=False)).restricted(**ONLY)
    rng, archs = np.random.default_rng(0), list[Architecture]()
    while len(archs) < ASKED:
        arch = space.sample(rng)
        if not space.validate(arch) and 3e6 <= parameters(arch) <= 4e6 and arch not in archs:
            archs.append(arch)
    return [work.kept(f"asked-{i}", lambda a=arch: _asked(a, data, batches)) for i, arch in enumerate(archs)]


def _asked(arch: Architecture, data: TokenData, batches: Sequence[Batch]) -> dict[str, Any]:
    scores = {proxy.name: proxy for proxy in PROXIES}
    inputs = ProxyInputs(DecoderSubject(arch))
    found: dict[str, Any] = {name: float(scores[name](inputs)) for name in SENSITIVE if name in scores}
    model = build(arch, generator=torch.Generator().manual_seed(0))
    train(model, data, Recipe(ASKED_FOR, CONTEXT, STEP))
    bench = Bench(model.eval(), data, batches)
    loss = validation_loss(model, batches)
    found |= {"params": parameters(arch), "loss": loss, "int8": bench.loss(int8) - loss}
    found |= {kind: bench.loss(lambda copy, k=kind: rounded(copy, k)) - loss for kind in ("Q8_0", "Q4_0")}
    for method in (unstructured, two_of_four):
        found[method.__name__] = validation_loss(bench.pruned(method, heal=False).eval(), batches) - loss
    return found


def answers(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Kendall τ of each score with what each change costs: above 0 where a better score loses less."""
    names = [name for name in SENSITIVE if name in rows[0]]
    costs = ("int8", "Q4_0", "unstructured", "two_of_four")
    return [
        (name, *(f"{kendalltau([row[name] for row in rows], [-row[cost] for row in rows])[0]:+.2f}" for cost in costs))
        for name in names
    ]


def picks(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    """What each change costs the third that a score likes best, beside the mean of all."""
    costs = ("int8", "Q4_0", "unstructured", "two_of_four")

    def line(name: str, chosen: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
        return (name, *(f"{np.mean([row[cost] for row in chosen]):.4f}" for cost in ("loss", *costs)))

    best = {
        name: sorted(rows, key=lambda row, n=name: -row[n])[: len(rows) // 3] for name in SENSITIVE if name in rows[0]
    }
    return [line("all", rows), *(line(f"best third by {name}", chosen) for name, chosen in best.items())]


def insert(name: str, table: str) -> None:
    """Put `table` between the marks of `name`."""
    mark = f"<!-- table {name} -->\n"
    before, rest = PAGE.read_text(encoding="utf-8").split(mark, 1)
    PAGE.write_text(f"{before}{mark}{table}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}", encoding="utf-8")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "validation", "work"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    work = Work(
        Path(options.work).absolute(), str(Path(options.data).absolute()), str(Path(options.validation).absolute())
    )
    work.folder.mkdir(parents=True, exist_ok=True)
    texts = read_texts([work.data])
    data = TokenData.of(texts, read_texts([work.validation]), tokenizer_named(f"train:{VOCABULARY}", texts))
    batches = data.validation_batches(JUDGED_ON, STEP // CONTEXT, CONTEXT)
    steps = work.kept("chain", lambda: chain(work, data, batches))
    insert("chain", markdown_figures(("step", "loss"), [(row["step"], f"{row['loss']:.4f}") for row in steps]))
    forms = work.kept("files", lambda: files(work, data, batches))
    lines = [(row["form"], f"{row['bytes'] / 1e6:.2f}", f"{row['loss']:.4f}", row["checked"]) for row in forms]
    insert("files", markdown_figures(("form", "MB", "loss", "llama.cpp"), lines))
    rows = asked(work, data, batches)
    insert("asked", markdown_figures(("score", "int8", "Q4_0", "half zero", "2 of 4"), answers(rows)))
    insert("picks", markdown_figures(("picked", "loss", "int8", "Q4_0", "half zero", "2 of 4"), picks(rows)))


if __name__ == "__main__":
    main()
