"""`mimar bench …`: arguments only, as in `_app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mimar.cli._options import Anonymise, AsJson, LLMName, MaxCost
from mimar.cli._output import errors_explained, print_json, say
from mimar.errors import InputError

if TYPE_CHECKING:  # the command line must start without numpy
    from mimar.hardware import Dtype

bench = typer.Typer(
    name="bench",
    help="Compare scores, predictors, strategies and hardware models with results and measurements.",
    rich_markup_mode=None,
)

DataDir = Annotated[
    Path | None,
    typer.Option("--data", help="Folder that holds truth/, or that folder itself.", show_default="MIMAR_DATA"),
]

TruthName = Annotated[str, typer.Option(help="A name of the data folder, or FILE.csv; an unknown name lists all.")]
LabelName = Annotated[
    str | None, typer.Option("--label", help="Column of the result, with :min or :max for its good end.")
]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]


@bench.command(short_help="Compare scores with published results.")
def proxies(
    truth: TruthName,
    proxy: Annotated[
        str,
        typer.Option(help="NAME,… or default, closed (closed forms), all, llm-judge; baselines always come along."),
    ] = "default",
    sample: Annotated[int | None, typer.Option(min=2, help="Rows to score, drawn with --seed.")] = None,
    bins: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep to so many bins of 20 of equal size, spread over all sizes.",
            show_default="all rows, with llm-judge 3",
        ),
    ] = None,
    llm: LLMName = "none",
    max_cost: MaxCost = None,
    label: LabelName = None,
    data: DataDir = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and samples.")] = 0,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="CSV that keeps scores which need a module: what it holds is not scored again. Begin a new one after "
            "an upgrade."
        ),
    ] = None,
    markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Compare scores with published results.

    Scores that build a module see at most 500 rows of a truth with more than 2000, unless --sample says otherwise.
    Behind flexibert_500, :as_released takes the shapes that published scores were computed on. llm-judge lets --llm
    rank each bin, three times in shuffled order, and all scores are compared on these bins.
    """
    with errors_explained(as_json):
        from mimar.cli._bench_proxies import bench_proxies, print_table, proxy_markdown

        result = bench_proxies(
            truth,
            proxy,
            sample=sample,
            label=label,
            data=data,
            seed=seed,
            scores=scores,
            bins=bins,
            llm=llm,
            max_cost=max_cost,
        )
        _show(result, print_table, proxy_markdown, (as_json, markdown))


