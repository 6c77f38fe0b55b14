"""One request through pydantic-ai: our call in its terms. Imported only when a provider is asked."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread

import httpx2
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.settings import ModelSettings

from ._call import Call
from ._keys import Provider, read_key
from ._protocol import Message

_SEEDS = 2**31  # Gemini takes 32 bits with a sign
_THINKING_TOKENS = 4096  # most that a model which cannot stop thinking may add to its reply


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a call goes: the provider's model, its address where it is not the usual one, and seconds to wait."""

    provider: Provider
    model: str
    base_url: str | None
    timeout: float


def send(endpoint: Endpoint, call: Call) -> ModelResponse:
    """One HTTP request over a connection of its own; raises what pydantic-ai and the SDKs raise.

    It runs in a thread of its own. In the main thread asyncio would turn Ctrl-C into a cancellation, which libraries on
    the way may swallow, so that a search went on; and a notebook runs a loop there already. A call that is interrupted
    is left behind: the thread ends with the request or with the program.
    """
    answer: Future[ModelResponse] = Future()

    def work() -> None:
        try:
            answer.set_result(asyncio.run(_request(endpoint, call)))
        except BaseException as error:  # raised again where it is waited for
            answer.set_exception(error)

    Thread(target=work, name="mimar-llm", daemon=True).start()
    return answer.result()


async def _request(endpoint: Endpoint, call: Call) -> ModelResponse:
    async with httpx2.AsyncClient(timeout=endpoint.timeout) as client:
        model = _open_model(endpoint, client)
        return await model_request(
            model,
            [_their_message(message) for message in call.messages],
            model_settings=_settings(endpoint, call, model),
            model_request_parameters=_parameters(call, model),
        )


def _open_model(endpoint: Endpoint, client: httpx2.AsyncClient) -> Model:
    key, url = read_key(endpoint.provider), endpoint.base_url
    if endpoint.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(endpoint.model, provider=AnthropicProvider(api_key=key, base_url=url, http_client=client))
    if endpoint.provider == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(endpoint.model, provider=GoogleProvider(api_key=key, base_url=url, http_client=client))
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    if endpoint.provider == "openai":
        return OpenAIChatModel(endpoint.model, provider=OpenAIProvider(api_key=key, base_url=url, http_client=client))
    # The older name of the token limit is the one that every server knows.
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
    provider = OpenAICompatibleProvider(
        "compatible", base_url=url or "", api_key=key, http_client=client, profile=profile
    )
    return OpenAIChatModel(endpoint.model, provider=provider)


def _their_message(message: Message) -> ModelMessage:
    match message.role:
        case "system":
            return ModelRequest(parts=[SystemPromptPart(message.content)])
        case "user":
            return ModelRequest(parts=[UserPromptPart(message.content)])
        case "assistant":
            return ModelResponse(parts=[TextPart(message.content)])


def _settings(endpoint: Endpoint, call: Call, model: Model) -> ModelSettings:
    """Settings of one call: a model thinks as little as it can, and what it thinks all the same has room of its own."""
    room = _THINKING_TOKENS if model.profile.get("thinking_always_enabled", False) else 0
    return ModelSettings(
        temperature=call.temperature,
        seed=call.seed % _SEEDS,
        max_tokens=call.max_tokens + room,
        thinking=False,
        max_retries=0,
        request_timeout=endpoint.timeout,
    )


def _parameters(call: Call, model: Model) -> ModelRequestParameters:
    """Constrained output where the provider offers it (for objects only), else the schema in the prompt."""
    if call.schema is None:
        return ModelRequestParameters()
    native = model.profile.get("supports_json_schema_output", False) and call.schema.get("type") == "object"
    return ModelRequestParameters(
        output_mode="native" if native else "prompted",
        output_object=OutputObjectDefinition(json_schema=dict(call.schema), name="reply"),
    )
