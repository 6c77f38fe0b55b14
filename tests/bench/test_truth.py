"""Tables become truths: every format, other releases, damaged files."""

import json

import numpy as np
import pytest

from mimar.bench import load_truth
from mimar.bench._files import read_records
from mimar.bench.families import Cell201, FlexiBert, Gpt2Like
from mimar.errors import InputError, UnknownNameError
from mimar.proxies import DecoderSubject
from mimar.space import architecture_to_json


def test_each_format_is_known_by_its_columns(data):
    found = {name: load_truth(name) for name in ("some_lts", "some_hwgpt", "some_flexibert", "some_cells")}
    assert {name: (type(t.rows[0].subject), t.label_name, t.higher_is_better) for name, t in found.items()} == {
        "some_lts": (Gpt2Like, "valid_ppl", False),
        "some_hwgpt": (Gpt2Like, "perplexity", False),
        "some_flexibert": (FlexiBert, "glue", True),
        "some_cells": (Cell201, "cifar100_val", True),
    }
    assert found["some_lts"].rows[3].id == "config_0_j3"
    assert found["some_cells"].rows[0].cell is None


def test_sizes_are_published_counts_or_weights_of_the_layers(data):
    first, second = load_truth("some_lts").rows[:2]
    assert first.size == 100_000.0
    assert second.size == sum(m.size for layer in second.subject.shapes.layers for m in layer.matrices)


def test_an_embedding_width_that_is_not_given_is_the_hidden_size(data):
    for row in load_truth("some_lts").rows:
        assert row.subject.shapes.output_rank == min(row.subject.embedding_size, row.subject.hidden_size)
        assert row.cell == (row.subject.num_layers, row.subject.hidden_size)


def test_both_layouts_of_flexibert_are_the_same_truth(data):
    flat, upstream = load_truth("some_flexibert"), load_truth("some_flexibert_upstream")
    assert flat.rows == upstream.rows


def test_flexibert_as_released_keeps_bins_and_cells_of_what_was_trained(data):
    trained, released = load_truth("some_flexibert:as_trained"), load_truth("some_flexibert:as_released")
    assert released.name == "some_flexibert:as_released"
    assert [(r.size, r.cell, r.label) for r in trained.rows] == [(r.size, r.cell, r.label) for r in released.rows]
    assert {row.subject.shapes.hidden_size for row in released.rows} == {256}
    assert {row.subject.shapes.hidden_size for row in trained.rows} == {128, 256}
    with pytest.raises(InputError, match="FlexiBERT"):
        load_truth("some_hwgpt:as_released")


def test_decoders_from_columns_and_from_json_agree(data):
    short = load_truth("mine", label="perplexity")
    assert all(isinstance(row.subject, DecoderSubject) for row in short.rows)
    assert short.rows[0].cell == (short.rows[0].subject.arch.num_layers, short.rows[0].subject.arch.hidden_size)
    lines = ["architecture,perplexity"]
    for row in short.rows:
        text = json.dumps(architecture_to_json(row.subject.arch)).replace('"', '""')
        lines.append(f'"{text}",{row.label!r}')
    path = data / "again.csv"
    path.write_text("\n".join(lines))
    assert load_truth(str(path), label="perplexity").rows == short.rows


def _typed(cell):
    """As JSON has it: a number, true or false where it is one."""
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return cell


@pytest.mark.parametrize("file", ["some_lts.csv.gz", "some_hwgpt.csv", "mine.csv"])
def test_a_table_of_csv_and_one_of_json_are_the_same_truth(data, file):
    typed = [{name: _typed(cell) for name, cell in record.items()} for record in read_records(data / file)]
    (data / "typed.json").write_text(json.dumps(typed), encoding="utf-8")
    wanted = "perplexity" if file == "mine.csv" else None
    assert load_truth(str(data / "typed.json"), label=wanted).rows == load_truth(str(data / file), label=wanted).rows


