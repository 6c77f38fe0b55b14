"""From the text of a reply to a JSON value that satisfies a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from mimar.errors import ReplyError

from ._errors import BilledReplyError
from ._protocol import JSONValue, Reply, Usage
from ._schema import schema_error

_FENCE = re.compile(r"```[\w-]*[^\S\n]*\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_MAX_DEPTH = 50
_MAX_STARTS = 200
"""How many opening brackets to try: a reply of brackets alone must not cost quadratic time."""


def parse_reply(text: str, schema: Mapping[str, Any]) -> JSONValue:
    """The JSON value in `text` that satisfies `schema` (see `_schema` for the keywords that count).

    The value may stand alone, in a code fence, or amid prose; broken JSON is not repaired, nor is a part of it
    taken for the whole. Where several values occur, the first that satisfies the schema is taken. Raises
    `ReplyError` with what was expected and what came, and the text as its `reply`.
    """
    reason = None
    try:
        for value in _values(text):
            error = schema_error(value, schema)
            if error is None:
                return value
            reason = reason or f"the reply does not fit the schema at {error}"
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than any real reply
        reason = reason or f"expected JSON, got a broken or truncated value ({error})"
    came = _excerpt(text) if text.strip() else "an empty reply"
    raise ReplyError(reason or f"expected JSON, got {came}", text)


def complete_items(text: str, name: str) -> list[JSONValue]:
    """The items of the array under the key `name`, or of a bare array of objects, as far as the text is whole.

    For a reply that broke off, or that breaks the schema in one of several items; an item of absurd depth becomes None.
    Empty where there is no such array.
    """
    start = re.search(rf'"{re.escape(name)}"\s*:\s*\[', text) or re.search(r"\[(?=\s*\{)", text)
    found: list[JSONValue] = []
    position = len(text) if start is None else _after_gap(text, start.end())
    while position < len(text) and text[position] != "]":
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        found.append(None if _is_deep(value, _MAX_DEPTH) else value)
        position = _after_gap(text, position)
    return found


def _after_gap(text: str, position: int) -> int:
    """Past the white space and commas at `position`."""
    while position < len(text) and (text[position].isspace() or text[position] == ","):
        position += 1
    return position


def _is_deep(value: JSONValue, levels: int) -> bool:
    """Whether a value has more than so many levels: what reads it later must not run out of stack."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deep(part, levels - 1) for part in parts)


def read_reply(text: str, schema: Mapping[str, Any] | None, usage: Usage, model: str, *, cut: bool = False) -> Reply:
    """A `Reply` from the text that came: parsed against `schema`, or as it is without one.

    Raises `BilledReplyError`, which keeps the usage, when the text does not parse or is empty; `cut` says that
    the model ran into its limit of tokens, and makes the error name it.
    """
    try:
        if schema is not None:
            return Reply(text, parse_reply(text, schema), usage, model)
        if text.strip():
            return Reply(text, None, usage, model)
        raise ReplyError("expected text, got an empty reply", text)
    except ReplyError as error:
        hint = f"; the reply was cut at {usage.output_tokens} tokens: raise max_tokens" if cut else ""
        raise BilledReplyError(f"{error}{hint}", text, usage, model) from None


def _values(text: str) -> Iterator[JSONValue]:
    """JSON values in `text`: in its code fences, as its whole, then every outermost object or array amid prose.

    Raises JSONDecodeError at a value that begins well and then breaks: what follows is inside of it.
    """
    for part in (*_FENCE.findall(text), text):
        value = _whole(part.strip())
        if value is not _NOTHING:
            yield cast("JSONValue", value)
    position = 0
    for _ in range(_MAX_STARTS):
        start = _OPENING.search(text, position)
        if start is None:
            return
        try:
            value, position = _DECODER.raw_decode(text, start.start())
        except json.JSONDecodeError as error:
            if text[start.end() : error.pos].strip():
                raise
            position = start.end()  # a bracket of the prose: not even its first token is JSON
        else:
            yield value


def _whole(text: str) -> object:
    """The value of a text that is JSON from end to end, else `_NOTHING`."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_NOTHING = object()


def _excerpt(text: str, limit: int = 80) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= limit else f"{text[: limit - 1]}…")
