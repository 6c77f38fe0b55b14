"""Options that several commands share, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, everything else on stderr.")]
StudyPath = Annotated[Path, typer.Argument(help="A study file.", show_default=False)]
StudyMember = Annotated[str, typer.Argument(metavar="STUDY[#ID]", help="A study, or one trial of it.")]
Anonymise = Annotated[
    bool,
    typer.Option(
        "--anonymise", help="Show the LLM neutral names, so that it cannot recall what it has read about a benchmark."
    ),
]
MaxCost = Annotated[float | None, typer.Option(help="Stop asking the LLM at this many US dollars.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Measure this machine again.")]
Tokens = Annotated[str, typer.Option(help="Training tokens for the cost estimate, e.g. 10B.")]
OutFile = Annotated[Path | None, typer.Option("--out", help="Where to write; by default beside the study.")]
Target = Annotated[
    str | None,
    typer.Argument(metavar="[OUT]", help="Folder to write; file of csv, storage of optuna.", show_default=False),
]
Tokenizer = Annotated[Path | None, typer.Option(help="A tokenizer.json or the folder that holds one.")]
LLMName = Annotated[
    str,
    typer.Option(
        "--llm",
        help="none, local[:PATH], anthropic:MODEL, openai:MODEL, google:MODEL, http://HOST/v1#MODEL, replay:STUDY or "
        "uniform (random choice in a model's place).",
    ),
]
