"""A table of trained decoders read back: noise, choices, early losses and the cascade, on planted results."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from mimar.bench import (
    BUILT_IN,
    TinyTable,
    cascade_rows,
    cheap_loss,
    choice_effects,
    early_losses,
    load_truth,
    tiny_architectures,
)
from mimar.bench._decoder_tiny import TINY
from mimar.bench._make_truth import COLUMNS
from mimar.bench._options import option_shares
from mimar.cli import main
from mimar.errors import InputError
from mimar.proxies import nonembedding_params as size_score
from mimar.shapes import nonembedding_parameters
from mimar.space import Defaults, architecture_to_json
from mimar.strategy import Gate

COUNT, SEEDS, NOISE = 120, 3, 0.01


def planted_loss(arch):
    """Convolutions help, linear attention hurts, size helps, untied heads help; nothing else does anything."""
    kinds = [block.mixer.kind for block in arch.blocks]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in ("convolution", "linear")}
    size = np.log(nonembedding_parameters(arch) / 1e6)
    return 4.5 - 0.6 * shares["convolution"] + 0.4 * shares["linear"] - 0.1 * size - 0.2 * (not arch.tied_embeddings)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Early losses are the final one and a noise that falls; the last architecture failed."""
    rng = np.random.default_rng(0)
    target = tmp_path_factory.mktemp("truth") / "tiny.csv"
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, arch in enumerate(tiny_architectures(COUNT, 256, 256)):
            for seed in range(SEEDS if number < 20 else 1):
                loss = planted_loss(arch) + NOISE * rng.standard_normal()
                row = {"id": number, "seed": seed, "nonembedding_params": nonembedding_parameters(arch), "seconds": 100}
                row |= {"architecture": json.dumps(architecture_to_json(arch))}
                if number == COUNT - 1:
                    writer.writerow(row | {"failure": "diverged"})
                    continue
                early = {f"loss_at_{share}%": loss + 1 + 0.2 * rng.standard_normal() / share for share in (10, 25, 50)}
                writer.writerow(row | early | {"validation_loss": loss})
    return target


@pytest.fixture(scope="module")
def table(path):
    return TinyTable.read(path)


def test_rows_and_failures(table):
    assert len(table.rows) == COUNT - 1
    assert table.failed == 1
    assert [len(row.losses) for row in table.rows] == [SEEDS] * 20 + [1] * (COUNT - 21)


def test_the_noise_of_seeds_is_told_from_that_of_architectures(table):
    noise = table.noise_floor()
    assert noise.repeated == 20
    assert noise.seeds == pytest.approx(NOISE**2, rel=0.5)
    assert noise.equal_size == pytest.approx(np.var([row.loss for row in table.rows]), rel=0.3)
    assert noise.ratio == noise.equal_size / noise.seeds > 100


def test_what_size_does_is_no_difference_at_equal_size(table):
    grown = [replace(row, losses=tuple(loss - 3 * np.log(row.size) for loss in row.losses)) for row in table.rows]
    noise = TinyTable(tuple(grown), 0).noise_floor()
    assert noise.equal_size < np.var([row.loss for row in grown]) / 10
    assert noise.seeds == pytest.approx(table.noise_floor().seeds)


def test_one_that_is_hard_to_train_does_not_hide_the_others(table):
    row = next(row for row in table.rows if len(row.losses) > 1)
    wild = [replace(each, losses=(4.0, 6.0, 8.0)) if each is row else each for each in table.rows]
    whole, better = (TinyTable(tuple(wild), 0).noise_floor(half) for half in (False, True))
    assert whole.seeds > 100 * whole.seeds_median
    assert whole.seeds_median == pytest.approx(table.noise_floor().seeds_median, rel=0.3)
    assert better.ratio > 100 > whole.ratio
    assert better.repeated < whole.repeated


def test_without_repeats_there_is_no_floor(table):
    once = TinyTable(table.rows[20:], 0).noise_floor()
    assert (once.repeated, once.seeds, once.seeds_median, once.ratio) == (0, None, None, None)
    assert once.equal_size > 0


