"""Truths from where they were published, at fixed commits, as the tables that `load_truth` reads."""

from __future__ import annotations

import csv
import gzip
import http.client
import io
import json
import os
import pickle
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mimar.errors import InputError, MimarError, UnknownNameError

GITHUB = "https://raw.githubusercontent.com"
TIMEOUT_S = 60.0
LARGEST_FILE = 64 * 2**20
PARALLEL = 8

Get = Callable[[str], bytes]
"""Path below the source's folder → content."""


@dataclass(frozen=True, slots=True)
class Source:
    """A published table: owner, repository, commit and folder, the file it becomes, and how."""

    folder: str
    file: str
    licence: str
    convert: Callable[[Get], str]


def fetch(name: str, folder: Path, host: str = GITHUB) -> Path:
    """Download truth `name` into `folder`, made where it is missing, and return the file, complete or not there at all.

    host: where paths like those of raw.githubusercontent.com are answered.
    Raises UnknownNameError that lists the names; InputError for content that is not as expected; MimarError without
    an answer. A commit names its content, so files need no checksum of their own beside https.
    """
    if name not in SOURCES:
        raise UnknownNameError("truth to fetch", name, FETCHABLE)
    if not host.startswith(("https://", "http://")):
        raise InputError(f"--mirror must be an address like https://host/folder, got {host!r}")
    source = SOURCES[name]
    try:
        text = source.convert(partial(_get, f"{host.rstrip('/')}/{source.folder}"))
    except (LookupError, TypeError, ValueError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{name}: the published files are not of the expected form ({error!r})") from error
    folder.mkdir(parents=True, exist_ok=True)
    return _written(folder / source.file, gzip.compress(text.encode(), mtime=0))


def licence_of(name: str) -> str:
    """What the publisher says about the use of truth `name`."""
    return SOURCES[name].licence


def _get(base: str, path: str) -> bytes:
    url = f"{base}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            body = answer.read(LARGEST_FILE + 1)
            missing = answer.length or 0  # a connection that ends early is no error to http.client
    except urllib.error.HTTPError as error:
        with error:
            raise MimarError(f"{url} answered {error.code} {error.reason}; the publisher may have moved it") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        raise MimarError(f"no answer from {url} ({why}); this command needs a network, or --mirror URL") from error
    if len(body) > LARGEST_FILE:
        raise InputError(f"{url} is larger than the {LARGEST_FILE >> 20} MiB that were expected at most")
    if missing:
        raise MimarError(f"{url} ended {missing:,} bytes early; try again")
    return body


def _written(path: Path, content: bytes) -> Path:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        raise ValueError("no rows")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _joined(values: int | float | Sequence[int | float]) -> str:
    """One value a layer, joined by ``-``."""
    return "-".join(map(str, values)) if isinstance(values, Sequence) else str(values)


def _lts(get: Get) -> str:
    """archai: results of all runs in one file, the settings of each in a file of its own."""
    results = _yaml(get("ppl_summary.yaml"))
    names = sorted(results)
    with ThreadPoolExecutor(PARALLEL) as pool:
        paths = ("/".join((*name.rsplit("_", 1), "model_config.yaml")) for name in names)
        settings = [_yaml(text) for text in pool.map(get, paths)]
    return _table([
        {
            "id": name,
            **{key: part[key] for key in ("n_layer", "d_model", "d_embed", "div_val", "n_token", "tgt_len", "dropout")},
            **{key: _joined(part[key]) for key in ("n_head", "d_inner")},
            **results[name],
        }
        for name, part in zip(names, settings, strict=True)
    ])  # fmt: skip


def _yaml(text: bytes) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("not a mapping")
    return found


def _hwgpt(get: Get) -> str:
    """HW-GPT-Bench: a pickled list of architectures with their perplexity and accuracy."""
    return _table([_hwgpt_row(entry) for entry in _PlainUnpickler(io.BytesIO(get("ppl.pkl"))).load()])


def _hwgpt_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    arch = {key.removeprefix("sample_"): value for key, value in entry["arch"].items()}
    layers = int(arch["n_layer"])
    return {
        "embed_dim": int(arch["embed_dim"]),
        "n_layer": layers,
        "bias": int(str(arch["bias"]) == "True"),
        "n_head": _joined([int(heads) for heads in arch["n_head"]][:layers]),
        "mlp_ratio": _joined([int(ratio) for ratio in arch["mlp_ratio"]][:layers]),
        "perplexity": float(entry["perplexity"]),
        "accuracy": float(entry["accuracy"]),
    }


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain data and numpy numbers; a pickle that would call anything else is refused, not run."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The few names that numbers of numpy need."""
        inner = module_name.replace("numpy._core", "numpy.core")
        if (inner, global_name) in {
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy.core.multiarray", "_reconstruct"),
        }:
            return super().find_class(module_name.replace("numpy.core", "numpy._core"), global_name)
        raise InputError(f"the pickle asks for {module_name}.{global_name}; only plain data and numpy numbers are read")


def _flexibert(get: Get) -> str:
    """NAS-Bench-BERT: kept as it is."""
    text = get("BERT_benchmark.json").decode()
    entries = json.loads(text)
    if not entries or not all(entry["scores"] and entry["hparams"] for entry in entries):
        raise ValueError("no entries, or some without scores")
    return text


def _nb201(get: Get) -> str:
    """NAS-Bench-201 as GENIUS has it: cell → results after 200 epochs."""
    data = json.loads(get("nasbench201_cifar10.json"))
    return _table([
        {"arch": arch, "cifar10_val": found["val_acc_200"], "cifar10_test": found["test_acc_200"]}
        for arch, found in data.items()
    ])  # fmt: skip


SOURCES: Mapping[str, Source] = {
    "lts_gpt2_wt103": Source(
        "microsoft/archai/af79c739e04cec045cf5a5cedd01f354aa3463d1/archai/nlp/nas/saved_logs/random_GPT2_wt103",
        "lts_gpt2_wt103.csv.gz", "MIT, Copyright (c) Microsoft Corporation", _lts,
    ),
    "hwgpt_s": Source(
        "automl/HW-GPT-Bench/795cba8124826acc600df1bd2bb516b22f207671/arch_ppl_bench_s",
        "hwgpt_s.csv.gz", "Apache-2.0", _hwgpt,
    ),
    "flexibert_500": Source(
        "aaronserianni/training-free-nas/2d76e01b9586cad7340e8268dadba3056efd070b/data",
        "flexibert_500.json.gz", "CC BY 4.0", _flexibert,
    ),
    "nb201_cifar10": Source(
        "mingkai-zheng/GENIUS/97361d30b2da337edd0c8e1ed71b7c88b4a85d38/benchmark",
        "nb201_cifar10.csv.gz", "no licence file in that repository; NAS-Bench-201 itself is MIT", _nb201,
    ),
}  # fmt: skip
FETCHABLE: tuple[str, ...] = tuple(SOURCES)
"""Names that `fetch` knows."""