@bench.command(short_help="Compare predictors that learn from published results.")
def predictors(
    truth: TruthName,
    predictor: Annotated[
        str, typer.Option(help="NAME,… or all; a line through the default score comes along.")
    ] = "all",
    train: Annotated[str, typer.Option(help="Numbers of rows to learn from.")] = "25,100",
    seeds: Annotated[int, typer.Option(min=1, help="Random choices of these rows.")] = 5,
    label: LabelName = None,
    data: DataDir = None,
    markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Compare predictors that learn from published results.

    Each sees a few rows of the truth, every choice of an architecture and all closed-form scores, and predicts rows
    with other networks: how far off it is, how well it ranks, and whether its intervals hold the share that they
    should.
    """
    with errors_explained(as_json):
        from mimar.cli._bench_predictors import bench_predictors, predictors_markdown, print_predictors

        result = bench_predictors(truth, predictor, train, seeds=seeds, label=label, data=data)
        _show(result, print_predictors, predictors_markdown, (as_json, markdown))


@bench.command(short_help="Compare strategies at equal budgets.")
def search(
    truth: Annotated[str, typer.Option(help="A problem whose best trade-offs are known; an unknown name lists all.")],
    strategy: Annotated[
        str,
        typer.Option(
            help="NAME[:ARM],… or default, outside (Optuna and pymoo, where installed), all of these, or guided: "
            "those that need an LLM."
        ),
    ] = "default",
    budget: Annotated[str, typer.Option(help="Numbers of evaluations.")] = "50,150,500,2000",
    seeds: Annotated[int, typer.Option(min=1, help="Searches of each strategy.")] = 10,
    llm: LLMName = "none",
    anonymise: Anonymise = False,
    max_cost: MaxCost = None,
    batch: Annotated[int, typer.Option(min=1, help="Candidates asked for at a time.")] = 8,
    problem_seed: Annotated[int | None, typer.Option(min=0, help="Of layerdrop.", show_default="0")] = None,
    data: DataDir = None,
    text: Annotated[list[str] | None, typer.Option(help="Of decoder_tiny: its text, to train what is found.")] = None,
    validation: Annotated[list[str] | None, typer.Option(help="The text that decoder_tiny was judged on.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="The tokenizer of decoder_tiny.", show_default="train:1024")
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option(help="Table of what was trained: nothing in it is trained again.", show_default="winners.csv"),
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Trainings at a time.", show_default="1")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it, too: FILE.svg.")] = None,
    markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Compare strategies at equal budgets.

    layerdrop is synthetic, nb201_cifar10 a table of all its cells, hwgpt_s an additive surrogate of one. Their fronts
    are known exactly, so that every share is one of the best there is. With --llm every strategy that asks it runs once
    more with uniform random choice in its place.

    In the space of decoder_tiny, or of another table of make-truth, one model is searched: guided by the loss that the
    table foretells, or behind :zero-shot by the default score. With --text what each search found best is trained.
    """
    with errors_explained(as_json):
        from mimar.cli._bench_tiny import is_table

        of_training = {"--validation": validation, "--tokenizer": tokenizer, "--kept": kept, "--processes": processes}
        if is_table(truth):
            from mimar.cli._bench_tiny import Winners, bench_tiny, print_tiny, tiny_markdown

            _refuse({"--plot": plot, "--problem-seed": problem_seed, "--data": data}, f"not for {truth}")
            if not text:
                _refuse(of_training, "about the training on --text, and there is no --text")
            winners = Winners.asked(text, validation, tokenizer, kept, processes) if text else None
            result = bench_tiny(
                truth, strategy, budget, seeds=seeds, winners=winners, llm=llm, anonymise=anonymise, max_cost=max_cost,
                batch=batch,
            )  # fmt: skip
            shown, as_markdown = print_tiny, tiny_markdown
        else:
            from mimar.cli._bench_search import bench_search, print_search, search_markdown, search_svg

            _refuse({"--text": text, **of_training}, f"for decoder_tiny and tables of make-truth, not for {truth}")
            if truth != "layerdrop":
                _refuse({"--problem-seed": problem_seed}, "for layerdrop alone")
            result = bench_search(
                truth, strategy, budget, seeds=seeds, llm=llm, anonymise=anonymise, max_cost=max_cost, batch=batch,
                problem_seed=problem_seed or 0, data=data,
            )  # fmt: skip
            if plot is not None:
                plot.write_text(search_svg(result), encoding="utf-8")
            shown, as_markdown = print_search, search_markdown
        _show(result, shown, as_markdown, (as_json, markdown))


@bench.command(short_help="Download published results.")
def fetch(
    name: Annotated[str, typer.Argument(help="A truth; an unknown name lists all.", show_default=False)],
    to: Annotated[Path, typer.Option(help="Folder to put it in.")],
    mirror: Annotated[str | None, typer.Option(help="Ask this host instead of raw.githubusercontent.com.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download published results from where they were published."""
    with errors_explained(as_json):
        from mimar.bench import fetch as download
        from mimar.bench import licence_of

        path = download(name, to) if mirror is None else download(name, to, mirror)
        result = {"path": str(path), "bytes": path.stat().st_size, "licence": licence_of(name)}
        print_json(result) if as_json else say(f"wrote {path} ({result['bytes']:,} bytes; {result['licence']})")


@bench.command(short_help="Train the architectures of decoder_tiny.")
def make_truth(
    out: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The table; it is extended where it exists.")],
    data: Annotated[list[str], typer.Option(help="Text to train on, as for mimar train.")],
    validation: Annotated[
        list[str] | None, typer.Option(help="Text to judge on.", show_default="the last twentieth of --data")
    ] = None,
    tokenizer: Annotated[str, typer.Option(help="byte, train:1024, or a tokenizer of your own.")] = "train:1024",
    tokens: Annotated[str, typer.Option(help="That each architecture is trained on.")] = "400k",
    architectures: Annotated[int, typer.Option(min=1, help="The first so many of the benchmark.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of the repeated ones.")] = 3,
    repeated: Annotated[int, typer.Option(min=0, help="So many are trained with all seeds, the others once.")] = 24,
    processes: Annotated[int, typer.Option(min=1, help="Trainings at a time, each on one core.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    measure: Annotated[
        bool, typer.Option(help="In the end, fill in speed and memory on this machine, and every score.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Train the architectures of decoder_tiny in one way, into a table that bench proxies reads.

    The table grows row by row; the same command goes on after any stop, with more --architectures it extends it. What
    it rests on (recipe, text, tokenizer) lies beside it as JSON and cannot change while it grows.
    """
    with errors_explained(as_json):
        from mimar.bench import TruthPlan
        from mimar.cli._make_truth import run_make_truth
        from mimar.cli._training import TextSource

        plan = TruthPlan(architectures, seeds, repeated)
        result = run_make_truth(
            out, TextSource(tuple(data), tuple(validation or ()), tokenizer), tokens, plan, (processes, device, measure)
        )
        print_json(result) if as_json else say(
            f"wrote {result['path']}: {result['rows']} rows, {result['failed']} failed, {result['missing']} missing"
        )


def _show(
    result: Mapping[str, Any],
    on_terminal: Callable[[Mapping[str, Any]], None],
    as_markdown: Callable[[Mapping[str, Any]], str],
    how: tuple[bool, bool],
) -> None:
    """As JSON, as Markdown, or on a terminal."""
    as_json, markdown = how
    if as_json:
        print_json(result)
    elif markdown:
        typer.echo(as_markdown(result), nl=False)
    else:
        on_terminal(result)


def _refuse(options: Mapping[str, object], why: str) -> None:
    """InputError for the first option that was given and would change nothing."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name}: {why}")


@bench.command(short_help="Say what a table of make-truth tells.")
def truth(
    table: Annotated[str, typer.Argument(metavar="NAME|FILE.csv", help="decoder_tiny, or a table of make-truth.")],
    gates: Annotated[str, typer.Option(help="Of the cascade, as for mimar design.")] = "score:3,10%:5,25%:3",
    score: Annotated[str, typer.Option(help="Of the gate named score.")] = "adw",
    bins: Annotated[int, typer.Option(help="Groups of nearly equal size.")] = 5,
    data: Annotated[
        list[str] | None, typer.Option(help="The table's text: judge weights shared by all architectures, too.")
    ] = None,
    validation: Annotated[list[str] | None, typer.Option(help="The text it was judged on.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="The tokenizer of the table.", show_default="train:1024")
    ] = None,
    markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Say what a table of make-truth tells: its noise, what early losses are worth, which choices matter.

    The cascade of mimar design is run on the table, in each bin of equal size. With --data, weights that all its
    architectures share are trained as well, which takes as long as several of its trainings.
    """
    with errors_explained(as_json):
        from mimar.cli._bench_truth import bench_truth, print_truth, truth_markdown
        from mimar.cli._training import TextSource

        if not data:
            _refuse({"--validation": validation, "--tokenizer": tokenizer}, "goes with --data, and there is no --data")
        source = TextSource(tuple(data), tuple(validation or ()), tokenizer or "train:1024") if data else None
        result = bench_truth(table, gates, score, bins, source)
        _show(result, print_truth, lambda told: "\n".join(truth_markdown(told)), (as_json, markdown))


@bench.command(short_help="Compare the hardware models with measurements.")
def hardware(
    part: Annotated[str, typer.Option(help="What to compare: one or more of these.")] = "speed,memory,published",
    models: Annotated[int, typer.Option(min=2, help="Unseen architectures to measure.")] = 30,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Prompt of the prefill.")] = 128,
    ctx: Annotated[int, typer.Option(min=1, max=1024, help="Context at which a decoding step is measured.")] = 512,
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is timed by its processor time.")] = 1,
    truth: Annotated[str, typer.Option(help="Table of HW-GPT-Bench in the data folder.")] = "hwgpt_s",
    train: Annotated[int, typer.Option(min=10, help="Rows that each published column is fitted to.")] = 100,
    data: DataDir = None,
    seed: Annotated[int, typer.Option(min=0, help="Of architectures and rows.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the hardware models with measurements.

    speed: the roofline, calibrated on a few small models, predicts prefill and decoding of random architectures of at
    most 30 million parameters. memory: predicted and measured peak. published: the same calibration on published
    latency and energy columns.
    """
    with errors_explained(as_json):
        from mimar.cli._bench_hardware import compare_hardware, print_tables
        from mimar.hardware import Workload

        use = Workload(ctx, 1, prompt_tokens, cast("Dtype", dtype))
        published = (truth, train, data)
        found = compare_hardware(part.split(","), use, models=models, threads=threads, seed=seed, published=published)
        if as_json:
            print_json(found)
        else:
            print_tables(found)
