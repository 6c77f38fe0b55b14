"""`decoder_tiny`: what stands in its architectures, and a table that grows and goes on."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mimar.bench import (
    TinyTable,
    TruthPlan,
    _make_truth,
    cheap_loss,
    load_truth,
    make_truth,
    shared_losses,
    table_recipe,
    tiny_architectures,
    train_more,
)
from mimar.errors import InputError
from mimar.proxies import DecoderSubject, ProxyInputs, adw, synflow
from mimar.shapes import nonembedding_parameters
from mimar.space import architecture_from_json
from mimar.training import Recipe, TokenData

RECIPE = Recipe(tokens=600, context_length=64, batch_tokens=128)


@pytest.fixture(scope="module")
def data():
    ids = np.random.default_rng(0).integers(64, size=4000).astype(np.int32)
    return TokenData(ids, ids[:200], 64, 1.0)


@pytest.fixture(scope="module")
def archs():
    return tiny_architectures(200, 1024, 256)


def test_every_option_stands_in_at_least_twenty_architectures(archs):
    def options(arch):
        for name in ("position", "norm", "norm_placement", "topology", "tied_embeddings", "layer_sharing"):
            yield name, getattr(arch, name)
        yield "kernel", arch.attention_kernel
        for block in arch.blocks:
            yield "mixer", block.mixer.kind
            yield "feed_forward", block.feed_forward.kind
            if block.feed_forward.kind == "ffn":
                yield "activation", block.feed_forward.activation
            if block.mixer.kind == "attention":
                yield "multi-query", block.mixer.num_kv_heads == 1 < block.mixer.num_heads
                yield "grouped", 1 < block.mixer.num_kv_heads < block.mixer.num_heads

    found = Counter(option for arch in archs for option in set(options(arch)))
    assert min(found.values()) >= 20, found
    assert len(found) == 4 + 2 + 3 + 2 + 2 + 3 + 2 + 6 + 6 + 4 + 2 + 2


def test_they_are_different_small_and_of_every_size(archs):
    sizes = np.asarray([nonembedding_parameters(arch) for arch in archs])
    assert len(set(archs)) == 200
    assert sizes.min() >= 0.2e6
    assert sizes.max() <= 3e6
    assert min(np.histogram(np.log(sizes), bins=8, range=(np.log(0.2e6), np.log(3e6)))[0]) >= 15
    assert {arch.num_layers for arch in archs} == set(range(2, 13))
    assert {arch.hidden_size for arch in archs} == set(range(64, 513, 64))


def test_a_longer_table_begins_with_a_shorter_one(archs):
    assert tiny_architectures(20, 1024, 256) == archs[:20]


def test_those_of_a_table_stay_and_the_others_are_chosen_around_them(archs):
    known = {place: archs[-1 - place] for place in (0, 1, 2, 4, 7)}
    around = tiny_architectures(40, 1024, 256, known)
    assert all(around[place] == arch for place, arch in known.items())
    assert len(set(around)) == 40
    assert around != archs[:40]


def test_a_gap_is_filled_with_what_belongs_there(archs):
    """As a run leaves one that trained several at a time, or one of whose processes was killed."""
    for gap in (3, 17, 29):
        known = {place: arch for place, arch in enumerate(archs[:40]) if place not in (gap, gap + 2)}
        assert tiny_architectures(40, 1024, 256, known) == archs[:40]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_they_are_the_same_in_every_process(archs, hash_seed):
    """Python hashes texts with another seed in each process, and sets are in another order then."""
    code = (
        "from mimar.bench import tiny_architectures\nfrom mimar.space import architecture_to_json\nimport json\n"
        "print(json.dumps([architecture_to_json(each) for each in tiny_architectures(200, 1024, 256)]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=300)
    assert [architecture_from_json(each) for each in json.loads(out.stdout)] == archs


def test_repeated_ones_come_with_every_seed_and_the_first_seed_comes_first():
    assert TruthPlan(3, 2, 1).jobs == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert TruthPlan(2, 2, 5).jobs == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_a_table_goes_on_after_half_a_row_grows_and_is_read_as_a_truth(data, tmp_path):
    path, plan = tmp_path / "tiny.csv", TruthPlan(2, 2, 1)
    told = []
    whole = make_truth(
        path, data, RECIPE, plan, measure=False, on_row=lambda row, done, of_all: told.append((done, of_all))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [(row["id"], row["seed"]) for row in whole] == [(0, 0), (0, 1), (1, 0)]
    assert whole[0]["validation_loss"] != whole[1]["validation_loss"]
    written = path.read_bytes()
    path.write_bytes(written[:-300])  # the last row was being written
    again = make_truth(path, data, RECIPE, plan, measure=False)
    losses = [[float(row["validation_loss"]) for row in rows] for rows in (whole, again)]
    assert losses[0] == losses[1]
    longer = make_truth(path, data, RECIPE, replace(plan, architectures=3), processes=2, measure=False)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["id"]), int(row["seed"])) for row in rows] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    assert len(longer) == 4
    assert all(float(row["loss_at_50%"]) > 0 for row in rows)
    for row, arch in zip((rows[0], *rows[2:]), tiny_architectures(3, 64, 64), strict=True):
        assert architecture_from_json(json.loads(row["architecture"])) == arch
    assert len(load_truth(str(path)).rows) == 3  # means over seeds
    with pytest.raises(InputError, match="made with another recipe"):
        make_truth(path, data, replace(RECIPE, learning_rate=1.0), plan)


def test_speed_memory_and_scores_are_filled_in_once(data, tmp_path, monkeypatch):
    path, plan = tmp_path / "t.csv", TruthPlan(1, 2, 1)
    before = make_truth(path, data, RECIPE, plan, measure=False)
    assert all(not row["prefill_ms"] and not row["score_adw"] for row in before)
    make_truth(path, data, RECIPE, plan)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    arch = architecture_from_json(json.loads(rows[0]["architecture"]))
    inputs = ProxyInputs(DecoderSubject(arch), 0)
    assert [row["validation_loss"] for row in rows] == [str(row["validation_loss"]) for row in before]
    assert rows[0]["score_synflow"] == rows[1]["score_synflow"]
    assert float(rows[0]["score_adw"]) == pytest.approx(adw(inputs))
    assert float(rows[0]["score_synflow"]) == pytest.approx(synflow(inputs))
    assert 0 < float(rows[0]["prefill_ms"]) < 1e4
    assert 0 < float(rows[0]["training_step_ms"]) < 1e4
    assert float(rows[0]["memory_bytes"]) > 3 * float(rows[0]["params"])
    monkeypatch.setattr(_make_truth, "measured_columns", lambda *_: pytest.fail("measured again"))
    make_truth(path, data, RECIPE, plan)


def test_a_training_that_fails_is_a_row_with_its_reason(data, tmp_path):
    rows = make_truth(tmp_path / "t.csv", data, replace(RECIPE, learning_rate=1e9), TruthPlan(1, 1, 0), measure=False)
    assert "training diverged" in rows[0]["failure"]
    assert rows[0]["validation_loss"] == ""
    again = make_truth(tmp_path / "t.csv", data, replace(RECIPE, learning_rate=1e9), TruthPlan(1, 1, 0), measure=False)
    assert again[0]["failure"] == rows[0]["failure"]


def test_a_table_without_its_facts_is_refused(data, tmp_path):
    (tmp_path / "t.csv").write_text("id\n1\n")
    with pytest.raises(InputError, match=r"no t\.json beside it"):
        make_truth(tmp_path / "t.csv", data, RECIPE, TruthPlan(1, 1, 0))


@pytest.mark.parametrize("content", ["{}", '{"name": "my package"}', "[1]", '{"recipe"'])
def test_a_json_file_of_another_kind_is_not_written_over(data, tmp_path, content):
    path, beside = tmp_path / "t.csv", tmp_path / "t.json"
    beside.write_text(content)
    with pytest.raises(InputError, match=r"t\.(json|csv)"):
        make_truth(path, data, RECIPE, TruthPlan(1, 1, 0), measure=False)
    assert beside.read_text() == content
    assert not path.exists()
    path.touch()
    with pytest.raises(InputError, match=r"does not say how a table was made"):
        table_recipe(path, data)
    with pytest.raises(InputError, match=r"FILE\.csv"):
        make_truth(tmp_path / "new.json", data, RECIPE, TruthPlan(1, 1, 0), measure=False)


def test_a_text_that_is_too_short_leaves_nothing_and_what_has_no_row_may_still_change(data, tmp_path):
    path = tmp_path / "t.csv"
    with pytest.raises(InputError, match="more text"):
        make_truth(path, replace(data, train=data.train[:10]), RECIPE, TruthPlan(1, 1, 0), measure=False)
    assert list(tmp_path.iterdir()) == []
    make_truth(path, data, RECIPE, TruthPlan(0, 1, 0), measure=False)
    other = replace(RECIPE, learning_rate=1e-4)
    rows = make_truth(path, data, other, TruthPlan(1, 1, 0), measure=False)
    assert len(rows) == 1
    with pytest.raises(InputError, match="another recipe"):
        make_truth(path, data, RECIPE, TruthPlan(1, 1, 0), measure=False)


def test_a_column_of_others_is_not_lost(data, tmp_path):
    path = tmp_path / "t.csv"
    make_truth(path, data, RECIPE, TruthPlan(0, 1, 0), measure=False)
    path.write_text(path.read_text(encoding="utf-8").rstrip() + ",notes\n", encoding="utf-8")
    with pytest.raises(InputError, match="notes"):
        make_truth(path, data, RECIPE, TruthPlan(1, 1, 0), measure=False)


def test_more_architectures_are_trained_alike_and_kept(data, tmp_path):
    table, more = tmp_path / "table.csv", tmp_path / "more.csv"
    archs = tiny_architectures(2, 64, 64)
    rows = make_truth(table, data, RECIPE, TruthPlan(2, 1), measure=False)
    first = train_more(more, archs[1:], data, RECIPE)
    assert first == {archs[1]: float(rows[1]["validation_loss"])}
    told = []
    both = train_more(more, [archs[1], archs[0], archs[0]], data, RECIPE, on_row=lambda *each: told.append(each))
    assert both == {arch: float(row["validation_loss"]) for arch, row in zip(archs, rows, strict=True)}
    assert [(row["id"], done, of_all) for row, done, of_all in told] == [(1, 2, 2)]
    assert train_more(more, archs[:1], data, RECIPE) == {archs[0]: both[archs[0]]}


def test_the_recipe_of_a_table_is_for_its_own_text(data, tmp_path):
    make_truth(tmp_path / "table.csv", data, RECIPE, TruthPlan(1, 1), measure=False)
    assert table_recipe(tmp_path / "table.csv", data) == RECIPE
    with pytest.raises(InputError, match="train_sha256"):
        table_recipe(tmp_path / "table.csv", replace(data, train=data.train[1:]))
    with pytest.raises(InputError, match=r"table\.json beside it"):
        table_recipe(tmp_path / "elsewhere" / "table.csv", data)


def test_weights_that_a_table_shares_judge_all_of_it(data, tmp_path):
    path = tmp_path / "table.csv"
    make_truth(path, data, RECIPE, TruthPlan(4, 1), measure=False)
    table = TinyTable.read(path)
    losses = shared_losses(table, data, RECIPE)
    assert list(losses) == [row.id for row in table.rows]
    assert len(set(losses.values())) == 4
    assert all(3.0 < loss < 6.0 for loss in losses.values())  # ln 64 = 4.16
    with pytest.raises(InputError, match="one-shot"):
        cheap_loss("one-shot", dict.fromkeys(losses, math.nan), load_truth(str(path)))
    row = cheap_loss("one-shot", {**losses, "0": math.nan}, load_truth(str(path)))
    last = cheap_loss("one-shot", {**losses, "0": 100.0}, load_truth(str(path)))
    assert row == last


def test_a_killed_process_costs_its_own_training_only(data, tmp_path, monkeypatch):
    """As where the system ends what takes too much memory; the next run trains what is missing."""
    path, train = tmp_path / "t.csv", _make_truth._train_one
    monkeypatch.setattr(_make_truth, "_train_one", _killed_on_the_second)
    rows = make_truth(path, data, RECIPE, TruthPlan(3, 1, 0), measure=False)
    assert [row["id"] for row in rows] == [0, 2]
    monkeypatch.setattr(_make_truth, "_train_one", train)
    rows = make_truth(path, data, RECIPE, TruthPlan(3, 1, 0), measure=False)
    assert [int(row["id"]) for row in rows] == [0, 1, 2]
    assert float(rows[1]["validation_loss"]) > 0


def test_what_was_killed_leaves_its_number_free(data, tmp_path, monkeypatch):
    """So that no two architectures are taken for seeds of one."""
    archs, train = tiny_architectures(3, 64, 64), _make_truth._train_one
    monkeypatch.setattr(_make_truth, "_train_one", _killed_on_the_second)
    failed = {archs[0]: math.inf, archs[2]: math.inf}
    assert train_more(tmp_path / "more.csv", archs, data, RECIPE) == failed
    monkeypatch.setattr(_make_truth, "_train_one", train)
    losses = train_more(tmp_path / "more.csv", archs, data, RECIPE)
    assert 0 < losses.pop(archs[1]) < math.inf
    assert losses == failed
    with (tmp_path / "more.csv").open(newline="") as file:
        rows = {row["id"]: architecture_from_json(json.loads(row["architecture"])) for row in csv.DictReader(file)}
    assert rows == {"0": archs[0], "2": archs[2], "3": archs[1]}


def _killed_on_the_second(arch, job, data, recipe, device):
    if job[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return _make_truth._described(arch, job)


def test_more_trainings_than_processes_all_end(data, tmp_path):
    told = []
    plan = TruthPlan(5, 1, 0)
    make_truth(tmp_path / "t.csv", data, RECIPE, plan, processes=2, measure=False, on_row=lambda *_: told.append(1))
    assert len(told) == 5
