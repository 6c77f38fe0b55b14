"""Architecture, weights and tokenizer → a GGUF file that llama.cpp runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mimar.errors import ArchitectureError, UnknownNameError
from mimar.export._gguf_check import QUANTIZATIONS, SAMPLE, GGUFCheck, require_gguf
from mimar.export._gguf_vocabulary import Vocabulary
from mimar.export._gguf_writing import GGUFSizes, write_weights
from mimar.export._publish import ExportResult, publish
from mimar.space import Architecture, illegal_reasons

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is written: `arch` with `vocabulary`, its matrices as `quantization` says."""

    arch: Architecture
    vocabulary: Vocabulary
    quantization: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"model-{self.quantization}.gguf"


def export_gguf(
    arch: Architecture,
    directory: Path,
    *,
    quantization: str = "F16",
    seed: int = 0,
    weights: Path | None = None,
    tokenizer: Path | None = None,
) -> ExportResult:
    """Write ``model-TYPE.gguf`` for llama.cpp, with one of `QUANTIZATIONS`; weights and tokenizer as in `export_hf`.

    A fresh process loads it in llama.cpp and must give the log-probabilities of the reference module with the same
    rounded weights, and read text as the tokenizer does. `ArchitectureError`: llama.cpp computes `arch` in no family of
    ours (it must be a Llama: uniform layers, full attention, RoPE, RMSNorm before each part, SwiGLU). `InputError`: a
    tokenizer other than byte-level BPE, or rows that the type cannot divide. `ExportError`: it does not reload to the
    same model.
    """
    if quantization not in QUANTIZATIONS:
        raise UnknownNameError("type of GGUF weights", quantization, tuple(QUANTIZATIONS))
    require_gguf()
    _require_llama(arch)
    plan = _Plan(arch, Vocabulary.of(tokenizer, arch.vocab_size), quantization)

    def write(aside: Path) -> dict[str, str]:
        from mimar.export._reload import Expected

        expected = Expected.of(arch, seed, weights)
        rounded = _write(plan, expected.state, aside / plan.file)
        plan.vocabulary.copy(aside)
        text, letter = SAMPLE if tokenizer is not None else "", plan.vocabulary.letter
        logits = expected.rounded_to(arch, rounded).logits
        check = GGUFCheck(plan.file, quantization, expected.tokens, logits, letter, text)
        return {"llama.cpp": check.verdict(aside)}

    return publish(arch, directory, "gguf", write)


def _require_llama(arch: Architecture) -> None:
    from mimar.models import stock_family

    if reasons := illegal_reasons(arch):
        raise ArchitectureError("cannot export an illegal architecture", reasons)
    if stock_family(arch) != "llama" or arch.blocks[0].feed_forward.activation != "silu":
        raise ArchitectureError(
            "expected a Llama for GGUF (uniform unshared layers, full attention, RoPE, RMSNorm pre, sequential, "
            "SwiGLU), got another architecture; design with --only llama"
        )


def _write(plan: _Plan, state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Write the file; returns our state dict as its rounded weights have it."""
    import gguf

    from mimar.models import from_hf_state_dict, to_hf_state_dict

    writer = gguf.GGUFWriter(file, "llama")
    _sizes(plan.arch).write(writer)
    plan.vocabulary.write(writer)
    left_out = {"lm_head.weight"} if plan.arch.tied_embeddings else set[str]()
    weights = {name: each for name, each in to_hf_state_dict(plan.arch, state).items() if name not in left_out}
    return from_hf_state_dict(plan.arch, write_weights(writer, weights, _turned_heads(plan.arch), plan.quantization))


def _sizes(arch: Architecture) -> GGUFSizes:
    from mimar.models import to_hf_config

    config = to_hf_config(arch)
    return GGUFSizes(
        config["max_position_embeddings"], config["hidden_size"], config["num_hidden_layers"],
        config["intermediate_size"], config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"],
        config["rope_parameters"]["rope_theta"], config["rms_norm_eps"], config["vocab_size"],
    )  # fmt: skip


def _turned_heads(arch: Architecture) -> dict[str, int]:
    return {
        f"model.layers.{number}.self_attn.{part}.weight": heads
        for number, block in enumerate(arch.blocks)
        for part, heads in (("q_proj", block.mixer.num_heads), ("k_proj", block.mixer.num_kv_heads))
    }
