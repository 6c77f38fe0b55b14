"""A hub id, a folder of transformers or a GGUF file → the parent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mimar.elastic._checkpoint import Take, assemble
from mimar.elastic._parent import Parent, architecture_of, facts_of
from mimar.errors import InputError
from mimar.formats import NOTICES, GGUFFile, from_neighbours, gguf_name, read_gguf


def load_parent(source: str) -> Parent:
    """The model at `source`. InputError: there is none, it is of another family, or its file is damaged."""
    path = local_files(source)
    if path.is_dir():
        return _from_folder(path)
    file = read_gguf(path)
    config = config_of_gguf(file)
    return _assembled(config, _from_gguf(file, config))


def local_files(source: str) -> Path:
    """The GGUF file or the folder `source`, or where the files of that hub id were put. InputError: there is none."""
    path = Path(source).expanduser()
    return path if path.exists() else _fetched(source)


def _assembled(config: Mapping[str, Any], take: Take) -> Parent:
    arch = architecture_of(config)
    return assemble(arch, facts_of(config, arch), config, take)


def config_of_gguf(file: GGUFFile) -> dict[str, Any]:
    """A config.json from the keys of a GGUF file. InputError: another family, or keys that are missing or no sizes."""
    family = file.keys.get("general.architecture")
    if not isinstance(family, str) or family not in ("llama", "qwen2", "qwen3"):
        raise InputError(f"expected a GGUF file of the LLaMA family (llama, qwen2, qwen3), got {family!r}")

    def number(name: str, default: float | None = None) -> Any:
        found = file.keys.get(f"{family}.{name}", default)
        if not isinstance(found, int | float) or not 0 < found < math.inf:
            raise InputError(f"{file.path}: the key {family}.{name} must be a number above 0, got {found!r}")
        return found

    scaling = file.keys.get(f"{family}.rope.scaling.type", "none")
    if "rope_freqs.weight" in file.tensors or scaling not in ("none", ""):
        raise InputError(
            f"{file.path} turns its tokens by scaled angles (rope_freqs, or rope.scaling.type {scaling!r}), which are "
            "not read from GGUF: give the folder of transformers or the hub id of this model"
        )
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or not embedding.shape:
        raise InputError(f"{file.path} has no tensor token_embd.weight")
    heads, hidden = number("attention.head_count"), number("embedding_length")
    return {
        "model_type": family,
        "hidden_size": hidden,
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": number("attention.key_length", hidden // heads),
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": round(number("attention.layer_norm_rms_epsilon"), 10),
        "rope_parameters": {"rope_type": "default", "rope_theta": number("rope.freq_base", 10000.0)},
        "vocab_size": embedding.shape[0],
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }


def _from_gguf(file: GGUFFile, config: Mapping[str, Any]) -> Take:
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}

    def take(name: str) -> Tensor | None:
        theirs = gguf_name(name)
        if theirs not in file.tensors:
            return None
        found, part = file.weights(theirs), theirs.rsplit(".", 2)[-2]
        if config["model_type"] == "llama" and part in heads:
            found = from_neighbours(found, heads[part])
        return torch.from_numpy(np.ascontiguousarray(found))

    return take


def _from_folder(folder: Path) -> Parent:
    from safetensors import SafetensorError, safe_open

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = _files(folder)
        files = {name: safe_open(folder / name, "pt") for name in sorted(set(names.values()))}
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise InputError(f"{folder} is no model of transformers that can be read: {error}") from error

    def take(name: str) -> Tensor | None:
        if name not in names:
            return None
        try:
            return files[names[name]].get_tensor(name).float()
        except SafetensorError as error:  # an index and shards of different versions
            raise InputError(f"{folder / names[name]} does not hold what its index says: {error}") from error

    return _assembled(config, take)


def _files(folder: Path) -> dict[str, str]:
    """Name of a tensor → its file."""
    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    if index.exists():
        return _listed(json.loads(index.read_text(encoding="utf-8")))
    with safe_open(folder / "model.safetensors", "pt") as file:
        return dict.fromkeys(file.keys(), "model.safetensors")


def _listed(index: Any) -> dict[str, str]:
    """The map of an index; ValueError where it is none, or names anything but files that lie beside it."""
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict):
        raise ValueError("its index has no weight_map")
    for file in found.values():
        if not isinstance(file, str) or file in ("", ".", "..") or Path(file).name != file:
            raise ValueError(f"its index names {file!r}, which is no file beside it")
    return found


def _fetched(source: str) -> Path:
    if source.count("/") != 1:
        raise InputError(
            f"no model at {source}: expected a folder of transformers, a GGUF file, or a hub id OWNER/NAME"
        )
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "tokenizer.model", "merges.txt", "*.jinja", "README.md", *NOTICES]
    try:
        return Path(snapshot_download(source, allow_patterns=wanted))
    except Exception as error:  # refusals, a full cache, or what its HTTP library says without a network
        raise InputError(f"the hub does not deliver {source}: {str(error).partition(chr(10))[0]}") from error
