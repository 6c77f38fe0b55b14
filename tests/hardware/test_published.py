import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.hardware import Measurement, Prices, predicted_cost, published_fits, read_published
from mimar.hardware._published import USE, architecture_of
from mimar.shapes import nonembedding_parameters, parameters

PRICES = Prices(1e-11, 3e-11, 2e-10, 0.0, 1e-5)


def rows(count, seed=0):
    """A made-up table in the published form, its latency made by known prices and its energy in another unit."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        layers = int(rng.choice([2, 3]))
        row = {
            "embed_dim": str(rng.choice([128, 256])),
            "n_layer": str(layers),
            "bias": str(rng.integers(2)),
            "n_head": "-".join(str(rng.choice([2, 4])) for _ in range(layers)),
            "mlp_ratio": "-".join(str(rng.choice([2, 3, 4])) for _ in range(layers)),
        }
        arch = architecture_of(row)
        cost = predicted_cost(Measurement(arch, USE, "forward", 1.0), PRICES)
        row |= {"params": str(parameters(arch)), "lat_x": str(cost), "entrk_x": str(cost * 1e-6), "en_none": "0"}
        found.append(row)
    return found


def test_known_prices_explain_the_rest():
    latency, energy = published_fits(rows(80), 30, seed=1)
    assert (latency.column, energy.column, latency.train) == ("lat_x", "entrk_x", 30)
    for found in (latency, energy):
        assert found.roofline.n == 50
        assert found.roofline.median_error < 1e-3
        assert found.roofline.median_error < found.one_hot.median_error < found.parameters.median_error
        assert found.one_hot.spearman > 0.9


def test_another_table_is_refused():
    with pytest.raises(InputError, match=r"HW-GPT-Bench .*got 2 rows without mlp_ratio"):
        published_fits([{k: v for k, v in row.items() if k != "mlp_ratio"} for row in rows(2)], 10, 0)
    with pytest.raises(InputError, match="more than 11 rows"):
        published_fits(rows(11), 10, 0)


@pytest.mark.parametrize(("column", "cell"), [("lat_x", ""), ("params", "many"), ("n_head", "2"), ("embed_dim", None)])
def test_a_cell_that_is_no_number_is_one_sentence(column, cell):
    table = rows(80)
    table[7][column] = cell
    if column == "n_head":
        table[7] |= {"n_layer": "3", "mlp_ratio": "2-2-2"}
    with pytest.raises(InputError, match="cannot be read as one of HW-GPT-Bench"):
        published_fits(table, 30, seed=1)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_file_is_read_packed_or_not(tmp_path, name):
    table = rows(3)
    with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "wt", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    assert read_published(tmp_path / name) == table


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "table.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match=r"table.csv.gz: expected a CSV table"):
        read_published(tmp_path / "table.csv.gz")


@pytest.mark.skipif("MIMAR_DATA" not in os.environ, reason="MIMAR_DATA names no data folder")
def test_the_published_table():
    folder = Path(os.environ["MIMAR_DATA"])
    path = next(path for path in (folder / "truth" / "hwgpt_s.csv.gz", folder / "hwgpt_s.csv.gz") if path.exists())
    table = read_published(path)[::10]
    for row in table[:20]:  # Published counts have no positions; vocabulary 50304 for 50255 in their head.
        arch = architecture_of(row)
        assert nonembedding_parameters(arch) == pytest.approx(int(row["params"]) - 100510 * arch.hidden_size, rel=0.01)
    columns = {row.column: row for row in published_fits(table, 100, 0)}
    assert columns["lat_a100"].roofline.median_error < 0.03
    assert columns["lat_cpu_mlgpu"].roofline.spearman > 0.97
    assert columns["entrk_v100"].roofline.median_error < 0.04
    assert "en_cpu_p100" not in columns
