"""The model card that goes with what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mimar.shrink._rows import ModelRow
from mimar.tasks import accuracy_words

NO_LICENCE: Final = "not stated in its files"


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from. source: as the user named the parent; licence: the parent's, by `LICENCE_KEYS`, as far
    as its files say; notices: names of the files with its text that go along; commands: what made it, one after
    another; lessons: what it learnt from, a sentence each; use: what its memory is told for; version: of mimar.
    """

    source: str
    licence: Mapping[str, str]
    notices: tuple[str, ...]
    commands: tuple[str, ...]
    lessons: tuple[str, ...]
    use: str
    version: str


def model_card(parent: ModelRow, chosen: ModelRow, origin: Provenance, export: tuple[str, str]) -> str:
    """Markdown with the front matter that the Hugging Face hub reads. export: its form and its type of weights."""
    (form, kind), name = export, _name(origin.source)
    rounded = f"Its perplexities and accuracies are those before its weights were rounded to {kind}."
    return "\n".join(
        [
            *_head(origin, form), f"# {name}, made smaller", "",
            f"Cut out of `{name}` by mimar {origin.version}: kv heads and channels that its answers depend on "
            "least are gone, and what is left was fitted to make up for them.", *origin.lessons, "",
            _licence(origin), "", "Made by", "", *(f"    {command}" for command in origin.commands), "",
            *_table(parent, chosen, origin.use), "",
            *([rounded, ""] if kind not in ("", "F32") else []), *_layers(chosen), "",
        ]
    )  # fmt: skip


def _head(origin: Provenance, form: str) -> list[str]:
    lines = [f"{name}: {json.dumps(text)}" for name, text in (origin.licence or {"license": "unknown"}).items()]
    if form == "hf":
        lines.append("library_name: transformers")
    if _is_hub_id(origin.source):
        lines.append(f"base_model: {json.dumps(origin.source)}")
    return ["---", *lines, "tags: [pruned, mimar]", "---", ""]


def _licence(origin: Provenance) -> str:
    stated, beside = ", ".join(origin.licence.values()), " and ".join(origin.notices)
    text = f"see {beside}" if beside else ""
    return f"Licence of the parent, which this is a part of: {'; '.join(filter(None, (stated, text))) or NO_LICENCE}."


def _name(source: str) -> str:
    """Without the folders of the machine where the model was made."""
    return source if _is_hub_id(source) else Path(source).name


def _is_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~")) and not Path(source).exists()


def _table(parent: ModelRow, chosen: ModelRow, use: str) -> list[str]:
    both = (parent, chosen)
    rows = [
        ("parameters", *(f"{each.params:,}" for each in both)),
        ("weights of all layers", *(f"{each.block_params:,}" for each in both)),
        (f"bytes of memory, {use}", *(f"{each.memory_at_context:,}" for each in both)),
        *(
            (f"perplexity, {_name(text)}", f"{value:.2f}", f"{chosen.perplexities[text]:.2f}")
            for text, value in parent.perplexities.items()
        ),
        *(
            (
                f"accuracy, {name} (by chance {parent.tasks[name]['chance']:.3f})",
                *(accuracy_words(each.tasks[name]) for each in both),
            )
            for name in parent.tasks
        ),
    ]
    return ["| | parent | this model |", "|---|---:|---:|", *(f"| {' | '.join(row)} |" for row in rows)]


def _layers(chosen: ModelRow) -> list[str]:
    if chosen.sub is None:
        return []
    rows = [f"| {n} | {kv_heads} | {width} |" for n, (kv_heads, width) in enumerate(chosen.sub.sizes)]
    return ["| layer of the parent | kv heads | channels |", "|---:|---:|---:|", *rows]
