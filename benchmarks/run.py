"""Speed as ratios within one run: both sides of each ratio are timed alternately on the same machine, medians count."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import ray_nodes
import textbook
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mimar.design import design_task
from mimar.elastic import ElasticSpace, SuperNetwork, among_the_best, block_scores, judge
from mimar.hardware import Workload, hardware_metrics, load_profile
from mimar.llm import fetch_default_model
from mimar.models import DecoderLM, build, generate, to_hf_config, to_hf_state_dict
from mimar.objectives import Budget
from mimar.proxies import (
    PROXIES,
    Proxy,
    ProxyInputs,
    decoder_inputs,
    dss,
    fisher,
    grad_norm,
    grasp,
    head_importance,
    hpm,
    jacobian_covariance,
    lpzero,
    ntk,
    score_population,
    snip,
    synaptic_diversity,
    synaptic_saliency,
    synflow,
)
from mimar.shrink import open_model, spread, windows
from mimar.space import Architecture, Block, FeedForward, Mixer, TransformerSpace
from mimar.storage import SQLiteStorage
from mimar.strategy import AdaptivePortfolio, RandomSearch
from mimar.study import Study
from mimar.training import Habits, Recipe, TokenData, train

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
    archs = iter([space.sample(rng) for _ in range(5000)])  # each met once, as in a search: blocks once seen are cheap

    def some(count: int) -> list[Architecture]:
        return list(islice(archs, count))

    def count_by_building() -> None:
        for arch in some(10):
            sum(weight.numel() for weight in build(arch, device="meta").parameters())

    scored, built = timed(lambda: score_population(hpm, some(200)), count_by_building, rounds=3)
    row("meta build / HPM closed form", (built / 10) / (scored / 200), "per architecture, higher is better")
    profile, workload = load_profile("a100"), Workload()
    measured, scored = timed(
        lambda: [hardware_metrics(arch, profile, workload) for arch in some(200)],
        lambda: [hpm(decoder_inputs(arch)) for arch in some(200)],
    )
    row("hardware metrics / HPM", measured / scored, f"{measured / 200 * 1e6:.0f} µs an architecture here")


FROM_ONE_PASS = (grad_norm, snip, fisher, synaptic_saliency, head_importance, lpzero, jacobian_covariance)
"""Scores of one backward pass, without those that need nuclear norms: `synaptic_diversity` and `dss`."""

NARROW = replace(LLAMA, blocks=(Block(Mixer("attention", 4, 4, 64), FeedForward("swiglu", 704, "silu")),) * 4)
"""The model of the proxies' figures: 4 layers, width 256; batches are 8 × 64 tokens."""


def proxies() -> None:
    """Training-free scores: architectures a second, and what passes cost beside textbook code."""
    rng = np.random.default_rng(0)
    for proxy in PROXIES:
        if proxy.needs == {"shapes"}:
            rate, layers = unseen_a_second(proxy, rng)
            row(f"{proxy.name}, thousands a second", rate / 1000, f"at least 10; {1e6 / rate / layers:.1f} µs a layer")
    passes()
    textbook_proxies()


def unseen_a_second(proxy: Proxy, rng: np.random.Generator) -> tuple[float, float]:
    """Architectures scored a second, uniform draws never seen before, and how many layers they have on average."""
    space, rates, layers = TransformerSpace(), [], []
    for _ in range(5):
        archs = [space.sample(rng) for _ in range(500)]
        start = time.perf_counter()
        score_population(proxy, archs)
        rates.append(len(archs) / (time.perf_counter() - start))
        layers += [arch.num_layers for arch in archs]
    return median(rates), float(np.mean(layers))


def passes() -> None:
    """All scores of one backward pass against that pass alone, with the small vocabulary of proxies and with all."""
    shared, full, tokens = narrow()
    small_model = cast("DecoderLM", shared.module)

    def scores(*members: Proxy) -> Callable[[], object]:
        def job() -> None:
            # Module and batch are there already: both sides of the ratio leave out drawing weights.
            inputs = replace(shared)
            vars(inputs).update(module=shared.module, batch=shared.batch)
            for proxy in members:
                proxy(inputs)

        return job

    small, large, most, everything = timed(
        lambda: textbook.forward_backward(small_model, shared.batch),
        lambda: textbook.forward_backward(full, tokens),
        scores(*FROM_ONE_PASS),
        scores(*FROM_ONE_PASS, synaptic_diversity, dss),
    )
    row("9 gradient scores / full pass", everything / large, "at most 1.3; the model with its vocabulary of 32000")
    row("9 gradient scores / same pass", everything / small, "vocabulary 512 on both sides")
    row("7 without nuclear norms / same", most / small, "at most 1.3; vocabulary 512 on both sides")