def test_architectures_in_json_may_say_false_and_be_objects(data):
    table = data / "mine.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",true,", ",false,"), encoding="utf-8")
    short = load_truth("mine", label="perplexity").rows
    assert not any(row.subject.arch.tied_embeddings for row in short)
    nested = [{"architecture": architecture_to_json(row.subject.arch), "perplexity": row.label} for row in short]
    (data / "nested.json").write_text(json.dumps(nested), encoding="utf-8")
    assert load_truth(str(data / "nested.json"), label="perplexity").rows == short


@pytest.mark.parametrize(
    ("label", "name", "higher"),
    [("perplexity", "perplexity", False), ("perplexity:max", "perplexity", True), ("accuracy", "accuracy", True)],
)
def test_label_and_its_good_end(data, label, name, higher):
    truth = load_truth("some_hwgpt", label=label)
    assert (truth.label_name, truth.higher_is_better) == (name, higher)


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("peak_memory", False),
        ("lat_a100", False),
        ("en_cpu", False),
        ("token_accuracy", True),
        ("flat_score", True),
        ("bits_per_byte", False),
        ("seconds", False),
        ("training_step_ms", False),
        ("nonembedding_params", False),
        ("loss_at_10%", False),
        ("decode_tokens_per_second", True),
    ],
)
def test_a_name_tells_which_end_of_a_result_is_good(data, name, higher):
    lines = (data / "mine.csv").read_text().splitlines()
    (data / "named.csv").write_text("\n".join([lines[0].replace("perplexity", name), *lines[1:]]))
    assert load_truth("named", label=name).higher_is_better is higher


def test_rows_without_the_result_are_skipped_and_counted(data):
    path = data / "some_hwgpt.csv"
    lines = path.read_text().splitlines()
    lines[2] = ",".join((*lines[2].split(",")[:-2], "", "0.3"))
    path.write_text("\n".join(lines))
    truth = load_truth("some_hwgpt")
    assert (len(truth.rows), truth.skipped) == (29, 1)
    assert "1" not in {row.id for row in truth.rows}


@pytest.mark.parametrize(("rows", "size"), [(20, 10), (150, 15), (200, 20), (1000, 20)])
def test_bins_have_their_stated_size_where_the_table_is_large_enough(data, rows, size):
    lines = (data / "mine.csv").read_text().splitlines()
    path = data / "longer.csv"
    path.write_text("\n".join([lines[0], *(lines[1:] * 50)[:rows]]))
    assert load_truth(str(path), label="perplexity").bin_size == size


def test_a_sample_is_fixed_by_its_seed_and_keeps_the_number_of_bins(data):
    lines = (data / "mine.csv").read_text().splitlines()
    path = data / "longer.csv"
    path.write_text("\n".join([lines[0], *lines[1:] * 50]))
    truth = load_truth(str(path), label="perplexity")
    half = truth.sample(600, seed=3)
    assert half == truth.sample(600, seed=3)
    assert half.rows != truth.sample(600, seed=4).rows
    assert (len(half.rows), half.bin_size) == (600, 12)
    assert truth.sample(100, seed=3).bin_size == 10
    assert truth.sample(5000, seed=0) is truth
    assert np.all(np.diff([int(row.id) for row in half.rows]) > 0)


