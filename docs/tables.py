"""Writes the tables of proxies.md, predictors.md and searchers.md anew. `make tables` runs it.

Scores that need a module take hours; they are kept in `.scores.csv`, so that a run that was stopped goes on where it
was. After a change to a score delete that file. `tables.py closed` writes tables of closed forms, and no predictors.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mimar.cli._bench_predictors import bench_predictors, predictors_markdown
from mimar.cli._bench_proxies import bench_proxies, proxy_markdown
from mimar.cli._bench_search import bench_search, search_markdown, search_svg

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
DRAWN = {"nb201_cifar10": "searchers_nb201", "layerdrop, screened": "searchers_layerdrop"}
"""Table → its picture."""


def insert(page: Path, truth: str, table: str) -> None:
    """Put `table` between the marks of `truth`."""
    mark = f"<!-- table {truth} -->\n"
    before, rest = page.read_text(encoding="utf-8").split(mark, 1)
    page.write_text(f"{before}{mark}{table}<!-- end -->{rest.split('<!-- end -->', 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
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
