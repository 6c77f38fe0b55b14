"""How commands speak: JSON alone on standard output, everything else on standard error, errors as one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from mimar.errors import MimarError, exit_code, visible

INTERRUPTED = 130


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on standard output, in ASCII: nothing in it steers a terminal or breaks on its encoding."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def say(text: str) -> None:
    """A line for the person, on standard error; control characters in what it quotes are replaced."""
    sys.stderr.write(visible(text) + "\n")


@contextmanager
def errors_explained(as_json: bool) -> Generator[None]:
    """Ends a command whose error has a name with its sentence and exit code; a bug keeps its traceback."""
    try:
        yield
    except MimarError as error:
        _end(str(error), type(error).__name__, exit_code(error), as_json)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _end(f"cannot use{where}: {error.strerror or error}", "OSError", 1, as_json)
    except KeyboardInterrupt:
        _end("interrupted; everything stored so far is safe", "KeyboardInterrupt", INTERRUPTED, as_json)


def explain(message: str, kind: str, code: int, as_json: bool) -> None:
    """Say what went wrong: a sentence for the person and, with `as_json`, an object on standard output."""
    if as_json:
        print_json({"error": message, "kind": kind, "exit_code": code})
    say(f"error: {message}")


def _end(message: str, kind: str, code: int, as_json: bool) -> None:
    explain(message, kind, code, as_json)
    raise typer.Exit(code)