def test_names(data, monkeypatch):
    with pytest.raises(UnknownNameError) as caught:
        load_truth("nope")
    assert "mine" in str(caught.value)
    assert "hwgpt_s" in str(caught.value)
    assert "front" not in str(caught.value)
    with pytest.raises(InputError, match="mimar bench fetch hwgpt_s --to"):
        load_truth("hwgpt_s")
    assert load_truth("mine", data, label="perplexity") == load_truth("mine", data.parent, label="perplexity")
    monkeypatch.delenv("MIMAR_DATA")
    with pytest.raises(InputError, match="--data DIR or set MIMAR_DATA"):
        load_truth("mine")
    with pytest.raises(InputError, match="no such folder"):
        load_truth("mine", data / "gone")
    with pytest.raises(InputError, match="no such file"):
        load_truth("gone.csv")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.csv", b"a,b\n1,2\n", "sets of columns"),
        ("bad.csv", b"", "no rows"),
        ("bad.csv.gz", b"not gzip", "cannot read"),
        ("bad.json", b"{", "cannot read"),
        ("bad.json", b"3", "cannot read"),
        ("bad.csv", b"\xff\xfe", "cannot read"),
        ("bad.csv", b"arch,x_val\n|bad|,3\n|worse|,4\n", "row 1"),
        ("bad.csv", b"embed_dim,n_layer,n_head,mlp_ratio,bias,perplexity\n64,2,1,2,0,x\n", "row 1"),
        ("bad.csv", b"embed_dim,n_layer,n_head,mlp_ratio,bias,perplexity\n64,2,1,2,0,nan\n", "expected a number"),
        ("bad.csv", b"embed_dim,n_layer,n_head,mlp_ratio,bias,perplexity\n64,2,1-2,b,0,9\n", "row 1"),
        ("bad.csv", b"embed_dim,n_layer,n_head,mlp_ratio,bias,perplexity\n64,2,1,2,0,9\n", "at least 2 rows"),
        ("bad.csv", b"architecture,ppl\n{},9\n{},8\n", "--label"),
        ("bad.csv", b"num_layers,hidden_size,ppl_val\n2,64,9\n", "--label"),
        ("bad.json", b'[{"arch": "|x|", "scores": 93.1, "hparams": null, "a_val": 1}]', "row 1"),
        ("bad.json", b'[{"architecture": [3], "ppl": 2}]', "--label"),
        ("bad.json", b'[{"arch": 3, "a_val": 1}]', "row 1"),
    ],
)
def test_damaged_tables_are_explained(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_truth(str(path))


EXPERTLESS = {"num_layers": 2, "hidden_size": 64, "attention_type": "attention", "num_heads": 2} | {
    "feed_forward": "moe", "intermediate_size": 64, "activation": "silu", "num_experts": 0, "norm": "rmsnorm"
}  # fmt: skip


@pytest.mark.parametrize("architecture", [{}, EXPERTLESS, {**EXPERTLESS, "num_layers": 0}])
def test_an_architecture_that_makes_no_sense_is_explained(tmp_path, architecture):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps([{"architecture": architecture, "ppl": 9.0}] * 3))
    with pytest.raises(InputError, match="row 1"):
        load_truth(str(path), label="ppl:min")


def test_a_label_of_words_in_a_table_with_seeds_is_explained():
    with pytest.raises(InputError, match="row 1: expected a number as architecture"):
        load_truth("decoder_tiny", label="architecture")


def test_a_column_that_is_no_number_is_no_label(data):
    with pytest.raises(InputError, match=r"no column 'gone'.*perplexity"):
        load_truth("mine", label="gone:min")
    with pytest.raises(InputError, match="row 1"):
        load_truth("mine", label="note")


def test_the_published_hwgpt_counts_are_met(published):
    """Embedding, head, layers, norms and biases: the mapping is right to the last weight."""
    truth = load_truth("hwgpt_s", published, label="params").sample(300, seed=0)
    assert all(row.subject.shapes.params == row.label for row in truth.rows)


def test_published_sets(published):
    found = {n: load_truth(n, published) for n in ("lts_gpt2_wt103", "hwgpt_s", "flexibert_500", "nb201_cifar10")}
    assert {n: (len(t.rows), t.bin_size, t.skipped) for n, t in found.items()} == {
        "lts_gpt2_wt103": (200, 20, 0),
        "hwgpt_s": (10_000, 500, 0),
        "flexibert_500": (500, 25, 0),
        "nb201_cifar10": (15_625, 500, 0),
    }
