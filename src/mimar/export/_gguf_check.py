"""What GGUF files have in common, whatever model is in them: types of weights, and the check in llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimar.errors import ExportError, InputError, MissingDependencyError

if TYPE_CHECKING:
    import gguf
    from torch import Tensor

QUANTIZATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "F32": ("F32", "F32"),
    "F16": ("F16", "F16"),
    "Q8_0": ("Q8_0", "Q8_0"),
    "Q5_0": ("Q5_0", "Q8_0"),
    "Q4_1": ("Q4_1", "Q8_0"),
    "Q4_0": ("Q4_0", "Q8_0"),
}
"""Name → types of the layers' matrices and of embedding and head, which bear rounding worse. Norms stay F32."""

ROUGH: Final = 0.03
"""Most that log-probabilities may differ where llama.cpp rounds activations too, root mean square, as a share of how
far they lie from their mean. Rounding alone comes to 0.01; two matrices of one layer changed round to 0.04 and more."""

FINE: Final = 0.003
"""The same for F32 and F16, where rounding comes to 0.001."""

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


def require_gguf() -> None:
    """MissingDependencyError without the package that writes GGUF files."""
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("GGUF files need the package gguf: pip install 'mimar[gguf]'") from error


def weight_kind(quantization: str, name: str, tensor: Tensor) -> gguf.GGMLQuantizationType:
    """How the weights `name`, as transformers calls them, are written. InputError: rows that the type cannot divide."""
    import gguf

    if tensor.dim() < 2:
        return gguf.GGMLQuantizationType.F32
    layers, ends = QUANTIZATIONS[quantization]
    kind = gguf.GGMLQuantizationType[ends if name in ("model.embed_tokens.weight", "lm_head.weight") else layers]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if tensor.shape[1] % block:
        raise InputError(
            f"{quantization} rounds {block} weights at a time, and {name} has rows of {tensor.shape[1]}: "
            "choose F16, or an architecture of which each width is a multiple of that"
        )
    return kind


@dataclass(frozen=True, slots=True)
class GGUFCheck:
    """What llama.cpp must give for the file `name` of a type: logits (1, T, vocab) of tokens (1, T).

    letter: the id of a token that is one. text: what it must read as the tokenizer.json beside the file does, or empty.
    rough: the most that rounded types may differ.
    """

    name: str
    quantization: str
    tokens: Tensor
    logits: Tensor
    letter: int
    text: str
    rough: float = ROUGH

    def verdict(self, directory: Path) -> str:
        """Says how far log-probabilities lie apart. ExportError: too far, or the file does not load."""
        import torch

        from mimar.export._reload import fresh_logits

        got = fresh_logits(_LOAD, directory, (self.text, self.name, str(self.letter)), self.tokens)
        wanted = torch.log_softmax(self.logits.float(), dim=-1)
        if got.shape != wanted.shape:
            raise ExportError(f"expected log-probabilities of shape {tuple(wanted.shape)}, got {tuple(got.shape)}")
        apart = float((got - wanted).norm() / (wanted - wanted.mean(-1, keepdim=True)).norm())
        limit = FINE if self.quantization.startswith("F") else self.rough
        if not apart <= limit:
            raise ExportError(
                f"expected llama.cpp to give the same log-probabilities, they differ by {apart:.1%} of their spread, "
                f"more than {limit:.1%}; nothing was exported"
            )
        return f"ok: log-probabilities of {got.shape[1]} tokens differ by {apart:.2%} of their spread"
