"""How fast llama.cpp runs the sub-networks of a parent on this machine, from files of a few that were timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mimar.elastic import WIDTH_STEP, ElasticSpace, SubNetwork
from mimar.errors import MissingDependencyError
from mimar.export import save_shrunk_gguf
from mimar.formats import Speed, has_llama_cpp, measured_speeds
from mimar.hardware import DeviceProfile, Support, Throughput, memory_bytes
from mimar.shapes import parameters

if TYPE_CHECKING:
    from mimar.elastic import Parent

LLAMA_CPP: Final = "llama.cpp"
"""The name of this machine as a device that runs such files."""

TIMED_WITH: Final = "Q8_0"
"""Type of weights that speeds are measured with: llama.cpp rounds to it with hardly a loss."""

WRITTEN: Final = 64
"""Tokens that are written to see how fast, where the context has room for them."""


@dataclass(frozen=True)
class LlamaCppSpeed:
    """Seconds as a sum over what a sub-network keeps: for the model itself, each attention part, each kv head, each
    feed-forward part and each channel. prefill_s: of the prompt it was timed with; decode_s: of each token after it.
    """

    prefill_s: tuple[float, ...]
    decode_s: tuple[float, ...]

    @staticmethod
    def of(timed: Sequence[tuple[SubNetwork, Speed]], prompt_tokens: int) -> LlamaCppSpeed:
        """What fits best, in relative terms, with no part faster than nothing (non-negative least squares)."""
        kept = np.asarray([_kept(sub) for sub, _ in timed])
        prefill = np.asarray([prompt_tokens / speed.prefill_tokens_per_second for _, speed in timed])
        decode = np.asarray([1 / speed.decode_tokens_per_second for _, speed in timed])
        return LlamaCppSpeed(_fitted(kept, prefill), _fitted(kept, decode))

    def metrics(self, sub: SubNetwork) -> Mapping[str, float]:
        """Under the names of `mimar.hardware.hardware_metrics`."""
        kept = _kept(sub)
        return {
            "ttft_s": float(kept @ np.asarray(self.prefill_s)),
            "decode_tokens_per_second": 1 / float(kept @ np.asarray(self.decode_s)),
        }


def time_in_llama_cpp(
    parent: Parent, tokenizer: Path, space: ElasticSpace, prompt_tokens: int
) -> tuple[DeviceProfile, LlamaCppSpeed]:
    """Write the `probes` of `space` with the weights of `parent` as they come, run and throw them away.

    Returns this machine as a device with weights of 8 bits as well. MissingDependencyError: there is no llama.cpp.
    ArchitectureError: such files cannot be written of this family.
    """
    from mimar.elastic import by_magnitude, extract

    if not has_llama_cpp():
        raise MissingDependencyError(f"device {LLAMA_CPP} needs xllamacpp: pip install xllamacpp")
    network, subs = by_magnitude(parent), probes(space)
    with TemporaryDirectory(prefix="mimar-") as scratch:
        files = [Path(scratch) / f"{number}.gguf" for number in range(len(subs))]
        for sub, file in zip(subs, files, strict=True):
            save_shrunk_gguf(extract(network, sub), file, tokenizer, TIMED_WITH)
        speeds = run_in_llama_cpp(files, parent.arch.context_length, prompt_tokens)
    return _profile(parameters(parent.arch), speeds[0]), LlamaCppSpeed.of(
        list(zip(subs, speeds, strict=True)), prompt_tokens
    )


def run_in_llama_cpp(files: Sequence[Path], context: int, prompt_tokens: int) -> list[Speed]:
    """Of models with this context, in turns: a prompt is read, and text written after it, as far as there is room."""
    tokens = max(1, min(WRITTEN, context // 4))
    return measured_speeds(files, prompt_tokens=max(1, min(prompt_tokens, context - tokens - 1)), tokens=tokens)


def _profile(params: int, whole: Speed) -> DeviceProfile:
    """From the speed of the whole parent, to say in words what the device is like."""
    measured = "measured: the whole parent in llama.cpp"
    figures = ("memory_bandwidth", "peak_flops", "compute_efficiency", "bandwidth_efficiency", "cache_efficiency")
    return DeviceProfile(
        LLAMA_CPP,
        "this machine",
        f"llama.cpp with {TIMED_WITH} weights on one thread",
        memory_bytes=memory_bytes(),
        memory_bandwidth=params * whole.decode_tokens_per_second,
        cache_bytes=0.0,
        launch_overhead_s=0.0,
        throughput={"int8": Throughput(2 * params * whole.prefill_tokens_per_second, 1.0, 1.0, 1.0)},
        supports=Support(
            frozenset({"attention", "none"}), frozenset({"swiglu", "none"}), frozenset({"silu"}),
            frozenset({"rmsnorm"}), frozenset({"rope"}), WIDTH_STEP,
        ),
        sources={
            "memory_bytes": "reported by the operating system",
            "cache_bytes": "unknown",
            "launch_overhead_s": "part of what was measured",
            "supports": "what is written to GGUF",
            **dict.fromkeys(figures, measured),
        },
    )  # fmt: skip


def probes(space: ElasticSpace) -> tuple[SubNetwork, ...]:
    """Sub-networks that tell the parts' shares of the time from each other, as far as the form lets them differ."""
    whole = SubNetwork.whole(space.parent)
    layers, (kv_heads, width) = space.parent.num_layers, whole.sizes[0]
    middle = range(max(1, layers // 3), max(2, 2 * layers // 3)) if layers > 1 else ()

    def cut(heads: int, channels: int, numbers: Sequence[int]) -> SubNetwork:
        return SubNetwork(_put(whole.kv_heads, heads, numbers), _put(whole.intermediate, channels, numbers))

    half = max(WIDTH_STEP, width // 2 // WIDTH_STEP * WIDTH_STEP)
    found = [whole, cut(kv_heads, half, range(layers)), cut(max(1, kv_heads // 2), width, range(layers))]
    found.append(cut(0, 0, middle))
    if space.form != "U":
        found += [cut(0, width, middle), cut(kv_heads, 0, middle)]
    return tuple(dict.fromkeys(found))


def _put(sizes: Sequence[int], size: int, numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(size if number in numbers else each for number, each in enumerate(sizes))


def _kept(sub: SubNetwork) -> NDArray[np.float64]:
    """(5,)"""
    parts = (sub.kv_heads, sub.intermediate)
    return np.asarray(
        [1, *(count for sizes in parts for count in (sum(map(bool, sizes)), sum(sizes)))], dtype=np.float64
    )


def _fitted(kept: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[float, ...]:
    from scipy.optimize import nnls

    scale = kept.max(axis=0)
    found, _ = nnls(kept / scale / seconds[:, None], np.ones(len(seconds)))
    return tuple((found / scale).tolist())
