"""Writes the tables of proxies.md, predictors.md, searchers.md and decoder_tiny.md anew. `make tables` runs it.

Scores that need a module take hours; they are kept in `.scores.csv`, so that a run that was stopped goes on where it
was. After a change to a score delete that file. `tables.py closed` writes tables of closed forms, and no predictors;
`tables.py tiny` those of decoder_tiny alone, `tables.py tiny truth scores predictors searches` some of them: for the
last one architectures that were found are trained, and kept.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mimar.cli._bench_predictors import bench_predictors, predictors_markdown
from mimar.cli._bench_proxies import bench_proxies, proxy_markdown
from mimar.cli._bench_search import bench_search, search_markdown, search_svg
from mimar.cli._bench_tiny import ZERO_SHOT, Winners, bench_tiny, tiny_markdown
from mimar.cli._bench_truth import bench_truth, truth_markdown
from mimar.cli._training import TextSource

DOCS = Path(__file__).parent
SCORES = DOCS.parent / ".scores.csv"
TRUTHS = {
    "lts_gpt2_wt103": "all",
    "hwgpt_s": "all",
    "flexibert_500": "all",
    "flexibert_500:as_released": "closed",  # modules of networks that nobody trained would say nothing of training
    "nb201_cifar10": "all",
}
"""Truth → the scores of its table."""
JUDGES = ("local", "uniform")
"""Language models that need no key; the first is the one of `mimar get-llm`, the second draws at random."""
TRAINED_ON = {
    "lts_gpt2_wt103": "25,50,100",
    "hwgpt_s": "25,100,400",
    "flexibert_500": "25,100,250",
    "nb201_cifar10": "100,400",
}
SEARCHES = {
    "layerdrop": (
        "random,local,evolution,nsga2,rl,scalarised,pymoo-nsga2,pymoo-agemoea2,optuna-nsga2",
        "50,150,500,2000",
    ),
    "layerdrop, screened": ("adaptive,linas,optuna-tpe", "50,150,500"),
    "nb201_cifar10": ("all,one-niche", "50,100,200"),
    "hwgpt_s": ("random,local,evolution,nsga2,rl,scalarised,niches,pymoo-nsga2,optuna-nsga2", "50,150,500"),
    "hwgpt_s, screened": ("adaptive,linas,optuna-tpe", "50,150"),
}
"""Problem, with a word where it has two tables → strategies and budgets."""
GUIDED = {"nb201_cifar10, guided": ("zerolm,rz-nas,llm-nas,pel-nas,dialogue", "24")}
"""The same for strategies that ask the first of `JUDGES`; two seeds, as each takes many minutes."""
TINY = "decoder_tiny"
TINY_GATES = "score:3,10%:5,25%:3"
TINY_SEARCHED = "random,local,evolution,nsga2,rl,darts,linas,adaptive"
TINY_GUIDED = "zerolm,rz-nas,llm-nas,pel-nas,dialogue,one-shot"
"""The same for strategies that ask the first of `JUDGES`; one seed, as each takes many minutes."""
DRAWN = {"nb201_cifar10": "searchers_nb201", "layerdrop, screened": "searchers_layerdrop"}
"""Table → its picture."""


def insert(page: Path, truth: str, table: str) -> None:
    """Put `table` between the marks of `truth`."""
    mark = f"<!-- table {truth} -->\n"
    before, rest = page.read_text(encoding="utf-8").split(mark, 1)
    page.write_text(f"{before}{mark}{table}<!-- end -->{rest.split('<!-- end -->', 1)[1]}", encoding="utf-8")


def tiny_text() -> TextSource:
    """What decoder_tiny was trained on, in the folder that MIMAR_DATA names."""
    text = Path(os.environ["MIMAR_DATA"]) / "text" / "wikitext-2"
    return TextSource((str(text / "train.txt.gz"),), (str(text / "valid.txt.gz"),), "train:1024")


def tiny_truth() -> dict[str, str]:
    """Noise, early losses and the one-shot model, choices, the cascade."""
    told = truth_markdown(bench_truth(TINY, TINY_GATES, "adw", 5, tiny_text()))
    return dict(zip(("cheaper", "choices", "cascade"), told, strict=True))


def tiny_scores() -> dict[str, str]:
    """Every score against the losses."""
    return {"scores": proxy_markdown(bench_proxies(TINY, "all", scores=SCORES))}


def tiny_predictors() -> dict[str, str]:
    """What can be learnt from a part of the table of the rest."""
    found = bench_predictors(TINY, "all", "25,50,100", seeds=5, label=None, data=None)
    return {"predictors": predictors_markdown(found)}


def tiny_searches() -> dict[str, str]:
    """Strategies, guided by the table or by the default score; their best are trained."""
    winners = Winners(tiny_text(), DOCS.parent / ".winners.csv", os.cpu_count() or 1)

    def table(truth: str, strategies: str, seeds: int) -> str:
        return tiny_markdown(bench_tiny(truth, strategies, "32", seeds=seeds, winners=winners, llm=JUDGES[0]))

    return {
        TINY: table(TINY, TINY_SEARCHED, 2),
        f"{TINY}, guided": table(TINY, TINY_GUIDED, 1),
        TINY + ZERO_SHOT: table(TINY + ZERO_SHOT, TINY_SEARCHED, 2),
    }


TINY_PARTS = {
    "truth": tiny_truth,
    "scores": tiny_scores,
    "predictors": tiny_predictors,
    "searches": tiny_searches,
}


def write_tiny(parts: Sequence[str]) -> None:
    """The tables of decoder_tiny.md, of all parts where none is named."""
    for part in parts or TINY_PARTS:
        for mark, table in TINY_PARTS[part]().items():
            insert(DOCS / "decoder_tiny.md", mark, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["tiny"]:
        write_tiny(sys.argv[2:])
        raise SystemExit
    quick = sys.argv[1:] == ["closed"]
    for name, group in TRUTHS.items():
        result = bench_proxies(name, "closed" if quick else group, scores=SCORES)
        insert(DOCS / "proxies.md", name, proxy_markdown(result))
    for model in () if quick else JUDGES:
        result = bench_proxies("lts_gpt2_wt103", "llm-judge,adw,hpm,hpm_plus", bins=3, llm=model)
        insert(DOCS / "proxies.md", f"judge {model}", proxy_markdown(result))
    for name, train in () if quick else TRAINED_ON.items():
        result = bench_predictors(name, "all", train, seeds=5, label=None, data=None)
        insert(DOCS / "predictors.md", name, predictors_markdown(result))
    for name, (strategies, budgets) in () if quick else SEARCHES.items():
        result = bench_search(name.partition(",")[0], strategies, budgets, seeds=10)
        insert(DOCS / "searchers.md", name, search_markdown(result))
        if name in DRAWN:
            (DOCS / f"{DRAWN[name]}.svg").write_text(search_svg(result), encoding="utf-8")
    for name, (strategies, budgets) in () if quick else GUIDED.items():
        result = bench_search(name.partition(",")[0], strategies, budgets, seeds=2, llm=JUDGES[0])
        insert(DOCS / "searchers.md", name, search_markdown(result))
    if not quick:
        write_tiny(())
