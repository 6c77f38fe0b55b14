"""The model card that goes with what was written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mimar.shrink._rows import ModelRow


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from. source: as the user named the parent; licence: the parent's, as far as its files say;
    command: what made it; version: of mimar.
    """

    source: str
    licence: str
    command: str
    version: str


def model_card(parent: ModelRow, chosen: ModelRow, origin: Provenance) -> str:
    """Markdown with the front matter that the Hugging Face hub reads."""
    head = ["---", f"license: {json.dumps(origin.licence or 'unknown')}", "library_name: transformers"]
    if _is_hub_id(origin.source):
        head.append(f"base_model: {json.dumps(origin.source)}")
    return "\n".join(
        [
            *head, "tags: [pruned, mimar]", "---", "", f"# {origin.source}, made smaller", "",
            f"Cut out of `{origin.source}` by mimar {origin.version}: kv heads and channels that its answers depend on "
            "least are gone, and what is left was fitted to make up for them.", "",
            f"Licence of the parent, which this is a part of: {origin.licence or 'not stated in its files'}.", "",
            "Made by", "", f"    {origin.command}", "", *_table(parent, chosen), "", *_layers(chosen), "",
        ]
    )  # fmt: skip


def _is_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~")) and not Path(source).exists()


def _table(parent: ModelRow, chosen: ModelRow) -> list[str]:
    rows = [
        ("parameters", *(f"{each.params:,}" for each in (parent, chosen))),
        ("weights of all layers", *(f"{each.block_params:,}" for each in (parent, chosen))),
        ("bytes of memory at the context asked for", *(f"{each.memory_at_context:,}" for each in (parent, chosen))),
        *(
            (f"perplexity, {text}", f"{value:.2f}", f"{chosen.perplexities[text]:.2f}")
            for text, value in parent.perplexities.items()
        ),
        *((f"accuracy, {name}", _accuracy(parent, name), _accuracy(chosen, name)) for name in parent.tasks),
    ]
    return ["| | parent | this model |", "|---|---:|---:|", *(f"| {' | '.join(row)} |" for row in rows)]


def _accuracy(row: ModelRow, task: str) -> str:
    found = row.tasks[task]
    error = found["accuracy_error"]
    return f"{found['accuracy']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _layers(chosen: ModelRow) -> list[str]:
    if chosen.sub is None:
        return []
    rows = [f"| {n} | {kv_heads} | {width} |" for n, (kv_heads, width) in enumerate(chosen.sub.sizes)]
    return ["| layer of the parent | kv heads | channels |", "|---:|---:|---:|", *rows]
