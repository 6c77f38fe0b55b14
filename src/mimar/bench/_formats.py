"""Tables of measured architectures, told apart by their columns, hence any release of a benchmark in its format."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mimar.bench._fetch import FETCHABLE
from mimar.bench._files import ENDINGS, read_records, stem, tables, truth_folder
from mimar.bench._truth import FEWEST_IN_A_BIN, Truth, TruthRow
from mimar.bench.families import Cell201, FlexiBert, Gpt2Like
from mimar.errors import InputError, UnknownNameError
from mimar.proxies import DecoderSubject, Subject
from mimar.space import architecture_from_json

Record = Mapping[str, Any]
Shapes = Literal["as_trained", "as_released"]

BUILT_IN: Mapping[str, Path] = {"decoder_tiny": Path(__file__).parent / "tables" / "decoder_tiny.csv"}
"""Tables that come with the package."""

LOWER_IS_BETTER = re.compile(
    r"ppl|perplexity|loss|bits|error|latency|memory|energy|params|^(lat|mem|en|entrk)_|(^|_)seconds$|_ms$"
)
"""A result whose name has this is better when it is smaller, unless the user says otherwise."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One row without its label; the size comes from the shapes where it is None."""

    subject: Subject
    size: float | None = None
    cell: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One benchmark's table.

    columns: what tells it apart. labels: results in the order of preference, with * before or after for any name.
    bin_size: architectures in a bin of equal size, where the table is large enough for ten such bins.
    setting: how its networks were trained, in a sentence for a reader.
    """

    columns: frozenset[str]
    labels: tuple[str, ...]
    bin_size: int
    shapes: str
    read: Callable[[Record], Reading]
    setting: str


def load_truth(name: str, data: Path | None = None, label: str | None = None) -> Truth:
    """The truth `name`, a file of the data folder or a path; ``:as_released`` behind it asks for those shapes.

    data: the folder that holds ``truth/``; by default what MIMAR_DATA names.
    label: ``NAME`` or ``NAME:min`` or ``NAME:max``, a result of the table and which end of it is good.
    Raises InputError (a file that is no such table, an unknown label) or UnknownNameError.
    """
    bare, _, shapes = name.rpartition(":")
    if shapes not in ("as_trained", "as_released"):
        bare, shapes = name, ""
    path = _file_of(bare, data)
    records = read_records(path)
    kind = _format_of(records, path, shapes)
    wanted, higher = _label(records[0], kind, label, path)
    rows = [(index, record) for index, record in enumerate(records) if record.get(wanted) not in ("", None)]
    skipped = len(records) - len(rows)
    if kind is OWN_SEEDED:
        rows = _means_over_seeds(rows, wanted)
    read = tuple(_row(record, index, kind, wanted, path) for index, record in rows)
    if len(read) < 2:
        raise InputError(f"{path}: expected at least 2 rows with a {wanted}, got {len(read)}")
    bins = min(kind.bin_size, max(FEWEST_IN_A_BIN, len(read) // 10))
    title = stem(path) + (":as_released" if shapes == "as_released" else "")
    setting = f"{kind.setting} Quality is the measured {wanted}, {'higher' if higher else 'lower'} is better."
    return Truth(title, read, wanted, higher, bins, kind.shapes, skipped, setting)


def _file_of(name: str, data: Path | None) -> Path:
    """`name` as a path where it ends like one, else the file of that name in the data folder."""
    if name.endswith(ENDINGS):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected a table of measured architectures")
        return path
    if name in BUILT_IN:
        return BUILT_IN[name]
    found = tables(data)
    if name in found:
        return found[name]
    if name in FETCHABLE:
        folder = truth_folder(data)
        raise InputError(f"{name} is not in {folder}; get it with: mimar bench fetch {name} --to {folder}")
    readable = {each for each, path in found.items() if _kind(read_records(path)) is not None}
    raise UnknownNameError("truth", name, tuple(sorted({*readable, *FETCHABLE, *BUILT_IN})))


def _means_over_seeds(rows: Sequence[tuple[int, Record]], wanted: str) -> list[tuple[int, Record]]:
    """One row for each id, the first with the mean of all in the column `wanted`."""
    by_id: dict[str, list[tuple[int, Record]]] = {}
    for index, record in rows:
        if not _number(record[wanted]):
            raise InputError(f"row {index + 1}: expected a number as {wanted}, got {record[wanted]!r}")
        by_id.setdefault(str(record["id"]), []).append((index, record))
    return [
        (same[0][0], {**same[0][1], wanted: sum(float(record[wanted]) for _, record in same) / len(same)})
        for same in by_id.values()
    ]


def _kind(records: Sequence[Record]) -> Format | None:
    columns = set(records[0]) if records else set[str]()
    return next((kind for kind in FORMATS if kind.columns <= columns), None)


def _format_of(records: Sequence[Record], path: Path, shapes: str) -> Format:
    kind = _kind(records)
    if kind is None:
        known = "; ".join(", ".join(sorted(each.columns)) for each in FORMATS)
        shown = ", ".join(map(str, list(records[0])[:12])) if records else "no rows"
        raise InputError(f"{path}: expected a table with one of these sets of columns: {known}; got {shown}")
    if shapes and kind is not FLEXIBERT:
        raise InputError(f":{shapes} belongs to FlexiBERT tables; leave it out for {path}")
    return FLEXIBERT_AS_RELEASED if shapes == "as_released" else kind


def _label(first: Record, kind: Format, label: str | None, path: Path) -> tuple[str, bool]:
    """Name of the result and whether more of it is better."""
    if label is None:
        found = [name for pattern in kind.labels for name in first if _matches(name, pattern)]
        if not found:
            raise InputError(
                f"{path}: say with --label NAME[:min|max] which column holds the result; {_numeric(first)}"
            )
        label = found[0]
    name, _, end = label.rpartition(":")
    if end not in ("min", "max"):
        name, end = label, ""
    if name not in first:
        raise InputError(f"{path}: no column {name!r} to use as a label; {_numeric(first)}")
    return name, end == "max" or (not end and not LOWER_IS_BETTER.search(name.lower()))


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern


def _numeric(first: Record) -> str:
    """The columns that hold a number, for a message."""
    return "columns with a number: " + (", ".join(name for name, cell in first.items() if _number(cell)) or "none")


def _number(cell: Any) -> bool:
    try:
        return not isinstance(cell, bool) and math.isfinite(float(cell))
    except (TypeError, ValueError):
        return False


def _row(record: Record, index: int, kind: Format, label: str, path: Path) -> TruthRow:
    where = f"{path}, row {index + 1}"
    try:
        value = float(record[label])
        reading = kind.read(record)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: cannot read the architecture or its {label} ({error!r})") from error
    if not math.isfinite(value):
        raise InputError(f"{where}: expected a number as {label}, got {record[label]}; leave the cell empty instead")
    size = _weights_of(reading.subject) if reading.size is None else reading.size
    return TruthRow(str(record.get("id", index)), reading.subject, value, size, reading.cell)


def _weights_of(subject: Subject) -> float:
    """Weights of the matrices of all layers: norms and biases decide nothing, but would break ties in size."""
    return float(sum(matrix.size for layer in subject.shapes.layers for matrix in layer.matrices))


def _cell_of(subject: Subject) -> tuple[int, int]:
    shapes = subject.shapes
    return len(shapes.layers) * shapes.layer_sharing, shapes.hidden_size


def _lts(record: Record) -> Reading:
    """Embeddings are as wide as the model where `d_embed` is not positive, which is upstream's default."""
    width = record.get("d_embed") or "-1"
    whole = record if int(width) > 0 else {**record, "d_embed": record["d_model"]}
    subject = Gpt2Like.from_lts(whole)
    published = record.get("params_nonembedding")
    return Reading(subject, float(published) if published else None, _cell_of(subject))


