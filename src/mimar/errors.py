"""Every error that mimar raises on purpose.

    MimarError
    ├── InputError            what the user gave cannot be used
    │   ├── ArchitectureError     an architecture that breaks a rule or does not parse
    │   ├── BudgetError           no architecture of the space can keep the budgets
    │   └── UnknownNameError      a device, strategy, score, model or trial that does not exist
    ├── StorageError          a study file cannot be read or written
    │   ├── ForeignFileError      the file is not a mimar study, or is damaged
    │   ├── NewerVersionError     a newer mimar wrote the file
    │   └── StorageFullError      the disk has no room left
    ├── LLMError              a language model gave no usable reply
    │   ├── MissingKeyError       no API key in the environment
    │   ├── ProviderError         the provider answered with an error, or not at all
    │   ├── RateLimitError        the provider asks to wait
    │   ├── ReplyError            the reply is not what the schema asks for
    │   ├── ReplayError           a replayed run asks something that was never recorded
    │   └── CostLimitError        the cost limit has been reached
    ├── MissingDependencyError  an optional package is not installed
    ├── ExportError           an export does not reload to the same model
    └── CandidateError        one candidate cannot be evaluated; becomes data, never ends a study

A message says what was expected, what came, and how to fix it; `EXIT_CODES` maps the first level to exit codes.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

_UNPRINTABLE = re.compile(r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with a replacement character for each character that has no place in shown text.

    These are the control characters C0, DEL and C1 (ECMA-48), by which a text can steer a terminal, save tab and line
    ends; and lone surrogates, which UTF-8 cannot hold.
    """
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


class MimarError(Exception):
    """Root of all errors raised on purpose; its text is meant for the user, and `visible` whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))

    def __reduce__(self) -> tuple[object, tuple[type[MimarError], tuple[object, ...]], dict[str, object]]:
        return _as_it_was, (type(self), self.args), self.__dict__


def _as_it_was(kind: type[MimarError], args: tuple[object, ...]) -> MimarError:
    """An error that comes from another process: its text is made already, so that `__init__` has no part in it."""
    return kind.__new__(kind, *args)


class InputError(MimarError):
    """What the user gave cannot be used."""


class ArchitectureError(InputError):
    """An architecture breaks rules or does not parse; `reasons` holds every reason, not only the first."""

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message if not reasons else f"{message}: {'; '.join(reasons)}")
        self.reasons = reasons or (message,)


class BudgetError(InputError):
    """No architecture of the space can keep the budgets."""


class UnknownNameError(InputError):
    """A name that does not exist; the message lists those that do."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown {kind} {name!r}: expected one of {', '.join(known)}")


class StorageError(MimarError):
    """A study file cannot be read or written."""


class ForeignFileError(StorageError):
    """The file is not a mimar study, or it is damaged."""


class NewerVersionError(StorageError):
    """A newer version of mimar wrote the file."""


class StorageFullError(StorageError):
    """The disk has no room left; everything stored before is intact."""


class LLMError(MimarError):
    """A language model gave no usable reply."""


class MissingKeyError(LLMError):
    """The environment holds no API key for the chosen provider."""


class ProviderError(LLMError):
    """The provider answered with an error, or not at all."""


class RateLimitError(LLMError):
    """The provider asks to wait; `retry_after` is in seconds where it was stated."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ReplyError(LLMError):
    """The reply is not what the schema asks for; `reply` is the text as it came."""

    def __init__(self, message: str, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply


class ReplayError(LLMError):
    """A replayed run asks something that was never recorded."""


class CostLimitError(LLMError):
    """The cost limit has been reached; no further call is made."""


class MissingDependencyError(MimarError):
    """An optional package is not installed; the message names the extra that brings it."""


class ExportError(MimarError):
    """An export does not reload to the same model."""


class CandidateError(MimarError):
    """One candidate cannot be evaluated; its text is stored as the reason and the study goes on."""


_EXHAUSTED = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


@contextmanager
def memory_explained(doing: str) -> Generator[None]:
    """CandidateError where memory does not suffice for what is done inside: one candidate too large ends no study.

    torch reports exhausted memory as a RuntimeError, on a GPU as one of its own kind; a GPU that has failed ("illegal
    memory access") does not cost a candidate.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        own = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if own or any(words in str(error).lower() for words in _EXHAUSTED):
            raise CandidateError(f"not enough memory for {doing}: {str(error)[:200]}") from error
        raise


EXIT_CODES: dict[type[MimarError], int] = {
    InputError: 2,
    StorageError: 3,
    LLMError: 4,
    MissingDependencyError: 5,
    ExportError: 6,
}
"""Exit code of each first-level error; 1 is any other failure, 130 an interrupted run."""


def exit_code(error: MimarError) -> int:
    """The documented exit code for `error`."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
