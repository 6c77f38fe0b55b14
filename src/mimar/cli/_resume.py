"""`--resume`: the settings of the stored study, and what was typed beside it that changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Set
from pathlib import Path
from typing import Any, Final

import typer

from mimar.cli._llm import require_named
from mimar.cli._output import say
from mimar.cli._settings import DesignSettings
from mimar.cli._study_file import open_study

PLACE: Final = ("executor", "workers", "candidate_time", "candidate_memory", "candidate_takes")
"""Parameters that say where candidates are evaluated, which decides no trial."""

OBEYED: Final = frozenset({"trials", "max_cost", "train_on", "study", "resume", "as_json", *PLACE})
"""Parameters of `mimar design` that a resumed study follows."""


def resumed_settings(path: Path, context: typer.Context) -> DesignSettings:
    """The settings of the study at `path`, which is read whole, so that a damaged one is refused before anything is
    added; options in `context` that ask for others are named on standard error. Raises what `open_study` and
    `require_named` raise.
    """
    settings = open_study(path).settings
    require_named(path, settings.llm, context.params["llm"])
    name_ignored(context, path, settings.command, OBEYED)
    return settings


def name_ignored(context: typer.Context, path: Path, started: str, obeyed: Set[str]) -> None:
    """Say which options the study at `path`, which the command `started` began, does not follow."""
    ignored = ignored_options(context, started, obeyed)
    if ignored:
        say(
            f"note: {path} keeps the settings it was started with and ignores {', '.join(ignored)}: "
            "to use them start a new study at another --study"
        )


def ignored_options(context: typer.Context, started: str, obeyed: Set[str]) -> tuple[str, ...]:
    """Options typed in `context` that a resumed study does not follow, being none of `obeyed`, and whose value is not
    that of the command `started`, defaults included. Values are compared as typed: 30M and 30e6 differ."""
    first = _values(context, started)
    typed = [p for p in context.command.params if _is_typed(context, p.name or "") and p.name not in obeyed]
    return tuple(p.opts[0] for p in typed if p.name not in first or context.params[p.name or ""] != first[p.name])


def typed_again(context: typer.Context, names: Collection[str]) -> str:
    """Those of the parameters `names` that were typed in `context`, as they are typed, each after a blank."""
    typed = [each for each in context.command.params if each.name in names and _is_typed(context, each.name or "")]
    return "".join(f" {each.opts[0]} {shlex.quote(str(context.params[each.name or '']))}" for each in typed)


def as_started(context: typer.Context, started: str, name: str) -> Any:
    """The parameter `name` as typed in `context`, else as in the command `started`, else its default: a limit on
    spending holds for the resumed run too."""
    found = None if _is_typed(context, name) else _values(context, started).get(name)  # None: as good as not given
    return context.params[name] if found is None else found


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _values(context: typer.Context, started: str) -> dict[str, Any]:
    """The parameters of an earlier call of the same command; none where its text is no command line."""
    try:
        _, _, *arguments = shlex.split(started)
    except ValueError:  # too short, or quotes that do not close: every option typed now is named then
        return {}
    return context.command.make_context(context.command.name, arguments, resilient_parsing=True).params
