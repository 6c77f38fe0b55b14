"""What the drills kill as a whole: commands, how far they are, and what comes out of them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT = "The cat sat on the mat. A dog ran after the cat, and the mat was wet. It's naïve – isn't it? 1984 was long.\n"


def one_phase(_: Path) -> str:
    """Of work that has no more."""
    return "work"


@dataclass(frozen=True)
class Drill:
    """Work that is killed as a whole.

    prepare: writes into a folder what the work needs, and returns its command for a number of kills, without
    --resume. progress: something that changes whenever more is stored. result: everything that came out but times.
    phases: of the work, in order; each has to be hit. phase: the one in which the work of a folder is by what it holds.
    """

    prepare: Callable[[Path, int], list[str]]
    progress: Callable[[Path], object]
    result: Callable[[Path], Any]
    phases: tuple[str, ...] = ("work",)
    phase: Callable[[Path], str] = one_phase


def search_command(folder: Path, kills: int) -> list[str]:
    """A search of some more trials for each kill."""
    return design_command(folder, 100 + 24 * kills)


def design_command(folder: Path, trials: int) -> list[str]:
    """A search for a laptop."""
    wanted = ["--strategy", "nsga2", "--device", "laptop-cpu", "--max-params", "60M"]
    return ["design", *wanted, "--trials", str(trials), "--study", str(folder / "s.db")]


def training_command(folder: Path, kills: int) -> list[str]:
    """A training of a small model, saved every ten steps, with some steps for each kill."""
    (folder / "arch.json").write_text(json.dumps(small_architecture()))
    write_text(folder / "text.txt")
    tokens = 256 * (20 + 8 * kills)
    options = ["--context", "32", "--batch-tokens", "256", "--save-every", "0", "--tokens", str(tokens)]
    return [
        "train",
        str(folder / "arch.json"),
        "--data",
        str(folder / "text.txt"),
        "--out",
        str(folder / "out"),
        *options,
    ]


def shrink_command(folder: Path, kills: int) -> list[str]:
    """A fine-tune, a search, a recovery and an export of a small model with random weights, saved after every step."""
    model, text = folder / "model", folder / "text.txt"
    write_text(text)
    write_model(model)
    sizes = ["--window", "32", "--calibration-tokens", "512", "--search-tokens", "128", "--final-tokens", "128"]
    wanted = [
        "--max-block-params",
        "0.7x",
        "--steps",
        "8",
        "--cut",
        "all",
        "--protect",
        "none",
        "--device",
        "laptop-cpu",
    ]
    tokens = str(2048 * (4 + 2 * kills))
    taught = ["--finetune", tokens, "--heal", tokens, "--save-every", "0"]
    read = ["--calibration", str(text), "--eval-text", str(text), "--eval-tokens", "128"]
    return [
        "shrink", str(model), *read, *sizes, *wanted, *taught, "--trials", str(16 + 4 * kills), "--export", "hf",
        "--out", str(folder / "out"), "--study", str(folder / "s.db"),
    ]  # fmt: skip


def write_text(path: Path) -> None:
    """Enough for all that is read here."""
    path.write_text(TEXT * 400, encoding="utf-8")


def small_architecture() -> dict[str, Any]:
    """Two layers."""
    from mimar.space import Architecture, Block, FeedForward, Mixer, architecture_to_json

    block = Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu"))
    return architecture_to_json(Architecture(64, (block, block), vocab_size=256, context_length=64))


def write_model(folder: Path) -> None:
    """A Llama of four layers with its tokenizer, as transformers writes it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from mimar.training import tokenizer_named

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=96, intermediate_size=128, num_hidden_layers=4, num_attention_heads=6,
        num_key_value_heads=3, head_dim=16, max_position_embeddings=64,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer_named("train:300", [TEXT * 40]).save(folder)


def events(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """What the study of `folder` holds by now."""
    study = folder / "s.db"
    if not study.exists():
        return []
    with closing(sqlite3.connect(f"{study.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        try:
            rows = db.execute("SELECT kind, body FROM events ORDER BY position").fetchall()
        except sqlite3.OperationalError:  # no table yet
            return []
    return [(kind, json.loads(body)) for kind, body in rows]


def stored_trials(folder: Path) -> int:
    """How many there are."""
    return sum(kind == "trial" for kind, _ in events(folder))


def trials(folder: Path) -> list[dict[str, Any]]:
    """All of them, in order, without how long they took; one that was stored twice is there twice."""
    found = [{**body, "seconds": 0.0} for kind, body in events(folder) if kind == "trial"]
    return sorted(found, key=lambda body: body["id"])


def stamps(folder: Path, pattern: str) -> list[int]:
    """When the files of that pattern were last written."""
    found = list[int]()
    for path in sorted(folder.glob(pattern)):
        with suppress(FileNotFoundError):  # it was put in its place just now
            found.append(path.stat().st_mtime_ns)
    return found


def digests(folder: Path, pattern: str) -> dict[str, str]:
    """What is in them."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob(pattern))}


def measured(folder: Path) -> dict[str, Any]:
    """What a shrink run chose, and how good that is."""
    found = next(body for kind, body in reversed(events(folder)) if kind == "measured")
    return {name: found["chosen"][name] for name in ("id", "layers", "perplexity")}


def shrink_phase(folder: Path) -> str:
    """The last one of which something is stored."""
    if any((folder / "out").glob("*")):
        return "export"
    if stamps(folder, "s.db.chosen-*/checkpoint.pt"):
        return "recovery"
    return "search" if stored_trials(folder) else "fine-tune"


KILLED = {
    "search": Drill(search_command, stored_trials, trials),
    "training": Drill(
        training_command,
        lambda folder: stamps(folder / "out", "checkpoint.pt"),
        lambda folder: digests(folder / "out", "model.safetensors"),
    ),
    "shrink": Drill(
        shrink_command,
        lambda folder: (stored_trials(folder), stamps(folder, "*/checkpoint.pt"), stamps(folder, "out/*")),
        lambda folder: (trials(folder), measured(folder), digests(folder / "out", "*/model.safetensors")),
        ("fine-tune", "search", "recovery", "export"),
        shrink_phase,
    ),
}
