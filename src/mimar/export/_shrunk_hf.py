"""A model that was cut out of a pretrained one → a checkpoint that transformers loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mimar.export._hf import LOAD_HF, write_stock
from mimar.export._publish import ExportResult, publish, weights_written
from mimar.export._tokenizer import accompany, read_tokenizer
from mimar.space import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import Parent

CHECKED_TOKENS: Final = 32

REGISTER: Final = """
from mimar.models import register_ragged

register_ragged()
"""


def export_shrunk_hf(model: Parent, directory: Path, tokenizer: Path, *, card: str = "") -> ExportResult:
    """Write a checkpoint that ``AutoModelForCausalLM.from_pretrained(directory)`` loads.

    With layers of the same sizes it is of the family of `model` itself. With layers of different sizes it has classes
    of ours, which load after `mimar.models.register_ragged`; elsewhere, since their code lies beside the weights, with
    ``trust_remote_code=True``. The verdict says which, and both ways are tried.

    tokenizer: a folder with the parent's, whose licence texts and generation_config.json go along. card: a README.md to
    go with it. Everything else as `export_hf`.
    """
    special = read_tokenizer(tokenizer, model.arch.vocab_size)

    def write(aside: Path) -> dict[str, str]:
        from mimar.elastic import model_logits, state_dict
        from mimar.export._reload import Expected, check_logits

        tokens, state, stock = checked_tokens(model.arch), state_dict(model), is_stock(model)
        with weights_written():
            if stock:
                write_stock(_with_special(_stock_config(model), special), state, aside)
            else:
                _write_ragged(_with_special(_ragged_config(model), special), state, aside)
        accompany(aside, tokenizer, card)
        if (generation := tokenizer / "generation_config.json").is_file():
            shutil.copyfile(generation, aside / generation.name)
        expected = Expected(tokens, model_logits(model, tokens), state)
        (name,) = json.loads((aside / "config.json").read_text(encoding="utf-8"))["architectures"]
        if stock:
            return {"transformers": f"ok: loads as {name}; {check_logits(LOAD_HF, aside, ('no', 'yes'), expected)}"}
        check_logits(LOAD_HF, aside, ("yes", "yes"), expected)
        verdict = check_logits(REGISTER + LOAD_HF, aside, ("no", "yes"), expected)
        how = "after mimar.models.register_ragged(), or with trust_remote_code=True"
        return {"transformers": f"ok: loads as {name}, {how}; {verdict}"}

    return publish(model.arch, directory, "hf", write)


def is_stock(model: Parent) -> bool:
    """Whether the family's own classes have such layers: all of the same sizes, none without a part."""
    (block, *others) = dict.fromkeys(model.arch.blocks)
    whole = "none" not in (block.mixer.kind, block.feed_forward.kind)
    return whole and not others and model.arch.hidden_size % block.mixer.num_heads == 0


def _kept_config(model: Parent) -> dict[str, Any]:
    """Of the parent's config.json what does not go by layers."""
    by_layer = {"layer_types", "architectures", "transformers_version", "_name_or_path", "max_window_layers"}
    foreign = {"auto_map"}  # names code of others
    kept = {key: value for key, value in model.config.items() if key not in by_layer | foreign}
    return {**kept, "num_hidden_layers": model.arch.num_layers, "head_dim": model.facts.head_size}


def _with_special(config: Mapping[str, Any], special: Mapping[str, int]) -> dict[str, Any]:
    """With the tokenizer's special tokens where the parent's own configuration names none: it may name several ends."""
    return {**special, **{key: value for key, value in config.items() if value is not None or key not in special}}


def _stock_config(model: Parent) -> dict[str, Any]:
    block = model.arch.blocks[0]
    return {
        **_kept_config(model),
        "intermediate_size": block.feed_forward.intermediate_size,
        "num_attention_heads": block.mixer.num_heads,
        "num_key_value_heads": block.mixer.num_kv_heads,
    }


def _ragged_config(model: Parent) -> dict[str, Any]:
    """With the heads of the parent, whose share a kv head has is that of every layer."""
    from mimar.models import ragged_config

    family = model.facts.model_type
    sizes = [[block.mixer.num_kv_heads, block.feed_forward.intermediate_size] for block in model.arch.blocks]
    return {**_kept_config(model), "dtype": "float32", **ragged_config(family, sizes)}


def _write_ragged(config: dict[str, Any], state: dict[str, Tensor], aside: Path) -> None:
    from safetensors.torch import save_file

    from mimar.models import RAGGED_FILE, ragged_code

    (aside / RAGGED_FILE).write_text(ragged_code(), encoding="utf-8")
    (aside / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({name: each.contiguous() for name, each in state.items()}, aside / "model.safetensors", {"format": "pt"})


def checked_tokens(arch: Architecture) -> Tensor:
    """(1, T), random, the same in every run."""
    import torch

    count = min(CHECKED_TOKENS, arch.context_length)
    return torch.randint(arch.vocab_size, (1, count), generator=torch.Generator().manual_seed(0))