def test_costs_are_those_of_measured_steps_where_all_have_them(path, table, tmp_path):
    assert table.cost_unit == "seconds"
    assert {row.cost for row in table.rows} == {100}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    timed = [row | {"training_step_ms": "" if row["failure"] else float(row["id"]) + 1} for row in rows]
    target = tmp_path / "timed.csv"
    for lacking in (0, 1):
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows([*timed[lacking:], *rows[:lacking]])
        again = TinyTable.read(target)
        assert again.cost_unit == ("seconds" if lacking else "training_step_ms")
        assert [row.cost for row in again.rows] == ([100] * 119 if lacking else list(range(1, 120)))


def test_what_all_headed_mixers_share_is_not_lost_to_their_heads(table):
    """Heads come with some mixers only, activations with some feed-forward parts."""
    rows = []
    for row in table.rows:
        shares = option_shares(row.architecture)
        headed = sum(share for (choice, _), share in shares.items() if choice == "kv_heads")
        rows.append(replace(row, losses=(4.0 - 0.5 * headed,)))
    effects = {(each.choice, each.option): each.effect for each in choice_effects(TinyTable(tuple(rows), 0))}
    without = np.mean([effects["mixer", kind] for kind in ("convolution", "none")])
    headed = [effects["mixer", kind] for kind in ("attention", "linear", "sliding_window", "block_sparse")]
    assert without - np.mean(headed) == pytest.approx(0.5, rel=0.05)
    assert max(abs(effects["kv_heads", kind]) for kind in ("all", "some", "one")) < 0.02


def test_planted_choices_are_found_and_others_are_not(table):
    effects = {(each.choice, each.option): each for each in choice_effects(table)}
    mixers = {option: each.effect for (choice, option), each in effects.items() if choice == "mixer"}
    assert min(mixers, key=mixers.get) == "convolution"
    assert max(mixers, key=mixers.get) == "linear"
    assert mixers["linear"] - mixers["convolution"] == pytest.approx(1.0, rel=0.05)
    tied = effects["tied_embeddings", "True"].effect - effects["tied_embeddings", "False"].effect
    assert tied == pytest.approx(0.2, abs=0.03)
    silent = [each for each in effects.values() if each.choice not in ("mixer", "tied_embeddings")]
    assert max(abs(each.effect) for each in silent) < 0.1
    assert np.mean([abs(each.effect) < 2 * each.error for each in silent]) > 0.8
    assert all(each.error < 0.1 for each in effects.values())


def test_a_cascade_finds_good_ones_at_the_cost_that_it_says(table):
    rows = cascade_rows(table, (Gate("10%", 3), Gate("25%", 5)), size_score, 3)
    assert [row.architectures for row in rows] == [40, 40, 39]
    assert all(row.top_tenth == (row.rank <= row.architectures // 10) for row in rows)
    assert sum(row.top_tenth for row in rows) >= 2
    for row in rows:  # all for a tenth, a third on to a quarter, three to the end
        trained = 0.1 * row.architectures + 0.15 * np.ceil(row.architectures / 3) + 0.75 * 3
        assert row.cost == pytest.approx(trained / row.architectures, abs=0.02)
    assert rows[0].sizes[1] <= rows[1].sizes[0]


def test_a_score_costs_nothing(table):
    (row,) = cascade_rows(table, (Gate("score", COUNT - 1),), size_score, 1)
    assert row.cost == pytest.approx(1 / (COUNT - 1))
    largest = max(table.rows, key=lambda each: each.size)
    assert row.rank == 1 + sum(each.loss < largest.loss for each in table.rows)


def test_as_a_truth_seeds_are_averaged(path, table):
    truth = load_truth(str(path))
    assert truth.label_name == "validation_loss"
    assert not truth.higher_is_better
    assert truth.skipped == 1
    assert {row.id: row.label for row in truth.rows} == pytest.approx({row.id: row.loss for row in table.rows})


def test_the_table_of_the_package_is_of_the_benchmark():
    """Its rows are of the space and all different, trained as its recipe says, 24 of them three times."""
    path = BUILT_IN["decoder_tiny"]
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["recipe"]["tokens"] * facts["bytes_per_token"] > 1e6
    table = TinyTable.read(path)
    archs = [row.architecture for row in table.rows]
    assert len(set(archs)) == len(archs) == 200
    assert [len(row.losses) for row in table.rows] == [3] * 24 + [1] * 176
    for arch in archs:
        defaults = Defaults(facts["vocab_size"], facts["recipe"]["context_length"], arch.tied_embeddings)
        assert replace(TINY, scope="per-layer", defaults=defaults).validate(arch) == ()
        assert (arch.vocab_size, arch.context_length) == (defaults.vocab_size, defaults.context_length)
    assert len(load_truth("decoder_tiny").rows) == len(table.rows)


@pytest.mark.parametrize(("text", "words"), [("id,seed\n", "all rows"), ("id,seed\n0,0\n", "validation_loss")])
def test_other_tables_are_refused(tmp_path, text, words):
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        TinyTable.read(tmp_path / "other.csv")


@pytest.mark.parametrize("spoilt", [
    {"id": "first"}, {"seconds": ""}, {"loss_at_10%": "low"}, {"architecture": "{"}, {"nonembedding_params": "many"},
])  # fmt: skip
def test_a_table_with_a_spoilt_row_is_refused_in_a_sentence(path, tmp_path, spoilt):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    target = tmp_path / "spoilt.csv"
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*rows[:-2], rows[-2] | spoilt, rows[-1]])
    with pytest.raises(InputError, match=r"spoilt\.csv"):
        TinyTable.read(target)


