"""Architecture, weights and tokenizer → a GGUF file that llama.cpp runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimar.errors import ArchitectureError, UnknownNameError
from mimar.export._gguf_check import QUANTIZATIONS, SAMPLE, GGUFCheck, require_gguf, weight_kind
from mimar.export._gguf_vocabulary import Vocabulary
from mimar.export._publish import ExportResult, publish
from mimar.formats import from_neighbours, gguf_name, to_neighbours
from mimar.space import Architecture, illegal_reasons

if TYPE_CHECKING:
    import gguf
    from torch import Tensor


Floats = NDArray[np.float32]


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
    import torch

    from mimar.models import from_hf_state_dict, to_hf_state_dict

    writer = gguf.GGUFWriter(file, "llama")
    _write_settings(writer, plan)
    plan.vocabulary.write(writer)
    rounded: dict[str, Tensor] = {}
    for name, tensor in to_hf_state_dict(plan.arch, state).items():
        if name == "lm_head.weight" and plan.arch.tied_embeddings:
            continue
        kind = weight_kind(plan.quantization, name, tensor)
        turn, back = _turns(plan.arch, name)
        data = gguf.quants.quantize(turn(tensor.detach().float().numpy()), kind)
        writer.add_tensor(gguf_name(name), data, raw_dtype=kind)
        rounded[name] = torch.from_numpy(back(gguf.quants.dequantize(data, kind)).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return from_hf_state_dict(plan.arch, rounded)


def _write_settings(writer: gguf.GGUFWriter, plan: _Plan) -> None:
    from mimar.models import to_hf_config

    config = to_hf_config(plan.arch)
    writer.add_name("mimar")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


Turn = Callable[[Floats], Floats]


def _turns(arch: Architecture, name: str) -> tuple[Turn, Turn]:
    """Into llama.cpp's order of rows and back: it rotates neighbours, transformers features half a head apart."""
    mixer = arch.blocks[0].mixer
    heads = mixer.num_heads if ".q_proj." in name else mixer.num_kv_heads if ".k_proj." in name else 0
    if not heads:
        return (lambda rows: rows), (lambda rows: rows)
    return partial(to_neighbours, heads=heads), partial(from_neighbours, heads=heads)
