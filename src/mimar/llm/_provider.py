"""Anthropic, OpenAI, Gemini and every server that speaks OpenAI's protocol, over pydantic-ai."""

from __future__ import annotations

import importlib.util
import logging
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final
from urllib.parse import urlsplit

from mimar.errors import InputError, LLMError, MissingDependencyError, visible

from ._call import Call
from ._errors import BilledReplyError
from ._keys import Provider, read_key, redact
from ._parse import read_reply
from ._protocol import Message, Reply, Usage
from ._provider_errors import translate

if TYPE_CHECKING:  # pydantic-ai takes a second to import, genai-prices a fifth of one
    from genai_prices.types import AbstractUsage
    from pydantic_ai.messages import ModelResponse

_LOG = logging.getLogger(__name__)


@final
class ProviderLLM:
    """`model` at `provider`, or at the OpenAI-compatible server `base_url` when the provider is "compatible".

    Each call is one HTTP request that ends within `timeout` seconds; nothing is retried here (see `Retrying`).
    Where the provider constrains output to a JSON schema that is used, elsewhere the schema goes into the
    prompt. Anthropic has no seed. Costs are list prices, 0 where none is known (`has_list_price`). The key is read
    from the environment at each call and never stored. Raises `MissingKeyError`, `MissingDependencyError`, and
    `InputError` for an address with a password or a query in it.
    """

    def __init__(self, provider: Provider, model: str, *, base_url: str | None = None, timeout: float = 180.0) -> None:
        if importlib.util.find_spec("pydantic_ai") is None:
            raise MissingDependencyError("hosted models need pydantic-ai: pip install 'mimar[providers]'")
        if base_url is not None:
            _check_address(base_url)
        elif provider == "compatible":
            raise InputError("an OpenAI-compatible server needs its address, such as http://127.0.0.1:8080/v1")
        read_key(provider)
        self._provider: Provider = provider
        self._model = model
        self._base_url = base_url
        self._timeout = timeout
        self._told: set[str] = set()

    @property
    def name(self) -> str:
        """``PROVIDER:MODEL``, or ``ADDRESS#MODEL`` for a compatible server."""
        if self._provider == "compatible":
            return f"{self._base_url}#{self._model}"
        return f"{self._provider}:{self._model}"

    def has_list_price(self) -> bool:
        """Whether a price of the model's tokens is known; without one its calls count as free."""
        from genai_prices import Usage as TheirUsage

        return self._price(TheirUsage(input_tokens=1, output_tokens=1)) is not None

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`."""
        read_key(self._provider)
        start = time.monotonic()
        answer = self._answer(Call(tuple(messages), schema, temperature, seed, max_tokens))
        if isinstance(answer, LLMError):
            raise answer
        return self._reply(answer, schema, time.monotonic() - start)

    def _answer(self, call: Call) -> ModelResponse | LLMError:
        """The response, or what went wrong as a value: raised elsewhere, it drags along no chain with a key in it."""
        from ._pydantic_ai import Endpoint, send

        endpoint = Endpoint(self._provider, self._model, self._base_url, self._timeout)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return send(endpoint, call)
            except Exception as error:  # whatever an SDK raises may quote the key
                return translate(error, self._provider, self.name)
            finally:
                self._log_once(str(warning.message) for warning in caught)

    def _reply(self, answer: ModelResponse, schema: Mapping[str, Any] | None, seconds: float) -> Reply:
        text = redact(answer.text or "")
        price = self._price(answer.usage) or 0.0
        usage = Usage(answer.usage.input_tokens, answer.usage.output_tokens, seconds, price)
        model = answer.model_name or self._model
        if answer.finish_reason == "content_filter":
            refusal = redact(str((answer.provider_details or {}).get("refusal") or text or "no reason given"))
            raise BilledReplyError(f"{self.name} refused to answer: {refusal:.200}", refusal, usage, model)
        return read_reply(text, schema, usage, model, cut=answer.finish_reason == "length")

    def _price(self, usage: AbstractUsage) -> float | None:
        """US dollars at list price (genai-prices); None for a model or a server without one."""
        from genai_prices import calc_price

        try:
            if self._base_url is None:
                price = calc_price(usage, self._model, provider_id=self._provider)
            else:
                price = calc_price(usage, self._model, provider_api_url=self._base_url)
        except LookupError:
            return None
        return float(price.total_price)

    def _log_once(self, lines: Iterable[str]) -> None:
        for line in (visible(redact(line)) for line in lines):
            if line not in self._told:
                self._told.add(line)
                _LOG.warning("%s", line)


def _check_address(url: str) -> None:
    advice = "expected an address such as http://127.0.0.1:8080/v1, got one without a usable host or port"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # broken brackets, or a port that is no number; its text would quote the address
        raise InputError(advice) from None
    if not usable:
        raise InputError(advice)
    if parts.username or parts.password or parts.query:
        raise InputError(
            f"the address of {parts.hostname} must hold no password and no query, it is stored with the study: "
            "put the key in MIMAR_API_KEY"
        )
