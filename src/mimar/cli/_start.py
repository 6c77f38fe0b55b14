"""The user's own architecture, from our JSON or a Hugging Face config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mimar.errors import InputError, MissingDependencyError
from mimar.models import architecture_from_hf_config
from mimar.space import Architecture, architecture_from_json


def read_architecture(source: str, option: str = "--start") -> tuple[Architecture, tuple[str, ...]]:
    """The architecture in a JSON file, a model folder or the config of a hub id, and notes on what was approximated.

    option: by which errors call it. Raises InputError when there is no such file or id, ArchitectureError when it
    cannot be represented.
    """
    path = _config_path(source, option)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{option} {source}: expected JSON, got something else ({error})") from error
    if isinstance(data, Mapping) and "model_type" in data:
        return architecture_from_hf_config(data)
    return architecture_from_json(data), ()


def _config_path(source: str, option: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        ours = path / "architecture.json"
        path = ours if ours.is_file() else path / "config.json"
    if path.is_file():
        return path
    if source.count("/") == 1 and not source.endswith(".json"):
        return _from_hub(source, option)
    raise InputError(
        f"{option} {source}: no such file; expected an architecture's JSON, the folder of an export or a model, or a "
        "hub id"
    )


def _from_hub(model: str, option: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingDependencyError("a hub id needs huggingface_hub: pip install huggingface_hub") from error
    try:
        return Path(hf_hub_download(model, "config.json"))
    except Exception as error:  # refusals, a full cache, or what its HTTP library says without a network
        raise InputError(
            f"{option} {model}: the hub gave no config.json ({type(error).__name__}); check the id"
        ) from error
