"""What a provider's failure means to us, without a trace of the key."""

from __future__ import annotations

from mimar.errors import LLMError, MissingKeyError, ProviderError, RateLimitError, ReplyError

from ._errors import RejectedError
from ._keys import KEY_VARIABLES, Provider, redact

_WORTH_REPEATING = (408, 409, 425, 429)
"""4xx answers that say "not now" rather than "not so"."""


def translate(error: Exception, provider: Provider, name: str) -> LLMError:
    """The `LLMError` for an exception out of pydantic-ai or an SDK below it; `name` is the model's.

    Meant to be raised where no other exception is being handled, so that nothing unredacted stays in its chain.
    """
    from pydantic_ai import exceptions as theirs

    text = _excerpt(str(error) or type(error).__name__)
    match error:
        case theirs.ModelRateLimitError():
            return RateLimitError(f"{name} asks to wait: {text}", error.retry_after)
        case theirs.ModelQuotaExceededError():
            return RejectedError(f"{name} has no credit left: {text}; add credit or choose another model")
        case theirs.ModelAuthenticationError():
            variables = " or ".join(KEY_VARIABLES[provider])
            return MissingKeyError(f"{name} does not accept the key: {text}; set {variables} to a valid key")
        case theirs.ModelContextWindowExceededError():
            return ReplyError(f"the prompt is longer than the context of {name}: {text}; shorten the prompt")
        case theirs.ModelHTTPError() if "exceed_context_size" in text:  # llama.cpp's server
            return ReplyError(f"the prompt is longer than the context of {name}: {text}; shorten the prompt")
        case theirs.ContentFilterError():
            return ReplyError(f"{name} refused to answer: {text}")
        case theirs.ModelHTTPError() if _is_final(error.status_code):
            return RejectedError(f"{name} rejects the request: {text}; check the model's name and the options")
        case theirs.ModelRequestTimeout() | theirs.ModelTimeoutError():
            return ProviderError(f"{name} gave no answer in time: {text}")
        case theirs.ModelConnectionError():
            return ProviderError(f"{name} cannot be reached: {text}; check the address and the network")
        case theirs.UserError():
            return RejectedError(f"{name} cannot take this request: {text}")
        case _:
            return ProviderError(f"{name} failed: {text}")


def _is_final(status: int) -> bool:
    return 400 <= status < 500 and status not in _WORTH_REPEATING


def _excerpt(text: str, limit: int = 300) -> str:
    text = " ".join(redact(text).split())  # before the cut, which could leave half a key
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
