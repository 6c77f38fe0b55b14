"""`mimar bench proxies`: names become objects, rows become tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from mimar.bench import (
    BASELINES,
    JUDGED_BINS,
    Judgement,
    ProxyRow,
    Truth,
    equal_size_bins,
    judge_bins,
    load_truth,
    proxy_table,
    standardiser_for,
)
from mimar.cli._judge import NEEDS_LLM
from mimar.cli._llm import open_llm
from mimar.cli._names import ENSEMBLE, score_named, score_names
from mimar.cli._output import say
from mimar.cli._study_file import read_calls
from mimar.cli._tables import figure, markdown_figures, print_figures
from mimar.errors import InputError, MimarError, UnknownNameError
from mimar.llm import LLM
from mimar.proxies import PROXIES, RZ_NAS_MEMBERS, Proxy
from mimar.proxies.judge import JUDGE

GROUPS = ("default", "closed", "all")
COLUMNS = ("proxy", "n", "τ", "95 %", "ρ", "τ cell", "τ size", "regret", "adds", "top10", "ms")
LEFT_OUT = ("95 %", "n", "ρ", "top10", "τ cell", "ms")
LEGEND = (
    "The default is marked *, baselines ·. τ cell: at equal depth and width. τ size and regret (in percent, of the "
    "pick): at equal size. adds: partial τ there, what the score knows that the default does not. top10: share of the "
    "best tenth that is found. ms: one architecture."
)
_BASELINE_NAMES = frozenset(proxy.name for proxy in BASELINES)
_SAY_EVERY_S = 30.0


def bench_proxies(
    truth: str,
    proxy: str = "default",
    *,
    sample: int | None = None,
    label: str | None = None,
    data: Path | None = None,
    seed: int = 0,
    scores: Path | None = None,
    bins: int | None = None,
    llm: str = "none",
    max_cost: float | None = None,
) -> dict[str, Any]:
    """The table as plain data: the truth, how it was read, and one row for each score.

    scores: file that keeps scores which need a module, as in `mimar.bench.proxy_table`.
    bins: keep to the architectures of so many bins of 20 of equal size; 3 for a judge, which ranks each.
    llm, max_cost: the model that judges, and its limit, as in `open_llm`.
    Raises UnknownNameError for a truth or score that does not exist, InputError for a table that cannot be read, for a
    judge without `llm` and for `bins` with `sample`.
    """
    wanted = _wanted(proxy)
    model = _judging(llm, max_cost) if JUDGE in wanted else None
    if JUDGE not in wanted and llm != "none":
        say(f"--llm {llm} is not needed: only {JUDGE} asks a language model")
    if sample is not None and (bins is not None or JUDGE in wanted):
        raise InputError("--sample draws rows, --bins and llm-judge take whole bins: give only one of them")
    table = load_truth(truth, data, label)
    kept = bins if bins is not None or JUDGE not in wanted else JUDGED_BINS
    table = table if kept is None else equal_size_bins(table, kept)
    members, failed = _members(wanted, table, seed)
    if scores is not None and all(member.cost == "closed form" for member in members):
        say(f"{scores} is not needed: closed forms are computed anew each time")
    rows = [*proxy_table(table, members, sample=sample, seed=seed, scores=scores, progress=_Teller()), *failed]
    judged = None if model is None else _judged(table, model, seed)  # last: a file that is refused costs no money
    rows += [] if judged is None else [judged.row]
    if sample is None and any(0 < row.n < len(table.rows) for row in rows):
        say(f"scores that build a module saw a sample of the {len(table.rows)} rows; --sample N changes its size")
    return {
        "truth": table.name,
        "n": len(table.rows),
        "default": PROXIES[0].name,
        "label": table.label_name,
        "higher_is_better": table.higher_is_better,
        "shapes": table.shapes,
        "bin_size": table.bin_size,
        "skipped": table.skipped,
        "sample": sample,
        "seed": seed,
        "bins": kept,
        "rows": [row.to_json() for row in rows],
    } | ({} if judged is None or model is None else {"judge": {"llm": model.name, **judged.to_json()}})


def _judging(llm: str, max_cost: float | None) -> LLM:
    model = open_llm(llm, read_calls=read_calls, max_cost=max_cost)
    if model is None:
        raise InputError(NEEDS_LLM)
    return model


def _judged(table: Truth, llm: LLM, seed: int) -> Judgement:
    return judge_bins(table, llm, seed=seed, progress=lambda done, total: say(f"{JUDGE}: bin {done} of {total}"))


def _wanted(proxy: str) -> tuple[str, ...]:
    """Names of scores, groups resolved."""
    names: list[str] = []
    for name in (part.strip() for part in proxy.split(",")):
        if name == "default":
            names.append(PROXIES[0].name)
        elif name == "closed":
            names += [known.name for known in PROXIES if known.cost == "closed form"]
        elif name == "all":
            names += [name for name in score_names() if name != JUDGE]  # asking a model is a decision of its own
        elif name in score_names():
            names.append(name)
        else:
            raise UnknownNameError("score", name, (*GROUPS, *score_names()))
    return tuple(dict.fromkeys(names))


def _members(names: Sequence[str], truth: Truth, seed: int) -> tuple[list[Proxy], list[ProxyRow]]:
    """The scores, and a row for the ensemble where the networks of `truth` keep it from being fitted."""
    members = [score_named(name, {}) for name in names if name not in (ENSEMBLE, JUDGE)]
    if ENSEMBLE in names:
        try:
            reference = standardiser_for(truth, RZ_NAS_MEMBERS, seed).to_json()
        except (MimarError, RuntimeError) as error:  # the latter is how torch refuses
            return members, [ProxyRow(ENSEMBLE, 0, truth.bin_size, None, None, str(error))]
        members.append(score_named(ENSEMBLE, {"reference": reference}))
    return members, []


class _Teller:
    """Says now and then how far a long run is."""

    def __init__(self) -> None:
        self._last = monotonic()

    def __call__(self, done: int, total: int) -> None:
        if monotonic() - self._last >= _SAY_EVERY_S:
            self._last = monotonic()
            say(f"{done} of {total} modules scored")


def _lines(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells of the table, best τ at equal size first; without scores that could not be computed."""
    known = [row for row in result["rows"] if "reason" not in row]
    return [_line(row, result["default"]) for row in sorted(known, key=lambda row: -row["tau_iso"])]


