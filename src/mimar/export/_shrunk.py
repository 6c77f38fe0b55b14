"""A model that was cut out of a pretrained one → a file that llama.cpp runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimar.errors import ArchitectureError
from mimar.export._gguf_check import SAMPLE, GGUFCheck, require_gguf
from mimar.export._gguf_vocabulary import Vocabulary
from mimar.export._gguf_writing import GGUFSizes, write_weights
from mimar.export._publish import ExportResult, publish
from mimar.export._shrunk_hf import CHECKED_TOKENS
from mimar.export._tokenizer import accompany, tokenizer_file
from mimar.formats import LICENCE_KEYS
from mimar.space import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import Parent

PLAIN_TEXT: Final = (
    "The river rises in the hills north of the town and flows past two mills before it reaches the sea. In 1984 a "
    "bridge was built there."
)

TRAINED_ROUGH: Final = 0.08
"""Most that rounded types may differ for trained models, whose outliers round badly: 0.04 was seen with Q8_0. That the
file is right, its F16 form shows."""

NOTHING: Final[Mapping[str, str]] = {}

LEAST_WIDTH: Final = 32
"""Channels, all zero, of a feed-forward part that was removed: without any, llama.cpp leaves out the attention too."""


def export_shrunk_gguf(
    model: Parent,
    directory: Path,
    tokenizer: Path,
    *,
    quantization: str = "Q8_0",
    card: str = "",
    licence: Mapping[str, str] = NOTHING,
) -> ExportResult:
    """Write ``model-TYPE.gguf`` for llama.cpp; layers may have sizes of their own (architecture ``deci``).

    tokenizer: a folder with the parent's. card: a README.md to go with it. licence: the parent's, by `LICENCE_KEYS`.
    Check and errors as of `export_gguf`. ArchitectureError: the first layer has no attention, or the model has what
    ``deci`` does not know.
    """
    require_gguf()
    family = _gguf_family(model)
    vocabulary = Vocabulary.of(tokenizer, model.arch.vocab_size)
    file = f"model-{quantization}.gguf"

    def write(aside: Path) -> dict[str, str]:
        def judged(kind: str, name: str) -> str:
            from mimar.elastic import assemble, model_logits

            rounded = _write_gguf(model, (family, kind, vocabulary), aside / name, licence)
            tokens = _text_tokens(tokenizer, model.arch)
            logits = model_logits(assemble(model.arch, model.facts, model.config, rounded.get), tokens)
            return GGUFCheck(name, kind, tokens, logits, vocabulary.letter, SAMPLE, TRAINED_ROUGH).verdict(aside)

        accompany(aside, tokenizer, card)
        if not quantization.startswith("F"):
            judged("F16", "unrounded.gguf")
            (aside / "unrounded.gguf").unlink()
        return {"llama.cpp": judged(quantization, file)}

    return publish(model.arch, directory, "gguf", write)


def save_shrunk_gguf(
    model: Parent, file: Path, tokenizer: Path, quantization: str, *, licence: Mapping[str, str] = NOTHING
) -> Parent:
    """The same file alone and unchecked, to be measured and thrown away, and without a chat template, whose faults are
    no matter then; returns `model` with the weights as rounded there. Errors as of `export_shrunk_gguf`.
    """
    from mimar.elastic import assemble

    require_gguf()
    vocabulary = replace(Vocabulary.of(tokenizer, model.arch.vocab_size), template=None)
    rounded = _write_gguf(model, (_gguf_family(model), quantization, vocabulary), file, licence)
    return assemble(model.arch, model.facts, model.config, rounded.get)


def _text_tokens(tokenizer: Path, arch: Architecture) -> Tensor:
    """(1, T), of text: random ones drive the activations of a trained model out of all proportion."""
    import torch
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(tokenizer_file(tokenizer))).encode(PLAIN_TEXT).ids
    return torch.tensor([ids[: min(CHECKED_TOKENS, arch.context_length)]])


def require_shrinkable_to_gguf(model: Parent, tokenizer: Path, *, uniform: bool) -> None:
    """MissingDependencyError, ArchitectureError or InputError where no sub-network of `model` can be written, whatever
    a search finds. uniform: whether all their layers have the same sizes.
    """
    require_gguf()
    _refuse(_reasons(model, uniform))
    Vocabulary.of(tokenizer, model.arch.vocab_size)


def _gguf_family(model: Parent) -> str:
    """``llama`` or ``qwen2`` where stock layers are enough, else ``deci``."""
    blocks, family = model.arch.blocks, model.facts.model_type
    uniform = len(set(blocks)) == 1 and "none" not in (blocks[0].mixer.kind, blocks[0].feed_forward.kind)
    headless = not uniform and blocks[0].mixer.kind == "none"
    _refuse([*_reasons(model, uniform), *(["llama.cpp needs attention in the first layer"] if headless else [])])
    if uniform:
        return "llama" if family == "mistral" else family
    return "deci"


def _reasons(model: Parent, uniform: bool) -> list[str]:
    """Why llama.cpp cannot have any model cut out of `model`."""
    family, found = model.facts.model_type, list[str]()
    if model.facts.rope["rope_type"] != "default":
        found.append(f"RoPE scaling {model.facts.rope['rope_type']} is not written to GGUF yet")
    if 0 < model.facts.window < model.arch.context_length:
        found.append("attention windows are not written to GGUF")
    if not uniform and family in ("qwen2", "qwen3"):
        found.append(f"llama.cpp knows layers of different sizes only for Llama, not for {family}: use --form U")
    return found


def _refuse(reasons: Sequence[str]) -> None:
    if reasons:
        raise ArchitectureError("cannot be written to GGUF", tuple(reasons))


Plan = tuple[str, str, Vocabulary]
"""Architecture in llama.cpp, type of weights, vocabulary."""


def _write_gguf(model: Parent, plan: Plan, file: Path, licence: Mapping[str, str] = NOTHING) -> dict[str, Tensor]:
    """Write the file; returns the weights by their names in transformers, as rounded there."""
    import gguf

    from mimar.elastic import state_dict

    family, quantization, vocabulary = plan
    writer = gguf.GGUFWriter(file, family)
    _sizes(model, family).write(writer)
    vocabulary.write(writer)
    for name in LICENCE_KEYS:
        if name in licence:
            writer.add_string(f"general.{name.replace('_', '.')}", licence[name])
    weights = state_dict(model)
    rounded = write_weights(writer, {**weights, **_silent_parts(model)}, _turned_heads(model, family), quantization)
    return {name: rounded[name] for name in weights}


def _sizes(model: Parent, family: str) -> GGUFSizes:
    arch, facts = model.arch, model.facts
    widths = [block.feed_forward.intermediate_size or LEAST_WIDTH for block in arch.blocks]
    queries, keys = ([getattr(block.mixer, name) for block in arch.blocks] for name in ("num_heads", "num_kv_heads"))
    per_layer = (widths, queries, keys) if family == "deci" else (widths[0], queries[0], keys[0])
    return GGUFSizes(
        arch.context_length, arch.hidden_size, arch.num_layers, *per_layer, facts.head_size,
        float(facts.rope["rope_theta"]), facts.norm_eps, arch.vocab_size,
    )  # fmt: skip


def _turned_heads(model: Parent, family: str) -> Mapping[str, int]:
    """Weights of queries and keys whose rows llama.cpp wants in another order → their heads."""
    if family not in ("llama", "deci"):
        return {}
    return {
        f"model.layers.{number}.self_attn.{part}.{kind}": heads
        for number, block in enumerate(model.arch.blocks)
        for part, heads in (("q_proj", block.mixer.num_heads), ("k_proj", block.mixer.num_kv_heads))
        for kind in ("weight", "bias")
    }


def _silent_parts(model: Parent) -> dict[str, Tensor]:
    """Feed-forward parts of `LEAST_WIDTH` zeros where there is none."""
    import torch

    found: dict[str, Tensor] = {}
    hidden = model.arch.hidden_size
    for number, layer in enumerate(model.layers):
        if layer.mlp is None:
            start = f"model.layers.{number}."
            found[f"{start}post_attention_layernorm.weight"] = torch.ones(hidden)
            found |= {f"{start}mlp.{part}_proj.weight": torch.zeros(LEAST_WIDTH, hidden) for part in ("gate", "up")}
            found[f"{start}mlp.down_proj.weight"] = torch.zeros(hidden, LEAST_WIDTH)
    return found
