"""Two leaves of the error tree that carry what only this package knows: usage, and that a retry is useless."""

from __future__ import annotations

from mimar.errors import ProviderError, ReplyError

from ._protocol import Usage


class RejectedError(ProviderError):
    """The provider refused the request itself (unknown model, no credit, malformed): sending it again cannot help."""


class BilledReplyError(ReplyError):
    """An unusable reply that was paid for all the same; `usage` says what it cost, `model` who answered."""

    def __init__(self, message: str, reply: str, usage: Usage, model: str) -> None:
        super().__init__(message, reply)
        self.usage = usage
        self.model = model
