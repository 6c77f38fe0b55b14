"""Try again when a provider fails or asks to wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from mimar.errors import ProviderError, RateLimitError

from ._errors import RejectedError
from ._protocol import LLM, Message, Reply

_LOG = logging.getLogger(__name__)
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 120.0


@final
class Retrying:
    """Puts a call to `llm` up to `attempts` times, waiting 1, 2, 4, … seconds, or as long as the provider asks.

    Only provider failures and rate limits are tried again: a rejected request or an unusable reply would come
    out the same. A provider that asks for more than two minutes is not waited for. `sleep` takes seconds.
    """

    def __init__(self, llm: LLM, attempts: int = 4, sleep: Callable[[float], None] = time.sleep) -> None:
        self._llm = llm
        self._attempts = attempts
        self._sleep = sleep

    @property
    def name(self) -> str:
        """The name of the wrapped model."""
        return self._llm.name

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`; raises the error of the last attempt."""
        attempt = 1
        while True:
            try:
                return self._llm.complete(messages, schema, temperature=temperature, seed=seed, max_tokens=max_tokens)
            except (ProviderError, RateLimitError) as error:
                wait = _wait(error, attempt)
                if wait is None or attempt >= self._attempts:
                    raise
                _LOG.warning("attempt %d of %d: %s; next in %.1f s", attempt, self._attempts, error, wait)
            self._sleep(wait)
            attempt += 1


def _wait(error: ProviderError | RateLimitError, attempt: int) -> float | None:
    """Seconds until the next attempt is worth while; None when none is."""
    if isinstance(error, RejectedError):
        return None
    wait = _FIRST_WAIT * 2.0 ** (attempt - 1)
    if isinstance(error, RateLimitError) and error.retry_after is not None:
        wait = error.retry_after
        return wait if wait <= _LONGEST_WAIT else None
    return min(wait, _LONGEST_WAIT)