def textbook_proxies() -> None:
    """SynFlow, NTK and GraSP against `benchmarks/textbook.py`; drawing weights is left out on both sides."""
    inputs, full, tokens = narrow()
    small_model = cast("DecoderLM", inputs.module)
    for proxy, reference in ((synflow, textbook.synflow), (ntk, textbook.ntk), (grasp, textbook.grasp)):
        ours, theirs, cut = timed(
            lambda proxy=proxy: proxy(inputs),
            lambda reference=reference: reference(full, tokens),
            lambda reference=reference: reference(small_model, inputs.batch),
        )
        row(f"{proxy.name} / textbook", ours / theirs, f"at most 0.5; {ours * 1e3:.0f} ms here")
        row(f"{proxy.name} / textbook, cut", ours / cut, "vocabulary 512 on both sides")


def narrow() -> tuple[ProxyInputs, DecoderLM, torch.Tensor]:
    """`NARROW` as proxies see it, and the whole model with the same kernel and a batch."""
    arch = replace(NARROW, vocab_size=32000, attention_kernel="math")
    tokens = torch.randint(arch.vocab_size, (8, 64), generator=torch.Generator().manual_seed(0))
    return decoder_inputs(arch), build(arch), tokens


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


THREE_MILLION = replace(LLAMA, blocks=(Block(Mixer("attention", 4, 4, 64), FeedForward("swiglu", 640, "silu")),) * 4)


def training() -> None:
    """The training loop against `textbook.train`, on the same model, step for step; validation is left out."""
    arch, steps, sequences, context = replace(THREE_MILLION, vocab_size=256), 8, 8, 256
    ids = np.random.default_rng(0).integers(256, size=200_000, dtype=np.int32)
    data = TokenData(ids, ids[: context + 1], 256, 1.0)
    recipe = Recipe(steps * sequences * context, context, sequences * context)
    model, other, tokens = build(arch), build(arch), torch.from_numpy(ids).long()
    ours, plain = timed(
        lambda: train(model, data, recipe, habits=Habits(validation_tokens=context)),
        lambda: textbook.train(other, tokens, steps, sequences, context),
    )
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    row("training / hand-written loop", plain / ours, f"tokens a second, at least 0.97; {millions:.1f} M parameters")


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


def shrinking() -> None:
    """Layers that are run to judge sub-networks of the real small model together, against one by one."""
    with tempfile.TemporaryDirectory() as scratch:
        opened = open_model(str(fetch_default_model().path), Path(scratch))
        text = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parents[1].glob("docs/*.md"))]
        ids = torch.from_numpy(windows(text, opened.reader, 48, 64))
    network = SuperNetwork.of(opened.parent, ids[:32])
    space = ElasticSpace.of(opened.parent.arch, "G", steps=8, protected=(0, 1, 28, 29))
    subs = spread(space, 50)
    plain, raced = judge(network, subs, ids[32:]), judge(network, subs, ids[32:], among_the_best(5))
    best, found = (np.argsort(each.divergences)[:5].tolist() for each in (plain, raced))
    same = "the same best five" if best == found else f"other best five: {found} instead of {best}"
    parent = space.parent.num_layers  # is run for both
    ratio = (raced.spent + parent) / (raced.naive + parent)
    row("50 sub-networks / one by one", ratio, f"layers run, at most 0.5; {same}")
    scores = block_scores(network, space, ids[-1:])
    row("block scores / one by one", scores.spent / scores.naive, "layers run, at most 0.55")


def executors() -> None:
    """A search on two Ray nodes of one core each against one process; its score waits for a second, as for a device."""
    found = ray_nodes.compared()
    same = "the same trials" if found.same else "OTHER TRIALS"
    row("two Ray nodes / serial", found.ratio, f"at least 1.6; a second a candidate, {same}")
    if not found.same or found.ratio < 1.6:
        raise SystemExit("not what two nodes are for")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{'ratio':<34} {'value':>10}   meaning")
    parts = (command_line, closed_forms, proxies, models, training, searches, shrinking, executors)
    for part in parts:
        if part.__name__ in (sys.argv[1:] or [each.__name__ for each in parts]):
            part()
