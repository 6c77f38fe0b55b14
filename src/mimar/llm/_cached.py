"""Keep replies on disk, so that the same question is paid for once."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, final

from ._call import Call
from ._errors import BilledReplyError
from ._parse import read_reply
from ._protocol import LLM, Message, Reply, Usage

_LOG = logging.getLogger(__name__)
_TABLE = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"


def default_cache_path() -> Path:
    """The reply cache in the user's cache directory."""
    from platformdirs import user_cache_path

    return user_cache_path("mimar") / "replies.sqlite"


@final
class Cached:
    """Answers a call that was answered before from the SQLite file at `path`, also where the reply was of no use; other
    errors are not kept.

    The key covers the model's name and every argument of the call. A hit costs no time and is marked
    `cached`. The cache never stops a run: a damaged file is set aside as ``*.damaged``, any other trouble is
    logged and the model is asked.
    """

    def __init__(self, llm: LLM, path: Path) -> None:
        self._llm = llm
        self._path = path

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
        """As `LLM.complete`."""
        call = Call(tuple(messages), schema, temperature, seed, max_tokens)
        key = call.key(self.name)
        stored = self._load(key)
        hit = None if stored is None else _revive(stored, schema)
        if hit is not None:
            return hit
        try:
            reply = call.ask(self._llm)
        except BilledReplyError as error:
            self._store(key, error.reply, error.usage, error.model)
            raise
        self._store(key, reply.text, reply.usage, reply.model)
        return reply

    def _load(self, key: str) -> str | None:
        rows = self._execute("SELECT reply FROM replies WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def _store(self, key: str, text: str, usage: Usage, model: str) -> None:
        value = {"text": text, "usage": asdict(usage), "model": model}
        self._execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, json.dumps(value)))

    def _execute(self, statement: str, arguments: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The rows of `statement`; none where the cache cannot be used, which is logged."""
        try:
            return self._rows(statement, arguments)
        except (sqlite3.OperationalError, OSError) as error:  # locked, full, read-only: nothing is damaged
            _LOG.warning("the reply cache %s is not used for this call: %s", self._path, error)
            return []

    def _rows(self, statement: str, arguments: tuple[str, ...]) -> list[tuple[str, ...]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                connection.execute(_TABLE)
                return connection.execute(statement, arguments).fetchall()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            _LOG.warning("the reply cache %s is damaged (%s): set aside as %s", self._path, error, aside.name)
            self._path.replace(aside)
            return []


def _revive(stored: str, schema: Mapping[str, Any] | None) -> Reply | None:
    """The stored reply, or None when the entry does not read (written by another version); BilledReplyError where the
    reply is of no use, now as then.
    """
    try:
        value = json.loads(stored)
        usage, text, model = replace(Usage(**value["usage"]), seconds=0.0, cached=True), value["text"], value["model"]
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {text!r}")
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        _LOG.warning("an entry of the reply cache is not used: %s", error)
        return None
    return read_reply(text, schema, usage, model)