def _hwgpt(record: Record) -> Reading:
    subject = Gpt2Like.from_hwgpt(record)
    return Reading(subject, cell=_cell_of(subject))


def _flexibert(record: Record) -> Reading:
    subject = _encoder(record, "as_trained")
    return Reading(subject, cell=_cell_of(subject))


def _flexibert_as_released(record: Record) -> Reading:
    """Size and cell stay those of the networks that were trained: they say which architectures compete."""
    trained = _flexibert(record)
    return Reading(_encoder(record, "as_released"), _weights_of(trained.subject), trained.cell)


def _encoder(record: Record, shapes: Shapes) -> FlexiBert:
    parts = {"hidden_size": record["hidden_size"], "encoder_layers": record["encoder_layers"]}
    return FlexiBert.from_json(parts, shapes)


def _cell201(record: Record) -> Reading:
    return Reading(Cell201(record["arch"]))


def _own(record: Record) -> Reading:
    given = record["architecture"]
    return _decoder(json.loads(given) if isinstance(given, str) else given)


def _own_columns(record: Record) -> Reading:
    """Text as JSON where it is (numbers, true, null), else as it stands; empty cells are left out."""
    return _decoder({name: _plain(cell) for name, cell in record.items() if name in SHORT_FIELDS and cell != ""})


