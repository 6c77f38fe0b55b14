"""Made-up tables in the formats of the published ones, small enough to lie here."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

OPERATIONS = (("SA", "SDP"), ("SA", "WMA"), ("LT", "DFT"), ("LT", "DCT"), ("DSC", 5), ("DSC", 9))


def joined(values):
    return "-".join(map(str, values))


def lts_rows(rng, count):
    for index in range(count):
        layers, hidden = int(rng.integers(2, 5)), int(rng.choice([64, 128]))
        yield {
            "set": "random_TransXL_made_up", "id": f"config_0_j{index}", "n_layer": layers, "d_model": hidden,
            "d_embed": int(rng.choice([-1, 64])), "div_val": 1, "n_token": 5000, "tgt_len": 192,
            "n_head": joined(rng.choice([2, 4], layers)), "d_inner": joined(rng.integers(64, 300, layers)),
            "params_nonembedding": "" if index % 2 else 100_000.0 + index, "valid_ppl": 30 + 10 * rng.random(),
            "test_ppl": 31 + 10 * rng.random(), "latency": "",
        }  # fmt: skip


def hwgpt_rows(rng, count):
    for _ in range(count):
        layers = int(rng.integers(3, 5))
        yield {
            "embed_dim": int(rng.choice([64, 128])), "n_layer": layers, "bias": int(rng.integers(2)),
            "n_head": joined(rng.choice([1, 2], 4)), "mlp_ratio": joined(rng.choice([2, 3, 4], 4)),
            "perplexity": 20 + 10 * rng.random(), "accuracy": 0.3 + 0.1 * rng.random(),
        }  # fmt: skip


def flexibert_entries(rng, count):
    for index in range(count):
        chosen = [OPERATIONS[i] for i in rng.integers(len(OPERATIONS), size=int(rng.choice([2, 4])))]
        layers = [
            {
                "operation_type": kind, "operation_parameter": parameter,
                "num_operation_heads": int(rng.choice([2, 4])),
                "feed_forward_dimension": int(rng.choice([512, 1024])), "num_feed_forward": int(rng.choice([1, 3])),
            }
            for kind, parameter in chosen
        ]  # fmt: skip
        parts = {"hidden_size": int(rng.choice([128, 256])), "encoder_layers": layers}
        yield {
            "id": index,
            "architecture": parts,
            "scores": {"cola": 20 * rng.random(), "glue": 60 + 10 * rng.random()},
        }


def upstream(entry):
    """A NAS-Bench-BERT entry as it was released."""
    parts = entry["architecture"]
    nested = {"hidden_size": parts["hidden_size"], "nas_config": {"encoder_layers": parts["encoder_layers"]}}
    hparams = {"learning_rate": 5e-4, "model_hparam_overrides": nested}
    return {"id": entry["id"], "completed": True, "scores": entry["scores"], "hparams": hparams}


def cell_strings(rng, count):
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    for _ in range(count):
        yield "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*(names[i] for i in rng.integers(len(names), size=6)))


def own_rows(rng, count):
    for _ in range(count):
        yield {
            "num_layers": int(rng.integers(2, 6)), "hidden_size": int(rng.choice([64, 128])),
            "attention_type": "multi_head", "num_heads": 4, "intermediate_size": int(rng.choice([128, 256])),
            "position_encoding": "rope", "activation": "gelu", "norm": "rmsnorm", "tied_embeddings": "true",
            "note": "mine", "perplexity": 20 + 10 * rng.random(),
        }  # fmt: skip


def write_csv(path: Path, rows) -> Path:
    rows, text = list(rows), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    plain = text.getvalue().encode()
    path.write_bytes(gzip.compress(plain) if path.suffix == ".gz" else plain)
    return path


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """A data folder with a table of each format under names that are in no list."""
    folder = tmp_path / "data" / "truth"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    write_csv(folder / "some_lts.csv.gz", lts_rows(rng, 24))
    write_csv(folder / "some_hwgpt.csv", hwgpt_rows(rng, 30))
    entries = list(flexibert_entries(rng, 30))
    (folder / "some_flexibert.json.gz").write_bytes(gzip.compress(json.dumps(entries).encode()))
    (folder / "some_flexibert_upstream.json").write_text(json.dumps([upstream(entry) for entry in entries]))
    cells = [{"arch": cell, "cifar100_val": 70 * rng.random(), "cifar100_test": 70.0} for cell in cell_strings(rng, 20)]
    write_csv(folder / "some_cells.csv", cells)
    write_csv(folder / "mine.csv", own_rows(rng, 20))
    (folder / "front.json").write_text(json.dumps({"front": [1, 2]}))
    monkeypatch.setenv("MIMAR_DATA", str(folder.parent))
    return folder


@pytest.fixture
def published(request) -> Path:
    """The folder with the published tables; the test is skipped without one."""
    if not (folder := os.environ.get("MIMAR_DATA")):
        pytest.skip("MIMAR_DATA names no folder with the published tables")
    return Path(folder)
