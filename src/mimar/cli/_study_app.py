"""Commands about a study: look at it, set it beside others, take out of it what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mimar.cli._options import AsJson, OutFile, StudyMember, StudyPath, Target, Tokenizer, Tokens
from mimar.cli._output import errors_explained, print_json, say

studies = typer.Typer()


@studies.command()
def show(
    study: StudyPath,
    rows: Annotated[int, typer.Option(min=1, help="Of the table at most; --json has all.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Print the Pareto front of a study."""
    with errors_explained(as_json):
        from mimar.cli._report import show_study

        show_study(study, as_json, rows)


@studies.command(short_help="Write one HTML page about a study.")
def report(study: StudyPath, out: OutFile = None, tokens: Tokens = "10B", as_json: AsJson = False) -> None:
    """Write one self-contained HTML page about a study (with --out FRONT.svg a picture of its front)."""
    with errors_explained(as_json):
        from mimar.cli._quantities import count
        from mimar.cli._report import write_report

        result = write_report(study, out, count(tokens, "--tokens"))
        print_json(result) if as_json else say(f"wrote {result['path']}")


@studies.command(short_help="Show the report of a study live.")
def serve(
    study: StudyPath,
    host: Annotated[str, typer.Option(help="Address to listen at; any but loopback asks for a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8765,
    tokens: Tokens = "10B",
) -> None:
    """Show the report of a study in a browser, live while a search runs. Ctrl-C ends it.

    It listens on this machine alone unless --host says otherwise; visitors from elsewhere then need the token in the
    address that is printed.
    """
    with errors_explained(as_json=False):
        from mimar.cli._quantities import count
        from mimar.cli._serve import serve_study

        serve_study(study, count(tokens, "--tokens"), (host, port))


@studies.command(name="compare", short_help="Set studies side by side.")
def compare_(
    members: Annotated[list[Path], typer.Argument(metavar="STUDY", help="Two study files or more.")],
    out: Annotated[Path | None, typer.Option(help="An .svg: hypervolume over evaluations.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set studies of the same objectives side by side, at equal numbers of evaluations and in one frame.

    Studies that search alike, seeds aside, are a group; with several studies a group, groups are held to each other by
    a rank test.
    """
    with errors_explained(as_json):
        from mimar.cli._compare import compare_studies, print_comparison

        result = compare_studies(members, out)
        print_json(result) if as_json else print_comparison(result)


@studies.command(short_help="Write a trial or a training as JSON, code or a checkpoint.")
def export(
    study: StudyMember,
    out: Target = None,
    to: Annotated[
        str, typer.Option(help="json, code, hf or gguf for one trial; csv or optuna for a whole study.")
    ] = "json",
    weights: Annotated[
        str | None, typer.Option(help="Of gguf: F32, F16, Q8_0, Q5_0, Q4_1 or Q4_0.", show_default="F16")
    ] = None,
    tokenizer: Tokenizer = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the initial weights.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a trial as JSON, code, a Hugging Face checkpoint or GGUF, or a study as CSV; what is written is checked.

    optuna writes a whole study into an Optuna storage (sqlite:///FILE, or another of SQLAlchemy's), for its dashboard.

    The folder of a training is written with its weights and its tokenizer (hf, gguf), or as code. gguf is for what
    llama.cpp runs: design it with --only llama.
    """
    with errors_explained(as_json):
        from mimar.cli._export import Weights, export_study

        result = export_study(study, out, to, Weights(tokenizer, seed, weights))
        if as_json:
            print_json(result)
        else:
            say(f"wrote {result['path']}")
            for engine, verdict in result.get("verdicts", {}).items():
                say(f"  {engine}: {verdict}")
