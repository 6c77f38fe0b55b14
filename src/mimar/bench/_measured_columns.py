"""What is known of an architecture without training it: speed and memory on this machine, and every score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Final

from mimar.errors import CandidateError, InputError
from mimar.hardware import Workload, memory_truth
from mimar.proxies import PROXIES, DecoderSubject, ProxyInputs
from mimar.space import Architecture
from mimar.training import Recipe, TokenData

MEASURED: Final = ("training_step_ms", "prefill_ms", "decode_tokens_per_second", "memory_bytes")
"""In fp32 on one thread: the quickest of a few training steps; of one sequence a prompt of 128 tokens, one step at the
end of the context, and the peak of reading prompts of the whole context."""

SCORES: Final = tuple(f"score_{proxy.name}" for proxy in PROXIES)
"""With seed 0, higher is better; empty where a score cannot be computed."""

PROMPT: Final = 128
TIMED_STEPS: Final = 6
TIMED_FOR: Final = 0.5
"""Seconds that prefill and decoding of one architecture are repeated for."""


def measured_columns(arch: Architecture, data: TokenData, recipe: Recipe) -> dict[str, float | str]:
    """Column → value; empty where this system or this architecture does not give it."""
    workload = Workload(arch.context_length, 1, min(PROMPT, arch.context_length), "fp32")
    with _one_thread():
        times = {"training_step_ms": _step_ms(arch, data, recipe), **_speed(arch, workload)}
    return {**times, "memory_bytes": _memory(arch, workload), **_scores(arch)}


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _step_ms(arch: Architecture, data: TokenData, recipe: Recipe) -> float | str:
    """The quickest step: what else a machine does makes others slower, and none quicker."""
    from mimar.models import build
    from mimar.training import Habits, train

    short = replace(recipe, tokens=TIMED_STEPS * recipe.batch_tokens)
    habits = Habits(log_every=1, validation_tokens=recipe.context_length)
    try:
        rows = train(build(arch), data, short, habits=habits).rows
    except CandidateError:
        return ""
    ends = [row["seconds"] for row in rows]
    return round(1e3 * min(later - earlier for earlier, later in pairwise(ends)), 3)


def _speed(arch: Architecture, workload: Workload) -> dict[str, float]:
    import torch

    from mimar.hardware import measured_speed

    found = measured_speed(arch, workload, torch.device("cpu"), TIMED_FOR)
    return {
        "prefill_ms": round(1e3 * found["prefill"], 4),
        "decode_tokens_per_second": round(1.0 / found["decode"], 2),
    }


def _memory(arch: Architecture, workload: Workload) -> float | str:
    try:
        (row,) = memory_truth([arch], workload)
    except InputError:  # no such figure on this system
        return ""
    return row.measured_bytes


def _scores(arch: Architecture) -> dict[str, float | str]:
    """From one set of inputs, so that scores share the model and its gradients."""
    inputs = ProxyInputs(DecoderSubject(arch), 0)
    found: dict[str, float | str] = {}
    for proxy in PROXIES:
        try:
            value = float(proxy(inputs))
        except (CandidateError, RuntimeError):  # torch's own refusal, of what has no second derivative
            value = math.nan
        found[f"score_{proxy.name}"] = float(f"{value:.9g}") if math.isfinite(value) else ""
    return found
