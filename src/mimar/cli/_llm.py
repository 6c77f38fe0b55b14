"""`--llm SPEC` becomes a language model with its wrappers."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from mimar.cli._output import say
from mimar.errors import InputError, UnknownNameError
from mimar.llm import (
    KEY_VARIABLES,
    LLM,
    Cached,
    CallRecord,
    CostLimited,
    LocalLLM,
    ProviderLLM,
    ReplayLLM,
    Retrying,
    UniformLLM,
    default_cache_path,
    default_model_path,
    resolve_model,
)

LLM_SPECS = (
    "none",
    "local",
    "local:PATH",
    "local:OWNER/NAME[:FILE.gguf]",
    "anthropic:MODEL",
    "openai:MODEL",
    "google:MODEL",
    "http://HOST/v1#MODEL",
    "replay:STUDY",
    "uniform",
)
"""The forms that ``--llm`` takes."""


def require_named(path: Path, spec: str, typed: str) -> None:
    """InputError where the study at `path`, which may be another's, names a server that would be sent the user's key,
    and `typed` does not.
    """
    if spec.startswith("http") and spec != typed and any(map(os.environ.get, KEY_VARIABLES["compatible"])):
        raise InputError(
            f"{path} asks {spec}, which would be sent the key in MIMAR_API_KEY: if that server is yours, add "
            f"--llm {shlex.quote(spec)}"
        )


def open_llm(
    spec: str,
    *,
    read_calls: Callable[[Path], Sequence[CallRecord]],
    past: Sequence[CallRecord] = (),
    max_cost: float | None = None,
) -> LLM | None:
    """The model that `spec` names (one of `LLM_SPECS`), to be journalled by a study; None for ``none``.

    Hosted models are retried, answered from the user's reply cache, and stopped at
    `max_cost` US dollars, those of the calls in `past` included. `read_calls` gives the records of the study in
    ``replay:STUDY``. Raises `UnknownNameError`, `InputError`, `MissingKeyError` or `MissingDependencyError` before
    any call.
    """
    if max_cost is not None and not max_cost >= 0:
        raise InputError(f"expected a cost limit of at least 0 US dollars, got {max_cost}")
    if spec == "none":
        return None
    if spec == "uniform":
        return UniformLLM()
    kind, _, rest = spec.partition(":")
    if kind == "local":
        return _local(rest, is_bare=spec == "local")
    if kind == "replay":
        return _replay(rest, read_calls)
    hosted = _hosted(spec)
    _say_unpriced(hosted, is_own=spec.startswith("http"), is_limited=max_cost is not None)
    llm: LLM = Retrying(hosted)
    if max_cost is not None:
        spent = sum(record.usage.cost for record in past if not record.usage.cached)
        llm = CostLimited(llm, max_cost, spent)
    return Cached(llm, default_cache_path())


def _say_unpriced(llm: ProviderLLM, *, is_own: bool, is_limited: bool) -> None:
    """A note where calls count as free; none for a server of one's own that nobody expects a price of."""
    if (is_own and not is_limited) or llm.has_list_price():
        return
    unheld = "--max-cost cannot stop them, watch the count of their tokens (llm.output_tokens in --json)"
    consequence = f": {unheld}" if is_limited else ""
    say(f"note: no list price is known for {llm.name}, its calls count as free{consequence}")


def _local(model: str, *, is_bare: bool) -> LocalLLM:
    # No reply cache here: its key holds the file's name, and another file may bear the same.
    if is_bare:
        path = default_model_path()
        if not path.is_file():
            raise InputError(f"no model at {path}: run `mimar get-llm`, or give one with --llm local:PATH")
        return LocalLLM(path)
    if not model:
        raise InputError("expected a GGUF file or a hub id after 'local:', got nothing")
    return LocalLLM(resolve_model(model))


def _replay(study: str, read_calls: Callable[[Path], Sequence[CallRecord]]) -> ReplayLLM:
    path = Path(study).expanduser()
    if not study or not path.is_file():
        raise InputError(f"expected a study file after 'replay:', found none at {study!r}")
    records = read_calls(path)
    if not records:
        raise InputError(f"{path} holds no call to a language model: replay a study that was run with one")
    return ReplayLLM(records)


def _hosted(spec: str) -> ProviderLLM:
    if re.match(r"https?://", spec):
        address, _, model = spec.partition("#")
        if not model:
            raise InputError("expected the model's name after the address, as in http://HOST/v1#MODEL")
        return ProviderLLM("compatible", model, base_url=address.rstrip("/"))
    provider, _, model = spec.partition(":")
    if provider not in ("anthropic", "openai", "google"):
        raise UnknownNameError("language model", spec, LLM_SPECS)
    if not model:
        raise InputError(f"expected the model's name after '{provider}:', as in {provider}:MODEL")
    return ProviderLLM(provider, model)
