"""Arguments of `mimar shrink`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from mimar.cli._options import Anonymise, AsJson, LLMName, MaxCost
from mimar.cli._output import INTERRUPTED, errors_explained, print_json, say
from mimar.errors import EXIT_CODES, ExportError

shrinking = typer.Typer()


OBEYED: Final = frozenset({
    "trials", "max_cost", "study", "resume", "as_json", "eval_text", "eval_tokens", "window", "baselines", "tasks",
    "task_items", "heal", "heal_text", "heal_rate", "heal_teacher_weight", "heal_control", "precision", "save_every",
    "quantized", "choose", "export", "out",
})  # fmt: skip
"""Parameters that a resumed study follows: what is measured, healed and written."""


@shrinking.command(short_help="Make a pretrained model smaller and faster.")
def shrink(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A hub id, a folder of transformers or a GGUF file.")],
    calibration: Annotated[
        list[str] | None, typer.Option(help="Text that says what matters in the model; repeat for more.")
    ] = None,
    eval_text: Annotated[
        list[str] | None, typer.Option(help="Text to report perplexities on; repeat for more, each by itself.")
    ] = None,
    max_block_params: Annotated[
        str | None, typer.Option(help="Weights of all layers, e.g. 80M, or 0.75x of the parent's.")
    ] = None,
    max_params: Annotated[str | None, typer.Option(help="Parameters, e.g. 100M or 0.8x.")] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Weights, KV cache and activations, e.g. 80MB or 0.8x.")
    ] = None,
    max_ttft: Annotated[str | None, typer.Option(help="Time to first token, e.g. 250ms or 0.8x.")] = None,
    min_tokens_per_second: Annotated[
        str | None, typer.Option(help="Decoding speed, e.g. 60, or 1.2x of the parent's.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="A name from `mimar devices`, a profile file, or llama.cpp: this machine with Q8_0 files, of which a "
            "few are timed."
        ),
    ] = "this",
    ctx: Annotated[int | None, typer.Option(help="Context length in tokens.", show_default="1024")] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Length of the prompt.", show_default="128")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Of the weights: fp32, bf16, fp16, int8 or int4.", show_default="what the device takes by default"
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            help="U: all layers of the same sizes, for any tool. G: each its own, for llama.cpp. R: as G, and the "
            "first layer may be without attention, which llama.cpp does not run."
        ),
    ] = "G",
    steps: Annotated[int, typer.Option(min=1, help="Widths that a layer can have.")] = 48,
    cut: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: channels of feed-forward parts, attention (as a whole), heads (kv heads one by "
            "one); or all. A layer with neither part left is dropped.",
            show_default="channels; all with --form U",
        ),
    ] = None,
    protect: Annotated[
        str | None,
        typer.Option(
            help="Layers that stay whole (with --form U: that are not dropped), e.g. 0,1,29, or none.",
            show_default="two at either end, of few layers fewer",
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="How to go on: knapsack, local, linas, pel-nas, …; an unknown name lists all.")
    ] = "knapsack",
    objectives: Annotated[
        str, typer.Option(help="Comma-separated metrics and tasks; an unknown name lists all.")
    ] = "loss,block_params",
    weights: Annotated[
        str | None, typer.Option(help="Of objectives, for scalarised: METRIC=WEIGHT,…; the others weigh 1.")
    ] = None,
    arm: Annotated[
        str | None, typer.Option(help="Of rz-nas and pel-nas, as of mimar design.", show_default="the first of them")
    ] = None,
    llm: LLMName = "none",
    anonymise: Anonymise = False,
    max_cost: MaxCost = None,
    trials: Annotated[int, typer.Option(min=1, help="Sub-networks to judge.")] = 16,
    calibration_tokens: Annotated[str, typer.Option(help="Of --calibration, to order channels by.")] = "64k",
    search_tokens: Annotated[str, typer.Option(help="Of --calibration, other ones, to judge candidates on.")] = "8k",
    final_tokens: Annotated[
        str, typer.Option(help="Of --calibration, other ones again, to choose among the best on; 0 for none.")
    ] = "32k",
    eval_tokens: Annotated[str, typer.Option(help="Of each --eval-text.")] = "8k",
    window: Annotated[int, typer.Option(min=2, help="Tokens in a row.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of the search and the fine-tune.")] = 0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Compare with uniform width, ShortGPT, magnitude and random.")
    ] = False,
    tasks: Annotated[
        str,
        typer.Option(
            help="arc_easy, arc_challenge, mmlu, truthfulqa, winogrande or TASK=FILE.jsonl; comma-separated. Their "
            "files lie in eval/ of the folder that MIMAR_DATA names."
        ),
    ] = "",
    task_items: Annotated[int, typer.Option(min=0, help="Of each task, drawn at random; 0 for all.")] = 100,
    finetune: Annotated[
        str, typer.Option(help="Tokens of one fine-tune of all sub-networks before the search, e.g. 200k; 0 for none.")
    ] = "0",
    finetune_rate: Annotated[float, typer.Option(help="Learning rate at its height.")] = 1e-4,
    heal: Annotated[
        str, typer.Option(help="Tokens to learn from the parent after the cut, e.g. 200k; 0 for none.")
    ] = "0",
    heal_text: Annotated[
        list[str] | None, typer.Option(help="Text for that; repeat for more.", show_default="--calibration")
    ] = None,
    heal_rate: Annotated[float, typer.Option(help="Learning rate at its height.")] = 3e-4,
    heal_teacher_weight: Annotated[
        float, typer.Option(help="Share of the parent's probabilities; the rest is for the text's own next tokens.")
    ] = 1.0,
    heal_control: Annotated[
        bool, typer.Option("--heal-control", help="Let the parent learn on the same tokens, for comparison.")
    ] = False,
    precision: Annotated[
        str,
        typer.Option(help="Of passes that learn: float32, or bfloat16, which pays where the processor computes in it."),
    ] = "float32",
    save_every: Annotated[
        float, typer.Option(min=0, help="Seconds between checkpoints of the fine-tune and of what heals.")
    ] = 60.0,
    quantized: Annotated[
        str,
        typer.Option(
            help="Types of weights to compare: GGUF in llama.cpp, e.g. Q8_0,Q4_0; int8 of torchao. Empty for none."
        ),
    ] = "",
    choose: Annotated[
        int | None, typer.Option(help="Trial to go on with.", show_default="the best of the finals")
    ] = None,
    export: Annotated[str, typer.Option(help="What to write into --out: hf, gguf:TYPE, onnx; comma-separated.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for what is written.")] = None,
    study: Annotated[Path, typer.Option(help="Journal of the search.")] = Path("shrink.db"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a pretrained model of the LLaMA family smaller and faster.

    Channels and heads are ordered by what the calibration text makes of them, each part is scored by how far its loss
    takes the model from itself, and a search judges sub-networks within the budgets by their loss on that text. What
    remains of each layer is fitted in closed form; with --heal it learns from the parent as well. A resumed study keeps
    the settings of its search; options that ask for others are named and ignored.
    """
    with errors_explained(as_json):
        from mimar.cli._quantities import count, tokens
        from mimar.cli._resume import as_started, name_ignored
        from mimar.cli._shrink import run_shrink
        from mimar.cli._shrink_plan import Plan, Recovery, names, read_exports, read_types, require_out
        from mimar.cli._shrink_report import started_by
        from mimar.cli._shrink_request import ShrinkRequest
        from mimar.cli._shrink_settings import FineTune
        from mimar.cli._tables import print_shrunk
        from mimar.training import precision_named

        request = ShrinkRequest(
            model=model,
            budgets={
                "block_params": max_block_params,
                "params": max_params,
                "memory_bytes": max_memory,
                "ttft_s": max_ttft,
                "decode_tokens_per_second": min_tokens_per_second,
            },
            device=device, context=ctx, prompt_tokens=prompt_tokens, dtype=dtype, form=form, steps=steps, cut=cut,
            protect=protect, calibration=calibration or (), calibration_tokens=calibration_tokens,
            search_tokens=search_tokens, final_tokens=final_tokens, window=window,
            strategy=strategy, objectives=objectives, tasks=names(tasks), task_items=task_items or None,
            weights=weights, arm=arm, llm=llm, anonymise=anonymise, seed=seed,
            finetune=FineTune(tokens(finetune, "--finetune"), finetune_rate, precision_named(precision)),
            command=shlex.join(["mimar", *sys.argv[1:]]),
        )  # fmt: skip
        recovery = Recovery(
            tokens(heal, "--heal"), tuple(heal_text or ()), heal_rate,
            heal_teacher_weight, precision_named(precision), heal_control, save_every,
        )  # fmt: skip
        plan = Plan(
            texts=tuple(eval_text or ()), tokens=int(count(eval_tokens, "--eval-tokens")), window=window,
            tasks=names(tasks), items=task_items or None, baselines=baselines, recovery=recovery,
            exports=read_exports(export), quantized=read_types(quantized), out=out, choose=choose,
        )  # fmt: skip
        require_out(plan)
        if resume and (started := started_by(study)):
            trials, max_cost = (as_started(context, started, name) for name in ("trials", "max_cost"))
            name_ignored(context, study, started, OBEYED)
        result = run_shrink(request, study, trials, plan, resume=resume, max_cost=max_cost)
        print_json(result) if as_json else print_shrunk(result)
    if result["stopped"] == "interrupted":
        say("continue with the same command and --resume")
        raise typer.Exit(INTERRUPTED)
    verdicts = [verdict for each in result["exports"] for verdict in each["verdicts"].values()]
    if any(verdict.startswith("failed") for verdict in verdicts):
        raise typer.Exit(EXIT_CODES[ExportError])
