"""`mimar get-llm`: have a local model on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mimar.llm import fetch_default_model, resolve_model


def get_llm(model: str | None = None, cache_dir: Path | None = None) -> dict[str, Any]:
    """Fetch `model` (a hub id ``owner/name[:file.gguf]`` or a path), or the offline default into `cache_dir`.

    Returns ``path``, ``licence`` (SPDX; None where the source states none here) and ``bytes``. Raises `InputError`,
    `ProviderError` or `StorageFullError` when the model cannot be had.
    """
    if model is not None:
        path = resolve_model(model)
        return {"path": str(path.resolve()), "licence": None, "bytes": path.stat().st_size}
    file = fetch_default_model(cache_dir)
    return {"path": str(file.path), "licence": file.licence, "bytes": file.bytes}
