"""Writes the tables of proxies.md anew from the published results. `make proxy-tables` runs it; it takes hours."""

from __future__ import annotations

import sys
from pathlib import Path

from mimar.cli._bench_proxies import LEGEND, bench_proxies, proxy_markdown

PAGE = Path(__file__).parent / "proxies.md"
TRUTHS = ("lts_gpt2_wt103", "hwgpt_s", "flexibert_500", "flexibert_500:as_released", "nb201_cifar10")


def with_table(page: str, truth: str, table: str) -> str:
    """`page` with `table` between the marks of `truth`."""
    mark = f"<!-- table {truth} -->\n"
    before, rest = page.split(mark, 1)
    return f"{before}{mark}{table}<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


if __name__ == "__main__":
    groups = sys.argv[1] if len(sys.argv) > 1 else "all"
    for name in TRUTHS:
        found = f"{proxy_markdown(bench_proxies(name, groups))}\n{LEGEND}.\n"
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), name, found), encoding="utf-8")