def _line(row: Mapping[str, Any], default: str) -> tuple[str, ...]:
    ci95 = "–" if row["ci95"] is None else " … ".join(f"{end:.3f}" for end in row["ci95"])
    return (
        row["proxy"] + (" *" if row["proxy"] == default else " ·" if row["proxy"] in _BASELINE_NAMES else ""),
        str(row["n"]),
        figure(row["tau"]),
        ci95,
        *(figure(row[name]) for name in ("rho", "tau_within", "tau_iso")),
        figure(row["regret_iso"], ".2f"),
        "–" if row["proxy"] == default else figure(row["tau_added"]),
        figure(row["top10_overlap"]),
        figure(row["ms_per_architecture"], ".3g"),
    )


def _caption(result: Mapping[str, Any]) -> str:
    better = "higher" if result["higher_is_better"] else "lower"
    bins = "" if result["bins"] is None else f" in {result['bins']} bins"
    return (
        f"{result['truth']}: {result['n']} rows{bins}, {result['label']} ({better} is better), "
        f"{result['bin_size']} rows in a bin of equal size; {result['shapes']}"
    )


def _failures(result: Mapping[str, Any]) -> list[str]:
    return [f"{row['proxy']}: {row['reason']}" for row in result["rows"] if "reason" in row]


def _legend(result: Mapping[str, Any]) -> str:
    """The legend, and with a judge what its answers and calls were like."""
    judge = result.get("judge")
    if judge is None:
        return LEGEND
    return (
        f"{LEGEND} {JUDGE}: {judge['llm']}, {judge['answers']} usable answers to {judge['calls']} calls, "
        f"self-consistency τ {figure(judge['self_consistency'])}, "
        f"{judge['tokens_per_candidate']:.0f} tokens an architecture; "
        f"τ by bin {', '.join(figure(each['tau'], '.2f') for each in judge['bins'])}."
    )


def print_table(result: Mapping[str, Any]) -> None:
    """The table on a terminal, then what could not be computed."""
    print_figures(COLUMNS, _lines(result), before=_caption(result), after=_legend(result), left_out=LEFT_OUT)
    for failure in _failures(result):
        say(failure)


def proxy_markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    notes = [f"Not computed: {'; '.join(_failures(result))}."] if _failures(result) else []
    return "\n\n".join([_caption(result), markdown_figures(COLUMNS, _lines(result)), _legend(result), *notes]) + "\n"
