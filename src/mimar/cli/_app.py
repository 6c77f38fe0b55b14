"""Every command's arguments. Nothing heavy is imported before a command runs, so that `--help` stays quick."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mimar.cli._bench import bench
from mimar.cli._options import (
    Anonymise,
    AsJson,
    LLMName,
    MaxCost,
    Refresh,
)
from mimar.cli._output import INTERRUPTED, errors_explained, explain, print_json, say
from mimar.cli._shrink_app import shrinking
from mimar.cli._study_app import studies

app = typer.Typer(
    name="mimar",
    help="Find language-model architectures for a device and a budget.",
    epilog="Exit codes: 0 done, 1 other failure, 2 bad input, 3 study file, 4 language model, 5 missing package, "
    "6 export, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(bench)
app.add_typer(shrinking)
app.add_typer(studies)


def main() -> None:
    """Entry point of the `mimar` command; an option that typer refuses ends like every other bad input."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        code = error.exit_code
        explain(f"{error.format_message().rstrip('.')} (see --help)", "UsageError", code, "--json" in sys.argv)
    sys.exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mimar {version('mimar')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find language-model architectures for a device and a budget."""


@app.command()
def design(
    context: typer.Context,
    max_params: Annotated[str | None, typer.Option(help="Parameters, e.g. 30M.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Weights, KV cache and activations, e.g. 80MB.")] = None,
    max_ttft: Annotated[str | None, typer.Option(help="Time to first token, e.g. 250ms.")] = None,
    min_tokens_per_second: Annotated[float | None, typer.Option(help="Decoding speed.")] = None,
    max_energy: Annotated[float | None, typer.Option(help="Joules per token.")] = None,
    max_power: Annotated[float | None, typer.Option(help="Watts.")] = None,
    device: Annotated[str, typer.Option(help="A name from `mimar devices`, or a profile file.")] = "this",
    ctx: Annotated[int | None, typer.Option(help="Context length in tokens.", show_default="1024")] = None,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    prompt_tokens: Annotated[
        int | None,
        typer.Option(help="Length of the prompt, at most --ctx.", show_default="128, or --ctx where that is less"),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Of the weights: fp32, bf16, fp16, int8 or int4.", show_default="what the device takes by default"
        ),
    ] = None,
    vocab: Annotated[int | None, typer.Option(help="Vocabulary size.", show_default="32000")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="A tokenizer.json or its folder: gives the vocabulary. With --data also byte, train:4096."),
    ] = None,
    untied: Annotated[bool, typer.Option("--untied", help="Separate output head.")] = False,
    strategy: Annotated[
        str, typer.Option(help="How to search: adaptive, linas, nsga2, …; an unknown name lists all.")
    ] = "adaptive",
    score: Annotated[
        str,
        typer.Option(help="Accuracy score: adw, hpm, zerolm, …, llm-judge (asks --llm); an unknown name lists all."),
    ] = "adw",
    objectives: Annotated[
        str, typer.Option(help="Comma-separated metrics, loss@200k after a training; an unknown name lists all.")
    ] = "score,decode_tokens_per_second,memory_bytes",
    weights: Annotated[
        str | None, typer.Option(help="Of objectives, for scalarised: METRIC=WEIGHT,…; the others weigh 1.")
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(
            help="Of rz-nas: batch, mutation; of pel-nas: coevolution, llm-only, prompt-only, sequential.",
            show_default="the first of them",
        ),
    ] = None,
    llm: LLMName = "none",
    anonymise: Anonymise = False,
    max_cost: MaxCost = None,
    trials: Annotated[int, typer.Option(min=1, help="Candidates to evaluate.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Let layers differ from each other.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="VARIABLE=CHOICE,… keeps a variable to these choices; llama to what llama.cpp runs. Repeatable."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Begin from FILE.json, the folder of an export or a model, or a hub id."),
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Text that loss@TOKENS trains on, as of mimar train; repeat for more.")
    ] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="Text to judge on.", show_default="the last twentieth of --data")
    ] = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a training step.")] = 2048,
    gates: Annotated[
        str | None,
        typer.Option(
            help="FIDELITY:FACTOR,… before a whole training: of FACTOR candidates one goes on; or none.",
            show_default="score:4,predictor:2,10%:3",
        ),
    ] = None,
    train_on: Annotated[str, typer.Option(help="auto, cpu or cuda, for trainings.")] = "auto",
    executor: Annotated[
        str, typer.Option(help="Where candidates are evaluated: serial, process, ray or ray:ADDRESS.")
    ] = "serial",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of --executor process.", show_default="one a core, 8 at most")
    ] = None,
    candidate_time: Annotated[
        str | None, typer.Option(help="A candidate that takes longer fails, e.g. 90 (seconds). Not for serial.")
    ] = None,
    candidate_memory: Annotated[
        str | None, typer.Option(help="A candidate whose process takes more fails, e.g. 2GB. Not for serial.")
    ] = None,
    candidate_takes: Annotated[
        str | None,
        typer.Option(help="Of a Ray node: CPU=2,GPU=0.5,NAME=1,…", show_default="CPU=1"),
    ] = None,
    study: Annotated[Path, typer.Option(help="Journal of the search.")] = Path("study.db"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study.")] = False,
    as_json: AsJson = False,
) -> None:
    """Design a Transformer for a device and a budget.

    A resumed study keeps the settings it was started with; only --trials, --max-cost, --train-on and where
    candidates are evaluated count then, and other options that differ are named and ignored.
    """
    with errors_explained(as_json):
        from mimar.cli._design import run_design
        from mimar.cli._executors import ExecutorRequest, executor_for
        from mimar.cli._request import DesignRequest, settings_for
        from mimar.cli._resume import PLACE, as_started, resumed_settings, typed_again
        from mimar.cli._tables import print_result

        request = DesignRequest(
            budgets={
                "params": max_params,
                "memory_bytes": max_memory,
                "ttft_s": max_ttft,
                "decode_tokens_per_second": min_tokens_per_second,
                "energy_j_per_token": max_energy,
                "power_w": max_power,
            },
            device=device, context=ctx, batch=batch, prompt_tokens=prompt_tokens, dtype=dtype, vocab=vocab,
            tokenizer=tokenizer, tied=not untied, strategy=strategy, score=score, objectives=objectives,
            weights=weights, arm=arm, llm=llm, anonymise=anonymise,
            seed=seed, per_layer=per_layer, only=only or (), start=start, data=data or (), validation=validation or (),
            batch_tokens=batch_tokens, gates=gates, command=shlex.join(["mimar", *sys.argv[1:]]),
        )  # fmt: skip
        place = ExecutorRequest(executor, workers, candidate_time, candidate_memory, candidate_takes)
        with executor_for(place) as opened:
            settings = resumed_settings(study, context) if resume else settings_for(request)
            if resume:
                trials, max_cost = (as_started(context, settings.command, name) for name in ("trials", "max_cost"))
            result = run_design(
                settings, study, trials, resume=resume, max_cost=max_cost, train_on=train_on, executor=opened
            )
        if as_json:
            print_json(result)
        else:
            print_result(study, result)
    if result["stopped"] == "interrupted":
        limit = "" if max_cost is None else f" --max-cost {max_cost:g}"
        server = f" --llm {shlex.quote(settings.llm)}" if settings.llm.startswith("http") else ""
        again = f"--resume --trials {trials}{limit}{server}{typed_again(context, (*PLACE, 'train_on'))}"
        say(f"continue with: mimar design --study {shlex.quote(str(study))} {again}")
        raise typer.Exit(INTERRUPTED)


@app.command(short_help="Train an architecture on text.")
def train(
    architecture: Annotated[
        str,
        typer.Argument(metavar="STUDY#ID|FILE", help="A trial, an architecture as JSON, a folder of one, or a hub id."),
    ],
    data: Annotated[
        list[str],
        typer.Option(help="Text: a file, .jsonl with a field text, .gz of either, hf:ID#SPLIT; repeat for more."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, weights, log and figures.")],
    tokens: Annotated[str, typer.Option(help="To train on, repeated epochs included, e.g. 2M.")] = "2M",
    tokenizer: Annotated[
        str, typer.Option(help="byte, train:4096 (made from the text), or a tokenizer.json or its folder.")
    ] = "byte",
    validation: Annotated[
        list[str] | None,
        typer.Option(help="Text to judge on, as --data.", show_default="the last twentieth of --data"),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Learn its probabilities too: the folder of a training or model, or a hub id.")
    ] = None,
    teacher_weight: Annotated[float, typer.Option(help="Share of the loss that follows the teacher.")] = 0.5,
    temperature: Annotated[float, typer.Option(help="At which its probabilities are taken.")] = 1.0,
    context: Annotated[int, typer.Option(min=1, help="Tokens of a sequence.")] = 256,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a step.")] = 4096,
    micro_batch: Annotated[int, typer.Option(min=0, help="Sequences in one pass; 0 for all of a step's.")] = 0,
    learning_rate: Annotated[float, typer.Option(help="The peak, after the warm-up.")] = 2e-3,
    warmup: Annotated[float, typer.Option(help="Share of the steps until the peak.")] = 0.05,
    weight_decay: Annotated[float, typer.Option(help="Of matrices.")] = 0.1,
    precision: Annotated[str, typer.Option(help="Of the passes: float32 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compile_: Annotated[bool, typer.Option("--compile", help="By torch.compile: slow to begin, then faster.")] = False,
    validate_every: Annotated[int, typer.Option(min=0, help="Steps between validations; 0 for the last only.")] = 0,
    validation_tokens: Annotated[int, typer.Option(min=1, help="To judge on, at most.")] = 131_072,
    save_every: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order of the data and dropout.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an architecture on text, from fresh weights.

    The folder gets weights (model.safetensors), architecture.json, the tokenizer, log.csv and train.json with the
    validation loss (nats a token) and bits per byte. A training that was stopped goes on with --resume and the same
    options, and ends with the same weights.
    """
    with errors_explained(as_json):
        from mimar.cli._quantities import count
        from mimar.cli._train import TrainRequest, run_train
        from mimar.cli._training import TextSource
        from mimar.training import Habits, Recipe, precision_named

        recipe = Recipe(
            tokens=int(count(tokens, "--tokens")), context_length=context, batch_tokens=batch_tokens,
            micro_batch=micro_batch, learning_rate=learning_rate, warmup=warmup, weight_decay=weight_decay,
            precision=precision_named(precision), seed=seed,
        )  # fmt: skip
        habits = Habits(
            validate_at=range(validate_every, recipe.steps, validate_every) if validate_every else (),
            validation_tokens=validation_tokens,
            save_every=save_every,
            compile=compile_,
        )
        source = TextSource(tuple(data), tuple(validation or ()), tokenizer)
        taught = None if teacher is None else (teacher, teacher_weight, temperature)
        request = TrainRequest(architecture, source, recipe, habits, device, out, resume, taught)
        result = run_train(request)
        if result is None:  # the first of several processes speaks for all
            return
        if as_json:
            print_json(result)
        else:
            say(f"validation loss {result['validation_loss']:.4f}, {result['bits_per_byte']:.4f} bits per byte")
            say(f"wrote {result['path']}")


@app.command()
def devices(refresh: Refresh = False, as_json: AsJson = False) -> None:
    """List the devices with their figures, this machine included."""
    with errors_explained(as_json):
        from mimar.cli._devices import device_rows
        from mimar.cli._tables import print_devices
        from mimar.hardware import measure_this

        if refresh:
            measure_this(refresh=True)
        rows = device_rows()
        print_json({"devices": rows}) if as_json else print_devices(rows)


@app.command()
def strategies(as_json: AsJson = False) -> None:
    """List the strategies with what tells them apart."""
    with errors_explained(as_json):
        from mimar.cli._plugins import STRATEGIES, plugin_rows
        from mimar.cli._strategies import strategy_rows
        from mimar.cli._tables import print_strategies

        rows, others = strategy_rows(), plugin_rows(STRATEGIES)
        print_json({"strategies": rows, "others": others}) if as_json else print_strategies(rows, others)


@app.command("get-llm")
def get_llm(
    model: Annotated[
        str | None, typer.Argument(help="A hub id or GGUF file; by default a small offline model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a local language model and print where it lies."""
    with errors_explained(as_json):
        from mimar.cli._get_llm import get_llm as fetch

        result = fetch(model)
        if as_json:
            print_json(result)
        else:
            typer.echo(f"{result['path']} ({result['bytes']:,} bytes, {result['licence'] or 'licence not stated'})")
