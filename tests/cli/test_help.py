"""Help texts name every option, and asking for them costs little."""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import version

import pytest

OPTIONS = {
    "design": (
        "--max-params --max-memory --max-ttft --min-tokens-per-second --max-energy --max-power --device --ctx --batch "
        "--prompt-tokens --dtype --vocab --tokenizer --untied --strategy --score --objectives --arm --llm --anonymise "
        "--max-cost --trials --seed --per-layer --only --start --study --resume --json"
    ),
    "show": "--json",
    "report": "--out --tokens --json",
    "export": "--to --tokenizer --seed --json",
    "devices": "--refresh --json",
    "strategies": "--json",
    "get-llm": "--json",
}
HEAVY = {"torch", "transformers", "scipy", "plotly", "numpy", "xllamacpp", "pydantic_ai", "moocore", "tokenizers"}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_mentions_every_option(mimar, command: str) -> None:
    outcome = mimar(command, "--help")
    assert outcome.code == 0
    assert [option for option in OPTIONS[command].split() if option not in outcome.out] == []


def test_help_states_the_defaults_that_the_program_chooses(mimar) -> None:
    out = mimar("design", "--help").out
    assert "1024" in out
    assert "32000" in out


def test_the_first_help_lists_commands_and_exit_codes(mimar) -> None:
    outcome = mimar("--help")
    assert all(command in outcome.out for command in OPTIONS)
    assert "Exit codes" in outcome.out
    assert mimar().out == outcome.out


def test_version(mimar) -> None:
    assert mimar("--version").out == f"mimar {version('mimar')}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['mimar', 'design', '--help']\n"
        "from mimar.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "mimar.cli._app" in loaded
    assert HEAVY & set(loaded) == set()


@pytest.mark.slow
def test_help_costs_at_most_twice_what_typer_and_rich_cost() -> None:
    def seconds(*command: str) -> float:
        """Processor time of the cheapest of three runs."""
        times: list[float] = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)

    base = seconds("-c", "import typer, rich.console, rich.table, rich.panel, rich.markup")
    assert seconds("-m", "mimar", "--help") <= 2 * base


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("design", "--trials", "0"), "--trials"),
        (("design", "--min-tokens-per-second", "fast"), "--min-tokens-per-second"),
        (("design", "--frobnicate"), "--frobnicate"),
        (("frobnicate",), "frobnicate"),
        (("show",), "study"),
    ],
)
def test_a_mistyped_command_ends_like_every_bad_input(mimar, arguments: tuple[str, ...], word: str) -> None:
    outcome = mimar(*arguments, "--json")
    outcome.refused(2, word, "--help")
    assert outcome.json["kind"] == "UsageError"
    assert outcome.json["exit_code"] == 2
    assert mimar(*arguments).out == ""
