"""Where a local model lies: a path, or a GGUF file of a Hugging Face repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mimar.errors import InputError, MimarError, ProviderError

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(:(?P<file>[^:]+\.gguf))?")
_PREFERRED = ("q4_k_m", "q4_0", "q8_0")
"""Quantisations to take where a repository offers several: small with little loss first."""


def resolve_model(spec: str) -> Path:
    """The GGUF file that `spec` means: an existing path, or ``owner/name[:file.gguf]``, fetched once.

    Raises `InputError` when it is neither, and `ProviderError` when the hub cannot deliver.
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return path
    match = _HUB_ID.fullmatch(spec)
    if match is None or spec.startswith((".", "/", "~")) or match["repo"].endswith(".gguf"):
        raise InputError(f"no model at {spec!r}: expected a GGUF file or a hub id like owner/name[:file.gguf]")
    return _fetch(match["repo"], match["file"])


def choose_gguf(names: list[str], repo: str) -> str:
    """The file to take from the files of `repo`: its only GGUF, else by quantisation (Q4_K_M, Q4_0, Q8_0).

    Raises `InputError`, which lists the candidates, when that does not decide.
    """
    candidates = sorted(name for name in names if name.endswith(".gguf"))
    if not candidates:
        raise InputError(f"the repository {repo} holds no GGUF file: choose one that does")
    if len(candidates) == 1:
        return candidates[0]
    for quantisation in _PREFERRED:
        fitting = [name for name in candidates if quantisation in name.lower()]
        if len(fitting) == 1:
            return fitting[0]
    raise InputError(f"{repo} holds several GGUF files, name one as {repo}:FILE: {', '.join(candidates)}")


def _fetch(repo: str, file: str | None) -> Path:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    hub: Any = HfApi()
    try:
        name = file or choose_gguf(hub.list_repo_files(repo), repo)
        return Path(hub.hf_hub_download(repo, name))
    except HFValidationError as error:
        raise InputError(f"{repo!r} is no hub id: {error}") from error
    except MimarError:
        raise
    except Exception as error:  # refusals, a full cache, or what its HTTP library says without a network
        raise ProviderError(
            f"cannot fetch {repo} from the hub ({_first_line(error)}): check the name and the network, "
            "or give the path of a GGUF file"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
