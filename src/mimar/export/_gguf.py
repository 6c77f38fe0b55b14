"""Architecture, weights and tokenizer → a GGUF file that llama.cpp runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mimar.errors import ArchitectureError, ExportError, InputError, MissingDependencyError, UnknownNameError
from mimar.export._gguf_vocabulary import Vocabulary
from mimar.export._publish import ExportResult, publish
from mimar.space import Architecture, illegal_reasons

if TYPE_CHECKING:
    import gguf
    from torch import Tensor

    from mimar.export._reload import Expected

Floats = NDArray[np.float32]

QUANTIZATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "F32": ("F32", "F32"),
    "F16": ("F16", "F16"),
    "Q8_0": ("Q8_0", "Q8_0"),
    "Q5_0": ("Q5_0", "Q8_0"),
    "Q4_0": ("Q4_0", "Q8_0"),
}
"""Name → types of the layers' matrices and of embedding and head, which bear rounding worse. Norms stay F32."""

ROUGH: Final = 0.03
"""Most that log-probabilities may differ where llama.cpp rounds activations too, root mean square, as a share of how
far they lie from their mean. Rounding alone comes to 0.01; two matrices of one layer changed round to 0.04 and more."""

FINE: Final = 0.003
"""The same for F32 and F16, where rounding comes to 0.001."""

_RENAMES: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

_LOAD = """
import xllamacpp

text, file, letter = arguments
params = xllamacpp.CommonParams()
params.model.path = f"{directory}/{file}"
params.n_ctx = tokens.shape[1] + 8
params.n_parallel = 1
params.warmup = False
params.ui = False
params.verbosity = -1
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
for cores in (params.cpuparams, params.cpuparams_batch):
    cores.n_threads = 1
server = xllamacpp.Server(params)
rows = []
for length in range(1, tokens.shape[1] + 1):
    reply = server.handle_completions(
        {"prompt": tokens[0, :length].tolist(), "n_predict": 1, "n_probs": 1 << 20, "temperature": 0.0,
         "logit_bias": [[int(letter), 1000.0]]}  # after half a character nothing is answered; it changes no probability
    )
    found = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    row = torch.zeros(len(found))
    row[[entry["id"] for entry in found]] = torch.tensor([entry["logprob"] for entry in found])
    rows.append(row)
logits = torch.stack(rows)[None]
if text:
    import json
    from urllib.request import ProxyHandler, Request, build_opener

    from tokenizers import Tokenizer

    body = json.dumps({"content": text, "add_special": False}).encode()
    request = Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
    said = json.load(build_opener(ProxyHandler({})).open(request, timeout=60))
    ours = Tokenizer.from_file(f"{directory}/tokenizer.json").encode(text, add_special_tokens=False).ids
    if said["tokens"] != ours:
        raise SystemExit(f"llama.cpp reads {text!r} as the tokens {said['tokens']}, the tokenizer as {ours}")
"""

SAMPLE: Final = "The year 1984 wasn't long: it's 12.5 % of 8 – naïve, isn't it?\n\n  Two  spaces."
"""What both tokenizers must read alike."""


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
    _require_gguf()
    _require_llama(arch)
    plan = _Plan(arch, Vocabulary.of(tokenizer, arch.vocab_size), quantization)

    def write(aside: Path) -> dict[str, str]:
        from mimar.export._reload import Expected, fresh_logits

        expected = Expected.of(arch, seed, weights)
        rounded = _write(plan, expected.state, aside / plan.file)
        plan.vocabulary.copy(aside)
        text = SAMPLE if tokenizer is not None else ""
        got = fresh_logits(_LOAD, aside, (text, plan.file, str(plan.vocabulary.letter)), expected.tokens)
        return {"llama.cpp": _verdict(plan, expected.rounded_to(arch, rounded), got)}

    return publish(arch, directory, "gguf", write)


def _require_gguf() -> None:
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("GGUF files need the package gguf: pip install 'mimar[gguf]'") from error


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
        kind = _kind(plan, name, tensor)
        turn, back = _turns(plan.arch, name)
        data = gguf.quants.quantize(turn(tensor.detach().float().numpy()), kind)
        writer.add_tensor(_gguf_name(name), data, raw_dtype=kind)
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


def _kind(plan: _Plan, name: str, tensor: Tensor) -> gguf.GGMLQuantizationType:
    import gguf

    if tensor.dim() < 2:
        return gguf.GGMLQuantizationType.F32
    layers, ends = QUANTIZATIONS[plan.quantization]
    kind = gguf.GGMLQuantizationType[ends if name in ("model.embed_tokens.weight", "lm_head.weight") else layers]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if tensor.shape[1] % block:
        raise InputError(
            f"{plan.quantization} rounds {block} weights at a time, and {name} has rows of {tensor.shape[1]}: "
            "choose F16, or an architecture of which each width is a multiple of that"
        )
    return kind


Turn = Callable[[Floats], Floats]


def _turns(arch: Architecture, name: str) -> tuple[Turn, Turn]:
    """Into llama.cpp's order of rows and back: it rotates neighbours, transformers features half a head apart."""
    mixer = arch.blocks[0].mixer
    heads = mixer.num_heads if ".q_proj." in name else mixer.num_kv_heads if ".k_proj." in name else 0
    if not heads:
        return (lambda rows: rows), (lambda rows: rows)
    half = mixer.head_size // 2
    return (
        lambda rows: rows.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(rows.shape),
        lambda rows: rows.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(rows.shape),
    )


def _gguf_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem in _RENAMES:
        return f"{_RENAMES[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_RENAMES[part]}.weight"


def _verdict(plan: _Plan, expected: Expected, got: Tensor) -> str:
    import torch

    wanted = torch.log_softmax(expected.logits.float(), dim=-1)
    if got.shape != wanted.shape:
        raise ExportError(f"expected log-probabilities of shape {tuple(wanted.shape)}, got {tuple(got.shape)}")
    apart = float((got - wanted).norm() / (wanted - wanted.mean(-1, keepdim=True)).norm())
    limit = FINE if plan.quantization.startswith("F") else ROUGH
    if not apart <= limit:
        raise ExportError(
            f"expected llama.cpp to give the same log-probabilities, they differ by {apart:.1%} of their spread, more "
            f"than {limit:.1%}; nothing was exported"
        )
    return f"ok: log-probabilities of {got.shape[1]} tokens differ by {apart:.2%} of their spread"