def _plain(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _decoder(data: Any) -> Reading:
    subject = DecoderSubject(architecture_from_json(data, check=False))
    return Reading(subject, cell=_cell_of(subject))


SHORT_FIELDS = frozenset({
    "num_layers", "hidden_size", "attention_type", "num_heads", "num_kv_heads", "head_size", "window", "kernel_size",
    "intermediate_size", "activation", "feed_forward", "num_experts", "top_k", "position_encoding", "norm",
    "norm_placement", "topology", "layer_sharing", "attention_kernel", "dropout", "vocab_size", "context_length",
    "tied_embeddings",
})  # fmt: skip
"""Columns of a table of decoders that are read as fields of the short form."""

DECODERS = (
    "Each is a decoder-only Transformer language model, pre-norm unless something else is said. All were trained from "
    "scratch in the same way: the same text, number of tokens, optimiser and schedule."
)
ENCODERS = (
    "Each is a Transformer encoder. All were pretrained in the same way, as ELECTRA discriminators, on the same text "
    "and for the same number of steps, then fine-tuned on each task."
)
CELLS = (
    "Each is an image classifier: a stem, then three stages of five copies of one cell, with 16, 32 and 64 channels. A "
    "cell sums operations on the edges between its nodes 0 (input) to 3 (output). All were trained from scratch in the "
    "same way."
)

FLEXIBERT = Format(
    frozenset({"hidden_size", "encoder_layers"}), ("glue",), 25,
    "as trained: self-attention in every layer, its first feed-forward matrix 1024 wide", _flexibert, ENCODERS,
)  # fmt: skip
FLEXIBERT_AS_RELEASED = Format(
    FLEXIBERT.columns, FLEXIBERT.labels, FLEXIBERT.bin_size,
    "as released: operations as named, hidden 256 and feed-forward 1024 for all; bins and cells as trained",
    _flexibert_as_released, ENCODERS,
)  # fmt: skip
OWN_SEEDED = Format(
    frozenset({"architecture", "id", "seed", "validation_loss"}), ("validation_loss",), 20,
    "decoders of this project, means over seeds", _own, DECODERS,
)  # fmt: skip
FORMATS = (
    Format(
        frozenset({"n_layer", "d_model", "n_head", "d_inner"}), ("valid_ppl",), 20,
        "GPT-2-like: 4·d_model² attention weights a layer, d_inner wide feed-forward, embeddings of rank d_embed", _lts,
        DECODERS,
    ),
    Format(
        frozenset({"embed_dim", "n_layer", "n_head", "mlp_ratio"}), ("perplexity",), 500,
        "GPT-2-like: heads of size 64, gated feed-forward mlp_ratio·embed_dim wide", _hwgpt,
        DECODERS,
    ),
    FLEXIBERT,
    Format(
        frozenset({"arch"}), ("cifar10_val", "*_val", "val_acc_200"), 500,
        "cell network: 16, 32, 64 channels, 5 cells each", _cell201, CELLS,
    ),
    OWN_SEEDED,
    Format(frozenset({"architecture"}), (), 20, "decoders of this project", _own, DECODERS),
    Format(
        frozenset({"num_layers", "hidden_size"}), (), 20, "decoders of this project, short form", _own_columns, DECODERS
    ),
)  # fmt: skip
"""Every form of table that can be read; the first whose columns are there is taken."""
