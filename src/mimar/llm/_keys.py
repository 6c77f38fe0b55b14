"""API keys: read from the environment at the moment of use, kept nowhere, cut out of every text."""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import quote

from mimar.errors import MissingKeyError

Provider = Literal["anthropic", "openai", "google", "compatible"]

KEY_VARIABLES: dict[Provider, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "compatible": ("MIMAR_API_KEY",),
}
"""Environment variables that hold a provider's key, the first that is set counts."""

_SHORTEST_SECRET = 6
"""Shorter values are no secrets, and cutting out "x" or "none" would only garble messages."""


def read_key(provider: Provider) -> str | None:
    """The key for `provider`; None where a server needs none and none is set.

    Raises `MissingKeyError` when a key is needed and no variable holds a usable one.
    """
    variables = KEY_VARIABLES[provider]
    for variable in variables:
        key = os.environ.get(variable, "").strip()
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise MissingKeyError(f"{variable} holds characters that no API key has: set it to the key alone")
        if key:
            return key
    if provider == "compatible":
        return None
    raise MissingKeyError(f"{provider} needs an API key: set the environment variable {' or '.join(variables)}")


def redact(text: str) -> str:
    """`text` with every key that the environment holds replaced by ``[key]``."""
    for variables in KEY_VARIABLES.values():
        for variable in variables:
            key = os.environ.get(variable, "").strip()
            if len(key) >= _SHORTEST_SECRET:
                text = text.replace(key, "[key]").replace(quote(key, safe=""), "[key]")
    return text
