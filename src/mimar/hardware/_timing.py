"""Passes of real models, timed on this machine with torch; imported only where something is measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from mimar.hardware._amounts import Pass
from mimar.hardware._calibrate import Measurement, Timed
from mimar.hardware._workload import Dtype, Workload
from mimar.models import Cache, DecoderLM, build
from mimar.space import Architecture

TORCH_DTYPES: dict[Dtype, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one run of `work`, all queued kernels included.

    One CPU thread is timed by its processor time, which leaves out what other programs take of the core.
    """
    cuda = torch.cuda.is_available()
    clock = time.process_time if torch.get_num_threads() == 1 and not cuda else time.perf_counter
    if cuda:
        torch.cuda.synchronize()
    start = clock()
    work()
    if cuda:
        torch.cuda.synchronize()
    return clock() - start


def fastest(jobs: Sequence[Callable[[], object]], budget_s: float, least: int = 1) -> list[float]:
    """Seconds of each job at its fastest, as anything else that runs on the machine can only slow one down.

    After a run to warm up they take turns, so that a busy moment does not fall on one of them alone, until `budget_s`
    is over and each had `least` turns.
    """
    for job in jobs:
        job()
    found, rounds, start = [math.inf] * len(jobs), 0, time.perf_counter()
    while rounds < least or time.perf_counter() - start < budget_s:
        found = [min(best, seconds(job)) for best, job in zip(found, jobs, strict=True)]
        rounds += 1
    return found


@torch.inference_mode()
def time_passes(items: Sequence[Timed], device: torch.device, budget_s: float) -> tuple[Measurement, ...]:
    """Prefill and decode of every model, all of them in memory at once; `budget_s` and order as in `fastest`."""
    jobs = [(arch, use, *one) for arch, use in items for one in passes(arch, use, device).items()]
    found = fastest([job for *_, job in jobs], budget_s, least=2)
    return tuple(Measurement(arch, use, kind, cost) for (arch, use, kind, _), cost in zip(jobs, found, strict=True))


@torch.inference_mode()
def measured_speed(arch: Architecture, workload: Workload, device: torch.device, budget_s: float) -> dict[Pass, float]:
    """Seconds of prefill and of one decoding step, at their fastest within about `budget_s`."""
    jobs = passes(arch, workload, device)
    return dict(zip(jobs, fastest(list(jobs.values()), budget_s, least=2), strict=True))


def passes(arch: Architecture, workload: Workload, device: torch.device) -> dict[Pass, Callable[[], object]]:
    """Reading prompts into an empty cache up to the first logits; one step with `context` − 1 tokens in the cache."""
    model = build(arch, device=device, dtype=TORCH_DTYPES[workload.dtype]).eval()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(arch.vocab_size, (workload.batch, workload.context), generator=generator).to(device)
    cache = model.new_cache()
    if workload.context > 1:
        model.hidden_states(model.embedding(tokens[:, :-1]), cache)
    kept = [layer.tensors for layer in cache.layers]
    return {
        "prefill": partial(read_prompt, model, tokens[:, : workload.prompt_tokens]),
        "decode": partial(_step, model, tokens[:, -1:], cache, kept),
    }


def read_prompt(model: DecoderLM, prompt: Tensor) -> Tensor:
    """Logits (batch, 1, vocab) of the last token, with a new cache filled as for decoding."""
    hidden = model.hidden_states(model.embedding(prompt), model.new_cache())
    return model.logits(hidden[:, -1:])


def _step(model: DecoderLM, token: Tensor, cache: Cache, kept: list[tuple[Tensor, ...]]) -> Tensor:
    """Decode at the same length each time: the cache takes back what it held."""
    held = cache.length
    found = model(token, cache)
    cache.length = held
    for layer, tensors in zip(cache.layers, kept, strict=True):
        layer.tensors = tensors
    return found
