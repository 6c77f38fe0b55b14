from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mimar.errors import InputError
from mimar.tasks._item import Item
from mimar.tasks._prompts import Task

Encode = Callable[[str], Sequence[int]]
"""Text → tokens, with the token before each text that the model was trained with, where it was trained with one."""


@dataclass(frozen=True)
class Request:
    """Tokens whose likelihood is asked, given the tokens before them; neither is ever empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


def requests(task: Task, items: Sequence[Item], encode: Encode) -> tuple[tuple[Request, ...], ...]:
    """For each item, a request for each of its choices.

    InputError, with the id of the item, where the tokenizer leaves nothing to ask, or nothing to ask it after.
    """
    remembered = lru_cache(maxsize=2)(encode)  # the choices of an item mostly share their context
    return tuple(_of_item(task, item, remembered) for item in items)


def _of_item(task: Task, item: Item, encode: Encode) -> tuple[Request, ...]:
    try:
        return tuple(encoded(context, continuation, encode) for context, continuation in task.prompts(item))
    except InputError as error:
        raise InputError(f"{task.name}, item {item.id}: {error}") from error


def encoded(context: str, continuation: str, encode: Encode) -> Request:
    """The tokens of a prompt, as the harness splits them (`TemplateLM._encode_pair`).

    White space at the end of the context goes to the continuation, since tokens mostly hold the space before a word.
    Both are then encoded as one text, and what follows the tokens of the context is the continuation.
    """
    kept = context.rstrip()
    start = tuple(map(int, encode(kept))) if kept else ()
    rest = tuple(map(int, encode(context + continuation)))[len(start) :]
    if not start:
        raise InputError("expected a context, got no token")
    if not rest:
        raise InputError(f"the tokenizer leaves no token of {continuation!r} after its context")
    return Request(start, rest)
