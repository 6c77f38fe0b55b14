"""A language model in this process: llama.cpp through the wheel `xllamacpp`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

from mimar.errors import InputError, MissingDependencyError, ProviderError, ReplyError

from ._errors import RejectedError
from ._parse import read_reply
from ._protocol import Message, Reply, Usage

_GGUF_MAGIC = b"GGUF"
_SEEDS = 2**31  # llama.cpp takes 32 bits and reads the last of them as "draw one"


@final
class LocalLLM:
    """The GGUF model at `path`, run by llama.cpp with `context` tokens of window on `threads` cores (all but one).

    With a schema the output is constrained while it is sampled, without white space between tokens: the text
    can only be cut short, not be malformed. The same call gives the same reply on the same machine, whatever
    was asked before. Weights are loaded at the first call. Raises `InputError` when `path` is no GGUF file and
    `MissingDependencyError` without xllamacpp.
    """

    def __init__(self, path: Path, *, context: int = 8192, threads: int | None = None) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingDependencyError("the local model needs xllamacpp: pip install xllamacpp")
        self._path = _checked(path)
        self._context = context
        self._threads = threads or _default_threads()
        self._server: Any = None

    @property
    def name(self) -> str:
        """``local:`` and the file's name."""
        return f"local:{self._path.name}"

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`; a prompt longer than the context raises `ReplyError`."""
        request: dict[str, Any] = {
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": temperature,
            "seed": seed % _SEEDS,
            "max_tokens": max_tokens,
            # A prompt cache would make a reply depend on the calls before it, in its last bits.
            "cache_prompt": False,
        }
        if schema is not None:
            request["grammar"] = _grammar(schema)
        server = self._loaded()
        start = time.monotonic()
        answer = _ask(server, request)
        return self._reply(answer, schema, time.monotonic() - start)

    def _reply(self, answer: Mapping[str, Any], schema: Mapping[str, Any] | None, seconds: float) -> Reply:
        if "error" in answer:
            raise _error(answer["error"])
        choice, tokens = answer["choices"][0], answer["usage"]
        usage = Usage(tokens["prompt_tokens"], tokens["completion_tokens"], seconds)
        text, cut = choice["message"]["content"] or "", choice["finish_reason"] == "length"
        return read_reply(text, schema, usage, self.name, cut=cut)

    def _loaded(self) -> Any:
        if self._server is None:
            self._server = start_server(self._path, context=self._context, threads=self._threads)
        return self._server


def start_server(path: Path, *, context: int, threads: int) -> Any:
    """A silent `xllamacpp.Server` on the GGUF file at `path`; it ends when the last reference to it does.

    It also speaks OpenAI's protocol over HTTP on the loopback address it chooses (`listening_address`). Raises
    `InputError` when llama.cpp cannot load the file.
    """
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context
    params.n_parallel = 1
    for cores in (params.cpuparams, params.cpuparams_batch):
        cores.n_threads = threads
        cores.poll = 0
    params.cache_ram_mib = 0
    params.warmup = False
    params.ui = False
    params.verbosity = -1  # below llama.cpp's errors: nothing of it reaches the terminal
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise InputError(
            f"llama.cpp cannot load {path}: expected a GGUF language model that fits in memory ({error})"
        ) from error


def _default_threads() -> int:
    """One core stays free: llama.cpp's threads wait for each other by spinning, and where another process takes
    the core of one of them all the rest waits (on 2 busy cores, 2 threads took 10 times as long as 1).
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores - 1)


def _checked(path: Path) -> Path:
    path = path.expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror}; give the path of a GGUF file") from error
    if magic != _GGUF_MAGIC:
        raise InputError(f"expected a GGUF file, {path} begins with {magic!r}: give the path of a GGUF model")
    return path


def _grammar(schema: Mapping[str, Any]) -> str:
    xllamacpp: Any = importlib.import_module("xllamacpp")
    # Small models lose themselves in white space where the grammar lets them; without it they need half the tokens.
    compact = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
    return cast("str", xllamacpp.json_schema_to_grammar({**schema, "x-guidance": compact}))


def _ask(server: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", server.handle_chat_completions(request))
    except (ValueError, RuntimeError) as error:
        raise RejectedError(f"llama.cpp refuses the request ({error}): check the messages and the schema") from error


def _error(error: Mapping[str, Any]) -> ProviderError | ReplyError:
    if error.get("type") == "exceed_context_size_error":
        return ReplyError(
            f"the prompt has {error['n_prompt_tokens']} tokens, the context {error['n_ctx']}: shorten the prompt "
            "or open the model with a larger context"
        )
    return RejectedError(f"llama.cpp refuses the request ({error.get('message')}): check the messages and the schema")
