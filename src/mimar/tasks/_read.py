from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimar.errors import InputError, UnknownNameError
from mimar.formats import read_text
from mimar.tasks._item import Item
from mimar.tasks._prompts import TASKS, Task

VARIABLE = "MIMAR_DATA"
OWN = "TASK=FILE.jsonl[.gz]"
SOUGHT = '{"id", "question", "choices", "answer"} a line'


@dataclass(frozen=True)
class Items:
    """What `read_items` read: the task, its items in file order, their file, and how many items that file has."""

    task: Task
    items: tuple[Item, ...]
    path: Path
    available: int


def read_items(name_or_path: str, data: Path | None = None, limit: int | None = None, seed: int = 0) -> Items:
    """The items of a task.

    name_or_path: a name of `TASKS`, whose file is sought in the data folder, or TASK=FILE.jsonl[.gz] for another file.
    data: the folder that holds ``eval/``, or that folder itself; by default what MIMAR_DATA names.
    limit: at most this many items. Which ones depends on `seed` and their ids alone, and fewer are a part of more.
    UnknownNameError for another task; InputError for what is missing or cannot be asked, with file and line.
    """
    name, own, file = name_or_path.partition("=")
    if name not in TASKS:
        raise UnknownNameError("task", name, (*TASKS, OWN))
    if own and not file:
        raise InputError(f"expected {OWN}, got {name_or_path} without a file")
    if limit is not None and limit < 1:
        raise InputError(f"expected at least 1 item of a task, got {limit}")
    task = TASKS[name]
    path = Path(file).expanduser() if own else _kept(task, data)
    items = _read(path, task)
    return Items(task, items if limit is None else _subset(items, limit, seed), path, len(items))


def _kept(task: Task, data: Path | None) -> Path:
    """The file of a task in the data folder, gzipped or not."""
    hint = f"give the folder that holds eval/, or set {VARIABLE} to it, or give {task.name}=FILE.jsonl"
    given = os.environ.get(VARIABLE) if data is None else str(data)
    if not given:
        raise InputError(f"no data folder for {task.name}: {hint}")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {hint}")
    inner = folder / "eval"
    path = (inner if inner.is_dir() else folder) / task.file
    found = next((way for way in (path, path.with_suffix("")) if way.is_file()), None)
    if found is None:
        raise InputError(f"{path}: no such file; {hint}")
    return found


def _read(path: Path, task: Task) -> tuple[Item, ...]:
    items: dict[str, Item] = {}
    for number, line in _lines(path):
        try:
            item = _item(json.loads(line))
            if item.id in items:
                raise InputError(f"the id {item.id!r} stands on an earlier line, too")
            task.prompts(item)  # raises for what the task cannot ask
        except RecursionError as error:
            raise InputError(f"{path}, line {number}: expected {SOUGHT}, got JSON that is nested too deeply") from error
        except ValueError as error:
            raise InputError(f"{path}, line {number}: expected {SOUGHT}, got no JSON ({error})") from error
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        items[item.id] = item
    if not items:
        raise InputError(f"{path} has no items: expected {SOUGHT}")
    return tuple(items.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of each line that is not blank."""
    lines = read_text(path, f"JSON lines, {SOUGHT}").split("\n")
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _item(row: Any) -> Item:
    if not isinstance(row, dict):
        raise InputError(f"expected an object, {SOUGHT}, got {type(row).__name__}")
    choices = _field(row, "choices", list, "a list of texts")
    if not all(isinstance(choice, str) for choice in choices):
        raise InputError('expected "choices" to be a list of texts, got something else in it')
    subject = _field(row, "subject", str, "a text") if "subject" in row else ""
    name, question = _field(row, "id", str, "a text"), _field(row, "question", str, "a text")
    return Item(name, question, tuple(choices), _field(row, "answer", int, "a whole number"), subject)


def _field(row: dict[str, Any], name: str, kind: type, called: str) -> Any:
    value = row.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        got = f"{type(value).__name__}" if name in row else "nothing"
        raise InputError(f'expected "{name}" to be {called}, got {got}')
    return value


def _subset(items: tuple[Item, ...], limit: int, seed: int) -> tuple[Item, ...]:
    """The `limit` items whose seeded hash comes first, in file order: the same with any version of any library."""

    def place(item: Item) -> bytes:
        return hashlib.sha256(f"{seed}\n{item.id}".encode()).digest()

    kept = {item.id for item in sorted(items, key=place)[:limit]}
    return tuple(item for item in items if item.id in kept)
