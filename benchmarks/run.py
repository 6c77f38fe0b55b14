"""Speed as ratios within one run: both sides of each ratio are timed alternately on the same machine, medians count."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mimar.design import design_task
from mimar.hardware import Workload, hardware_metrics, load_profile
from mimar.models import build, generate, to_hf_config, to_hf_state_dict
from mimar.objectives import Budget
from mimar.proxies import ProxyInputs, hpm, score_population
from mimar.space import Architecture, Block, FeedForward, Mixer, TransformerSpace
from mimar.storage import SQLiteStorage
from mimar.strategy import AdaptivePortfolio, RandomSearch
from mimar.study import Study

LLAMA = Architecture(256, (Block(Mixer("attention", 4, 2, 64), FeedForward("swiglu", 704, "silu")),) * 6, 4096, 512)
"""A LLaMA-shaped model small enough to be timed in seconds."""


def timed(*jobs: Callable[[], object], rounds: int = 7) -> list[float]:
    """Median seconds of each job, after one warm-up; the jobs take turns so that noise hits them alike."""
    taken: list[list[float]] = [[] for _ in jobs]
    for job in jobs:
        job()
    for _ in range(rounds):
        for job, times in zip(jobs, taken, strict=True):
            start = time.perf_counter()
            job()
            times.append(time.perf_counter() - start)
    return [median(times) for times in taken]


def row(name: str, ratio: float, meaning: str) -> None:
    """One line of the table."""
    print(f"{name:<34} {ratio:>10.2f}   {meaning}", flush=True)


def command_line() -> None:
    """`mimar --help` against importing typer and rich alone."""
    run = lambda *args: lambda: subprocess.run([sys.executable, *args], check=True, capture_output=True)  # noqa: E731
    helped, imported = timed(run("-m", "mimar", "--help"), run("-c", "import typer, rich"))
    row("help / importing typer and rich", helped / imported, "at most 2")


def closed_forms() -> None:
    """Scoring shapes against building the module on the meta device to count its weights."""
    space, rng = TransformerSpace(), np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(200)]

    def count_by_building() -> None:
        for arch in archs[:10]:
            sum(weight.numel() for weight in build(arch, device="meta").parameters())

    scored, built = timed(lambda: score_population(hpm, archs), count_by_building, rounds=3)
    row("meta build / HPM closed form", (built / 10) / (scored / 200), "per architecture, higher is better")
    profile, workload = load_profile("a100"), Workload()
    measured, scored = timed(
        lambda: [hardware_metrics(arch, profile, workload) for arch in archs],
        lambda: [hpm(ProxyInputs(arch)) for arch in archs],
    )
    row("hardware metrics / HPM", measured / scored, f"{measured / 200 * 1e6:.0f} µs an architecture here")


def models() -> None:
    """Forward pass and cached decoding against transformers' LLaMA with the same weights."""
    torch.manual_seed(0)
    ours = build(LLAMA).eval()
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**to_hf_config(LLAMA))).eval()
    theirs.load_state_dict(to_hf_state_dict(LLAMA, ours.state_dict()), strict=False)
    tokens = torch.randint(0, LLAMA.vocab_size, (4, 256))
    prompt = tokens[:1, :64]
    options = {"max_new_tokens": 48, "min_new_tokens": 48, "do_sample": False, "pad_token_id": 0}
    with torch.inference_mode():
        mine, reference = timed(lambda: ours(tokens), lambda: theirs(tokens, use_cache=False))
        ours_decodes, theirs_decode = timed(
            lambda: generate(ours, prompt, 48), lambda: theirs.generate(prompt, **options)
        )
    row("forward / transformers LLaMA", mine / reference, "lower is better, 1 is equal")
    row("generate / transformers LLaMA", ours_decodes / theirs_decode, "48 tokens after 64, with KV cache")


def searches() -> None:
    """What asking, telling and journalling cost beside each other."""
    budgets = [Budget("params", "max", 60e6)]
    task = design_task(TransformerSpace(), load_profile("a100"), Workload(), budgets=budgets)

    def memory() -> None:
        Study(task.problem, RandomSearch(task.problem, 0), task.evaluator).run(64)

    def adaptive() -> None:
        Study(task.problem, AdaptivePortfolio(task.problem, 0), task.evaluator).run(64)

    def on_disk() -> None:
        with tempfile.TemporaryDirectory() as folder:
            storage = SQLiteStorage(Path(folder) / "study.db")
            Study(task.problem, RandomSearch(task.problem, 0), task.evaluator, storage=storage).run(64)
            storage.close()

    plain, clever, stored = timed(memory, adaptive, on_disk, rounds=3)
    row("adaptive / random, whole study", clever / plain, "64 trials, analytic metrics")
    row("journalled / in memory", stored / plain, "64 durable trials")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{'ratio':<34} {'value':>10}   meaning")
    for part in (command_line, closed_forms, models, searches):
        part()