def test_architectures_of_one_size_have_effects(table):
    rows = tuple(replace(row, size=1e6) for row in table.rows)
    assert all(np.isfinite(each.effect) for each in choice_effects(TinyTable(rows, 0)))


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["mimar", "bench", "truth", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


def test_the_command_prints_what_it_finds(monkeypatch, capsys, path):
    code, out, _ = run(monkeypatch, capsys, path, "--json", "--bins", 2)
    result = json.loads(out)
    assert code == 0
    assert [row["name"] for row in result["fidelities"]] == ["10%", "25%", "50%"]
    assert result["fidelities"][2]["tau"] > result["fidelities"][0]["tau"] > 0.5
    assert len(result["cascade"]) == 2
    code, out, _ = run(monkeypatch, capsys, path, "--markdown")
    assert code == 0
    assert "| mixer=convolution |" in out
    assert "20 were trained from several seeds" in out


@pytest.mark.parametrize("count", [4, 5, 6, 7])
def test_a_table_of_few_is_read_all_the_same(monkeypatch, capsys, path, tmp_path, count):
    """What their curves say of the end is left out where too few are left to learn from."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["id"]) < count]
    with (tmp_path / "few.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    code, out, err = run(monkeypatch, capsys, tmp_path / "few.csv", "--json", "--bins", 2)
    assert code == 0, err
    assert all((row["error"] is None) == (count < 7) for row in json.loads(out)["fidelities"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("gone.csv",), "no such file"),
        (("decoder_tiny", "--gates", "30%:2"), "10%, 25%, 50%, score"),
        (("decoder_tiny", "--gates", "score:2,predictor:2"), "predictor"),
        (("decoder_tiny", "--bins", 0), "--bins"),
        (("decoder_tiny", "--validation", "x.txt"), "--data"),
        (("decoder_tiny", "--score", "none"), "score"),
        (("decoder_tiny", "--score", "llm-judge"), "score"),
    ],
)
def test_the_command_refuses_in_a_sentence(monkeypatch, capsys, options, words):
    code, _, err = run(monkeypatch, capsys, *options)
    assert code == 2
    assert words in err.splitlines()[-1]


def test_learning_curves_expect_the_end_and_know_how_well(table, path):
    truth = load_truth(str(path))
    early = early_losses(table, truth)
    assert [row.name for row in early] == ["10%", "25%", "50%"]
    for row, share in zip(early, (10, 25, 50), strict=True):
        noise = 0.2 / share  # as planted
        assert row.error == pytest.approx(noise, rel=0.35)
        assert row.within == pytest.approx(0.8, abs=0.1)
        assert row.tau == cheap_loss("", {each.id: each.curve[row.name] for each in table.rows}, truth).tau
    assert early[0].tau < early[2].tau
